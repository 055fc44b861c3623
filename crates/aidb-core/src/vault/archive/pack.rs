//! Writing a snapshot as one `.tar.xz`, on all cores, compared with its manifest on the way.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, fadvise, fstatvfs};
use tar::{Builder, EntryType, Header};
use xz2::stream::{Check, MtStreamBuilder, Stream};
use xz2::write::XzEncoder;

use super::format::{BLOCK, MOST_RUNS};
use crate::capture::Root;
use crate::error::{Error, IoContext, Result};
use crate::hex::from_hex;
use crate::manifest::{Entry, Kind};
use crate::progress::{Progress, Work};
use crate::runs::{for_each_extent, read_up_to};
use crate::space;
use crate::vault::Snapshot;

/// As `xz` does unless told otherwise.
const PRESET: u32 = 6;
/// What one core compresses at a time at least: what `xz -6 -T0` takes, three dictionaries of 8 MiB.
const LEAST_BLOCK_BYTES: u64 = 24 << 20;
/// And at most. Each block begins with an empty dictionary and says again what the one before it knew, so that larger ones
/// make a smaller archive; each thread has one in memory as it is read and two as they are written.
const MOST_BLOCK_BYTES: u64 = 64 << 20;
/// The part of the machine's memory that larger blocks may take, and the part that must do for the least.
const MEMORY_PARTS: (u64, u64) = (8, 4);
/// The unit in which files are read.
const READ_BYTES: usize = 1 << 20;
/// After how many written bytes it is asked again whether the disk has room.
const ASK_BYTES: u64 = 32 << 20;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packed {
    /// The length of the archive.
    pub size_bytes: u64,
    /// Its hash.
    pub blake3: String,
}

/// Writes a proven snapshot into the empty `file`, which lies at `out`, and syncs it.
///
/// # Errors
/// [`Error::CouldNot`] if a file differs from the manifest, or the disk has no room.
pub(super) fn pack(
    snapshot: &Snapshot,
    file: &File,
    out: &Path,
    progress: &dyn Progress,
) -> Result<Packed> {
    let read = |name: &str| {
        let path = snapshot.path.join(name);
        std::fs::read(&path).doing("read", &path)
    };
    let (manifest_bytes, proof_bytes) = (read("manifest.json")?, read("proof.json")?);
    let manifest = snapshot.manifest()?;
    let root = Root::open(&snapshot.data())?;
    let work = Work::begin(progress, "archive", manifest.summary.size_bytes);
    // Beside the content a header and padding for each entry.
    let entries = manifest.entries.len() as u64;
    let stream = encoder(manifest.summary.size_bytes + entries * 2 * BLOCK as u64)
        .map_err(io::Error::other)
        .doing("begin to compress to", out)?;
    let target = Target {
        file: BufWriter::with_capacity(READ_BYTES, file),
        hasher: blake3::Hasher::new(),
        written: 0,
        asked: 0,
    };
    let mut builder = Builder::new(XzEncoder::new_stream(target, stream));
    let top = PathBuf::from(snapshot.name.to_string());
    let mut write = || -> Result<()> {
        let taken_at = snapshot.summary.taken_at.as_second();
        for (name, bytes) in [
            ("manifest.json", &manifest_bytes),
            ("proof.json", &proof_bytes),
        ] {
            let mut header = header(EntryType::Regular, 0o600, taken_at);
            header.set_size(bytes.len() as u64);
            builder
                .append_data(&mut header, top.join(name), bytes.as_slice())
                .doing("write", out)?;
        }
        let data = top.join("data");
        let mut header = header(EntryType::Directory, 0o700, taken_at);
        header.set_size(0);
        builder
            .append_data(&mut header, &data, io::empty())
            .doing("write", out)?;
        for entry in &manifest.entries {
            append(&mut builder, &root, &data, entry, &work).map_err(|e| e.told(snapshot, out))?;
        }
        Ok(())
    };
    write()?;
    let target = builder
        .into_inner()
        .and_then(XzEncoder::finish)
        .doing("write", out)?;
    let file = target
        .file
        .into_inner()
        .map_err(io::IntoInnerError::into_error)
        .doing("write", out)?;
    file.sync_all().doing("sync", out)?;
    // What is read back comes from the disk.
    let _ = fadvise(file, 0, None, Advice::DontNeed);
    Ok(Packed {
        size_bytes: target.written,
        blake3: target.hasher.finalize().to_hex().to_string(),
    })
}

/// Returns an encoder on all cores, as far as there is work and memory for them.
fn encoder(size_bytes: u64) -> Result<Stream, xz2::stream::Error> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let system = rustix::system::sysinfo();
    let memory = (system.totalram as u64).saturating_mul(u64::from(system.mem_unit));
    let cores = u32::try_from(cores).unwrap_or(1);
    let (threads, block_bytes) = split(size_bytes, cores, |threads, block_bytes, part| {
        builder(threads, block_bytes).memusage() <= memory / part
    });
    builder(threads, block_bytes).encoder()
}

fn builder(threads: u32, block_bytes: u64) -> MtStreamBuilder {
    let mut builder = MtStreamBuilder::new();
    builder
        .threads(threads)
        .preset(PRESET)
        .block_size(block_bytes)
        .check(Check::Crc64);
    builder
}

/// Returns how many threads compress, and how large a block each takes at a time: as large as memory allows, and of one
/// size, so that all end at once. `fits` tells whether threads and blocks fit in a part of the memory.
fn split(size_bytes: u64, cores: u32, fits: impl Fn(u32, u64, u64) -> bool) -> (u32, u64) {
    let (ample, scarce) = MEMORY_PARTS;
    let blocks = size_bytes.div_ceil(LEAST_BLOCK_BYTES).max(1);
    let mut threads = cores.min(u32::try_from(blocks).unwrap_or(cores)).max(1);
    let mut most = MOST_BLOCK_BYTES;
    while most > LEAST_BLOCK_BYTES {
        let rounds = size_bytes.div_ceil(most * u64::from(threads)).max(1);
        let even = size_bytes.div_ceil(rounds * u64::from(threads));
        let block_bytes = even.max(LEAST_BLOCK_BYTES);
        if fits(threads, block_bytes, ample) {
            return (threads, block_bytes);
        }
        most = (most / 2).max(LEAST_BLOCK_BYTES);
    }
    while threads > 1 && !fits(threads, LEAST_BLOCK_BYTES, scarce) {
        threads -= 1;
    }
    (threads, LEAST_BLOCK_BYTES)
}

fn header(kind: EntryType, mode: u32, mtime: i64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(u64::try_from(mtime).unwrap_or(0));
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// Why an entry could not be written.
enum Failed {
    /// The snapshot's file is not what its manifest says.
    Differs(PathBuf),
    /// It cannot be read.
    Read(PathBuf, io::Error),
    /// The archive cannot be written.
    Write(io::Error),
}

impl Failed {
    fn told(self, snapshot: &Snapshot, out: &Path) -> Error {
        match self {
            Self::Differs(path) => Error::CouldNot {
                what: format!(
                    "`{}` of `{}` differs from its manifest",
                    path.display(),
                    snapshot.id()
                ),
                hint: Some(format!(
                    "`aidb verify {}` tells what else does",
                    snapshot.id()
                )),
            },
            Self::Read(path, source) => Error::Io {
                doing: "read",
                path: snapshot.data().join(path),
                source,
            },
            Self::Write(e) => space::tell_full_disk(
                Error::Io {
                    doing: "write",
                    path: out.to_owned(),
                    source: e,
                },
                out,
            ),
        }
    }
}

fn append<W: Write>(
    builder: &mut Builder<W>,
    root: &Root,
    data: &Path,
    entry: &Entry,
    work: &Work<'_>,
) -> Result<(), Failed> {
    let path = entry.path.as_path();
    let name = data.join(path);
    let kind = match &entry.kind {
        Kind::Folder => EntryType::Directory,
        Kind::File { .. } => EntryType::Regular,
        Kind::HardLink { .. } => EntryType::Link,
        Kind::Symlink { .. } => EntryType::Symlink,
        // Named in the manifest, and never kept.
        Kind::Special { .. } => return Ok(()),
    };
    let mut header = header(kind, entry.mode, entry.mtime_ns.div_euclid(1_000_000_000));
    header.set_uid(entry.uid.into());
    header.set_gid(entry.gid.into());
    header.set_size(0);
    // For `tar --xattrs`; we read them from the manifest.
    let attributes = entry.xattrs.iter().filter_map(|x| {
        let value = from_hex(&x.value_hex)?;
        x.name
            .starts_with("user.")
            .then(|| (format!("SCHILY.xattr.{}", x.name), value))
    });
    let attributes: Vec<(String, Vec<u8>)> = attributes.collect();
    if !attributes.is_empty() {
        let pairs = attributes.iter().map(|(k, v)| (k.as_str(), v.as_slice()));
        builder
            .append_pax_extensions(pairs)
            .map_err(Failed::Write)?;
    }
    match &entry.kind {
        Kind::File {
            size_bytes, blake3, ..
        } => {
            let reading = |e: io::Error| Failed::Read(path.to_owned(), e);
            let file = root.open_file(path).map_err(|e| reading(e.into()))?;
            if file.metadata().map_err(reading)?.len() != *size_bytes {
                return Err(Failed::Differs(path.to_owned()));
            }
            let runs = runs(&file, *size_bytes).map_err(reading)?;
            let head = set_sparse(&mut header, &runs, *size_bytes);
            let mut source = Source {
                file: &file,
                runs: &runs,
                at: 0,
                hasher: blake3::Hasher::new(),
                failed: None,
                work,
            };
            let body = head.as_slice().chain(&mut source);
            let written = builder.append_data(&mut header, &name, body);
            if let Some(e) = source.failed.take() {
                return Err(reading(e));
            }
            written.map_err(Failed::Write)?;
            let hash = source.finish(*size_bytes).map_err(reading)?;
            let _ = fadvise(&file, 0, None, Advice::DontNeed);
            if blake3.as_deref() != Some(hash.as_str()) {
                return Err(Failed::Differs(path.to_owned()));
            }
            Ok(())
        }
        Kind::HardLink { to } => builder
            .append_link(&mut header, &name, data.join(to.as_path()))
            .map_err(Failed::Write),
        Kind::Symlink { target } => {
            let target = target.as_path();
            // What `tar` cannot say, the manifest does.
            let shown = if target.as_os_str().as_bytes().is_empty() {
                Path::new(".")
            } else {
                target
            };
            builder
                .append_link(&mut header, &name, shown)
                .map_err(Failed::Write)
        }
        _ => builder
            .append_data(&mut header, &name, io::empty())
            .map_err(Failed::Write),
    }
}

/// Returns the runs of data of a file, as offset and length; one of everything if it has no holes, or too many.
fn runs(file: &File, length: u64) -> io::Result<Vec<(u64, u64)>> {
    let mut runs = Vec::new();
    for_each_extent(file, length, |start, end| {
        if runs.len() <= MOST_RUNS {
            runs.push((start, end - start));
        }
        Ok(())
    })?;
    // The map ends where the file does.
    let end = runs.last().map_or(0, |(start, length)| start + length);
    if end < length {
        runs.push((length, 0));
    }
    if runs.len() > MOST_RUNS {
        runs = vec![(0, length)];
    }
    Ok(runs)
}

/// Makes a header that of a file with holes if it has some, in the old GNU form, and returns the blocks in which its map
/// goes on.
pub(super) fn set_sparse(header: &mut Header, runs: &[(u64, u64)], length: u64) -> Vec<u8> {
    const IN_HEADER: usize = 4;
    const IN_BLOCK: usize = 21;
    let stored = runs.iter().map(|(_, length)| length).sum();
    header.set_size(stored);
    if stored == length {
        return Vec::new();
    }
    header.set_entry_type(EntryType::GNUSparse);
    let bytes = header.as_mut_bytes();
    let (first, rest) = runs.split_at(runs.len().min(IN_HEADER));
    let field = |run: &(u64, u64)| [number(run.0), number(run.1)].concat();
    let map: Vec<u8> = first.iter().flat_map(field).collect();
    bytes[386..386 + map.len()].copy_from_slice(&map);
    bytes[482] = u8::from(!rest.is_empty());
    bytes[483..495].copy_from_slice(&number(length));
    let mut blocks = Vec::new();
    let mut chunks = rest.chunks(IN_BLOCK).peekable();
    while let Some(chunk) = chunks.next() {
        let mut block: Vec<u8> = chunk.iter().flat_map(field).collect();
        block.resize(BLOCK, 0);
        block[504] = u8::from(chunks.peek().is_some());
        blocks.extend(block);
    }
    blocks
}

/// Returns a number as a header has it: octal, or binary for what octal has no room for.
fn number(n: u64) -> [u8; 12] {
    let mut field = [0; 12];
    if n < 1 << 33 {
        field[..11].copy_from_slice(format!("{n:011o}").as_bytes());
    } else {
        field[0] = 0x80;
        field[4..].copy_from_slice(&n.to_be_bytes());
    }
    field
}

/// The data of a file, without its holes; they are hashed all the same.
struct Source<'s> {
    file: &'s File,
    /// What was not read yet.
    runs: &'s [(u64, u64)],
    /// How far in the file it was hashed.
    at: u64,
    hasher: blake3::Hasher,
    failed: Option<io::Error>,
    work: &'s Work<'s>,
}

impl Source<'_> {
    /// Hashes zeros up to `to`.
    fn hole(&mut self, to: u64) {
        static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
        while self.at < to {
            let length = (to - self.at).min(ZEROS.len() as u64);
            self.hasher
                .update(&ZEROS[..usize::try_from(length).unwrap_or(0)]);
            self.at += length;
            self.work.advance(length);
        }
    }

    fn finish(mut self, length: u64) -> io::Result<String> {
        self.hole(length);
        // One that grew while it was read is not what was proven.
        if self.file.metadata()?.len() == length {
            Ok(self.hasher.finalize().to_hex().to_string())
        } else {
            Ok(String::new())
        }
    }
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some((start, length)) = self.runs.first().copied() {
            self.hole(start);
            let left = start + length - self.at;
            if left == 0 {
                self.runs = &self.runs[1..];
                continue;
            }
            let most = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            let got = match read_up_to(self.file, &mut buffer[..most], self.at) {
                Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                other => other,
            };
            match got {
                Ok(got) => {
                    self.hasher.update(&buffer[..got]);
                    self.at += got as u64;
                    self.work.advance(got as u64);
                    return Ok(got);
                }
                Err(e) => {
                    let kind = e.kind();
                    self.failed = Some(e);
                    return Err(kind.into());
                }
            }
        }
        Ok(0)
    }
}

/// The file that is written: hashed on the way, and never to the last free byte.
struct Target<'f> {
    file: BufWriter<&'f File>,
    hasher: blake3::Hasher,
    written: u64,
    asked: u64,
}

impl Write for Target<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.written >= self.asked {
            let stat = fstatvfs(self.file.get_ref())?;
            if space::above_floor(&stat) == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.asked = self.written + ASK_BYTES;
        }
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Splits on a machine with so much memory, MiB.
    fn on(memory_mib: u64, cores: u32, size_mib: u64) -> (u32, u64) {
        let fits = |threads, block_bytes, part| {
            builder(threads, block_bytes).memusage() <= memory_mib * MIB / part
        };
        let (threads, block_bytes) = split(size_mib * MIB, cores, fits);
        (threads, block_bytes / MIB)
    }

    #[test]
    fn blocks_are_as_large_as_memory_allows_and_all_threads_end_at_once() {
        for (memory_mib, cores, size_mib, expected) in [
            (16 << 10, 2, 0, (1, 24)),
            (16 << 10, 2, 20, (1, 24)),
            // Two threads, and no more to do for either.
            (16 << 10, 2, 30, (2, 24)),
            (16 << 10, 2, 100, (2, 50)),
            (16 << 10, 2, 1 << 10, (2, 64)),
            (16 << 10, 2, 300, (2, 50)),
            // Smaller blocks before fewer threads, fewer threads before none.
            (4 << 10, 2, 1 << 10, (2, 32)),
            (2 << 10, 2, 1 << 10, (2, 24)),
            (1 << 10, 8, 1 << 10, (1, 24)),
            (1, 8, 1 << 10, (1, 24)),
        ] {
            assert_eq!(
                on(memory_mib, cores, size_mib),
                expected,
                "{memory_mib} MiB of memory, {cores} cores, {size_mib} MiB of files"
            );
        }
    }
}
