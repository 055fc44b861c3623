//! The entries of the fuzz targets, on a few thousand changed seeds, the same in every run. The reader's own
//! properties stand in look/sqlite/tests/hostile.rs; here the entries themselves are kept working.

#[path = "../../../fuzz/entries.rs"]
mod entries;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// How many changed seeds each entry gets, and where the numbers begin: `AIDB_FUZZ_ROUNDS` and `AIDB_FUZZ_SEED` make a long
/// run of another course.
const ROUNDS: usize = 2000;
const BEGIN: u64 = 0x005e_ed0f_a1db;

fn asked<T: std::str::FromStr>(name: &str, otherwise: T) -> T {
    let text = std::env::var(name).ok();
    text.and_then(|t| t.parse().ok()).unwrap_or(otherwise)
}

/// A small generator of numbers (xorshift64): the same numbers in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (end.max(1) as u64)).unwrap_or(0)
    }
}

/// Changes, cuts, doubles or removes a few bytes.
fn changed(seed: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    const TELLING: &[u8] = b"\x00\x01\x05\x0d\x7f\xff\"{}%\\:=";
    let mut bytes = seed.to_vec();
    for _ in 0..=numbers.below(8) {
        let at = numbers.below(bytes.len());
        let end = (at + numbers.below(40)).min(bytes.len());
        match numbers.below(12) {
            0 => bytes.truncate(at),
            1 => {
                let part = bytes[at..end].to_vec();
                let to = numbers.below(bytes.len());
                bytes.splice(to..to, part);
            }
            2 => drop(bytes.drain(at..end)),
            kind => {
                let value = if kind < 8 {
                    TELLING[numbers.below(TELLING.len())]
                } else {
                    numbers.below(256).to_le_bytes()[0]
                };
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
        }
    }
    bytes
}

fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// Returns what is kept of what a fuzzer found; there may be nothing yet.
fn found(target: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(fuzz_folder().join("corpus").join(target));
    let files = files.into_iter().flatten();
    files
        .map(|f| f.expect("a file of the corpus").path())
        .collect()
}

#[test]
fn every_entry_answers_whatever_the_bytes() {
    let (rounds, begin) = (
        asked("AIDB_FUZZ_ROUNDS", ROUNDS),
        asked("AIDB_FUZZ_SEED", BEGIN),
    );
    for target in entries::targets() {
        let (name, entry, seeds) = (target.name, target.entry, target.seeds);
        let mut numbers = Numbers(begin);
        for seed in &seeds {
            assert!(
                entry(seed),
                "{name}: a seed that is not understood reaches nothing"
            );
        }
        for path in found(name) {
            entry(&std::fs::read(path).unwrap());
        }
        for round in 0..rounds {
            entry(&changed(&seeds[round % seeds.len()], &mut numbers));
        }
    }
}

#[test]
fn every_program_that_fuzzes_is_run_here() {
    let folder = fuzz_folder().join("targets");
    let files = std::fs::read_dir(folder).unwrap();
    let programs = files.map(|f| f.unwrap().path().file_stem().unwrap().to_owned());
    let known = entries::targets().map(|target| OsString::from(target.name));
    assert_eq!(programs.collect::<BTreeSet<_>>(), BTreeSet::from(known));
}
