//! The hash in manifests: BLAKE3 of a file's content, hexadecimal.
//!
//! Of a long file one thread reads while another hashes, so that the disk and the processor work at once: a database that
//! nobody has read yet costs what reading it costs, and not the hash on top.
//!
//! The bytes of a hole are hashed and not read: reading them fills the page cache with zeros, which takes several times as
//! long. They cannot be skipped. BLAKE3 numbers its chunks, so that the hash of zeros is another one at each place, and
//! none can be known beforehand.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread;

use sha2::{Digest as _, Sha256};

use crate::hex::to_hex;
use crate::runs::{for_each_extent, read_up_to};

/// The unit in which files are read: a multiple of every page size.
pub(crate) const BLOCK_BYTES: usize = 1 << 20;

/// How much is read at once, bytes.
const READ_BYTES: usize = 1024 * 1024;

/// So many pieces may have been read and not yet hashed.
const PIECES_AHEAD: usize = 4;

/// So many zeros are hashed at once: they stay in the processor's cache.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// After so many bytes of a hole it is asked whether to go on.
const HOLE_BYTES: u64 = 16 * 1024 * 1024;

/// Returns the hash of a file, read in order. `goes_on` is told after each piece how many bytes it had; `None` if it says
/// no.
pub fn of_file(file: &File, mut goes_on: impl FnMut(u64) -> bool) -> io::Result<Option<String>> {
    let metadata = file.metadata()?;
    let length = metadata.len();
    let has_holes = metadata.blocks().saturating_mul(512) < length;
    if !has_holes && length < READ_BYTES as u64 {
        let mut buffer = vec![0; READ_BYTES];
        let got = read_up_to(file, &mut buffer, 0)?;
        // One that has grown to more is read like a long one.
        if got < READ_BYTES {
            let hash = || blake3::hash(&buffer[..got]).to_hex().to_string();
            return Ok(goes_on(got as u64).then(hash));
        }
    }
    let read = thread::scope(|scope| {
        let (pieces, to_hash) = mpsc::sync_channel(PIECES_AHEAD);
        let (hashed, to_fill) = mpsc::channel();
        let hashing = scope.spawn(move || hash(&to_hash, &hashed));
        let mut reading = Reading {
            file,
            pieces,
            to_fill,
            buffers: 0,
            at: 0,
        };
        if has_holes {
            for_each_extent(file, length, |start, end| {
                reading.zeros_until(start, &mut goes_on)?;
                reading.data_until(end, &mut goes_on)
            })?;
            reading.zeros_until(length, &mut goes_on)?;
        } else {
            reading.data_until(u64::MAX, &mut goes_on)?;
        }
        drop(reading);
        hashing
            .join()
            .map_err(|_| io::Error::other("it cannot be hashed"))
    });
    match read {
        Ok(hash) => Ok(Some(hash)),
        Err(e) if e.kind() == io::ErrorKind::TimedOut => Ok(None),
        Err(e) => Err(e),
    }
}

/// Returns the SHA-256 of an open file, hexadecimal. `go_on` is asked after each block; its error ends it.
pub(crate) fn sha256(file: &File, go_on: impl Fn() -> io::Result<()>) -> io::Result<String> {
    let mut hasher = Sha256::new();
    blocks(file, |_, block| {
        hasher.update(&*block);
        go_on()
    })?;
    Ok(to_hex(&hasher.finalize()))
}

/// Gives a file block by block to `each`, with where each block begins.
pub(crate) fn blocks(
    file: &File,
    mut each: impl FnMut(u64, &mut [u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; BLOCK_BYTES];
    let mut at = 0;
    loop {
        let got = read_up_to(file, &mut buffer, at)?;
        each(at, &mut buffer[..got])?;
        at += got as u64;
        if got < buffer.len() {
            return Ok(());
        }
    }
}

/// What was read.
enum Piece {
    /// The first so many bytes of a buffer.
    Data(Vec<u8>, usize),
    /// A hole of so many bytes.
    Zeros(u64),
}

/// Hashes pieces until there are no more, and gives the buffers back.
fn hash(pieces: &Receiver<Piece>, hashed: &Sender<Vec<u8>>) -> String {
    let mut whole = blake3::Hasher::new();
    for piece in pieces {
        match piece {
            Piece::Data(buffer, length) => {
                whole.update(&buffer[..length]);
                // When the file has ended, nobody waits for it.
                let _ = hashed.send(buffer);
            }
            Piece::Zeros(mut length) => {
                while length > 0 {
                    let now = length.min(ZEROS.len() as u64);
                    whole.update(&ZEROS[..usize::try_from(now).unwrap_or(0)]);
                    length -= now;
                }
            }
        }
    }
    whole.finalize().to_hex().to_string()
}

struct Reading<'f> {
    file: &'f File,
    pieces: SyncSender<Piece>,
    to_fill: Receiver<Vec<u8>>,
    /// How many were made.
    buffers: usize,
    at: u64,
}

impl Reading<'_> {
    /// Reads up to `end`, or to the end of the file.
    fn data_until(&mut self, end: u64, goes_on: &mut impl FnMut(u64) -> bool) -> io::Result<()> {
        while self.at < end {
            let want = usize::try_from(end - self.at).unwrap_or(READ_BYTES);
            let want = want.min(READ_BYTES);
            let mut buffer = self.buffer()?;
            let got = read_up_to(self.file, &mut buffer[..want], self.at)?;
            self.at += got as u64;
            self.send(Piece::Data(buffer, got))?;
            ask(goes_on, got as u64)?;
            if got < want {
                break;
            }
        }
        Ok(())
    }

    fn zeros_until(&mut self, end: u64, goes_on: &mut impl FnMut(u64) -> bool) -> io::Result<()> {
        while self.at < end {
            let length = (end - self.at).min(HOLE_BYTES);
            self.at += length;
            self.send(Piece::Zeros(length))?;
            ask(goes_on, length)?;
        }
        Ok(())
    }

    /// Returns a buffer to read into, which is made or was hashed already.
    fn buffer(&mut self) -> io::Result<Vec<u8>> {
        if self.buffers < PIECES_AHEAD {
            self.buffers += 1;
            return Ok(vec![0; READ_BYTES]);
        }
        self.to_fill.recv().map_err(io::Error::other)
    }

    fn send(&self, piece: Piece) -> io::Result<()> {
        self.pieces
            .send(piece)
            .map_err(|_| io::Error::other("it cannot be hashed"))
    }
}

fn ask(goes_on: &mut impl FnMut(u64) -> bool, bytes: u64) -> io::Result<()> {
    if goes_on(bytes) {
        Ok(())
    } else {
        Err(io::ErrorKind::TimedOut.into())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;

    #[test]
    fn the_hash_of_a_file_is_that_of_its_bytes_be_it_long_short_or_full_of_holes() {
        const MIB: usize = 1 << 20;
        let folder = tempfile::tempdir().unwrap();
        // Each piece of data: where it begins, how long it is; then the file's length.
        let cases: [(&[(u64, usize)], u64); 10] = [
            (&[], 0),
            (&[(0, 10)], 10),
            (&[(0, MIB - 1)], (1 << 20) - 1),
            (&[(0, MIB)], 1 << 20),
            (&[(0, 9 * MIB + 7)], (9 << 20) + 7),
            (&[], 40 << 20),
            (&[(0, 4096)], 40 << 20),
            (&[(1 << 20, 3 * MIB), (20 << 20, 1)], (20 << 20) + 1),
            (&[(5 << 20, 100)], (9 << 20) + 7),
            (&[(0, 3 * MIB)], 3 << 20),
        ];
        for (n, (pieces, length)) in cases.into_iter().enumerate() {
            let path = folder.path().join(n.to_string());
            let file = File::create_new(&path).unwrap();
            file.set_len(length).unwrap();
            for (at, bytes) in pieces {
                let data: Vec<u8> = (0..=250).cycle().take(*bytes).collect();
                file.write_all_at(&data, *at).unwrap();
            }
            let mut told = 0;
            let hash = of_file(&File::open(&path).unwrap(), |bytes| {
                told += bytes;
                true
            });
            let expected = blake3::hash(&std::fs::read(&path).unwrap());
            assert_eq!(hash.unwrap().unwrap(), expected.to_hex().as_str(), "{n}");
            assert_eq!(told, length, "{n}");
        }
    }

    #[test]
    fn whoever_does_not_want_to_go_on_is_told_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hole");
        File::create_new(&path).unwrap().set_len(1 << 40).unwrap();
        let file = File::open(&path).unwrap();
        assert_eq!(of_file(&file, |_| false).unwrap(), None);
        std::fs::write(&path, vec![1; 9 << 20]).unwrap();
        let mut pieces = 0;
        let ended = of_file(&file, |_| {
            pieces += 1;
            pieces < 3
        });
        assert_eq!((ended.unwrap(), pieces), (None, 3));
    }

    #[test]
    fn what_cannot_be_read_has_no_hash() {
        assert!(of_file(&File::open("/").unwrap(), |_| true).is_err());
    }
}
