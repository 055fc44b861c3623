//! Copying one open file: by reflink where the filesystem can, else block by block with the holes kept.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::mpsc;
use std::time::Instant;

use rustix::fs::{IFlags, fstatfs, fstatvfs, ioctl_ficlone, ioctl_getflags, ioctl_setflags};

use crate::manifest::How;
use rustix::io::Errno;

use crate::progress::Progress;
use crate::runs::{for_each_extent, read_up_to};

/// The unit in which bytes are read, written and compared.
const BLOCK_BYTES: usize = 1024 * 1024;

/// After so many bytes what was written is sent to the disk, beside the copying: the sync at the end is short, and
/// the page cache of everybody else is not pushed out by ours.
const FLUSH_BYTES: u64 = 64 * 1024 * 1024;

/// What bounds a copy. A limit that is reached is an error of the kind `TimedOut` or `StorageFull`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits<'p> {
    /// When to give up.
    pub until: Option<Instant>,
    /// How many bytes must stay free on the target's filesystem.
    pub keep_free_bytes: u64,
    /// Who is told of what was copied.
    pub progress: Option<&'p dyn Progress>,
}

impl Limits<'_> {
    fn advance(&self, bytes: u64) {
        if let Some(progress) = self.progress {
            progress.advance(bytes);
        }
    }

    /// Returns an error if the time is over.
    pub fn in_time(&self) -> io::Result<()> {
        match self.until {
            Some(until) if Instant::now() >= until => Err(io::ErrorKind::TimedOut.into()),
            _ => Ok(()),
        }
    }

    /// Returns an error if less than the floor is free where `target` lies.
    fn has_room(&self, target: &File) -> io::Result<()> {
        if self.keep_free_bytes == 0 {
            return Ok(());
        }
        let space = fstatvfs(target)?;
        if space.f_bavail.saturating_mul(space.f_frsize) < self.keep_free_bytes {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

/// Copies all of `source` into the empty file `target`.
pub fn transfer(source: &File, target: &File) -> io::Result<How> {
    transfer_within(source, target, &Limits::default())
}

/// Copies all of `source` into the empty file `target`, within limits.
pub fn transfer_within(source: &File, target: &File, limits: &Limits) -> io::Result<How> {
    if share(source, target)? {
        return Ok(How::Reflink);
    }
    copy_sparse(source, target, limits)?;
    Ok(How::Copy)
}

/// Copies all of a log, to which somebody may be appending, into the empty file `target`.
pub fn transfer_log(source: &File, target: &File, limits: &Limits) -> io::Result<How> {
    if share(source, target)? {
        return Ok(How::Reflink);
    }
    copy_backwards(source, target, limits)?;
    Ok(How::Copy)
}

/// Copies from the end to the beginning: whatever was appended before a piece is read was there when the pieces behind it
/// were. The other way round a copy may hold what was committed last, and before it what lay there until that was, which
/// looks as if the log were damaged.
fn copy_backwards(source: &File, target: &File, limits: &Limits) -> io::Result<()> {
    // Within one read the kernel goes forwards: a piece is as small as what it copies at once.
    const PIECE_BYTES: usize = 4096;
    let length = source.metadata()?.len();
    target.set_len(length)?;
    limits.has_room(target)?;
    let mut buffer = vec![0; BLOCK_BYTES];
    let mut end = length;
    while end > 0 {
        limits.in_time()?;
        let start = (end - 1) / BLOCK_BYTES as u64 * BLOCK_BYTES as u64;
        let block = &mut buffer[..usize::try_from(end - start).unwrap_or(BLOCK_BYTES)];
        for (number, piece) in block.chunks_mut(PIECE_BYTES).enumerate().rev() {
            let got = read_up_to(source, piece, start + (number * PIECE_BYTES) as u64)?;
            // It was cut meanwhile; its header tells.
            piece[got..].fill(0);
        }
        target.write_all_at(block, start)?;
        end = start;
    }
    Ok(())
}

/// Shares the blocks of `source` with the empty file `target`; returns whether these two files can.
pub fn share(source: &File, target: &File) -> io::Result<bool> {
    match reflink(source, target) {
        Ok(()) => Ok(true),
        Err(
            Errno::OPNOTSUPP
            | Errno::XDEV
            | Errno::INVAL
            | Errno::NOTTY
            | Errno::NOSYS
            | Errno::PERM,
        ) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// Returns whether a copy at `probe`, which is made and removed, would share the blocks of `source`.
#[must_use]
pub fn could_share(source: &File, probe: &Path) -> bool {
    let shared = create(probe).is_ok_and(|target| reflink(source, &target).is_ok());
    let _ = std::fs::remove_file(probe);
    shared
}

/// Shares the blocks of `source` with `target`.
fn reflink(source: &File, target: &File) -> Result<(), Errno> {
    match ioctl_ficlone(target, source) {
        // Btrfs refuses to share between a file with and one without checksums (NOCOW): let the empty target be alike.
        Err(Errno::INVAL) => {
            let nocow = ioctl_getflags(source)? & IFlags::NOCOW;
            let flags = ioctl_getflags(target)?;
            if flags & IFlags::NOCOW == nocow {
                return Err(Errno::INVAL);
            }
            ioctl_setflags(target, (flags - IFlags::NOCOW) | nocow)?;
            ioctl_ficlone(target, source)
        }
        other => other,
    }
}

/// Returns whether the filesystem of a file may know shared blocks. Where it cannot, nothing is tried.
#[must_use]
pub fn knows_sharing(file: &File) -> bool {
    const EXT4: i64 = 0xEF53;
    const TMPFS: i64 = 0x0102_1994;
    fstatfs(file).is_ok_and(|fs| !matches!(fs.f_type, EXT4 | TMPFS))
}

/// Returns whether a file has more extents than `most`; where that cannot be told, no.
#[must_use]
pub fn has_more_extents_than(file: &File, most: usize) -> bool {
    fiemap::Fiemap::new(file)
        .take_while(Result::is_ok)
        .nth(most)
        .is_some()
}

/// Copies what is data and leaves holes where the source has them.
pub fn copy_sparse(source: &File, target: &File, limits: &Limits) -> io::Result<()> {
    let length = source.metadata()?.len();
    target.set_len(length)?;
    limits.has_room(target)?;
    let mut buffer = vec![0; BLOCK_BYTES];
    let (written, writes) = mpsc::sync_channel::<()>(1);
    std::thread::scope(|scope| {
        let flusher = (length > FLUSH_BYTES)
            .then(|| scope.spawn(move || writes.iter().try_for_each(|()| target.sync_data())));
        let mut unflushed = 0;
        let copied = for_each_extent(source, length, |start, end| {
            let mut at = start;
            while at < end {
                limits.in_time()?;
                let want =
                    usize::try_from((end - at).min(BLOCK_BYTES as u64)).unwrap_or(BLOCK_BYTES);
                let got = read_up_to(source, &mut buffer[..want], at)?;
                if got == 0 {
                    break;
                }
                target.write_all_at(&buffer[..got], at)?;
                at += got as u64;
                unflushed += got as u64;
                limits.advance(got as u64);
                if unflushed >= FLUSH_BYTES {
                    unflushed = 0;
                    limits.has_room(target)?;
                    // It fails only if the flusher has met an error, which is told below.
                    let _ = written.send(());
                }
            }
            Ok(())
        });
        drop(written);
        let synced = flusher.map_or(Ok(()), |f| {
            f.join()
                .unwrap_or_else(|_| Err(io::Error::other("the flusher panicked")))
        });
        copied.and(synced)
    })
}

/// Makes a file that is ours alone.
///
/// # Errors
/// If the name is taken.
pub fn create(path: &Path) -> io::Result<File> {
    File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Makes `target`, an earlier copy, equal to `source` again, writing only the blocks that differ.
pub fn refresh(source: &File, target: &File, limits: &Limits) -> io::Result<()> {
    let length = source.metadata()?.len();
    target.set_len(length)?;
    let (mut theirs, mut ours) = (vec![0; BLOCK_BYTES], vec![0; BLOCK_BYTES]);
    let mut at = 0;
    while at < length {
        limits.in_time()?;
        let want = usize::try_from((length - at).min(BLOCK_BYTES as u64)).unwrap_or(BLOCK_BYTES);
        let got = read_up_to(source, &mut theirs[..want], at)?;
        if got == 0 {
            break;
        }
        let have = read_up_to(target, &mut ours[..got], at)?;
        if ours[..have] != theirs[..got] {
            target.write_all_at(&theirs[..got], at)?;
        }
        at += got as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn holes_stay_holes_and_bytes_stay_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let source = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(folder.path().join("s"))
            .unwrap();
        source.write_all_at(b"head", 0).unwrap();
        source.write_all_at(b"tail", 200 << 20).unwrap();
        source.set_len((256 << 20) + 7).unwrap();
        let target = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(folder.path().join("t"))
            .unwrap();
        transfer(&source, &target).unwrap();
        let (a, b) = (source.metadata().unwrap(), target.metadata().unwrap());
        assert_eq!(a.len(), b.len());
        assert!(
            b.blocks() * 512 < 4 << 20,
            "{} bytes allocated",
            b.blocks() * 512
        );
        let mut four = [0; 4];
        target.read_exact_at(&mut four, 200 << 20).unwrap();
        assert_eq!(&four, b"tail");
    }

    #[test]
    fn a_copy_from_the_end_is_a_copy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        for length in [
            0,
            1,
            4096,
            BLOCK_BYTES,
            BLOCK_BYTES + 1,
            3 * BLOCK_BYTES - 5,
        ] {
            let bytes: Vec<u8> = (0_u8..251).cycle().take(length).collect();
            std::fs::write(&path, &bytes).unwrap();
            let target = create(&folder.path().join(length.to_string())).unwrap();
            copy_backwards(&File::open(&path).unwrap(), &target, &Limits::default()).unwrap();
            let copied = std::fs::read(folder.path().join(length.to_string())).unwrap();
            assert!(copied == bytes, "{length}");
        }
    }

    #[test]
    fn a_copy_ends_at_its_deadline_and_above_the_floor() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("s"), "bytes").unwrap();
        let source = File::open(folder.path().join("s")).unwrap();
        for (n, (limits, kind)) in [
            (
                Limits {
                    until: Some(Instant::now()),
                    ..Limits::default()
                },
                io::ErrorKind::TimedOut,
            ),
            (
                Limits {
                    keep_free_bytes: u64::MAX,
                    ..Limits::default()
                },
                io::ErrorKind::StorageFull,
            ),
        ]
        .into_iter()
        .enumerate()
        {
            let target = create(&folder.path().join(n.to_string())).unwrap();
            let refused = copy_sparse(&source, &target, &limits).unwrap_err();
            assert_eq!(refused.kind(), kind);
        }
    }

    #[test]
    fn a_refreshed_copy_equals_a_source_that_changed_shrank_or_grew() {
        let folder = tempfile::tempdir().unwrap();
        let open = |n: &str| {
            File::options()
                .read(true)
                .write(true)
                .create_new(true)
                .open(folder.path().join(n))
                .unwrap()
        };
        let (source, target) = (open("s"), open("t"));
        source.write_all_at(&vec![7; 3 * BLOCK_BYTES], 0).unwrap();
        transfer(&source, &target).unwrap();
        for (at, byte, length) in [
            (BLOCK_BYTES as u64 + 5, 1, 3 * BLOCK_BYTES),
            (0, 2, BLOCK_BYTES / 2),
            (9, 3, 5 * BLOCK_BYTES),
        ] {
            source.write_all_at(&[byte], at).unwrap();
            source.set_len(length as u64).unwrap();
            refresh(&source, &target, &Limits::default()).unwrap();
            assert_eq!(
                std::fs::read(folder.path().join("s")).unwrap(),
                std::fs::read(folder.path().join("t")).unwrap()
            );
        }
    }
}
