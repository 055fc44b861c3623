//! Reading an archive: to verify it, or to unpack it into a folder of ours.
//!
//! The manifest comes first and is checked before anything is written. From then on each member must be the next entry
//! of the manifest: of its kind, at its path, with its size. So nothing is ever written that the manifest does not name,
//! and nothing is read in vain from an archive that was made to have no end.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, fadvise};
use xz2::bufread::XzDecoder;
use xz2::stream::{CONCATENATED, Stream};

use super::beside;
use super::format::{
    self, DECODER_MEMORY_BYTES, HASH, MOST_MANIFEST_BYTES, MOST_PROOF_BYTES, damaged,
};
use super::tar_reader::{Member, TarReader, Type};
use crate::error::{Error, IoContext, Result};
use crate::manifest::{Entry, Kind, Manifest, RelPath};
use crate::progress::{Progress, Work};
use crate::runs::read_up_to;
use crate::space;
use crate::vault::Proof;
use crate::vault::name::SnapshotName;
use crate::vault::publish::write_durably;

/// The unit in which content is read.
const READ_BYTES: usize = 1 << 20;

/// What an archive holds, read to its end.
#[derive(Debug)]
pub struct Contents {
    /// The name of the snapshot.
    pub name: SnapshotName,
    /// What it holds.
    pub manifest: Manifest,
    /// The proof that it had.
    pub proof: Proof,
    /// The hash of the whole archive.
    pub blake3: String,
    /// Files whose content differs from the manifest.
    pub differing: Vec<RelPath>,
}

/// Where to write what is read, and what of it.
pub(super) struct Into<'i> {
    /// A new folder of ours.
    pub folder: &'i Path,
    /// Which paths of the data are wanted.
    pub wanted: &'i dyn Fn(&Path) -> bool,
}

/// Reads the manifest and the proof, and nothing behind them.
pub(super) fn beginning(path: &Path) -> Result<(Manifest, Proof)> {
    let mut reader = open(path, None)?;
    let begun = begin(&mut reader).map_err(|e| told(path, e))?;
    Ok((begun.manifest, begun.proof))
}

/// Reads everything and writes nothing.
pub(super) fn verify(path: &Path, progress: &dyn Progress) -> Result<Contents> {
    read(path, None, progress)
}

/// Reads everything, and writes what is wanted. What differs from the manifest is an error.
pub(super) fn unpack(path: &Path, into: &Into<'_>, progress: &dyn Progress) -> Result<Contents> {
    let contents = read(path, Some(into), progress)?;
    match contents.differing.first() {
        None => Ok(contents),
        Some(first) => Err(damaged(
            path,
            &format!(
                "{} of its files differ from its manifest; first: `{}`",
                contents.differing.len(),
                first.as_path().display()
            ),
        )),
    }
}

/// Returns the hash that stands beside an archive, if one does.
pub(super) fn hash_beside(path: &Path) -> Result<Option<String>> {
    let path = beside(path, HASH);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(
            text.split_whitespace()
                .next()
                .unwrap_or_default()
                .to_owned(),
        )),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).doing("read", &path),
    }
}

/// Why it is no good, or could not be read.
enum Failed {
    /// The archive is wrong.
    Wrong(String),
    /// The decoder, or the disk under it, gave up.
    Read(io::Error),
    /// Something could not be written.
    Write(Error),
}

impl From<io::Error> for Failed {
    fn from(e: io::Error) -> Self {
        Self::Read(e)
    }
}

fn wrong<T>(what: impl std::convert::Into<String>) -> Result<T, Failed> {
    Err(Failed::Wrong(what.into()))
}

type Compressed<'w> = BufReader<Hashing<'w>>;

struct Reader<'w> {
    tar: TarReader<XzDecoder<Compressed<'w>>>,
}

fn told(path: &Path, failed: Failed) -> Error {
    match failed {
        Failed::Wrong(what) => damaged(path, &what),
        Failed::Write(e) => e,
        Failed::Read(e) if e.raw_os_error().is_some() => Error::Io {
            doing: "read",
            path: path.to_owned(),
            source: e,
        },
        Failed::Read(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
            damaged(path, "it is cut off")
        }
        Failed::Read(e) => damaged(path, &in_words(&e)),
    }
}

/// Says in words what the decoder says in its own.
fn in_words(e: &io::Error) -> String {
    use xz2::stream::Error as Xz;
    match e.get_ref().and_then(|e| e.downcast_ref::<Xz>()) {
        Some(Xz::Format) => "it is no `.xz` file".into(),
        Some(Xz::MemLimit) => format!(
            "it asks for more than {} MiB of memory to be read",
            DECODER_MEMORY_BYTES >> 20
        ),
        Some(_) => "its bytes are damaged".into(),
        None => e.to_string(),
    }
}

fn open<'w>(path: &Path, work: Option<&'w Work<'w>>) -> Result<Reader<'w>> {
    // A pipe is not waited for.
    let file = File::options()
        .read(true)
        .custom_flags(nonblocking())
        .open(path)
        .doing("open", path)?;
    if !file.metadata().doing("look at", path)?.is_file() {
        return Err(damaged(path, "it is no file"));
    }
    let mut magic = [0; 6];
    let _ = read_up_to(&file, &mut magic, 0).doing("read", path)?;
    if &magic != b"\xfd7zXZ\0" {
        return Err(damaged(path, "it is no `.xz` file"));
    }
    // From the disk, not from what was just written.
    let _ = fadvise(&file, 0, None, Advice::DontNeed);
    let _ = fadvise(&file, 0, None, Advice::Sequential);
    let stream = Stream::new_stream_decoder(DECODER_MEMORY_BYTES, CONCATENATED)
        .map_err(io::Error::other)
        .doing("begin to read", path)?;
    let hashing = Hashing {
        file,
        hasher: blake3::Hasher::new(),
        work,
    };
    let decoder = XzDecoder::new_stream(BufReader::with_capacity(READ_BYTES, hashing), stream);
    Ok(Reader {
        tar: TarReader::new(decoder),
    })
}

fn nonblocking() -> i32 {
    i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0)
}

struct Begun {
    name: SnapshotName,
    manifest: Manifest,
    manifest_bytes: Vec<u8>,
    proof: Proof,
    proof_bytes: Vec<u8>,
}

/// Reads manifest and proof.
fn begin(reader: &mut Reader<'_>) -> Result<Begun, Failed> {
    const NO: &str = "it is no archive of aidb: it does not begin with a manifest";
    let Some(first) = reader.tar.next()? else {
        return wrong(NO);
    };
    let Some(name) = top_of(&first.path, "manifest.json").filter(|_| first.kind == Type::File)
    else {
        return wrong(NO);
    };
    let manifest_bytes = small(reader, &first, MOST_MANIFEST_BYTES)?;
    let manifest = format::manifest(&manifest_bytes, &name).map_err(Failed::Wrong)?;
    let proof_bytes = match reader.tar.next()? {
        Some(member) if top_of(&member.path, "proof.json").as_ref() == Some(&name) => {
            small(reader, &member, MOST_PROOF_BYTES)?
        }
        _ => return wrong("it lacks the proof of its snapshot"),
    };
    let proof = format::proof(&proof_bytes, &manifest_bytes).map_err(Failed::Wrong)?;
    Ok(Begun {
        name,
        manifest,
        manifest_bytes,
        proof,
        proof_bytes,
    })
}

/// Returns the snapshot's name if `path` is `NAME/file`.
fn top_of(path: &[u8], file: &str) -> Option<SnapshotName> {
    let text = std::str::from_utf8(path).ok()?;
    let (top, name) = text.split_once('/')?;
    let parsed = SnapshotName::parse(top)?;
    (name == file && parsed.to_string() == top).then_some(parsed)
}

fn small(reader: &mut Reader<'_>, member: &Member, most: u64) -> Result<Vec<u8>, Failed> {
    if member.size_bytes > most || member.stored_bytes() != member.size_bytes {
        return wrong("its manifest is too long");
    }
    let mut bytes = Vec::new();
    reader.tar.data().read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read(path: &Path, into: Option<&Into<'_>>, progress: &dyn Progress) -> Result<Contents> {
    let length = std::fs::metadata(path).map_or(0, |m| m.len());
    let work = Work::begin(progress, "read", length);
    let mut reader = open(path, Some(&work))?;
    let begun = begin(&mut reader).map_err(|e| told(path, e))?;
    let differing = members(&mut reader, &begun, into).map_err(|e| told(path, e))?;
    let mut compressed = reader.tar.end().map_err(|e| told(path, e.into()))?;
    // The decoder stops at the end of its streams; it is the whole file that is hashed.
    let rest = io::copy(&mut compressed, &mut io::sink()).map_err(|e| told(path, e.into()))?;
    if rest > 0 {
        return Err(damaged(path, "something follows its end"));
    }
    let blake3 = compressed
        .into_inner()
        .hasher
        .finalize()
        .to_hex()
        .to_string();
    Ok(Contents {
        name: begun.name,
        manifest: begun.manifest,
        proof: begun.proof,
        blake3,
        differing,
    })
}

/// Reads the members, each the next entry of the manifest.
fn members(
    reader: &mut Reader<'_>,
    begun: &Begun,
    into: Option<&Into<'_>>,
) -> Result<Vec<RelPath>, Failed> {
    let top = PathBuf::from(begun.name.to_string());
    let data = top.join("data");
    expect(reader, &data, Type::Folder)?;
    if let Some(into) = into {
        let write = || -> Result<()> {
            crate::folder::make(&into.folder.join("data"))?;
            write_durably(&into.folder.join("manifest.json"), &begun.manifest_bytes)?;
            write_durably(&into.folder.join("proof.json"), &begun.proof_bytes)
        };
        write().map_err(|e| Failed::Write(space::tell_full_disk(e, into.folder)))?;
    }
    let mut differing = Vec::new();
    let mut buffer = vec![0; READ_BYTES];
    for entry in &begun.manifest.entries {
        let path = entry.path.as_path();
        let name = data.join(path);
        let kind = match &entry.kind {
            Kind::Folder => Type::Folder,
            Kind::File { .. } => Type::File,
            Kind::HardLink { .. } => Type::HardLink,
            Kind::Symlink { .. } => Type::Symlink,
            Kind::Special { .. } => continue,
        };
        let member = expect(reader, &name, kind)?;
        let target = into.filter(|i| (i.wanted)(path));
        let target = target.map(|i| (i.folder, i.folder.join("data").join(path)));
        if let Kind::File {
            size_bytes, blake3, ..
        } = &entry.kind
        {
            if member.size_bytes != *size_bytes {
                return wrong(format!(
                    "`{}` has {} bytes, its manifest says {size_bytes}",
                    path.display(),
                    member.size_bytes
                ));
            }
            let hash = file(reader, &member, target.as_ref(), &mut buffer)?;
            if blake3.as_deref() != Some(hash.as_str()) {
                differing.push(entry.path.clone());
            }
        } else if let Some((folder, target)) = target {
            make(entry, folder, &target).map_err(Failed::Write)?;
        }
    }
    match reader.tar.next()? {
        None => Ok(differing),
        Some(more) => {
            let more = String::from_utf8_lossy(&more.path).into_owned();
            wrong(format!(
                "it holds `{more}`, which its manifest does not name"
            ))
        }
    }
}

/// Returns the next member, which must be this one.
fn expect(reader: &mut Reader<'_>, name: &Path, kind: Type) -> Result<Member, Failed> {
    let Some(member) = reader.tar.next()? else {
        return wrong(format!("it lacks `{}`", name.display()));
    };
    let path = member.path.strip_suffix(b"/").unwrap_or(&member.path);
    if path != name.as_os_str().as_bytes() || member.kind != kind {
        let found = String::from_utf8_lossy(path).into_owned();
        let found = if path == name.as_os_str().as_bytes() {
            format!("`{found}` as something else")
        } else {
            format!("`{found}`")
        };
        return wrong(format!(
            "it holds {found} where its manifest has `{}`",
            name.display()
        ));
    }
    Ok(member)
}

/// Makes a folder or a link. Its parent is a folder that we made: the manifest was checked.
fn make(entry: &Entry, folder: &Path, target: &Path) -> Result<()> {
    match &entry.kind {
        Kind::Folder => crate::folder::make(target),
        Kind::Symlink { target: to } => {
            make_parents(target)?;
            std::os::unix::fs::symlink(to.as_path(), target).doing("make the link", target)
        }
        Kind::HardLink { to } => {
            make_parents(target)?;
            let first = folder.join("data").join(to.as_path());
            std::fs::hard_link(&first, target).doing("link", target)
        }
        Kind::File { .. } | Kind::Special { .. } => Ok(()),
    }
    .map_err(|e| space::tell_full_disk(e, folder))
}

/// Where only some paths are wanted, the folders that lead to them were not made yet.
fn make_parents(target: &Path) -> Result<()> {
    crate::folder::make(target.parent().unwrap_or(target))
}

/// Reads a file's content, writes it if there is a target, and returns its hash.
fn file(
    reader: &mut Reader<'_>,
    member: &Member,
    target: Option<&(&Path, PathBuf)>,
    buffer: &mut [u8],
) -> Result<String, Failed> {
    let mut hasher = blake3::Hasher::new();
    let out = match target {
        None => None,
        Some((folder, path)) => {
            let made = || -> Result<File> {
                make_parents(path)?;
                space::make_sure_of_room(
                    folder,
                    member.stored_bytes(),
                    &format!("`{}`", path.strip_prefix(folder).unwrap_or(path).display()),
                    "free some space, or move `vault`",
                )?;
                let file = File::options()
                    .write(true)
                    .create_new(true)
                    .mode(0o400)
                    .open(path)
                    .doing("make the file", path)?;
                file.set_len(member.size_bytes)
                    .doing("make the file", path)?;
                Ok(file)
            };
            Some(made().map_err(|e| Failed::Write(space::tell_full_disk(e, folder)))?)
        }
    };
    let mut at = 0;
    for (start, length) in &member.runs {
        hash_zeros(&mut hasher, start - at);
        at = *start;
        let end = start + length;
        while at < end {
            let most = usize::try_from(end - at)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            let got = reader.tar.data().read(&mut buffer[..most])?;
            if got == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            hasher.update(&buffer[..got]);
            if let (Some(out), Some((folder, path))) = (&out, target) {
                let written = out.write_all_at(&buffer[..got], at).doing("write", path);
                written.map_err(|e| Failed::Write(space::tell_full_disk(e, folder)))?;
            }
            at += got as u64;
        }
    }
    hash_zeros(&mut hasher, member.size_bytes - at);
    Ok(hasher.finalize().to_hex().to_string())
}

fn hash_zeros(hasher: &mut blake3::Hasher, mut length: u64) {
    static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
    while length > 0 {
        let now = length.min(ZEROS.len() as u64);
        hasher.update(&ZEROS[..usize::try_from(now).unwrap_or(0)]);
        length -= now;
    }
}

/// The compressed file, hashed as it is read.
struct Hashing<'w> {
    file: File,
    hasher: blake3::Hasher,
    work: Option<&'w Work<'w>>,
}

impl Read for Hashing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read(buffer)?;
        self.hasher.update(&buffer[..got]);
        if let Some(work) = self.work {
            work.advance(got as u64);
        }
        Ok(got)
    }
}
