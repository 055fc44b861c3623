//! Capturing a whole data folder: what the plan calls the same is linked, the rest is cloned or copied.
//!
//! Databases come first: when the time is not enough for all, what cannot be had anywhere else is kept.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, fchmod, fdatasync, fstat, linkat};
use rustix::io::Errno;

use super::attributes::{ctime_ns, mtime_ns, size_bytes, xattrs};
use super::blobs::{Blob, Blobs};
use super::copy::{Limits, copy_sparse, create, knows_sharing, share};
use super::database::{Database, Way, database_by};
use super::freeze::Freezer;
use super::links::link_all;
use super::pin::{main_of, same_state, sidecar};
use super::plan::{Decision, Plan, special};
use super::walk::{Found, Root};
use crate::error::{Error, IoContext, Result};
use crate::folder::remove_if_there;
use crate::hash::sha256;
use crate::manifest::{DatabaseSource, Entry, How, Kind, LogSource, RelPath, Source, Xattr};
use crate::runs::read_up_to;
use crate::step::step;
use crate::userns::IdMap;

/// The first bytes of every SQLite database (SQLite file format, 1.3.1).
pub(crate) const SQLITE_MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// How often a plain file is copied again because it changed meanwhile.
const ATTEMPTS: usize = 3;

/// A captured data folder.
#[derive(Debug, Default)]
pub struct Captured {
    /// Everything below the folder, parents before their children.
    pub entries: Vec<Entry>,
    /// What could not be kept, and why: a snapshot with such gaps is never proven.
    pub gaps: Vec<(PathBuf, String)>,
    /// Plain files that never stood still while they were copied.
    pub unsteady: Vec<PathBuf>,
    /// The longest time for which writers of one database may have been waiting.
    pub blocked: Duration,
    /// For how long the container was frozen.
    pub frozen: Duration,
    /// Bytes that were written, not shared.
    pub new_bytes: u64,
    /// Number of regular files that are new in the vault.
    pub new_files: usize,
    /// Sizes of all files added up.
    pub size_bytes: u64,
    /// Blobs whose hash was verified now.
    pub verified: Vec<Blob>,
}

/// How a tree is captured.
#[derive(Debug, Clone, Copy)]
pub struct Manner<'a> {
    /// How long to wait for an application that keeps a database locked.
    pub patience: Duration,
    /// What bounds the copying. What the time is not enough for is a gap, if it is no database.
    pub limits: Limits<'a>,
    /// How owners are numbered.
    pub ids: &'a IdMap,
    /// Which of Ollama's blobs need no copy.
    pub blobs: &'a Blobs,
    /// How to freeze the container, as the last resort.
    pub freezer: Option<&'a Freezer<'a>>,
    /// Whether all that writes is frozen already: then an application's lock is nothing to wait for.
    pub is_still: bool,
}

/// Captures what a walk below `root` found into the new folder `target`, as planned.
///
/// # Errors
/// [`crate::Error::Busy`] if a database cannot be held still, [`crate::Error::Io`] if the copy cannot be written or
/// the time was not enough for a database. What of the source cannot be read is a gap, not an error.
pub fn tree(
    root: &Root,
    found: &[Found],
    plan: &Plan,
    target: &Path,
    manner: &Manner,
) -> Result<Captured> {
    let mut capture = Capture {
        root,
        target,
        plan,
        manner,
        out: Captured::default(),
        entries: Vec::with_capacity(found.len()),
        seen: HashMap::new(),
        linked: vec![false; found.len()],
        shares: true,
    };
    step("make folder").doing("make the folder", target)?;
    std::fs::create_dir(target).doing("make the folder", target)?;
    let databases = capture.databases(found, plan);
    let is_folder = |f: &Found| FileType::from_raw_mode(f.stat.st_mode) == FileType::Directory;
    for (at, f) in found.iter().enumerate().filter(|(_, f)| is_folder(f)) {
        capture.folder(at, f)?;
    }
    for (at, f) in found.iter().enumerate() {
        if databases.mains.contains(f.path.as_path()) {
            capture.database(at, f)?;
        }
    }
    capture.link_what_is_same(found, &databases);
    for (at, f) in found.iter().enumerate().filter(|(_, f)| !is_folder(f)) {
        if databases.mains.contains(f.path.as_path()) || databases.is_companion(&f.path) {
            continue;
        }
        match &plan.decisions[at] {
            Decision::Part => {}
            Decision::Same(entry) => capture.same(at, f, entry)?,
            Decision::Capture => capture.plain(at, f)?,
        }
    }
    capture.entries.sort_by_key(|(at, _)| *at);
    capture.out.entries = capture.entries.into_iter().map(|(_, e)| e).collect();
    Ok(capture.out)
}

struct Capture<'a> {
    root: &'a Root,
    target: &'a Path,
    plan: &'a Plan<'a>,
    manner: &'a Manner<'a>,
    out: Captured,
    /// With their places in the walk.
    entries: Vec<(usize, Entry)>,
    /// Device and inode of files with several names, and the first name.
    seen: HashMap<(u64, u64), PathBuf>,
    /// For each place in the walk, whether its file was linked to the base's already.
    linked: Vec<bool>,
    /// Whether the source's filesystem and ours may share blocks, as far as is known.
    shares: bool,
}

/// The SQLite databases of a tree that are captured anew.
struct Databases<'a> {
    mains: HashSet<&'a Path>,
}

impl Databases<'_> {
    /// Returns whether a file belongs to a database beside it and is captured with it, or (`-shm`) not kept at all.
    fn is_companion(&self, path: &Path) -> bool {
        let Some(name) = path.file_name().and_then(|n| n.to_str()) else {
            return false;
        };
        main_of(name).is_some_and(|main| self.mains.contains(path.with_file_name(main).as_path()))
    }
}

impl Capture<'_> {
    /// Finds the databases by their first bytes; a main file that is empty counts if it has a `-wal`.
    fn databases<'f>(&self, found: &'f [Found], plan: &Plan) -> Databases<'f> {
        let names: HashSet<&Path> = found.iter().map(|f| f.path.as_path()).collect();
        let is_database = |f: &Found| {
            if FileType::from_raw_mode(f.stat.st_mode) != FileType::RegularFile {
                return false;
            }
            if f.stat.st_size == 0 {
                return names.contains(sidecar(&f.path, "-wal").as_path());
            }
            let mut head = [0; 16];
            self.root.open_file(&f.path).is_ok_and(|file| {
                read_up_to(&file, &mut head, 0).is_ok_and(|_| &head == SQLITE_MAGIC)
            })
        };
        let captured = found.iter().zip(&plan.decisions);
        Databases {
            mains: captured
                .filter(|(f, d)| matches!(d, Decision::Capture) && is_database(f))
                .map(|(f, _)| f.path.as_path())
                .collect(),
        }
    }

    fn folder(&mut self, at: usize, found: &Found) -> Result<()> {
        let path = self.target.join(&found.path);
        step("make folder").doing("make the folder", &path)?;
        std::fs::create_dir(&path).doing("make the folder", &path)?;
        let xattrs = self
            .root
            .open_at(&found.path, OFlags::RDONLY | OFlags::DIRECTORY)
            .map(|fd| xattrs(&fd))
            .unwrap_or_default();
        self.entry(at, &found.path, Kind::Folder, &found.stat, xattrs);
        Ok(())
    }

    /// Links the many files that are the base's, and have no other name.
    fn link_what_is_same(&mut self, found: &[Found], databases: &Databases) {
        let Some(base) = self.plan.base else { return };
        let planned = found.iter().zip(&self.plan.decisions).enumerate();
        let (places, paths): (Vec<usize>, Vec<&Path>) = planned
            .filter(|(_, (f, decision))| {
                let is_file = matches!(decision, Decision::Same(entry) if matches!(entry.kind, Kind::File { .. }));
                is_file && f.stat.st_nlink == 1 && !databases.is_companion(&f.path)
            })
            .map(|(at, (f, _))| (at, f.path.as_path()))
            .unzip();
        let linked = link_all(base.data(), self.target, &paths);
        for (at, done) in places.into_iter().zip(linked) {
            self.linked[at] = done;
        }
    }

    /// Takes over what the base holds; where it cannot be linked, from the source.
    fn same(&mut self, at: usize, found: &Found, entry: &Entry) -> Result<()> {
        let Kind::File {
            size_bytes,
            blake3,
            how,
            source,
        } = &entry.kind
        else {
            return self.plain(at, found);
        };
        if self.linked_to_first(at, found)? {
            return Ok(());
        }
        let base = self
            .plan
            .base
            .expect("only a base has entries to be the same as");
        if !self.linked[at] {
            let to = self.target.join(&found.path);
            match std::fs::hard_link(base.path_of(&found.path), &to) {
                Ok(()) => {}
                // Too many names, another owner, another subvolume, or gone: the source has it still.
                Err(_) if source.database.is_some() => return self.database(at, found),
                Err(_) => return self.plain(at, found),
            }
        }
        self.out.size_bytes += size_bytes;
        let kind = Kind::File {
            size_bytes: *size_bytes,
            blake3: blake3.clone(),
            how: if *how == How::Live || base.is_of_this_run() {
                *how
            } else {
                How::Link
            },
            source: *source,
        };
        self.entry(at, &found.path, kind, &found.stat, entry.xattrs.clone());
        self.remember_name(found);
        Ok(())
    }

    fn plain(&mut self, at: usize, found: &Found) -> Result<()> {
        let path = self.target.join(&found.path);
        let kind = match FileType::from_raw_mode(found.stat.st_mode) {
            FileType::RegularFile => return self.file(at, found),
            FileType::Symlink => match self.root.read_link(&found.path) {
                Ok(target) => {
                    std::os::unix::fs::symlink(&target, &path).doing("make the link", &path)?;
                    Kind::Symlink {
                        target: target.into(),
                    }
                }
                Err(Errno::NOENT) => return Ok(()),
                Err(e) => {
                    self.gap(found, &e.into());
                    return Ok(());
                }
            },
            kind => match special(kind) {
                Some(what) => Kind::Special { what: what.into() },
                None => return Ok(()),
            },
        };
        self.entry(at, &found.path, kind, &found.stat, Vec::new());
        Ok(())
    }

    fn file(&mut self, at: usize, found: &Found) -> Result<()> {
        if self.linked_to_first(at, found)? {
            return Ok(());
        }
        let source = match self.root.open_file(&found.path) {
            Ok(source) => source,
            Err(Errno::NOENT) => return Ok(()),
            Err(e) => {
                self.gap(found, &e.into());
                return Ok(());
            }
        };
        let path = self.target.join(&found.path);
        for attempt in 1.. {
            let before = fstat(&source).doing("look at", &path)?;
            let how = match self.transfer(found, &source, &before, &path) {
                Ok(how) => how,
                Err(e) if e.kind() == io::ErrorKind::TimedOut => {
                    remove_if_there(&path).doing("remove", &path)?;
                    self.out
                        .gaps
                        .push((found.path.clone(), "the time was not enough".into()));
                    return Ok(());
                }
                Err(e) => return Err(e).doing("copy to", &path),
            };
            let after = fstat(&source).doing("look at", &path)?;
            // A link to a blob changes its change time, and a verified one was compared already.
            if how == How::Live || same_state(&before, &after) || attempt == ATTEMPTS {
                if how != How::Live && !same_state(&before, &after) {
                    self.out.unsteady.push(found.path.clone());
                }
                let state = if how == How::Live { &after } else { &before };
                self.add_file(at, &found.path, &path, how, state, None, xattrs(&source))?;
                break;
            }
            std::fs::remove_file(&path).doing("replace", &path)?;
        }
        self.remember_name(found);
        Ok(())
    }

    /// Brings one plain file into the vault: by shared blocks, by the application's own inode if it is a blob whose
    /// content is known, else by its bytes.
    fn transfer(
        &mut self,
        found: &Found,
        source: &File,
        stat: &Stat,
        path: &Path,
    ) -> io::Result<How> {
        step("copy")?;
        self.manner.limits.in_time()?;
        if self.shares {
            let copy = create(path)?;
            if share(source, &copy)? {
                protect(&copy)?;
                return Ok(How::Reflink);
            }
            std::fs::remove_file(path)?;
            // One file may refuse for a reason of its own; a filesystem that knows no sharing refuses all.
            self.shares = knows_sharing(&copy);
        }
        if let Some(digest) = self.manner.blobs.digest_of(&found.path, stat)
            && self.linked_live(found, source, stat, &digest, path)?
        {
            return Ok(How::Live);
        }
        if self.plan.mapped.iter().any(|s| found.path.starts_with(s)) {
            // The next store into a page that was written back sets the file's time; one into a page that is dirty
            // already does not, and the file would be taken for the same next time.
            let _ = fdatasync(source);
        }
        let copy = create(path)?;
        copy_sparse(source, &copy, &self.manner.limits)?;
        protect(&copy)?;
        Ok(How::Copy)
    }

    /// Links a blob of the living application, if its content is what its name says. Its inode is the application's:
    /// nothing of it is changed.
    fn linked_live(
        &mut self,
        found: &Found,
        source: &File,
        stat: &Stat,
        digest: &str,
        path: &Path,
    ) -> io::Result<bool> {
        let blob = Blob::of(&found.path, stat);
        if !self.manner.blobs.is_verified(&blob) {
            // Reading it costs less than writing it again, and once only.
            match sha256(source, || self.manner.limits.in_time())? {
                hash if hash == digest => {}
                _ => return Ok(false),
            }
        }
        let Some(name) = found.path.file_name() else {
            return Ok(false);
        };
        let parent = found.path.parent().unwrap_or(Path::new(""));
        let Ok(parent) = self.root.open_at(parent, OFlags::PATH | OFlags::DIRECTORY) else {
            return Ok(false);
        };
        if linkat(&parent, name, CWD, path, AtFlags::empty()).is_err() {
            return Ok(false);
        }
        let (linked, open) = (std::fs::symlink_metadata(path)?, fstat(source)?);
        let is_it = (linked.dev(), linked.ino()) == (open.st_dev, open.st_ino)
            && Blob::of(&found.path, &open) == blob;
        if !is_it {
            std::fs::remove_file(path)?;
            return Ok(false);
        }
        self.out.verified.push(blob);
        Ok(true)
    }

    fn database(&mut self, at: usize, found: &Found) -> Result<()> {
        if self.linked_to_first(at, found)? {
            return Ok(());
        }
        let path = self.target.join(&found.path);
        step("copy database").doing("copy to", &path)?;
        let early = self.plan.base.map(|base| base.path_of(&found.path));
        let way = Way {
            patience: self.manner.patience,
            limits: self.manner.limits,
            freezer: self.manner.freezer,
            is_still: self.manner.is_still,
            early: early.as_deref().filter(|_| self.manner.is_still),
        };
        let database = match database_by(self.root, &found.path, &path, &way) {
            Ok(database) => database,
            // A temporary database of a living application went away.
            Err(Error::Io { source, .. })
                if source.kind() == io::ErrorKind::NotFound
                    && matches!(self.root.stat(&found.path), Ok(None)) =>
            {
                return Ok(());
            }
            Err(e) => return Err(e),
        };
        let Database {
            files,
            blocked,
            frozen,
        } = database;
        self.out.blocked = self.out.blocked.max(blocked);
        self.out.frozen += frozen;
        let log = files.iter().find(|part| part.suffix == "-wal");
        let companions = DatabaseSource {
            log: log.map(|part| LogSource {
                inode: part.stat.st_ino,
                size_bytes: size_bytes(&part.stat),
                mtime_ns: mtime_ns(&part.stat),
                ctime_ns: ctime_ns(&part.stat),
            }),
        };
        for part in &files {
            let relative = sidecar(&found.path, part.suffix);
            let copy = sidecar(&path, part.suffix);
            let xattrs = match self.root.open_file(&relative) {
                Ok(file) => xattrs(&file),
                Err(_) => Vec::new(),
            };
            File::open(&copy)
                .and_then(|copy| protect(&copy))
                .doing("protect", &copy)?;
            let companions = part.suffix.is_empty().then_some(companions);
            self.add_file(
                at, &relative, &copy, part.how, &part.stat, companions, xattrs,
            )?;
        }
        self.remember_name(found);
        Ok(())
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "these are the columns of an entry"
    )]
    fn add_file(
        &mut self,
        at: usize,
        relative: &Path,
        copy: &Path,
        how: How,
        stat: &Stat,
        database: Option<DatabaseSource>,
        xattrs: Vec<Xattr>,
    ) -> Result<()> {
        let metadata = std::fs::metadata(copy).doing("look at", copy)?;
        self.out.size_bytes += metadata.len();
        self.out.new_files += 1;
        if how == How::Copy {
            self.out.new_bytes += metadata.blocks() * 512;
        }
        let source = Source {
            inode: stat.st_ino,
            mtime_ns: mtime_ns(stat),
            ctime_ns: ctime_ns(stat),
            size_bytes: Some(size_bytes(stat)),
            database,
        };
        let kind = Kind::File {
            size_bytes: metadata.len(),
            blake3: None,
            how,
            source,
        };
        self.entry(at, relative, kind, stat, xattrs);
        Ok(())
    }

    fn entry(&mut self, at: usize, path: &Path, kind: Kind, stat: &Stat, xattrs: Vec<Xattr>) {
        let (uid, gid) = self.manner.ids.to_container(stat.st_uid, stat.st_gid);
        let entry = Entry {
            path: RelPath::from(path),
            kind,
            mode: stat.st_mode & 0o7777,
            uid,
            gid,
            mtime_ns: mtime_ns(stat),
            xattrs,
        };
        self.entries.push((at, entry));
    }

    fn gap(&mut self, found: &Found, e: &io::Error) {
        self.out
            .gaps
            .push((found.path.clone(), format!("cannot be read: {e}")));
    }

    /// Gives the copy of a file with several names another name too, if it was copied already.
    fn linked_to_first(&mut self, at: usize, found: &Found) -> Result<bool> {
        let inode = (found.stat.st_dev, found.stat.st_ino);
        let Some(first) = self.seen.get(&inode).cloned() else {
            return Ok(false);
        };
        let (from, to) = (self.target.join(&first), self.target.join(&found.path));
        if std::fs::hard_link(&from, &to).is_err() {
            // Too many names already: a copy of its own under this one, which the manifest still calls a link.
            let copied = File::open(&from).and_then(|source| {
                let copy = create(&to)?;
                super::copy::transfer_within(&source, &copy, &self.manner.limits)?;
                protect(&copy)
            });
            copied.doing("copy to", &to)?;
        }
        let kind = Kind::HardLink { to: first.into() };
        self.entry(at, &found.path, kind, &found.stat, Vec::new());
        Ok(true)
    }

    fn remember_name(&mut self, found: &Found) {
        if found.stat.st_nlink > 1 {
            self.seen
                .insert((found.stat.st_dev, found.stat.st_ino), found.path.clone());
        }
    }
}

/// Takes away the permission to write to what was kept. The modes to restore stand in the manifest.
fn protect(copy: &File) -> io::Result<()> {
    Ok(fchmod(copy, Mode::RUSR)?)
}
