//! What captures found again: snapshots whose state was still there later, and blobs whose hash was verified.
//!
//! Lost with the ledger, both are only found out anew: a snapshot then counts for the day of its capture alone.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rusqlite::params;

use super::Ledger;
use crate::capture::blobs::Blob;
use crate::error::Result;
use crate::vault::SnapshotName;
use crate::vault::retention::SeenAgain;

pub(super) const TABLE: &str = "
    create table if not exists seen_again (
        guard text not null, snapshot text not null, local_date text not null, at text not null,
        primary key (guard, snapshot, local_date)
    ) strict;
    create table if not exists verified_blob (
        guard text not null, path blob not null, inode integer not null, size_bytes integer not null,
        mtime_ns integer not null, primary key (guard, path)
    ) strict;
";

impl Ledger {
    /// Notes that the data was found as a snapshot holds it: no new one was made, and it counts for this day too.
    pub fn note_seen_again(
        &mut self,
        guard: &str,
        snapshot: &SnapshotName,
        at: Timestamp,
    ) -> Result<()> {
        let date = at.to_zoned_datetime(TimeZone::system()).date();
        self.write(
            "insert or replace into seen_again (guard, snapshot, local_date, at) values (?, ?, ?, ?)",
            params![guard, snapshot.to_string(), date.to_string(), at.to_string()],
        )?;
        Ok(())
    }

    /// Returns on which days the data was found again as a snapshot holds it.
    pub fn seen_again(&self, guard: &str) -> Result<SeenAgain> {
        let rows = self.rows(
            "select snapshot, local_date from seen_again where guard = ?",
            [guard],
            |r| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?)),
        )?;
        let mut seen: BTreeMap<String, BTreeSet<Date>> = BTreeMap::new();
        for (snapshot, date) in rows {
            if let Ok(date) = date.parse() {
                seen.entry(snapshot).or_default().insert(date);
            }
        }
        Ok(SeenAgain(seen))
    }

    /// Returns when the data was last found as a snapshot holds it, and which; `None` if never since it was taken.
    pub fn last_seen(&self, guard: &str) -> Result<Option<(SnapshotName, Timestamp)>> {
        let rows = self.rows(
            "select snapshot, at from seen_again where guard = ? order by at desc limit 1",
            [guard],
            |r| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?)),
        )?;
        let newest = rows
            .first()
            .and_then(|(snapshot, at)| Some((SnapshotName::parse(snapshot)?, at.parse().ok()?)));
        Ok(newest)
    }

    /// Forgets what was noted about snapshots that are gone.
    pub fn forget_snapshots(&mut self, guard: &str, gone: &[SnapshotName]) -> Result<()> {
        for name in gone {
            self.write(
                "delete from seen_again where guard = ? and snapshot = ?",
                params![guard, name.to_string()],
            )?;
        }
        Ok(())
    }

    /// Notes that blobs hold what their names say.
    pub fn note_verified(&mut self, guard: &str, blobs: &[Blob]) -> Result<()> {
        for blob in blobs {
            let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
            self.write(
                "insert or replace into verified_blob (guard, path, inode, size_bytes, mtime_ns) values (?, ?, ?, ?, ?)",
                params![
                    guard,
                    blob.path.as_os_str().as_bytes(),
                    number(blob.inode),
                    number(blob.size_bytes),
                    blob.mtime_ns
                ],
            )?;
        }
        Ok(())
    }

    /// Returns the states of blobs that were verified.
    pub fn verified(&self, guard: &str) -> Result<HashSet<Blob>> {
        let rows = self.rows(
            "select path, inode, size_bytes, mtime_ns from verified_blob where guard = ?",
            [guard],
            |r| {
                Ok((
                    r.get::<_, Vec<u8>>(0)?,
                    r.get::<_, i64>(1)?,
                    r.get::<_, i64>(2)?,
                    r.get(3)?,
                ))
            },
        )?;
        let blobs = rows
            .into_iter()
            .filter_map(|(path, inode, size, mtime_ns)| {
                Some(Blob {
                    path: PathBuf::from(OsStr::from_bytes(&path)),
                    inode: inode.try_into().ok()?,
                    size_bytes: size.try_into().ok()?,
                    mtime_ns,
                })
            });
        Ok(blobs.collect())
    }
}
