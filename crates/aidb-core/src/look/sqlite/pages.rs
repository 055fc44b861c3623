//! The pages of a database as of its last commit: the journal's and the log's pages laid over the main file's.

use std::collections::{HashMap, HashSet};

use super::journal::lock_page;
use super::source::{ReadAt, be16, be32};
use crate::look::sqlite::problem::Problem;

/// One layer over the main file: where its pages begin.
#[derive(Clone, Copy)]
pub(super) struct Layer<'a> {
    pub(super) file: &'a dyn ReadAt,
    pub(super) index: &'a HashMap<u32, u64>,
}

/// The pages of one database.
pub(super) struct Pages<'a> {
    pub(super) main: Option<&'a dyn ReadAt>,
    /// The first one that has a page wins.
    pub(super) layers: Vec<Layer<'a>>,
    pub(super) page_size: u32,
    /// Page size without the reserved bytes.
    pub(super) usable: u32,
    /// Size of the database in pages.
    pub(super) count: u32,
}

impl Pages<'_> {
    /// Returns the whole page.
    pub(super) fn read(&self, number: u32) -> Result<Vec<u8>, Problem> {
        if number == 0 || number > self.count {
            return Err(Problem::damaged(
                number,
                format!("there is no such page: the database has {}", self.count),
            ));
        }
        let (file, offset) = self
            .layers
            .iter()
            .find_map(|layer| layer.index.get(&number).map(|at| (Some(layer.file), *at)))
            .unwrap_or((self.main, u64::from(number - 1) * u64::from(self.page_size)));
        let mut page = vec![0; self.page_size as usize];
        let count = match file {
            Some(file) => {
                file.read_full_at(offset, &mut page)
                    .map_err(|error| Problem::Unreadable {
                        what: format!("read page {number}: {error}"),
                    })?
            }
            None => 0,
        };
        if count < page.len() {
            return Err(Problem::damaged(
                number,
                "the file ends before it".to_owned(),
            ));
        }
        Ok(page)
    }

    /// Returns whether a layer has the page.
    pub(super) fn is_layered(&self, number: u32) -> bool {
        self.layers
            .iter()
            .any(|layer| layer.index.contains_key(&number))
    }

    /// Returns how many pages neither the main file nor a layer has. The page of the lock byte is never written.
    pub(super) fn missing(&self, whole_in_main: u64) -> u64 {
        let beyond = |number: u32| u64::from(number) > whole_in_main && number <= self.count;
        let mut layered: HashSet<u32> = self
            .layers
            .iter()
            .flat_map(|layer| layer.index.keys().copied())
            .filter(|number| beyond(*number))
            .collect();
        let lock = lock_page(self.page_size);
        if beyond(lock) {
            layered.insert(lock);
        }
        u64::from(self.count)
            .saturating_sub(whole_in_main)
            .saturating_sub(layered.len() as u64)
    }

    /// Returns the b-tree type byte of a page, and where the b-tree header begins in it ("SQLite file format", 1.6).
    pub(super) fn tree_header(number: u32, page: &[u8]) -> (u8, usize) {
        let at = if number == 1 { 100 } else { 0 };
        (page.get(at).copied().unwrap_or(0), at)
    }
}

/// Type byte of an interior page of a table.
pub(super) const TABLE_INTERIOR: u8 = 0x05;
/// Type byte of a leaf page of a table.
pub(super) const TABLE_LEAF: u8 = 0x0d;
/// Type byte of an interior page of an index.
pub(super) const INDEX_INTERIOR: u8 = 0x02;
/// Type byte of a leaf page of an index.
pub(super) const INDEX_LEAF: u8 = 0x0a;

/// More interior and leaf pages than any schema has.
const MOST_PAGES: usize = 20_000;

/// Walks a table's tree from its root and gives each row's record, cut to `longest` bytes, to `row`, in order, until that
/// returns false. No page is visited twice.
pub(super) fn walk_table(
    pages: &Pages<'_>,
    root: u32,
    longest: usize,
    mut row: impl FnMut(&[u8]) -> bool,
) -> Result<(), Problem> {
    let mut visited = HashSet::new();
    let mut todo = vec![root];
    while let Some(number) = todo.pop() {
        if !visited.insert(number) {
            return Err(Problem::damaged(
                number,
                "the tree comes back to it".to_owned(),
            ));
        }
        // What waits are pages, too: one that comes twice ends the walk when it is its turn.
        if visited.len() + todo.len() > MOST_PAGES {
            return Err(Problem::TooBig {
                what: format!("the schema has more than {MOST_PAGES} pages"),
            });
        }
        let page = pages.read(number)?;
        let (kind, at) = Pages::tree_header(number, &page);
        let cells = usize::from(be16(&page, at + 3));
        let pointers = match kind {
            TABLE_INTERIOR => at + 12,
            TABLE_LEAF => at + 8,
            other => {
                return Err(Problem::damaged(
                    number,
                    format!("expected a page of a table, found type {other}"),
                ));
            }
        };
        if pointers + 2 * cells > pages.usable as usize {
            return Err(Problem::damaged(
                number,
                format!("it cannot hold {cells} cells"),
            ));
        }
        let starts = (0..cells).map(|cell| usize::from(be16(&page, pointers + 2 * cell)));
        if kind == TABLE_INTERIOR {
            let mut children = Vec::with_capacity(cells + 1);
            for start in starts {
                if start + 4 > pages.usable as usize {
                    return Err(Problem::damaged(
                        number,
                        format!("a cell begins at byte {start}"),
                    ));
                }
                children.push(be32(&page, start));
            }
            children.push(be32(&page, at + 8));
            todo.extend(children.into_iter().rev());
            continue;
        }
        for start in starts {
            let record = payload(pages, number, &page, start, longest)?;
            if !row(&record) {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Returns the beginning of a leaf cell's payload, following its overflow pages (1.6).
fn payload(
    pages: &Pages<'_>,
    number: u32,
    page: &[u8],
    start: usize,
    longest: usize,
) -> Result<Vec<u8>, Problem> {
    let usable = pages.usable as usize;
    let outside = || Problem::damaged(number, format!("the cell at byte {start} leaves the page"));
    let page = page.get(..usable).ok_or_else(outside)?;
    let cell = page.get(start..).ok_or_else(outside)?;
    let (length, first) = varint(cell).ok_or_else(outside)?;
    let (_rowid, second) = varint(cell.get(first..).ok_or_else(outside)?).ok_or_else(outside)?;
    let body = cell.get(first + second..).ok_or_else(outside)?;
    let length = usize::try_from(length)
        .ok()
        .filter(|length| i32::try_from(*length).is_ok())
        .ok_or_else(|| Problem::damaged(number, format!("a record of {length} bytes")))?;
    let most = usable - 35;
    if length <= most {
        return Ok(body.get(..length).ok_or_else(outside)?[..length.min(longest)].to_vec());
    }
    let least = (usable - 12) * 32 / 255 - 23;
    let local = match least + (length - least) % (usable - 4) {
        local if local <= most => local,
        _ => least,
    };
    let mut record = body.get(..local).ok_or_else(outside)?.to_vec();
    if local + 4 > body.len() {
        return Err(outside());
    }
    let mut next = be32(body, local);
    let wanted = length.min(longest);
    // Each overflow page brings bytes, so that a ring of them ends, too.
    while record.len() < wanted {
        let overflow = pages.read(next).map_err(|problem| match problem {
            Problem::Damaged { page, what } => Problem::Damaged {
                page,
                what: format!("{what} (an overflow page of page {number})"),
            },
            other => other,
        })?;
        let content = &overflow[4..usable];
        let take = content.len().min(length - record.len());
        record.extend_from_slice(&content[..take]);
        next = be32(&overflow, 0);
    }
    record.truncate(wanted);
    Ok(record)
}

/// Returns a variable-length integer and its length in bytes (1.6).
pub(super) fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for (at, byte) in bytes.iter().take(9).enumerate() {
        if at == 8 {
            return Some((value << 8 | u64::from(*byte), 9));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}
