//! Ways in which files go bad.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, PermissionsExt};
use std::path::Path;

/// Overwrites 64 KiB in the middle of a file.
pub fn overwrite_middle(path: &Path) {
    let mut file = File::options().write(true).open(path).unwrap();
    let middle = file.metadata().unwrap().len() / 2 / 4096 * 4096;
    file.seek(SeekFrom::Start(middle)).unwrap();
    file.write_all(&vec![0x5a; 64 * 1024]).unwrap();
}

/// Flips one bit in the middle of a file, read-only or not, and leaves its size and its mode as they are.
pub fn flip_bit(path: &Path) {
    let permissions = std::fs::metadata(path).unwrap().permissions();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
    let file = File::options().read(true).write(true).open(path).unwrap();
    let at = file.metadata().unwrap().len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    std::fs::set_permissions(path, permissions).unwrap();
}

/// The incident: the database is there, has 0 bytes, and has no log.
pub fn empty_database(path: &Path) {
    for suffix in ["-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let _ = std::fs::remove_file(name);
    }
    File::create(path).unwrap();
}
