//! A database's files as they lie on disk, as one observation.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::capture::copy::read_up_to;
use crate::capture::pin::sidecar;
use crate::look::observation::{Database, Form};

/// Reads a private copy and its companions.
pub fn read(path: &Path) -> io::Result<Database> {
    let main = File::open(path)?;
    let size = main.metadata()?.len();
    let mut found = Database {
        size_bytes: size,
        ..Database::default()
    };
    for suffix in ["-wal", "-journal"] {
        if let Ok(metadata) = std::fs::metadata(sidecar(path, suffix)) {
            found.size_bytes += metadata.len();
        }
    }
    if size == 0 {
        found.tables = Some(Vec::new());
        return Ok(found);
    }
    let mut header = [0; 100];
    let got = read_up_to(&main, &mut header, 0)?;
    if got < 100 || &header[..16] != b"SQLite format 3\0" {
        found.form = Form::Other("no database".to_owned());
        return Ok(found);
    }
    found.form = Form::Database;
    found.is_wal = header[18] == 2;
    found.change_counter = u32::from_be_bytes([header[24], header[25], header[26], header[27]]);
    Ok(found)
}
