//! The head of a manifest: all that a list needs, read without the table of files behind it.
//!
//! A manifest of 100,000 files has 30 MB; a list of 10,000 snapshots reads the first few hundred bytes of each.

use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::error::{IoContext, Result};
use crate::manifest::Summary;

/// The keys behind the head; what stands after the first of them is not read.
const BODY: [&str; 2] = ["settings", "entries"];

/// How much is read at once, bytes: more than a head is long.
const READ_BYTES: usize = 4096;

/// Reads the head of a manifest; `None` if it is absent, cut off, or no manifest.
///
/// # Errors
/// [`crate::Error::Io`] if it cannot be read though it is there.
pub fn read_head(path: &Path) -> Result<Option<Summary>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(e) => return Err(e).doing("read", path),
    };
    if !ends_whole(&file).doing("read", path)? {
        return Ok(None);
    }
    let mut head = Map::new();
    let reader = BufReader::with_capacity(READ_BYTES, file);
    let read = serde_json::Deserializer::from_reader(reader).deserialize_map(Head(&mut head));
    match read {
        Err(e) if e.is_io() => Err(std::io::Error::from(e)).doing("read", path),
        // Leaving the map before its end is an error to the parser, and what is wanted here: what counts is what was
        // read until then.
        _ => Ok(serde_json::from_value(Value::Object(head)).ok()),
    }
}

/// Returns whether the file ends like a document. Manifests appear whole, by a rename; one that is cut off was damaged
/// since.
fn ends_whole(file: &File) -> std::io::Result<bool> {
    let length = file.metadata()?.len();
    let mut end = [0; 2];
    let at = length.saturating_sub(end.len() as u64);
    let got = file.read_at(&mut end, at)?;
    Ok(end[..got].trim_ascii_end().ends_with(b"}"))
}

/// Collects what stands before the first key of the body.
struct Head<'h>(&'h mut Map<String, Value>);

impl<'de> Visitor<'de> for Head<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a manifest")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if !BODY.contains(&key.as_str()) {
                self.0.insert(key, map.next_value()?);
            } else if self.0.contains_key("tool_version") {
                return Ok(());
            } else {
                // Somebody wrote it in another order.
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = r#""format": 1, "sequence": 7, "guard": "webui", "reason": "stop",
        "taken_at": "2026-11-23T06:03:11Z", "local_date": "2026-11-23", "local_offset": "+01:00", "invocation": null,
        "suspicious": null, "files": 2, "size_bytes": 3, "new_bytes": 0, "blocked_ms": 0, "took_ms": 1,
        "tool_version": "0.1.0""#;

    fn head_of(text: &str) -> Option<u64> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manifest.json");
        std::fs::write(&path, text).unwrap();
        read_head(&path).unwrap().map(|s| s.sequence)
    }

    #[test]
    fn the_head_is_read_whatever_comes_behind_it_and_in_whatever_order() {
        for (text, sequence) in [
            (
                format!("{{{HEAD}, \"settings\": {{}}, \"entries\": []}}\n"),
                Some(7),
            ),
            (
                format!("{{\"entries\": [], \"settings\": {{}}, {HEAD}}}"),
                Some(7),
            ),
            // The body is for whoever reads the whole of it.
            (format!("{{{HEAD}, \"entries\": ?}}"), Some(7)),
            (format!("{{{HEAD}, \"entries\": ["), None),
            (format!("{{{HEAD}"), None),
            ("{}".to_owned(), None),
            ("[]".to_owned(), None),
            ("}".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(head_of(&text), sequence, "{text}");
        }
        assert!(
            read_head(Path::new("/nowhere/manifest.json"))
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn the_files_behind_the_head_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manifest.json");
        let gap = " ".repeat(64 << 20);
        std::fs::write(&path, format!("{{{HEAD}, \"entries\": [{gap}]}}\n")).unwrap();
        let read = |path: &Path| {
            let of = std::fs::read_to_string("/proc/thread-self/io").unwrap();
            let before: u64 = of
                .lines()
                .find_map(|l| l.strip_prefix("rchar: ")?.parse().ok())
                .unwrap();
            read_head(path).unwrap().unwrap();
            let of = std::fs::read_to_string("/proc/thread-self/io").unwrap();
            let after: u64 = of
                .lines()
                .find_map(|l| l.strip_prefix("rchar: ")?.parse().ok())
                .unwrap();
            after - before
        };
        assert!(read(&path) < 64 << 10);
    }
}
