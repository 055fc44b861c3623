//! The write-ahead log as it lies on disk ("SQLite file format", 4), followed as SQLite's own recovery follows it.
//!
//! A log has no database identity: whether it belongs to the main file is told by evidence only, see [`Fits`].

use std::collections::HashMap;
use std::io;

use serde::Serialize;

use super::header::Header;
use super::source::{ReadAt, be32};

/// What the log's file is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum WalState {
    /// There is none.
    #[default]
    Absent,
    /// It has 0 bytes: healthy, nothing in it.
    Empty,
    /// SQLite will take it for empty, whatever its frames hold.
    BadHeader {
        /// What was expected and what was found.
        why: String,
    },
    /// A version that this SQLite refuses to open.
    Unsupported {
        /// The version; 3007000 is the only one known.
        version: u32,
    },
    /// It could not be read.
    Unreadable {
        /// Why not.
        why: String,
    },
    /// It has a valid header.
    Ok,
}

/// Whether the log belongs to the main file beside it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "fits", rename_all = "kebab-case")]
pub enum Fits {
    /// It continues what the main file says.
    Yes,
    /// It cannot have been written over this main file.
    No {
        /// What was expected and what was found.
        why: String,
    },
    /// There is nothing in it, or nothing that could tell.
    #[default]
    CannotTell,
}

/// What the log says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct WalFacts {
    /// What the file is.
    #[serde(flatten)]
    pub state: WalState,
    /// Whether it belongs to the main file.
    #[serde(flatten)]
    pub fits: Fits,
    /// The file's size.
    pub size_bytes: u64,
    /// Bytes a page.
    pub page_size: u32,
    /// Grows by one with each time the log starts over.
    pub checkpoint_sequence: u32,
    /// What frames of this generation carry.
    pub salts: [u32; 2],
    /// Whole frames in the file, of any generation.
    pub frames: u64,
    /// Frames up to the last commit: what SQLite will lay over the main file.
    pub committed_frames: u64,
    /// Transactions in those frames.
    pub commits: u64,
    /// Pages of the database as of the last commit; 0 without one.
    pub pages: u32,
    /// Valid frames behind the last commit: a transaction that was not finished. Normal after a crash.
    pub uncommitted_frames: u64,
    /// Frames of this generation behind the first invalid one. Rolled-back transactions leave some, so they alone are no loss.
    pub lost_frames: u64,
    /// Ends of transactions among them, whole: commits that were written and that SQLite will not see.
    pub lost_commits: u64,
    /// Frames of older generations: normal.
    pub leftover_frames: u64,
    /// Bytes behind the last whole frame.
    pub partial_bytes: u64,
    /// Whether those bytes begin a frame of this generation that would have ended a transaction. With 24 bytes, a killed
    /// process leaves that; with more, the disk was full or the file was cut.
    pub partial_commit: bool,
    /// Whether it holds a committed page that the main file does not have like this: what would be lost with it.
    pub waits: bool,
    /// Change counter in the oldest committed copy of page 1.
    pub first_change_counter: Option<u32>,
    /// Change counter in the newest committed copy of page 1.
    pub last_change_counter: Option<u32>,
}

impl WalFacts {
    /// Returns whether SQLite will find anything in it.
    #[must_use]
    pub fn has_commits(&self) -> bool {
        self.committed_frames > 0
    }

    /// Returns whether commits were written that SQLite will not see. A process that is killed at any moment leaves a log
    /// that is not torn; a power cut may leave one that is.
    #[must_use]
    pub fn is_torn(&self) -> bool {
        self.lost_commits > 0 || (self.partial_commit && self.partial_bytes > FRAME_HEADER as u64)
    }
}

/// Page number to where its content as of the last commit begins in the log.
pub type Index = HashMap<u32, u64>;

const HEADER_BYTES: usize = 32;
const HEADER: u64 = HEADER_BYTES as u64;
const FRAME_HEADER: usize = 24;
const BLOCK_BYTES: usize = 4 * 1024 * 1024;

/// Reads the log. Nothing is believed that SQLite's recovery would not believe.
#[must_use]
pub fn read(file: Option<&dyn ReadAt>) -> (WalFacts, Index) {
    let Some(file) = file else {
        return (WalFacts::default(), Index::new());
    };
    let mut facts = WalFacts {
        size_bytes: file.len(),
        ..WalFacts::default()
    };
    if facts.size_bytes == 0 {
        facts.state = WalState::Empty;
        return (facts, Index::new());
    }
    let mut index = Index::new();
    if let Err(error) = walk(file, &mut facts, &mut index) {
        facts.state = WalState::Unreadable {
            why: error.to_string(),
        };
        index.clear();
    }
    (facts, index)
}

fn walk(file: &dyn ReadAt, facts: &mut WalFacts, index: &mut Index) -> io::Result<()> {
    let mut header = [0; HEADER_BYTES];
    let count = file.read_full_at(0, &mut header)?;
    let big_endian = header[3] & 1 == 1;
    facts.page_size = be32(&header, 8);
    facts.checkpoint_sequence = be32(&header, 12);
    facts.salts = [be32(&header, 16), be32(&header, 20)];
    let why = if count < header.len() {
        Some(format!("expected {HEADER} bytes, found {count}"))
    } else if be32(&header, 0) & !1 != 0x377f_0682 {
        Some(format!(
            "magic: expected 377f0682 or 377f0683, found {:08x}",
            be32(&header, 0)
        ))
    } else if !(512..=65_536).contains(&facts.page_size) || !facts.page_size.is_power_of_two() {
        Some(format!(
            "page size: expected a power of two from 512 to 65536, found {}",
            facts.page_size
        ))
    } else if checksum([0, 0], &header[..24], big_endian) != [be32(&header, 24), be32(&header, 28)]
    {
        Some("its checksum does not match".to_owned())
    } else {
        None
    };
    if let Some(why) = why {
        facts.state = WalState::BadHeader { why };
        return Ok(());
    }
    // SQLite looks at the version last, and then refuses to open the database.
    if be32(&header, 4) != 3_007_000 {
        facts.state = WalState::Unsupported {
            version: be32(&header, 4),
        };
        return Ok(());
    }
    facts.state = WalState::Ok;
    let frame_bytes = FRAME_HEADER as u64 + u64::from(facts.page_size);
    let body = facts.size_bytes - HEADER;
    facts.frames = body / frame_bytes;
    facts.partial_bytes = body % frame_bytes;
    let mut chain = Chain {
        sums: [be32(&header, 24), be32(&header, 28)],
        big_endian,
        salts: facts.salts,
        valid: 0,
        pending: Vec::new(),
        pending_counters: Vec::new(),
    };
    let valid = chain.follow(file, facts, index)?;
    facts.uncommitted_frames = valid - facts.committed_frames;
    behind(file, facts, valid)
}

/// The frames that SQLite will believe.
struct Chain {
    sums: [u32; 2],
    big_endian: bool,
    salts: [u32; 2],
    valid: u64,
    pending: Vec<(u32, u64)>,
    pending_counters: Vec<u32>,
}

impl Chain {
    /// Follows the checksums to the first frame that does not continue them; returns how many do.
    fn follow(
        &mut self,
        file: &dyn ReadAt,
        facts: &mut WalFacts,
        index: &mut Index,
    ) -> io::Result<u64> {
        let frame_bytes = FRAME_HEADER + facts.page_size as usize;
        let a_block = (BLOCK_BYTES / frame_bytes).max(1);
        let mut block = vec![0; a_block * frame_bytes];
        let mut offset = HEADER;
        loop {
            let count = file.read_full_at(offset, &mut block)?;
            for frame in block[..count].chunks_exact(frame_bytes) {
                if !self.accept(frame, offset, facts, index) {
                    return Ok(self.valid);
                }
                offset += frame_bytes as u64;
            }
            if count < block.len() {
                return Ok(self.valid);
            }
        }
    }

    fn accept(
        &mut self,
        frame: &[u8],
        offset: u64,
        facts: &mut WalFacts,
        index: &mut Index,
    ) -> bool {
        let (head, page) = frame.split_at(FRAME_HEADER);
        let number = be32(head, 0);
        if number == 0 || [be32(head, 8), be32(head, 12)] != self.salts {
            return false;
        }
        let sums = checksum(
            checksum(self.sums, &head[..8], self.big_endian),
            page,
            self.big_endian,
        );
        if sums != [be32(head, 16), be32(head, 20)] {
            return false;
        }
        self.sums = sums;
        self.valid += 1;
        self.pending.push((number, offset + FRAME_HEADER as u64));
        if number == 1 {
            self.pending_counters.push(be32(page, 24));
        }
        let pages = be32(head, 4);
        if pages != 0 {
            index.extend(self.pending.drain(..));
            for counter in self.pending_counters.drain(..) {
                facts.first_change_counter.get_or_insert(counter);
                facts.last_change_counter = Some(counter);
            }
            facts.pages = pages;
            facts.commits += 1;
            facts.committed_frames = self.valid;
        }
        true
    }
}

/// Counts what lies behind the last valid frame: lost, rolled back, or left by older generations.
fn behind(file: &dyn ReadAt, facts: &mut WalFacts, valid: u64) -> io::Result<()> {
    let frame_bytes = FRAME_HEADER as u64 + u64::from(facts.page_size);
    let big_endian = {
        let mut magic = [0; 4];
        file.read_full_at(0, &mut magic)?;
        magic[3] & 1 == 1
    };
    let mut head = [0; FRAME_HEADER];
    let mut page = vec![0; facts.page_size as usize];
    let mut before = [0, 0];
    for number in valid..facts.frames {
        let offset = HEADER + number * frame_bytes;
        if file.read_full_at(offset, &mut head)? < head.len() {
            break;
        }
        let stored = [be32(&head, 16), be32(&head, 20)];
        if [be32(&head, 8), be32(&head, 12)] != facts.salts || be32(&head, 0) == 0 {
            facts.leftover_frames += 1;
        } else {
            facts.lost_frames += 1;
            // SQLite writes a frame's header and its page one after the other: a process killed in between leaves a
            // header that ends a transaction over an older page. Only a whole frame that continues the one before it
            // was a commit; the first bad frame continues nothing.
            if number > valid && be32(&head, 4) != 0 {
                file.read_full_at(offset + FRAME_HEADER as u64, &mut page)?;
                let sums = checksum(before, &head[..8], big_endian);
                facts.lost_commits += u64::from(checksum(sums, &page, big_endian) == stored);
            }
        }
        before = stored;
    }
    let count = file.read_full_at(HEADER + facts.frames * frame_bytes, &mut head)?;
    facts.partial_commit = count == head.len()
        && facts.partial_bytes > 0
        && [be32(&head, 8), be32(&head, 12)] == facts.salts
        && be32(&head, 0) != 0
        && be32(&head, 4) != 0;
    Ok(())
}

/// Continues the log's checksum over `bytes`, whose length is a multiple of 8 (4.2).
fn checksum(sums: [u32; 2], bytes: &[u8], big_endian: bool) -> [u32; 2] {
    fn run(sums: [u32; 2], bytes: &[u8], word: impl Fn([u8; 4]) -> u32) -> [u32; 2] {
        let [mut first, mut second] = sums;
        for eight in bytes.chunks_exact(8) {
            let low = word([eight[0], eight[1], eight[2], eight[3]]);
            let high = word([eight[4], eight[5], eight[6], eight[7]]);
            first = first.wrapping_add(low).wrapping_add(second);
            second = second.wrapping_add(high).wrapping_add(first);
        }
        [first, second]
    }
    if big_endian {
        run(sums, bytes, u32::from_be_bytes)
    } else {
        run(sums, bytes, u32::from_le_bytes)
    }
}

/// Returns whether the main file lacks what the log holds of any page as of the last commit. Once all of it was
/// checkpointed the log may go without a loss, and a writer may start it anew.
pub(super) fn waits(
    main: Option<&dyn ReadAt>,
    log: &dyn ReadAt,
    facts: &WalFacts,
    index: &Index,
) -> bool {
    let size = facts.page_size as usize;
    let (mut ours, mut theirs) = (vec![0; size], vec![0; size]);
    index
        .iter()
        // Pages behind the end of the database were cut off by a later commit.
        .filter(|(number, _)| **number <= facts.pages)
        .any(|(number, at)| {
            let offset = u64::from(number - 1) * u64::from(facts.page_size);
            let have = main.map_or(Ok(0), |main| main.read_full_at(offset, &mut theirs));
            let want = log.read_full_at(*at, &mut ours);
            // What cannot be read is not known to be in the main file.
            !matches!((have, want), (Ok(have), Ok(want)) if have == size && want == size)
                || ours != theirs
        })
}

/// Returns whether the log belongs to a main file with this header, as far as the headers tell. `No` is certain:
///
/// * The page size cannot change in WAL mode.
/// * `journal_mode=WAL` writes versions 2, 2 into the main file, in a rollback transaction, before the log is made; leaving
///   WAL mode deletes the log before it writes 1, 1. So there is no moment with a commit in the log beside 1, 1.
/// * SQLite writes into each copy of page 1 in the log the change counter that it last read from page 1, plus one, and a
///   checkpoint carries that into the main file. So the main file's counter is never ahead of the newest copy in the
///   log, nor more than one behind the oldest.
pub(super) fn fits(main: &Header, wal: &WalFacts) -> Fits {
    if wal.state != WalState::Ok || !wal.has_commits() {
        return Fits::CannotTell;
    }
    let no = |why: String| Fits::No { why };
    if wal.page_size != main.page_size {
        return no(format!(
            "its pages have {} bytes, those of the database {}",
            wal.page_size, main.page_size
        ));
    }
    if main.read_version == 1 {
        return no(format!(
            "it holds {} commits, but the database is not in WAL mode",
            wal.commits
        ));
    }
    let (Some(first), Some(last)) = (wal.first_change_counter, wal.last_change_counter) else {
        return Fits::CannotTell;
    };
    let counter = main.change_counter;
    // Distances on the ring of 32-bit numbers: a counter may wrap.
    if last.wrapping_sub(counter) > u32::MAX / 2 {
        return no(format!(
            "it is older than the database: change counter {last}, the database is at {counter}"
        ));
    }
    let ahead = first.wrapping_sub(counter);
    if ahead > 1 && ahead <= u32::MAX / 2 {
        return no(format!(
            "it continues from a later state: change counter {first}, the database is at {counter}"
        ));
    }
    Fits::Yes
}
