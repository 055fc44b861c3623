//! What a database holds, without what its free pages happen to hold.
//!
//! SQLite does not journal the leaves of the freelist ("SQLite file format", 1.5): a transaction that is rolled back, by
//! the application or after a crash, may leave other bytes in them, and no counter tells. Nobody reads them.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Instant;

use super::source::{ReadAt, be32};

/// Begins a hash that leaves free pages out.
pub(crate) const MARK: &str = "live:";

/// Returns the BLAKE3 of a main file with its free pages taken as zeros, after [`MARK`]; `None` if it has none, if its
/// freelist is none, or if the deadline passed.
pub(crate) fn hash(path: &Path, deadline: Instant) -> io::Result<Option<String>> {
    let file = File::open(path)?;
    let mut header = [0; 100];
    file.read_full_at(0, &mut header)?;
    let page_bytes = match u32::from(super::source::be16(&header, 16)) {
        1 => 65_536,
        bytes if bytes.is_power_of_two() && bytes >= 512 => bytes,
        _ => return Ok(None),
    };
    let mut page = vec![0; page_bytes as usize];
    let offset = |number: u32| u64::from(number - 1) * u64::from(page_bytes);
    let (mut trunks, mut leaves) = (HashSet::new(), HashSet::new());
    let mut trunk = be32(&header, 32);
    while trunk != 0 {
        let count = file.read_full_at(offset(trunk), &mut page)?;
        if count < page.len() || !trunks.insert(trunk) || Instant::now() >= deadline {
            return Ok(None);
        }
        let most = page.len() / 4 - 2;
        let entries = (be32(&page, 4) as usize).min(most);
        leaves.extend((0..entries).map(|entry| be32(&page, 8 + 4 * entry)));
        trunk = be32(&page, 0);
    }
    if leaves.is_empty() {
        return Ok(None);
    }
    let mut hasher = blake3::Hasher::new();
    for number in 1.. {
        let count = file.read_full_at(offset(number), &mut page)?;
        if Instant::now() >= deadline {
            return Ok(None);
        }
        if leaves.contains(&number) {
            page.fill(0);
        }
        hasher.update(&page[..count]);
        if count < page.len() {
            break;
        }
    }
    Ok(Some(format!("{MARK}{}", hasher.finalize().to_hex())))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_a_rolled_back_transaction_leaves_in_free_pages_is_no_change_and_a_row_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let fill = "with recursive c(i) as (select 1 union all select i + 1 from c where i < 400) \
                    insert into t select null, zeroblob(2000) from c;";
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection
            .execute_batch(&format!(
                "create table t(id integer primary key, a); {fill} delete from t where id > 10; \
                 pragma cache_size = 5;"
            ))
            .unwrap();
        let soon = Instant::now() + Duration::from_secs(60);
        let (bytes, before) = (std::fs::read(&path).unwrap(), hash(&path, soon).unwrap());
        let other = fill.replace("zeroblob", "randomblob");
        connection
            .execute_batch(&format!("begin; {other} rollback;"))
            .unwrap();
        assert_ne!(bytes, std::fs::read(&path).unwrap(), "nothing was spilled");
        assert!(before.as_ref().unwrap().starts_with(MARK));
        assert_eq!(before, hash(&path, soon).unwrap());
        let root: u32 = connection
            .query_row("select rootpage from sqlite_schema", [], |row| row.get(0))
            .unwrap();
        let database = File::options().write(true).open(&path).unwrap();
        database
            .write_all_at(b"!", u64::from(root) * 4096 - 1)
            .unwrap();
        assert_ne!(before, hash(&path, soon).unwrap());
    }
}
