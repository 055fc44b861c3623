//! What a file holds, told by hashes: read once, in order, whatever is asked of it.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Instant;

use sha2::{Digest as _, Sha256};

use super::sqlite::free::FreePages;
use crate::hash::blocks;
use crate::hex::to_hex;

/// Begins a hash that leaves free pages out.
pub(crate) const LIVE: &str = "live:";

/// The hashes of one file, hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Digests {
    /// BLAKE3 of all of it.
    pub(crate) blake3: String,
    /// SHA-256, where it was asked for.
    pub(crate) sha256: Option<String>,
}

/// The hashes of a database's main file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MainFile {
    /// BLAKE3 of all of it.
    pub(super) blake3: String,
    /// BLAKE3 of it with its free pages taken as zeros, after [`LIVE`]; `None` if that was not asked for, if it has no
    /// free pages, or if its freelist is none.
    pub(super) live: Option<String>,
}

/// Returns the BLAKE3 of a file.
pub fn hash(path: &Path) -> io::Result<String> {
    let hash = crate::hash::of_file(&File::open(path)?, |_| true)?;
    Ok(hash.unwrap_or_default())
}

/// Returns the hashes of an open file. `goes_on` is told the length of every piece that was read; if it says no, there is
/// an error of the kind `TimedOut`.
pub(crate) fn digests(
    file: &File,
    wants_sha256: bool,
    mut goes_on: impl FnMut(u64) -> bool,
) -> io::Result<Digests> {
    if !wants_sha256 {
        let hash = crate::hash::of_file(file, goes_on)?;
        return Ok(Digests {
            blake3: hash.ok_or(io::ErrorKind::TimedOut)?,
            sha256: None,
        });
    }
    let (mut blake3, mut sha256) = (blake3::Hasher::new(), Sha256::new());
    blocks(file, |_, block| {
        blake3.update(block);
        sha256.update(&*block);
        if goes_on(block.len() as u64) {
            Ok(())
        } else {
            Err(io::ErrorKind::TimedOut.into())
        }
    })?;
    Ok(Digests {
        blake3: blake3.finalize().to_hex().to_string(),
        sha256: Some(to_hex(&sha256.finalize())),
    })
}

/// Reads a database's main file; `None` if the deadline passed over it. A file of a terabyte takes no space, if it is a
/// hole.
pub(super) fn main_file(
    path: &Path,
    wants_live: bool,
    deadline: Instant,
) -> io::Result<Option<MainFile>> {
    let file = File::open(path)?;
    let free = if wants_live {
        FreePages::of(&file, deadline)?
    } else {
        None
    };
    let Some(free) = free else {
        let hash = crate::hash::of_file(&file, |_| Instant::now() < deadline)?;
        return Ok(hash.map(|blake3| MainFile { blake3, live: None }));
    };
    let (mut whole, mut live) = (blake3::Hasher::new(), blake3::Hasher::new());
    let read = blocks(&file, |at, block| {
        whole.update(block);
        free.blank(block, at);
        live.update(block);
        in_time(deadline)
    });
    match read {
        Err(e) if e.kind() == io::ErrorKind::TimedOut => return Ok(None),
        other => other?,
    }
    Ok(Some(MainFile {
        blake3: whole.finalize().to_hex().to_string(),
        live: Some(format!("{LIVE}{}", live.finalize().to_hex())),
    }))
}

/// Says that a deadline has passed, if it has.
pub(super) fn in_time(deadline: Instant) -> io::Result<()> {
    if Instant::now() < deadline {
        Ok(())
    } else {
        Err(io::ErrorKind::TimedOut.into())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;
    use std::time::Duration;

    use super::*;
    use crate::hash::BLOCK_BYTES;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn a_file_that_is_read_past_the_deadline_is_read_no_further() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hole");
        // Whoever read all of it would be at it for an hour.
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let deadline = Instant::now() + Duration::from_millis(20);
        assert_eq!(main_file(&path, true, deadline).unwrap(), None);
        let short = folder.path().join("short");
        std::fs::write(&short, "abc").unwrap();
        let read = main_file(&short, true, soon()).unwrap().unwrap();
        assert_eq!((read.blake3, read.live), (hash(&short).unwrap(), None));
    }

    #[test]
    fn the_hashes_are_those_of_the_whole_file_however_long_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for length in [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, 2 * BLOCK_BYTES + 7] {
            let bytes: Vec<u8> = (0_u8..251).cycle().take(length).collect();
            std::fs::write(&path, &bytes).unwrap();
            let mut told = 0;
            let read = digests(&File::open(&path).unwrap(), true, |n| {
                told += n;
                true
            });
            let expected = Digests {
                blake3: blake3::hash(&bytes).to_hex().to_string(),
                sha256: Some(to_hex(&Sha256::digest(&bytes))),
            };
            assert_eq!((read.unwrap(), told), (expected, length as u64));
        }
    }

    #[test]
    fn what_a_rolled_back_transaction_leaves_in_free_pages_is_no_change_and_a_row_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let live = || main_file(&path, true, soon()).unwrap().unwrap().live;
        let fill = "with recursive c(i) as (select 1 union all select i + 1 from c where i < 400) \
                    insert into t select null, zeroblob(2000) from c;";
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection
            .execute_batch(&format!(
                "create table t(id integer primary key, a); {fill} delete from t where id > 10; \
                 pragma cache_size = 5;"
            ))
            .unwrap();
        let (bytes, before) = (std::fs::read(&path).unwrap(), live());
        let other = fill.replace("zeroblob", "randomblob");
        connection
            .execute_batch(&format!("begin; {other} rollback;"))
            .unwrap();
        assert_ne!(bytes, std::fs::read(&path).unwrap(), "nothing was spilled");
        assert!(before.as_ref().unwrap().starts_with(LIVE));
        assert_eq!(before, live());
        let root: u32 = connection
            .query_row("select rootpage from sqlite_schema", [], |row| row.get(0))
            .unwrap();
        let database = File::options().write(true).open(&path).unwrap();
        database
            .write_all_at(b"!", u64::from(root) * 4096 - 1)
            .unwrap();
        assert_ne!(before, live());
    }
}
