//! Podman as a script that says what the real one said, or does not.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;

/// A container as Podman 5.4 described it, less what is not read.
const CONTAINER: &str = r#"[{
  "Id": "7b9b6eb98094e47575d3a0c9ea7b2ec3f3b966af0561d25c5c6f80cea24d212e", "Name": "c1",
  "Image": "487339c269cd8bc4bad8f1003c8e47fc3b62fc66c2fbec2e23d7584f1e437249",
  "ImageDigest": "sha256:10438d42aaab301dc6fc18d12e520406e96915fb61d86b8365505c0713e3aedb",
  "ImageName": "localhost/box:latest", "Driver": "overlay",
  "State": { "Running": true, "Paused": false, "Pid": 207, "StartedAt": "2026-11-25T14:53:53.625200833Z",
    "CgroupPath": "/user.slice/user-1000.slice/user@1000.service/app.slice/c1.service/libpod-payload-7b9b" },
  "GraphDriver": { "Name": "overlay", "Data": { "UpperDir": "/home/alice/.local/share/containers/storage/overlay/f53c/diff" } },
  "Mounts": [ { "Type": "bind", "Source": "/home/alice/d1", "Destination": "/data", "RW": true },
    { "Type": "volume", "Name": "nv", "Source": "/v/nv/_data", "Destination": "/data/cache", "RW": false } ],
  "Config": { "Labels": { "PODMAN_SYSTEMD_UNIT": "c1.service" } }, "HostConfig": { "AutoRemove": true } }]"#;

struct Place {
    folder: tempfile::TempDir,
    podman: Podman,
}

/// Returns a Podman that is a shell script.
fn podman(script: &str) -> Place {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("podman");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let mut environment = Environment::of_home(folder.path());
    environment.runtime = Some(folder.path().join("run"));
    let mut storage = Storage::of(&environment);
    storage.root = folder.path().join("storage");
    let podman = Podman {
        program,
        deadline: Duration::from_secs(60),
        storage,
    };
    Place { folder, podman }
}

fn answering(text: &str) -> Place {
    podman(&format!("cat <<'EOF'\n{text}\nEOF"))
}

#[test]
fn a_container_is_told_as_podman_tells_it() {
    let container = answering(CONTAINER)
        .podman
        .container("c1")
        .unwrap()
        .unwrap();
    assert_eq!(container.pid, Some(207));
    assert!(container.running && !container.paused && container.is_removed_at_end);
    assert!(
        container
            .upper
            .as_ref()
            .unwrap()
            .ends_with("overlay/f53c/diff")
    );
    assert!(
        container
            .cgroup
            .as_ref()
            .unwrap()
            .ends_with("libpod-payload-7b9b")
    );
    assert_eq!(container.labels["PODMAN_SYSTEMD_UNIT"], "c1.service");
    let through = |path: &str| container.mount_of(Path::new(path)).map(|m| m.kind);
    assert_eq!(through("/data/webui.db"), Some(Mounted::Bind));
    assert_eq!(through("/data/cache/x"), Some(Mounted::Volume));
    assert_eq!(through("/database"), None);
}

#[test]
fn the_start_of_an_id_is_no_name() {
    let place = answering(CONTAINER);
    assert_eq!(place.podman.container("7b9b6eb98094").unwrap(), None);
}

#[test]
fn a_container_that_does_not_exist_is_no_error() {
    let place = podman(
        r#"[ "$2" = exists ] && exit 1; echo '[]'; echo 'Error: no such container' >&2; exit 125"#,
    );
    assert_eq!(place.podman.container("c1").unwrap(), None);
    assert_eq!(place.podman.image("sha256:0").unwrap(), None);
}

#[test]
fn that_podman_cannot_say_is_never_that_there_is_none() {
    let said = |place: &Place| {
        let folder = place.folder.path().to_string_lossy().into_owned();
        let error = place.podman.container("c1").unwrap_err();
        assert!(matches!(error, Error::CouldNot { .. }), "{error:?}");
        error.to_string().replace(&folder, "")
    };
    insta::assert_snapshot!(said(&podman("echo 'Error: database is locked' >&2; exit 125")), @"`podman container inspect c1` ended with status 125: Error: database is locked");
    insta::assert_snapshot!(said(&answering("")), @"`/podman container inspect` gives an answer that cannot be understood: EOF while parsing a value at line 2 column 0");
    insta::assert_snapshot!(said(&answering("[]")), @"`/podman container inspect` gives an answer that cannot be understood: invalid length 0, expected an array of length 1 at line 1 column 2");
    insta::assert_snapshot!(said(&answering(r#"[{"Id": 7}]"#)), @"`/podman container inspect` gives an answer that cannot be understood: invalid type: integer `7`, expected a string at line 1 column 9");
    insta::assert_snapshot!(said(&podman("head -c 20000000 /dev/zero")), @"`podman container inspect c1` answers more than 16777216 bytes");
    let mut slow = podman("sleep 1000");
    slow.podman.deadline = Duration::from_millis(100);
    insta::assert_snapshot!(said(&slow), @"`podman container inspect c1` did not end within 100 ms and was stopped");
    let mut absent = podman("");
    absent.podman.program = "/nowhere/podman".into();
    insta::assert_snapshot!(said(&absent), @"`podman container inspect c1` cannot be run: No such file or directory (os error 2)");
}

#[test]
fn a_diff_names_what_changed() {
    let place = answering(r#"{"changed": ["/etc"], "added": ["/var/lib/app/z"]}"#);
    let diff = place.podman.diff("c1").unwrap();
    assert_eq!(diff.added, [Path::new("/var/lib/app/z")]);
    assert_eq!(diff.deleted, [] as [PathBuf; 0]);
}

/// A power cut leaves the layer; the first call of Podman would remove it before anybody has read it.
#[test]
fn the_first_call_of_a_boot_waits_until_the_layers_were_read() {
    let place = answering(CONTAINER);
    let lists = place.podman.storage.root.join("overlay-containers");
    std::fs::create_dir_all(&lists).unwrap();
    let listed = r#"[{"id": "34e1", "names": ["c1"], "image": "4873", "layer": "f53c", "created": "2026-11-25T14:53:53Z"}]"#;
    std::fs::write(lists.join("volatile-containers.json"), listed).unwrap();
    let error = place.podman.container("c1").unwrap_err();
    insta::assert_snapshot!(error, @"Podman was not called since this boot, and its first call removes what a container left: `c1`");
    let left = place.podman.storage.left_by_earlier_boot().unwrap();
    assert_eq!(left[0].name, "c1");
    assert_eq!(
        left[0].upper,
        place.podman.storage.root.join("overlay/f53c/diff")
    );
    place.podman.storage.note_layers_read().unwrap();
    assert!(place.podman.container("c1").unwrap().is_some());
}

#[test]
fn after_podman_was_called_nothing_is_of_an_earlier_boot() {
    let place = answering(CONTAINER);
    let alive = place.folder.path().join("run/libpod/tmp");
    std::fs::create_dir_all(&alive).unwrap();
    std::fs::write(alive.join("alive"), "").unwrap();
    let lists = place.podman.storage.root.join("overlay-containers");
    std::fs::create_dir_all(&lists).unwrap();
    let listed = r#"[{"id": "34e1", "names": ["c1"], "layer": "f53c"}]"#;
    std::fs::write(lists.join("volatile-containers.json"), listed).unwrap();
    assert_eq!(place.podman.storage.left_by_earlier_boot().unwrap(), []);
    assert!(place.podman.container("c1").unwrap().is_some());
    assert_eq!(
        place.podman.storage.container("c1").unwrap().unwrap().id,
        "34e1"
    );
}

#[test]
fn the_storage_is_where_the_settings_say() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let mut environment = Environment::of_home(home);
    let conf = home.join(".config/containers");
    std::fs::create_dir_all(&conf).unwrap();
    std::fs::write(
        conf.join("storage.conf"),
        "[storage]\ngraphroot = \"$HOME/disk\"\ndriver = \"btrfs\"\n",
    )
    .unwrap();
    let storage = Storage::of(&environment);
    assert_eq!(storage.root, home.join("disk"));
    insta::assert_snapshot!(storage.containers().unwrap_err(), @"Podman's storage driver is `btrfs`; what containers write is found with `overlay` only");
    std::fs::write(
        home.join("other.conf"),
        "[storage]\ngraphroot = \"/srv/pods\"\n",
    )
    .unwrap();
    environment.storage_settings = Some(home.join("other.conf"));
    let storage = Storage::of(&environment);
    assert_eq!(storage.root, Path::new("/srv/pods"));
    assert_eq!(storage.driver, "overlay");
}
