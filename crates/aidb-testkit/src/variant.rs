//! One kind of damage, or of harmless difference, with its label.

use std::path::Path;

/// What is done to a healthy store, and which findings it must raise, as `ID SEVERITY`: these and no others.
pub struct Variant {
    pub name: &'static str,
    pub expect: &'static [&'static str],
    pub change: fn(&Path),
}

/// Returns a variant.
#[must_use]
pub const fn variant(
    name: &'static str,
    expect: &'static [&'static str],
    change: fn(&Path),
) -> Variant {
    Variant {
        name,
        expect,
        change,
    }
}

/// Makes a pipe.
pub fn pipe(path: &Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap();
}

/// Sets a file's length.
pub fn cut(path: &Path, length: u64) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_len(length).unwrap();
}

/// Writes a file and the folders on the way to it.
pub fn put(path: &Path, content: impl AsRef<[u8]>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// Puts a link in place of what is there, to where it was moved.
pub fn link(path: &Path) {
    let moved = path.with_extension("moved");
    std::fs::rename(path, &moved).unwrap();
    std::os::unix::fs::symlink(moved.file_name().unwrap(), path).unwrap();
}
