//! The rooms of this crate stand on floors (`src/lib.rs`): one that knew a room above it could not be understood, tested or
//! changed without it.

#![expect(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Returns the floor of each room, counted from the ground: in `lib.rs` an empty line ends a floor.
fn floors(lib: &str) -> HashMap<&str, usize> {
    let mut floors = HashMap::new();
    let mut floor = 0;
    for line in lib.lines() {
        let room = line
            .split_once("mod ")
            .and_then(|(_, rest)| rest.strip_suffix(';'));
        match room {
            Some(room) => {
                floors.insert(room, floor);
            }
            None if line.is_empty() => floor += 1,
            None => {}
        }
    }
    floors
}

/// Returns the source files below a folder that are no tests.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let is_test = name == "tests" || name.ends_with("_tests") || name == "cases";
        if is_test {
        } else if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files
}

/// Returns the rooms that a piece of code names: `crate::ROOM…`, and each of `crate::{ROOM…, ROOM…}`.
fn rooms_in(code: &str) -> Vec<&str> {
    let mut rooms = Vec::new();
    for after in code.split("crate::").skip(1) {
        let list = after
            .strip_prefix('{')
            .map_or(after, |rest| rest.split('}').next().unwrap());
        let is_list = after.starts_with('{');
        for item in list.split(',').take(if is_list { usize::MAX } else { 1 }) {
            let end = item
                .trim()
                .find(|c: char| c != '_' && !c.is_ascii_alphanumeric());
            let item = item.trim();
            rooms.push(&item[..end.unwrap_or(item.len())]);
        }
    }
    rooms
}

#[test]
fn a_room_knows_only_rooms_of_lower_floors() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let lib = std::fs::read_to_string(source.join("lib.rs")).unwrap();
    let floors = floors(&lib);
    assert!(floors.len() > 40, "{floors:?}");
    let mut upwards = Vec::new();
    let mut known = 0;
    for file in sources(&source) {
        let inside = file.strip_prefix(&source).unwrap();
        let first = inside
            .components()
            .next()
            .unwrap()
            .as_os_str()
            .to_str()
            .unwrap();
        let room = first.trim_end_matches(".rs");
        let Some(floor) = floors.get(room) else {
            assert_eq!(room, "lib");
            continue;
        };
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        for other in rooms_in(code).into_iter().filter(|other| *other != room) {
            // Others are names that the crate's root hands on, such as `Error`.
            let Some(of_other) = floors.get(other) else {
                continue;
            };
            known += 1;
            if of_other >= floor {
                upwards.push(format!("{} knows `{other}`", inside.display()));
            }
        }
    }
    assert!(known > 300, "only {known} uses were found");
    assert!(upwards.is_empty(), "{upwards:#?}");
}
