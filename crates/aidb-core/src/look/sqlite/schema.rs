//! The schema as of the last commit: the rows of `sqlite_schema` ("SQLite file format", 2.6), read without SQLite.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::header::{Encoding, Header};
use super::pages::{
    INDEX_INTERIOR, INDEX_LEAF, Pages, TABLE_INTERIOR, TABLE_LEAF, varint, walk_table,
};
use super::problem::Problem;
use super::sqltext::{self, Kind};

/// One row of `sqlite_schema`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SchemaEntry {
    /// Its kind.
    pub kind: Kind,
    /// Its name, with control characters as they are.
    pub name: String,
    /// Whether `name` is what the file holds: names that are no valid Unicode are shown with replacement characters.
    pub name_is_exact: bool,
    /// The table that it belongs to.
    pub table: String,
    /// Its root page; 0 for views, triggers and virtual tables.
    pub root: u32,
    /// Its SQL text, cut to 64 KiB; indexes that SQLite made by itself have none.
    pub sql: Option<String>,
    /// The module of a virtual table.
    pub module: Option<String>,
}

/// The schema as of the last commit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Schema {
    /// The rows, in their order.
    pub entries: Vec<SchemaEntry>,
    /// Whether these are all of the rows: at most 10,000 are kept.
    pub complete: bool,
    /// Entries for which SQLite would refuse the whole database as malformed, with the reason.
    pub malformed: Vec<String>,
    /// Entries whose root page is no page of such a tree.
    pub bad_roots: Vec<BadRoot>,
    /// Virtual tables of modules that our SQLite lacks, such as `ft (module mecab)`.
    pub missing_modules: Vec<String>,
    /// Entries that hold code which no check may run, with the reason.
    pub unsafe_schema: Vec<String>,
}

/// An entry whose root page is no page of such a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadRoot {
    /// The entry's name.
    pub name: String,
    /// The root page that it names.
    pub page: u32,
    /// What was expected and what was found.
    pub why: String,
}

/// The modules for virtual tables in a database file that the bundled SQLite has.
pub const MODULES: &[&str] = &[
    "dbstat",
    "fts3",
    "fts3tokenize",
    "fts4",
    "fts4aux",
    "fts5",
    "fts5vocab",
    "json_each",
    "json_tree",
    "rtree",
    "rtree_i32",
];

const MOST_ENTRIES: usize = 10_000;
/// Of all records together: cells may share their bytes, so that a small file could hold any number of long ones.
const MOST_BYTES: usize = 64 * 1024 * 1024;
const LONGEST_SQL: usize = 64 * 1024;
/// Of a record: enough for names and for the SQL text in UTF-16.
const LONGEST_RECORD: usize = 512 * 1024;

/// Reads the schema. `header` is page 1 of `pages`.
pub(super) fn read(pages: &Pages<'_>, header: &Header) -> Result<Schema, Problem> {
    if let Some(what) = header.unsupported() {
        return Err(Problem::Unsupported { what });
    }
    if let Some(what) = header.damaged() {
        return Err(Problem::Damaged {
            page: Some(1),
            what,
        });
    }
    let encoding = header.encoding();
    let mut schema = Schema {
        complete: true,
        ..Schema::default()
    };
    let mut bytes_left = MOST_BYTES;
    walk_table(pages, 1, LONGEST_RECORD, |record| {
        let rows = schema.entries.len() + schema.malformed.len();
        if rows >= MOST_ENTRIES || record.len() > bytes_left {
            schema.complete = false;
            return false;
        }
        bytes_left -= record.len();
        match entry(record, encoding) {
            Some(entry) => schema.entries.push(entry),
            None => schema
                .malformed
                .push(format!("row {} is no schema row", rows + 1)),
        }
        true
    })?;
    note_malformed(&mut schema);
    note_roots(&mut schema, pages)?;
    for entry in &schema.entries {
        if let Some(module) = &entry.module
            && !MODULES.contains(&module.to_ascii_lowercase().as_str())
        {
            schema
                .missing_modules
                .push(format!("{} (module {module})", entry.name));
        }
        if let Some(why) = entry
            .sql
            .as_deref()
            .and_then(|sql| sqltext::unsafe_code(entry.kind, sql))
        {
            schema.unsafe_schema.push(format!("{}: {why}", entry.name));
        }
    }
    Ok(schema)
}

/// Decodes a record of five columns: type, name, `tbl_name`, rootpage, sql (2.1, 2.6).
fn entry(record: &[u8], encoding: Encoding) -> Option<SchemaEntry> {
    let (header_bytes, mut at) = varint(record)?;
    let header_bytes = usize::try_from(header_bytes).ok()?;
    let header = record.get(..header_bytes)?;
    let mut body = header_bytes;
    let mut columns = [(0_u64, 0_usize, 0_usize); 5];
    for column in &mut columns {
        let (serial, length) = varint(header.get(at..)?)?;
        at += length;
        let bytes = match serial {
            0 | 8 | 9 => 0,
            1..=4 => usize::try_from(serial).ok()?,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return None,
            more => usize::try_from((more - 12) / 2).ok()?,
        };
        *column = (serial, body, bytes);
        body = body.checked_add(bytes)?;
    }
    let text = |column: usize| -> Option<(String, bool)> {
        let (serial, start, length) = columns[column];
        if serial < 13 || serial % 2 == 0 {
            return None;
        }
        Some(decode(
            record.get(start..start.checked_add(length)?)?,
            encoding,
        ))
    };
    let (kind, _) = text(0)?;
    let (name, name_is_exact) = text(1)?;
    let (table, _) = text(2)?;
    let root = integer(record, columns[3])?;
    let sql = match columns[4] {
        (0, ..) => None,
        (serial, start, length) if serial >= 13 && serial % 2 == 1 => {
            let keep = length.min(match encoding {
                Encoding::Utf8 => LONGEST_SQL,
                _ => LONGEST_SQL * 2,
            });
            Some(decode(record.get(start..start.checked_add(keep)?)?, encoding).0)
        }
        _ => return None,
    };
    let module = sql.as_deref().and_then(sqltext::module);
    let kind = match kind.as_str() {
        "table" if module.is_some() => Kind::Virtual,
        "table" => Kind::Table,
        "index" => Kind::Index,
        "view" => Kind::View,
        "trigger" => Kind::Trigger,
        _ => Kind::Unknown,
    };
    Some(SchemaEntry {
        kind,
        name,
        name_is_exact,
        table,
        root,
        sql,
        module,
    })
}

/// Returns a root page: NULL counts as 0, a number that no page has as the largest one.
fn integer(record: &[u8], (serial, start, length): (u64, usize, usize)) -> Option<u32> {
    match serial {
        0 | 8 => Some(0),
        9 => Some(1),
        1..=6 => {
            let bytes = record.get(start..start.checked_add(length)?)?;
            let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
            let value = bytes
                .iter()
                .fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
            Some(if negative {
                u32::MAX
            } else {
                u32::try_from(value).unwrap_or(u32::MAX)
            })
        }
        _ => None,
    }
}

fn decode(bytes: &[u8], encoding: Encoding) -> (String, bool) {
    let units = |word: fn([u8; 2]) -> u16| -> (String, bool) {
        let units: Vec<u16> = bytes
            .chunks_exact(2)
            .map(|two| word([two[0], two[1]]))
            .collect();
        match String::from_utf16(&units) {
            Ok(text) => (text, bytes.len().is_multiple_of(2)),
            Err(_) => (String::from_utf16_lossy(&units), false),
        }
    };
    match encoding {
        Encoding::Utf8 => match std::str::from_utf8(bytes) {
            Ok(text) => (text.to_owned(), true),
            Err(_) => (String::from_utf8_lossy(bytes).into_owned(), false),
        },
        Encoding::Utf16Le => units(u16::from_le_bytes),
        Encoding::Utf16Be => units(u16::from_be_bytes),
    }
}

/// Notes the entries that SQLite's own `sqlite3InitCallback` refuses, as far as that takes no parser.
fn note_malformed(schema: &mut Schema) {
    let mut names = HashSet::new();
    for entry in &schema.entries {
        let why = if entry.name.contains('\0') || entry.table.contains('\0') {
            Some("its name holds a zero byte")
        } else if entry.sql.as_ref().is_some_and(|sql| sql.contains('\0')) {
            Some("its SQL text holds a zero byte")
        } else if entry.kind == Kind::Unknown {
            Some("it is of no known kind")
        } else {
            match &entry.sql {
                None if entry.kind == Kind::Index => None,
                None => Some("it has no SQL text"),
                Some(sql) if !sqltext::is_create(sql) => Some("its SQL text is no CREATE"),
                Some(_) => None,
            }
        };
        let is_relation = matches!(entry.kind, Kind::Table | Kind::Virtual | Kind::View);
        let why = why.or_else(|| {
            (is_relation && !names.insert(entry.name.to_ascii_lowercase()))
                .then_some("there are two of that name")
        });
        if let Some(why) = why {
            schema.malformed.push(format!("{}: {why}", entry.name));
        }
    }
}

/// Notes root pages that cannot be: none, shared by two, behind the end, or of another type (1.6, 2.6).
fn note_roots(schema: &mut Schema, pages: &Pages<'_>) -> Result<(), Problem> {
    let mut owners: HashMap<u32, &str> = HashMap::new();
    let mut bad_roots = Vec::new();
    for entry in &schema.entries {
        // Tables WITHOUT ROWID are stored as indexes.
        let types: &[u8] = match entry.kind {
            Kind::Table => &[TABLE_INTERIOR, TABLE_LEAF, INDEX_INTERIOR, INDEX_LEAF],
            Kind::Index => &[INDEX_INTERIOR, INDEX_LEAF],
            _ => continue,
        };
        let why = if let Some(other) = owners.insert(entry.root, &entry.name) {
            Some(format!("it is also the root of `{other}`"))
        } else if entry.root < 2 || entry.root > pages.count {
            Some(format!(
                "expected a page from 2 to {}, found {}",
                pages.count, entry.root
            ))
        } else {
            match pages.read(entry.root) {
                Ok(page) => {
                    let (found, _) = Pages::tree_header(entry.root, &page);
                    (!types.contains(&found))
                        .then(|| format!("expected type {types:?}, found {found}"))
                }
                Err(Problem::Damaged { what, .. }) => Some(what),
                Err(problem) => return Err(problem),
            }
        };
        if let Some(why) = why {
            bad_roots.push(BadRoot {
                name: entry.name.clone(),
                page: entry.root,
                why,
            });
        }
    }
    schema.bad_roots = bad_roots;
    Ok(())
}
