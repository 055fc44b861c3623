//! Archives of real trees: round trips, and everything that an archive from elsewhere may try.

use std::collections::BTreeMap;
use std::os::unix::fs::{FileExt as _, PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::format::SUFFIX;
use super::tar_reader::{TarReader, Type};
use super::*;
use crate::progress::Silent;
use crate::vault::Snapshot;
use crate::vault::restore::tests::bench::{Bench, bench, set_time, show};
use crate::vault::restore::tests::fill_with_everything;

const WAIT: Duration = Duration::from_secs(5);

/// Takes a snapshot of the bench's data and proves it.
fn proven(bench: &Bench, sequence: u64) -> Snapshot {
    bench.take(sequence);
    bench.prove(sequence)
}

fn archived(bench: &Bench) -> Archive {
    match make(&bench.vault, "open-webui", 2, WAIT, &Silent).unwrap() {
        Made::New { archive, .. } => archive,
        other => panic!("{other:?}"),
    }
}

/// Removes the data and every plain snapshot, and brings the data back from an archive.
fn from_archive_alone(bench: &Bench, archive: &Archive) {
    let data = bench.data();
    crate::folder::remove_tree(data).unwrap();
    std::fs::create_dir(data).unwrap();
    for snapshot in bench.vault.snapshots("open-webui").unwrap() {
        crate::folder::remove_tree(&snapshot.path).unwrap();
    }
    let (staging, snapshot) = archive.unpack(&bench.vault, &|_| true, &Silent).unwrap();
    bench.restore(&snapshot, &[]).unwrap();
    drop(staging);
}

#[test]
fn a_tree_with_everything_comes_back_from_an_archive_alone() {
    let bench = bench();
    fill_with_everything(bench.data());
    let good = show(bench.data());
    let _ = proven(&bench, 1);
    let archive = archived(&bench);
    assert!(archive.verify(&Silent).unwrap().differing.is_empty());
    let head = archive.head().unwrap();
    assert_eq!((head.summary.sequence, head.summary.files), (1, 5));
    from_archive_alone(&bench, &archive);
    assert_eq!(show(bench.data()), good);
    let staging = std::fs::read_dir(bench.vault.staging_folder()).unwrap();
    assert_eq!(staging.count(), 1, "beside the lock nothing is left");
}

#[test]
fn one_path_of_an_archive_is_written_without_the_rest() {
    let bench = bench();
    fill_with_everything(bench.data());
    let _ = proven(&bench, 1);
    let archive = archived(&bench);
    let only = Path::new("read-only/file");
    let (_staging, snapshot) = archive
        .unpack(&bench.vault, &|path| path == only, &Silent)
        .unwrap();
    let written = show(&snapshot.data());
    let files: Vec<_> = written
        .keys()
        .filter(|p| snapshot.data().join(p).is_file())
        .collect();
    assert_eq!(files, [only]);
}

#[test]
fn what_is_archived_is_not_archived_again_and_the_oldest_goes_when_a_newer_one_was_read_back() {
    let bench = bench();
    for sequence in 1..=3 {
        bench.put("note", &sequence.to_string());
        let _ = proven(&bench, sequence);
        let archive = archived(&bench);
        let again = make(&bench.vault, "open-webui", 2, WAIT, &Silent).unwrap();
        assert!(matches!(again, Made::Current(same) if same == archive));
    }
    let sequences = |bench: &Bench| -> Vec<u64> {
        let archives = bench.vault.archives("open-webui").unwrap();
        archives.iter().map(|a| a.name.sequence).collect()
    };
    assert_eq!(sequences(&bench), [2, 3]);
    // A damaged one is made anew, and never pushes a sound one out.
    let newest = bench.vault.archives("open-webui").unwrap().remove(1);
    newest.disprove("a bad sector").unwrap();
    assert!(bench.vault.archives("open-webui").unwrap()[1].damaged);
    assert!(!archived(&bench).damaged);
    assert_eq!(sequences(&bench), [2, 3]);
    let names = std::fs::read_dir(bench.vault.archive_folder("open-webui")).unwrap();
    assert_eq!(names.count(), 5, "a lock, two archives, two hashes");
}

#[test]
fn a_snapshot_that_has_rotted_is_not_archived_and_nothing_is_left_behind() {
    let bench = bench();
    bench.put("note", "right");
    let snapshot = proven(&bench, 1);
    let file = snapshot.data().join("note");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::write(&file, "wrong").unwrap();
    let told = make(&bench.vault, "open-webui", 2, WAIT, &Silent).unwrap_err();
    assert!(told.to_string().contains("`note`"), "{told}");
    let folder = bench.vault.archive_folder("open-webui");
    let names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names, [".lock"]);
}

#[test]
fn a_snapshot_that_is_being_archived_is_not_pruned() {
    use crate::lock::{Lock, Mode};
    use crate::vault::retention::SeenAgain;
    let bench = bench();
    for sequence in 1..=3 {
        bench.put("note", &sequence.to_string());
        let _ = proven(&bench, sequence);
    }
    let keep = crate::settings::Keep {
        last: 1,
        daily: 0,
        weekly: 0,
        monthly: 0,
        archives: 1,
    };
    let oldest = bench.vault.snapshots("open-webui").unwrap().remove(0);
    let reading = Lock::snapshot(&oldest.path, Mode::Shared).unwrap();
    let prune = || {
        crate::vault::prune::remove(
            &bench.vault,
            "open-webui",
            &keep,
            &SeenAgain::default(),
            WAIT,
        )
        .unwrap()
    };
    assert_eq!(prune().len(), 1);
    assert!(oldest.path.exists());
    drop(reading);
    assert_eq!(prune(), [oldest.name]);
}

#[test]
fn a_newer_snapshot_of_the_same_number_does_not_take_the_place_of_one_that_is_there() {
    let bench = bench();
    bench.put("note", "theirs");
    let snapshot = proven(&bench, 1);
    let file = bench.folder.path().join("theirs.tar.xz");
    export(&snapshot, &file, &Silent).unwrap();
    crate::folder::remove_tree(&snapshot.path).unwrap();
    bench.put("note", "ours");
    let ours = proven(&bench, 1);
    let Imported::New(theirs) = import(
        &bench.vault,
        &file,
        &|_| Some(bench.guard.clone()),
        WAIT,
        &Silent,
    )
    .unwrap() else {
        panic!("it is another one");
    };
    assert_eq!(theirs.name.sequence, 2);
    assert!(!theirs.is_proven() && theirs.summary.imported);
    let note = |s: &Snapshot| std::fs::read_to_string(s.data().join("note")).unwrap();
    assert_eq!(
        (note(&ours), note(&theirs)),
        ("ours".into(), "theirs".into())
    );
    let told = export(&ours, &file, &Silent).unwrap_err();
    assert!(told.to_string().contains("exists already"), "{told}");
}

/// One thing in a random tree.
#[derive(Debug, Clone)]
struct Thing {
    kind: u8,
    name: Vec<u8>,
    size: usize,
    holes: bool,
    mode: u32,
    mtime_ns: i64,
}

fn thing() -> impl Strategy<Value = Thing> {
    let name = prop::collection::vec(1_u8..=255, 1..40).prop_filter("a name", |name| {
        !name.contains(&b'/') && name != b"." && name != b".." && !name.starts_with(b".aidb-")
    });
    let mtime = -2_000_000_000_000_000_000_i64..4_000_000_000_000_000_000;
    (
        0_u8..5,
        name,
        0_usize..300_000,
        any::<bool>(),
        0_u32..0o1000,
        mtime,
    )
        .prop_map(|(kind, name, size, holes, mode, mtime_ns)| Thing {
            kind,
            name,
            size,
            holes,
            mode,
            mtime_ns,
        })
}

/// Lays the things out, each in one of the folders that came before it.
fn lay_out(data: &Path, things: &[Thing]) {
    use std::os::unix::ffi::OsStrExt as _;
    let mut folders = vec![data.to_owned()];
    let mut files: Vec<std::path::PathBuf> = Vec::new();
    for (index, thing) in things.iter().enumerate() {
        let parent = folders[thing.size % folders.len()].clone();
        let path = parent.join(std::ffi::OsStr::from_bytes(&thing.name));
        if path.symlink_metadata().is_ok() || path.as_os_str().len() > 3000 {
            continue;
        }
        match thing.kind {
            0 => {
                std::fs::create_dir(&path).unwrap();
                folders.push(path);
                continue;
            }
            1 => {
                symlink(std::ffi::OsStr::from_bytes(&thing.name), &path).unwrap();
                set_time(&path, thing.mtime_ns);
                continue;
            }
            2 if !files.is_empty() => {
                std::fs::hard_link(&files[thing.size % files.len()], &path).unwrap();
                continue;
            }
            _ => {}
        }
        let file = std::fs::File::create(&path).unwrap();
        let noise: Vec<u8> = (0..thing.size)
            .map(|i| u8::try_from(i * (index + 7) / 13 % 256).unwrap())
            .collect();
        file.write_all_at(&noise, 0).unwrap();
        if thing.holes {
            file.write_all_at(b"x", 3 << 20).unwrap();
            file.set_len(5 << 20).unwrap();
        }
        // A file that its owner may not read would be a gap to anybody but root.
        std::fs::set_permissions(&path, PermissionsExt::from_mode(thing.mode | 0o400)).unwrap();
        set_time(&path, thing.mtime_ns);
        files.push(path);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Names of any bytes, modes, times before 1970, holes, links and empty folders.
    #[test]
    fn any_tree_comes_back_from_an_archive_alone(things in prop::collection::vec(thing(), 0..25)) {
        let bench = bench();
        lay_out(bench.data(), &things);
        let good = show(bench.data());
        let _ = proven(&bench, 1);
        let archive = archived(&bench);
        from_archive_alone(&bench, &archive);
        prop_assert_eq!(show(bench.data()), good);
    }

    /// Whatever the bytes are, reading ends, and is an answer.
    #[test]
    fn any_bytes_are_read_as_tar_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        let mut reader = TarReader::new(bytes.as_slice());
        while let Ok(Some(member)) = reader.next() {
            prop_assert!(member.runs.len() < 5000);
        }
    }

    /// Every map of holes that is written is read as the same, beyond what octal has room for too.
    #[test]
    fn a_map_of_holes_survives(gaps in prop::collection::vec((0_u64..1 << 40, 1_u64..2000), 0..60), end in 0_u64..1 << 50) {
        let mut runs = Vec::new();
        let mut at = 0;
        for (gap, length) in gaps {
            runs.push((at + gap, length));
            at += gap + length;
        }
        let length = at + end;
        if end > 0 {
            runs.push((length, 0));
        }
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        let map = super::pack::set_sparse(&mut header, &runs, length);
        header.set_path("some/file").unwrap();
        header.set_cksum();
        let stored: u64 = runs.iter().map(|r| r.1).sum();
        let mut bytes = [header.as_bytes().as_slice(), &map].concat();
        bytes.resize(bytes.len() + usize::try_from(stored.next_multiple_of(512)).unwrap() + 1024, 0);
        let member = TarReader::new(bytes.as_slice()).next().unwrap().unwrap();
        prop_assert_eq!(member.kind, Type::File);
        prop_assert_eq!(member.size_bytes, length);
        if stored < length {
            prop_assert_eq!(member.runs, runs);
        }
    }
}

#[test]
fn the_file_beside_it_is_what_b3sum_reads() {
    let bench = bench();
    bench.put("note", "n");
    let _ = proven(&bench, 1);
    let archive = archived(&bench);
    let line = std::fs::read_to_string(beside(&archive.path, format::HASH)).unwrap();
    let hash = blake3::hash(&std::fs::read(&archive.path).unwrap()).to_hex();
    assert_eq!(line, format!("{hash}  {}{SUFFIX}\n", archive.name));
    // Another file under the same name is noticed though it is sound in itself.
    std::fs::write(beside(&archive.path, format::HASH), "00  x\n").unwrap();
    let told = archive.verify(&Silent).unwrap_err();
    assert!(told.to_string().contains("the hash beside it"), "{told}");
}

#[test]
fn tar_itself_reads_it_holes_and_all() {
    let bench = bench();
    fill_with_everything(bench.data());
    let _ = proven(&bench, 1);
    let archive = archived(&bench);
    let out = bench.folder.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let tar = std::process::Command::new("tar")
        .arg("-xJf")
        .arg(&archive.path)
        .arg("-C")
        .arg(&out)
        .output();
    let Ok(tar) = tar else {
        eprintln!("SKIPPED: `tar` is not installed");
        return;
    };
    assert!(
        tar.status.success(),
        "{}",
        String::from_utf8_lossy(&tar.stderr)
    );
    let data = out.join(archive.name.to_string()).join("data");
    let contents = |folder: &Path| -> BTreeMap<_, _> {
        let files = show(folder)
            .into_keys()
            .filter(|p| folder.join(p).is_file() && !folder.join(p).is_symlink());
        files
            .map(|p| (p.clone(), std::fs::read(folder.join(p)).unwrap()))
            .collect()
    };
    assert_eq!(contents(&data), contents(bench.data()));
}
