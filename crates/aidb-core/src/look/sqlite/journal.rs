//! The rollback journal as it lies on disk ("SQLite file format", 3), read as SQLite's own playback reads it.

use std::collections::HashMap;
use std::io;

use serde::Serialize;

use super::header::Header;
use super::source::{ReadAt, be32};
use super::wal::Fits;

/// What the journal's file is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum JournalState {
    /// There is none.
    #[default]
    Absent,
    /// It has 0 bytes: a finished transaction in `truncate` mode, or one that has not written.
    Empty,
    /// It begins with a zero byte: a finished transaction in `persist` mode, or one that was cut off before its first sync and
    /// so before it touched the main file.
    Finished,
    /// SQLite takes it for hot, finds no header, changes nothing and deletes it.
    BadHeader {
        /// What was expected and what was found.
        why: String,
    },
    /// It could not be read.
    Unreadable {
        /// Why not.
        why: String,
    },
    /// It has a valid header.
    Ok,
}

/// The journal's place in a commit over several databases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SuperJournal {
    /// The super-journal's path as the writing process saw it. If it does not exist there, SQLite takes the transaction for
    /// committed and drops the journal.
    pub name: String,
    /// Where the name's record begins: a private copy of the journal, cut here, names none.
    pub begins_at: u64,
}

/// What the journal says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct JournalFacts {
    /// What the file is.
    #[serde(flatten)]
    pub state: JournalState,
    /// Whether it belongs to the main file. `No` is certain.
    #[serde(flatten)]
    pub fits: Fits,
    /// Whether SQLite's next open rolls it back, unless a process holds the RESERVED lock (SQLite: `hasHotJournal`): main
    /// has bytes and the journal's first byte is not zero.
    pub hot: bool,
    /// The file's size.
    pub size_bytes: u64,
    /// Bytes a page.
    pub page_size: u32,
    /// Bytes a sector: headers begin at multiples of it.
    pub sector_size: u32,
    /// Size of the database in pages before the transaction: what a rollback cuts it to.
    pub initial_pages: u32,
    /// Pages that the headers promise; absent if a header leaves it to the file's size (`synchronous=OFF`).
    pub promised_records: Option<u64>,
    /// Pages whose checksums match, as far as SQLite plays them back.
    pub valid_records: u64,
    /// Whether it ends before what its headers promise: SQLite rolls back a part and says nothing.
    pub torn: bool,
    /// The super-journal that it names.
    pub super_journal: Option<SuperJournal>,
}

impl JournalFacts {
    /// Returns whether the next open will change pages of main or cut it.
    #[must_use]
    pub fn rolls_back(&self) -> bool {
        self.hot && self.state == JournalState::Ok && self.segments_played()
    }

    // A first header that was never synced promises no records: then main was not touched, and SQLite only cuts it to
    // its initial size, which it has.
    fn segments_played(&self) -> bool {
        self.valid_records > 0 || self.promised_records != Some(0)
    }
}

/// Page number to where its content before the transaction begins in the journal.
pub type Index = HashMap<u32, u64>;

const MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
const HEADER: usize = 28;
/// A name longer than this is no path.
const LONGEST_NAME: u32 = 4096;

/// Reads the journal beside a main file of `main_bytes` with this header, if it has one.
#[must_use]
pub fn read(
    file: Option<&dyn ReadAt>,
    main_bytes: u64,
    main: Option<&Header>,
) -> (JournalFacts, Index) {
    let mut facts = JournalFacts::default();
    let mut index = Index::new();
    let Some(file) = file else {
        return (facts, index);
    };
    facts.size_bytes = file.len();
    if facts.size_bytes == 0 {
        facts.state = JournalState::Empty;
        return (facts, index);
    }
    if let Err(error) = walk(file, main_bytes, main, &mut facts, &mut index) {
        index.clear();
        facts.state = JournalState::Unreadable {
            why: error.to_string(),
        };
    }
    (facts, index)
}

fn walk(
    file: &dyn ReadAt,
    main_bytes: u64,
    main: Option<&Header>,
    facts: &mut JournalFacts,
    index: &mut Index,
) -> io::Result<()> {
    let mut header = [0; HEADER];
    let count = file.read_full_at(0, &mut header)?;
    facts.hot = header[0] != 0 && main_bytes > 0;
    if header[0] == 0 {
        facts.state = JournalState::Finished;
        return Ok(());
    }
    facts.super_journal = super_journal(file)?;
    facts.sector_size = be32(&header, 20);
    // SQLite: `readJournalHdr`. A page size of 0 means the database's own.
    facts.page_size = match be32(&header, 24) {
        0 => main.map_or(4096, |main| main.page_size),
        size => size,
    };
    facts.initial_pages = be32(&header, 16);
    if let Some(why) = header_fault(&header[..count], facts) {
        facts.state = JournalState::BadHeader { why };
        return Ok(());
    }
    facts.state = JournalState::Ok;
    let page_one = play(file, facts, index)?;
    if let Some(main) = main {
        facts.fits = fits(main, main_bytes, facts, page_one.as_deref());
    }
    Ok(())
}

fn header_fault(header: &[u8], facts: &JournalFacts) -> Option<String> {
    if header.len() < HEADER {
        return Some(format!("expected {HEADER} bytes, found {}", header.len()));
    }
    if header[..8] != MAGIC {
        return Some("the first 8 bytes are not a journal's".to_owned());
    }
    let sector = facts.sector_size;
    if !(32..=65_536).contains(&sector) || !sector.is_power_of_two() {
        return Some(format!(
            "sector size: expected a power of two from 32 to 65536, found {sector}"
        ));
    }
    if u64::from(sector) > facts.size_bytes {
        return Some(format!(
            "the header is cut: expected {sector} bytes, found {}",
            facts.size_bytes
        ));
    }
    let page = facts.page_size;
    (!(512..=65_536).contains(&page) || !page.is_power_of_two())
        .then(|| format!("page size: expected a power of two from 512 to 65536, found {page}"))
}

/// Follows the segments and their records to where SQLite's playback stops; returns page 1 if it is among them.
fn play(
    file: &dyn ReadAt,
    facts: &mut JournalFacts,
    index: &mut Index,
) -> io::Result<Option<Vec<u8>>> {
    let sector = u64::from(facts.sector_size);
    let record = u64::from(facts.page_size) + 8;
    let mut page_one = None;
    let mut promised = Some(0_u64);
    let mut buffer = vec![0; usize::try_from(record).unwrap_or(0)];
    let mut offset = 0_u64;
    while offset
        .checked_add(sector)
        .is_some_and(|end| end <= facts.size_bytes)
    {
        let mut header = [0; HEADER];
        file.read_full_at(offset, &mut header)?;
        if header[..8] != MAGIC {
            break;
        }
        let nonce = be32(&header, 12);
        offset += sector;
        let count = if be32(&header, 8) == u32::MAX {
            promised = None;
            (facts.size_bytes - offset) / record
        } else {
            promised = promised.map(|sum| sum + u64::from(be32(&header, 8)));
            u64::from(be32(&header, 8))
        };
        for _ in 0..count {
            let got = file.read_full_at(offset, &mut buffer)?;
            let number = be32(&buffer, 0);
            let page = &buffer[4..buffer.len() - 4];
            let sum = be32(&buffer, buffer.len() - 4);
            // SQLite: `pager_playback_one_page` stops at the page of the lock byte and at a wrong checksum.
            if got < buffer.len()
                || number == 0
                || number == lock_page(facts.page_size)
                || checksum(nonce, page) != sum
            {
                // A count taken from the file's size promises nothing.
                facts.torn = be32(&header, 8) != u32::MAX;
                facts.promised_records = promised;
                return Ok(page_one);
            }
            facts.valid_records += 1;
            // The first record of a page is the oldest, and the one that counts.
            if number <= facts.initial_pages && !index.contains_key(&number) {
                index.insert(number, offset + 4);
                if number == 1 {
                    page_one = Some(page.to_vec());
                }
            }
            offset += record;
        }
        offset = offset.next_multiple_of(sector);
    }
    facts.promised_records = promised;
    Ok(page_one)
}

/// The page that holds the bytes of the file locks is never used ("SQLite file format", 1.5).
pub(super) fn lock_page(page_size: u32) -> u32 {
    0x4000_0000 / page_size.max(512) + 1
}

/// The journal's checksum takes every 200th byte, from the end (3).
fn checksum(nonce: u32, page: &[u8]) -> u32 {
    let mut sum = nonce;
    let mut at = page.len().saturating_sub(200);
    while at > 0 {
        sum = sum.wrapping_add(u32::from(page[at]));
        at = at.saturating_sub(200);
    }
    sum
}

/// Reads the name at the journal's end (SQLite: `readSuperJournal`): page number of the lock byte, name, its length, its
/// checksum, magic.
fn super_journal(file: &dyn ReadAt) -> io::Result<Option<SuperJournal>> {
    let size = file.len();
    let mut tail = [0; 16];
    let Some(at) = size.checked_sub(16) else {
        return Ok(None);
    };
    if file.read_full_at(at, &mut tail)? < tail.len() || tail[8..] != MAGIC {
        return Ok(None);
    }
    let length = be32(&tail, 0);
    if length == 0 || length > LONGEST_NAME {
        return Ok(None);
    }
    let Some(begins_at) = at.checked_sub(u64::from(length) + 4) else {
        return Ok(None);
    };
    let mut name = vec![0; length as usize];
    file.read_full_at(begins_at + 4, &mut name)?;
    let sum = name.iter().fold(0_u32, |sum, byte| {
        // SQLite adds the bytes as signed characters.
        sum.wrapping_add_signed(i32::from(byte.cast_signed()))
    });
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(
        (sum == be32(&tail, 4) && !name.is_empty()).then(|| SuperJournal {
            name: String::from_utf8_lossy(name).into_owned(),
            begins_at,
        }),
    )
}

/// `No` is certain: page 1 as it was before the transaction must be a page 1 of this database. A page size that differs
/// alone says nothing: a killed `VACUUM` that changes it leaves that.
fn fits(main: &Header, main_bytes: u64, facts: &JournalFacts, page_one: Option<&[u8]>) -> Fits {
    let no = |why: String| Fits::No { why };
    let before = page_one.map(Header::parse);
    match before {
        None if facts.page_size != main.page_size && facts.valid_records > 0 => no(format!(
            "its pages have {} bytes, those of the database {}",
            facts.page_size, main.page_size
        )),
        Some(Err(why)) if facts.initial_pages > 0 => {
            no(format!("its copy of page 1 is none of a database: {why}"))
        }
        // A transaction that changes the number of pages keeps page 1 first, where that number stands. Bytes behind the
        // last page count as pages here.
        None if main.page_count_is_valid()
            && facts.initial_pages > 0
            && !facts.torn
            && !(u64::from(main.page_count)
                ..=u64::from(main.page_count).max(main_bytes / u64::from(main.page_size)))
                .contains(&facts.initial_pages.into()) =>
        {
            no(format!(
                "it would make it a database of {} pages, which has {}",
                facts.initial_pages, main.page_count
            ))
        }
        None | Some(Err(_)) => Fits::CannotTell,
        Some(Ok(before)) if before.page_size != facts.page_size => no(format!(
            "its pages have {} bytes, its copy of page 1 says {}",
            facts.page_size, before.page_size
        )),
        // The other way round is normal: bytes behind the last page count as pages here.
        Some(Ok(before))
            if before.page_count_is_valid() && before.page_count > facts.initial_pages =>
        {
            no(format!(
                "it would cut the database to {} pages, its copy of page 1 says {}",
                facts.initial_pages, before.page_count
            ))
        }
        Some(Ok(before)) if main.change_counter.wrapping_sub(before.change_counter) > 1 => {
            no(format!(
                "it would undo change {}, the database is at {}",
                before.change_counter.wrapping_add(1),
                main.change_counter
            ))
        }
        Some(Ok(_)) => Fits::Yes,
    }
}
