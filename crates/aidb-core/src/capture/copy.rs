//! Copying one open file: by reflink where the filesystem can, else block by block with the holes kept.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{IFlags, SeekFrom, ioctl_ficlone, ioctl_getflags, ioctl_setflags, seek};
use rustix::io::Errno;

use crate::vault::manifest::How;

/// The unit in which bytes are read, written and compared.
const BLOCK_BYTES: usize = 1024 * 1024;

/// Copies all of `source` into the empty file `target`.
pub fn transfer(source: &File, target: &File) -> io::Result<How> {
    match reflink(source, target) {
        Ok(()) => Ok(How::Reflink),
        Err(
            Errno::OPNOTSUPP
            | Errno::XDEV
            | Errno::INVAL
            | Errno::NOTTY
            | Errno::NOSYS
            | Errno::PERM,
        ) => {
            copy_sparse(source, target)?;
            Ok(How::Copy)
        }
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

/// Copies what is data and leaves holes where the source has them.
fn copy_sparse(source: &File, target: &File) -> io::Result<()> {
    let length = source.metadata()?.len();
    target.set_len(length)?;
    let mut buffer = vec![0; BLOCK_BYTES];
    for_each_extent(source, length, |start, end| {
        let mut at = start;
        while at < end {
            let want = usize::try_from((end - at).min(BLOCK_BYTES as u64)).unwrap_or(BLOCK_BYTES);
            let got = read_up_to(source, &mut buffer[..want], at)?;
            if got == 0 {
                break;
            }
            target.write_all_at(&buffer[..got], at)?;
            at += got as u64;
        }
        Ok(())
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
pub fn refresh(source: &File, target: &File) -> io::Result<()> {
    let length = source.metadata()?.len();
    target.set_len(length)?;
    let (mut theirs, mut ours) = (vec![0; BLOCK_BYTES], vec![0; BLOCK_BYTES]);
    let mut at = 0;
    while at < length {
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

/// Calls `each` with the start and end of every run of data.
pub(crate) fn for_each_extent(
    file: &File,
    length: u64,
    mut each: impl FnMut(u64, u64) -> io::Result<()>,
) -> io::Result<()> {
    let mut at = 0;
    while at < length {
        let start = match seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => return Ok(()),
            // The filesystem cannot tell holes: everything is data.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return each(at, length),
            Err(e) => return Err(e.into()),
        };
        let end = seek(file, SeekFrom::Hole(start))?.min(length);
        each(start, end)?;
        at = end.max(start + 1);
    }
    Ok(())
}

/// Reads until the buffer is full or the file ends.
pub(crate) fn read_up_to(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
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
            refresh(&source, &target).unwrap();
            assert_eq!(
                std::fs::read(folder.path().join("s")).unwrap(),
                std::fs::read(folder.path().join("t")).unwrap()
            );
        }
    }
}
