//! Owner, mode, times and extended attributes of one file or folder.

use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::buffer::spare_capacity;
use rustix::fs::{
    AtFlags, Gid, Mode, Stat, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chownat, fchmod,
    fchown, fgetxattr, flistxattr, fsetxattr, fstat, futimens, utimensat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::step::step;
use crate::hex::from_hex;
use crate::manifest::{Entry, Numbering, RootFolder, Xattr};
use crate::userns::IdMap;

/// What a file shows besides its content.
#[derive(Debug, Clone)]
pub(super) struct Attributes {
    mode: u32,
    uid: u32,
    gid: u32,
    /// Nanoseconds since 1970; `None` leaves the time alone.
    mtime_ns: Option<i64>,
    xattrs: Vec<(OsString, Vec<u8>)>,
}

/// What could not be given to the restored files, and does not keep them from being used: counted, with an example.
#[derive(Debug, Default)]
pub(super) struct Notes {
    owners: Vec<(PathBuf, u32, u32)>,
    xattrs: Vec<(PathBuf, String)>,
    /// Said in full.
    pub other: Vec<String>,
}

impl Notes {
    /// Returns the notes as sentences for people.
    pub fn into_lines(self) -> Vec<String> {
        let mut lines = self.other;
        if let Some((path, uid, gid)) = self.owners.first() {
            lines.push(format!(
                "the owner of {} could not be set, as only the system's or the container's root may; first: `{}` to {uid}:{gid}",
                count(self.owners.len(), "entry", "entries"),
                path.display()
            ));
        }
        if let Some((path, name)) = self.xattrs.first() {
            lines.push(format!(
                "{} could not be set; first: `{name}` of `{}`",
                count(
                    self.xattrs.len(),
                    "extended attribute",
                    "extended attributes"
                ),
                path.display()
            ));
        }
        lines
    }
}

/// Returns a number with its noun.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

impl Attributes {
    /// Returns what the manifest says.
    pub fn of_entry(entry: &Entry, numbering: Numbering, ids: &IdMap) -> Self {
        let (uid, gid) = match numbering {
            Numbering::Host => (entry.uid, entry.gid),
            Numbering::Container => {
                let (uid, gid) = ids.to_host(entry.uid, entry.gid);
                // One that has no number here cannot be set, which is told by the one that it has.
                (uid.unwrap_or(entry.uid), gid.unwrap_or(entry.gid))
            }
        };
        Self {
            mode: entry.mode & 0o7777,
            uid,
            gid,
            mtime_ns: Some(entry.mtime_ns),
            xattrs: kept(&entry.xattrs),
        }
    }

    /// Returns what the manifest says about the data folder itself.
    pub fn of_root(root: &RootFolder, ids: &IdMap) -> Self {
        let (uid, gid) = ids.to_host(root.uid, root.gid);
        Self {
            mode: root.mode & 0o7777,
            uid: uid.unwrap_or(root.uid),
            gid: gid.unwrap_or(root.gid),
            mtime_ns: None,
            xattrs: kept(&root.xattrs),
        }
    }

    /// Returns what a present file or folder shows.
    pub fn of_file(fd: impl AsFd) -> Result<Self, Errno> {
        let stat = fstat(&fd)?;
        Ok(Self {
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime_ns: Some(mtime_ns(&stat)),
            xattrs: read_xattrs(&fd)?,
        })
    }

    /// Returns the same without its time: for the root folder, whose time no manifest keeps.
    pub fn without_time(mut self) -> Self {
        self.mtime_ns = None;
        self
    }

    /// Gives them to an open file or folder of ours.
    ///
    /// The mode comes after the owner, which clears set-id bits, and after attributes, which need a writable file.
    pub fn apply(
        &self,
        fd: impl AsFd,
        path: &Path,
        notes: &mut Notes,
    ) -> Result<(), rustix::io::Errno> {
        step("attributes")?;
        for (name, value) in &self.xattrs {
            let text = name.to_string_lossy();
            let wanted = may_set(name);
            if !wanted || fsetxattr(&fd, &**name, value, XattrFlags::empty()).is_err() {
                notes.xattrs.push((path.to_owned(), text.into_owned()));
            }
        }
        if let Some((uid, gid)) = self.other_owner(&fstat(&fd)?) {
            match fchown(&fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))) {
                Ok(()) => {}
                // EINVAL: this user namespace has no such id.
                Err(Errno::PERM | Errno::INVAL | Errno::ACCESS) => {
                    notes.owners.push((path.to_owned(), uid, gid));
                }
                Err(e) => return Err(e),
            }
        }
        fchmod(&fd, Mode::from_raw_mode(self.mode))?;
        match self.times() {
            Some(times) => futimens(&fd, &times),
            None => Ok(()),
        }
    }

    /// Gives owner and time to a symbolic link.
    pub fn apply_to_link(
        &self,
        parent: impl AsFd,
        name: &OsStr,
        path: &Path,
        notes: &mut Notes,
    ) -> Result<(), Errno> {
        step("attributes")?;
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let stat = rustix::fs::statat(&parent, name, flags)?;
        if let Some((uid, gid)) = self.other_owner(&stat) {
            let (owner, group) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
            if chownat(&parent, name, owner, group, flags).is_err() {
                notes.owners.push((path.to_owned(), uid, gid));
            }
        }
        match self.times() {
            Some(times) => utimensat(&parent, name, &times, flags),
            None => Ok(()),
        }
    }

    /// Returns whether `fd` has this owner and group.
    pub fn owned_alike(&self, fd: impl AsFd) -> Result<bool, Errno> {
        let stat = fstat(fd)?;
        Ok((stat.st_uid, stat.st_gid) == (self.uid, self.gid))
    }

    /// Returns the owner that was recorded if it is not the one that the file has.
    ///
    /// Ids are recorded as the container numbers them: its root is the user who runs it, so for an ordinary user 0
    /// is nobody but themselves.
    fn other_owner(&self, stat: &Stat) -> Option<(u32, u32)> {
        let ordinary = !geteuid().is_root();
        let real = |recorded, present| {
            if recorded == 0 && ordinary {
                present
            } else {
                recorded
            }
        };
        let wanted = (real(self.uid, stat.st_uid), real(self.gid, stat.st_gid));
        (wanted != (stat.st_uid, stat.st_gid)).then_some(wanted)
    }

    fn times(&self) -> Option<Timestamps> {
        const SECOND: i64 = 1_000_000_000;
        let ns = self.mtime_ns?;
        Some(Timestamps {
            last_access: Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_OMIT,
            },
            last_modification: Timespec {
                tv_sec: ns.div_euclid(SECOND),
                tv_nsec: ns.rem_euclid(SECOND),
            },
        })
    }
}

/// Returns attributes as a manifest keeps them.
fn kept(xattrs: &[Xattr]) -> Vec<(OsString, Vec<u8>)> {
    let read = xattrs.iter().filter_map(|x| {
        let value = from_hex(&x.value_hex)?;
        Some((OsString::from(&x.name), value))
    });
    read.collect()
}

/// Returns a file's modification time, nanoseconds since 1970.
pub(super) fn mtime_ns(stat: &Stat) -> i64 {
    let fraction = i64::try_from(stat.st_mtime_nsec).unwrap_or(0);
    stat.st_mtime
        .saturating_mul(1_000_000_000)
        .saturating_add(fraction)
}

/// Returns whether an attribute is content or permission. Capabilities and labels of a manifest are not: they would
/// give a file of somebody else's making powers on this system.
fn may_set(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.starts_with(b"user.")
        || matches!(
            name,
            b"system.posix_acl_access" | b"system.posix_acl_default"
        )
}

/// Returns the extended attributes that [`may_set`]; none where the filesystem knows none.
fn read_xattrs(fd: impl AsFd) -> Result<Vec<(OsString, Vec<u8>)>, Errno> {
    let mut list = Vec::with_capacity(64 * 1024);
    match flistxattr(&fd, spare_capacity(&mut list)) {
        Ok(_) => {}
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(Vec::new()),
        Err(e) => return Err(e),
    }
    let mut found = Vec::new();
    for name in list.split(|b| *b == 0).filter(|n| !n.is_empty()) {
        let name = OsString::from_vec(name.to_vec());
        if !may_set(&name) {
            continue;
        }
        let mut value = Vec::with_capacity(64 * 1024);
        match fgetxattr(&fd, &*name, spare_capacity(&mut value)) {
            Ok(_) => found.push((name, value)),
            Err(Errno::NODATA) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(found)
}
