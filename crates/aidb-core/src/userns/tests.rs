use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::process::Output;

use aidb_testkit::{is_root, left_out};

use super::*;

/// The roles below run in processes of their own: the first as an ordinary user, the second inside.
const ROLE: &str = "AIDB_TEST_USERNS";

const UID: u32 = 4711;
const FIRST_SUB: u32 = 700_000;

/// Runs the test `name` of this program as an ordinary user who has (or has not) a range of sub-ids. The lists of
/// users and ranges are this test's own: a private mount lays them over the system's.
fn as_ordinary_user(ranges: &str, role: &str, folder: &Path) -> Option<Output> {
    if !is_root()
        || !["unshare", "newuidmap", "setpriv"]
            .iter()
            .all(|p| on_path(p))
    {
        left_out(
            "the user namespace of rootless containers",
            "needs root, and `unshare`, `newuidmap`, `setpriv`",
        );
        return None;
    }
    // A builder's own temporary folder is closed to everybody else.
    if !is_open_to_others(folder.parent().unwrap()) {
        left_out(
            "the user namespace of rootless containers",
            "needs a temporary folder that other users can reach",
        );
        return None;
    }
    std::fs::write(
        folder.join("passwd"),
        format!("root:x:0:0::/root:/bin/sh\ncarol:x:{UID}:{UID}::/:/bin/sh\n"),
    )
    .unwrap();
    std::fs::write(folder.join("ranges"), ranges).unwrap();
    let copy = folder.join("program");
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    let script = "set -e; mount --bind \"$1/passwd\" /etc/passwd
        for f in subuid subgid; do [ -e /etc/$f ] || : > /etc/$f; mount --bind \"$1/ranges\" /etc/$f; done
        exec setpriv --reuid 4711 --regid 4711 --clear-groups \"$1/program\" --exact userns::tests::role --nocapture";
    let output = Command::new("unshare")
        .args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            script,
            "sh",
        ])
        .arg(folder)
        .env(ROLE, role)
        .env("AIDB_TEST_FOLDER", folder)
        .env("HOME", folder)
        .output()
        .unwrap();
    Some(output)
}

fn is_open_to_others(folder: &Path) -> bool {
    folder.ancestors().all(|above| {
        std::fs::metadata(above).is_ok_and(|found| found.permissions().mode() & 0o001 != 0)
    })
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|f| f.join(program).is_file())
}

/// What the other processes do; as an ordinary test it has nothing to do.
#[test]
#[expect(clippy::exit, reason = "the status of the process is what is tested")]
fn role() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let folder = PathBuf::from(std::env::var_os("AIDB_TEST_FOLDER").unwrap());
    let secret = folder.join("secret");
    if is_inside() {
        assert_eq!(std::fs::read_to_string(&secret).unwrap(), "of user 999");
        let stat = std::fs::metadata(&secret).unwrap();
        let ids = IdMap::of_this_process();
        assert_eq!(ids.to_container(stat.uid(), stat.gid()), (999, 999));
        std::fs::write(folder.join("open/made-inside"), "x").unwrap();
        std::process::exit(i32::from(exit_status(1)));
    }
    let environment = Environment::from_process().unwrap();
    let namespace = UserNamespace::find(&Programs::default(), &environment);
    if role == "without a range" {
        println!("{}", namespace.unwrap_err());
        return;
    }
    let namespace = namespace.unwrap();
    assert!(std::fs::read(&secret).is_err());
    let stat = std::fs::metadata(&secret).unwrap();
    let ids = IdMap::of_this_process();
    assert_eq!(ids.to_container(stat.uid(), stat.gid()), (999, 999));
    assert_eq!(namespace.run_again().unwrap(), 1);
    let made = std::fs::metadata(folder.join("open/made-inside")).unwrap();
    assert_eq!((made.uid(), made.gid()), (UID, UID));
    // What fails before the program runs is never taken for its answer.
    let absent = namespace.run(Path::new("/no/such/program"), std::iter::empty());
    assert!(matches!(absent, Err(Error::CouldNot { .. })), "{absent:?}");
}

#[test]
fn a_file_of_a_sub_uid_is_read_inside_and_what_is_made_there_is_the_users() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "of user 999").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::create_dir(folder.path().join("open")).unwrap();
    if is_root() {
        chown(&secret, Some(FIRST_SUB + 998), Some(FIRST_SUB + 998)).unwrap();
        chown(folder.path().join("open"), Some(UID), Some(UID)).unwrap();
    }
    let ranges = format!("carol:{FIRST_SUB}:65536\n");
    let Some(output) = as_ordinary_user(&ranges, "with a range", folder.path()) else {
        return;
    };
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}\n{told}");
    assert!(folder.path().join("open/made-inside").exists());
}

#[test]
fn a_user_without_sub_ids_is_told_so_and_what_helps() {
    let folder = tempfile::tempdir().unwrap();
    let Some(output) = as_ordinary_user("bob:1:2\n", "without a range", folder.path()) else {
        return;
    };
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}\n{told}");
    assert!(told.contains("has no range for the user `carol`"), "{told}");
}

#[test]
fn a_program_that_is_missing_is_named() {
    let programs = Programs {
        unshare: Some("/no/such/unshare".into()),
        ..Programs::default()
    };
    let environment = Environment::of_home(Path::new("/home/alice"));
    let error = UserNamespace::find(&programs, &environment).unwrap_err();
    insta::assert_snapshot!(error, @"the container's user namespace cannot be entered: no program `unshare` at `/no/such/unshare`");
}
