//! A reader of `tar` that believes nothing: every length is bounded before it is used, no member is kept in memory, and
//! what we do not write is refused by name.

use std::io::{self, BufRead, Read};

use tar::Header;
use xz2::bufread::XzDecoder;

use super::format::{BLOCK, MOST_PATH_BYTES, MOST_RUNS};

/// How much extended header may stand before a member: attributes that we write and do not read.
const MOST_EXTENDED_BYTES: u64 = 64 << 20;
/// How much may follow the end: what `tar` fills its last record with.
const MOST_FILL_BYTES: u64 = 1 << 20;

/// Reads the members of an archive one after the other.
pub(super) struct TarReader<R> {
    inner: R,
    /// What of the present member's data was not read yet.
    left: u64,
    /// What fills it up to a whole block.
    padding: u64,
}

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    File,
    Folder,
    HardLink,
    Symlink,
}

/// The header of a member.
#[derive(Debug)]
pub(super) struct Member {
    pub path: Vec<u8>,
    pub kind: Type,
    /// The runs of data, as offset and length; everything between them is a hole.
    pub runs: Vec<(u64, u64)>,
    /// How long the file is.
    pub size_bytes: u64,
}

impl Member {
    /// Returns how many bytes of it the archive holds.
    pub fn stored_bytes(&self) -> u64 {
        self.runs.iter().map(|(_, length)| length).sum()
    }
}

/// Says that the archive is not as it should be.
fn bad(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

impl<C: BufRead> TarReader<XzDecoder<C>> {
    /// Reads what follows the last member to the end of the compressed stream, and returns what was under it.
    pub fn end(mut self) -> io::Result<C> {
        let mut buffer = [0; BLOCK];
        let mut filled = 0;
        loop {
            match self.inner.read(&mut buffer) {
                Ok(0) => return Ok(self.inner.into_inner()),
                Ok(n) if buffer[..n].iter().all(|b| *b == 0) && filled < MOST_FILL_BYTES => {
                    filled += n as u64;
                }
                Ok(_) => return Err(bad("something follows its end")),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}

impl<R: Read> TarReader<R> {
    pub fn new(inner: R) -> Self {
        Self {
            inner,
            left: 0,
            padding: 0,
        }
    }

    /// Returns the next member; `None` at the archive's end.
    pub fn next(&mut self) -> io::Result<Option<Member>> {
        self.skip_rest()?;
        let mut long_path = None;
        loop {
            let block = self.block()?;
            if block.iter().all(|b| *b == 0) {
                return Ok(None);
            }
            let header = header(&block)?;
            let size = header.entry_size()?;
            let kind = match block[156] {
                b'L' => {
                    if size > MOST_PATH_BYTES {
                        return Err(bad("a path is too long"));
                    }
                    self.begin_data(size);
                    let mut path = Vec::new();
                    self.data().read_to_end(&mut path)?;
                    path.truncate(path.iter().position(|b| *b == 0).unwrap_or(path.len()));
                    self.skip_rest()?;
                    long_path = Some(path);
                    continue;
                }
                // The target of a long link, and attributes: the manifest knows them.
                b'K' | b'x' => {
                    if size > MOST_EXTENDED_BYTES {
                        return Err(bad("a header is too long"));
                    }
                    self.begin_data(size);
                    self.skip_rest()?;
                    continue;
                }
                b'0' | 0 | b'S' => Type::File,
                b'5' => Type::Folder,
                b'1' => Type::HardLink,
                b'2' => Type::Symlink,
                other => {
                    let path = header.path_bytes();
                    let path = String::from_utf8_lossy(&path);
                    let what = match other {
                        b'3' | b'4' => "a device".to_owned(),
                        b'6' => "a pipe".to_owned(),
                        _ => format!("of the unknown kind `{}`", other.escape_ascii()),
                    };
                    return Err(bad(format!("`{path}` is {what}, which no snapshot holds")));
                }
            };
            if kind != Type::File && size != 0 {
                return Err(bad("a link or folder has content"));
            }
            let (runs, size_bytes) = if block[156] == b'S' {
                self.sparse(&block, size)?
            } else {
                (vec![(0, size)], size)
            };
            self.begin_data(size);
            return Ok(Some(Member {
                path: long_path.unwrap_or_else(|| header.path_bytes().into_owned()),
                kind,
                runs,
                size_bytes,
            }));
        }
    }

    /// Returns a reader of what is left of the present member.
    pub fn data(&mut self) -> Data<'_, R> {
        Data(self)
    }

    /// Reads the map of a file with holes (the old GNU form), which may go on in further blocks.
    fn sparse(&mut self, block: &[u8; BLOCK], stored: u64) -> io::Result<(Vec<(u64, u64)>, u64)> {
        let mut runs = Vec::new();
        let (mut at, mut total) = (0, 0_u64);
        let mut add = |field: &[u8]| -> io::Result<bool> {
            let (offset, length) = (number(&field[..12])?, number(&field[12..24])?);
            let Some(offset) = offset else {
                return Ok(false);
            };
            let length = length.unwrap_or(0);
            let end = offset.checked_add(length);
            total = total.saturating_add(length);
            if offset < at || end.is_none() || total > stored || runs.len() >= MOST_RUNS {
                return Err(bad("the map of a file with holes is wrong"));
            }
            at = end.unwrap_or(at);
            runs.push((offset, length));
            Ok(true)
        };
        let mut go_on = block[482] == 1;
        for field in block[386..482].chunks(24) {
            if !add(field)? {
                break;
            }
        }
        while go_on {
            let mut block = [0; BLOCK];
            self.inner.read_exact(&mut block)?;
            go_on = block[504] == 1;
            for field in block[..504].chunks(24) {
                if !add(field)? {
                    break;
                }
            }
        }
        let size = number(&block[483..495])?.unwrap_or(0);
        if at > size || total != stored {
            return Err(bad("the map of a file with holes is wrong"));
        }
        Ok((runs, size))
    }

    fn begin_data(&mut self, size: u64) {
        self.left = size;
        self.padding = size.next_multiple_of(BLOCK as u64).wrapping_sub(size) % BLOCK as u64;
    }

    fn skip_rest(&mut self) -> io::Result<()> {
        let skip = self.left + self.padding;
        (self.left, self.padding) = (0, 0);
        let skipped = io::copy(&mut (&mut self.inner).take(skip), &mut io::sink())?;
        if skipped == skip {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }

    fn block(&mut self) -> io::Result<[u8; BLOCK]> {
        let mut block = [0; BLOCK];
        self.inner.read_exact(&mut block)?;
        Ok(block)
    }
}

/// What is left of a member's data.
pub(super) struct Data<'r, R>(&'r mut TarReader<R>);

impl<R: Read> Read for Data<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.0.left).unwrap_or(usize::MAX);
        let most = most.min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let got = self.0.inner.read(&mut buffer[..most])?;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.0.left -= got as u64;
        Ok(got)
    }
}

/// Reads a header whose checksum fits.
fn header(block: &[u8; BLOCK]) -> io::Result<Header> {
    let mut header = Header::new_old();
    header.as_mut_bytes().copy_from_slice(block);
    let field = 148..156;
    let sum: u32 = block
        .iter()
        .enumerate()
        .map(|(i, b)| u32::from(if field.contains(&i) { b' ' } else { *b }))
        .sum();
    if header.cksum().ok() == Some(sum) {
        Ok(header)
    } else {
        Err(bad("a header's checksum is wrong"))
    }
}

/// Reads a number of a sparse map: octal, or binary for what octal has no room for; `None` if the field is empty.
fn number(field: &[u8]) -> io::Result<Option<u64>> {
    let wrong = || bad("a number in the map of a file with holes is wrong");
    if field[0] == 0 {
        return Ok(None);
    }
    if field[0] == 0x80 {
        let (high, low) = field.split_at(4);
        if high[1..] != [0, 0, 0] {
            return Err(wrong());
        }
        return Ok(Some(u64::from_be_bytes(
            low.try_into().map_err(|_| wrong())?,
        )));
    }
    let text = std::str::from_utf8(field).map_err(|_| wrong())?;
    let text = text.trim_matches([' ', '\0']);
    u64::from_str_radix(text, 8).map(Some).map_err(|_| wrong())
}
