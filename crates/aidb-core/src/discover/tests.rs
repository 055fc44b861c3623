//! Unit files as people and Home Manager write them, and what becomes of them.

use super::*;
use crate::finding::FindingId;
use crate::settings::Settings;
use std::io::Write;
use std::path::Path;
use tempfile::TempDir;

/// A home folder with unit files. Its own path is under `/tmp`, so data folders are written as `/srv/…`.
pub(super) struct Home(TempDir);

impl Home {
    pub(super) fn new(files: &[(&str, &str)]) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        for (path, text) in files {
            home.write(path, text);
        }
        home
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.environment().config_home.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::File::create(path)
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
    }

    /// Volumes lie in `/data`, so that they are not under `/tmp`.
    fn environment(&self) -> Environment {
        let mut environment = Environment::of_home(self.0.path());
        environment.data_home = "/data".into();
        environment
    }

    pub(super) fn discover(&self) -> Discovery {
        discover(&self.environment())
    }
}

fn quadlet(lines: &str) -> Discovery {
    Home::new(&[(
        "containers/systemd/c.container",
        &format!("[Container]\nContainerName=c\n{lines}"),
    )])
    .discover()
}

/// Returns the data folder, or what is said in place of one.
fn outcome(lines: &str) -> String {
    let found = quadlet(lines);
    let mut said: Vec<String> = found
        .guards
        .iter()
        .map(|g| format!("{} {}", g.name, g.data.display()))
        .collect();
    said.extend(
        found
            .problems
            .iter()
            .map(|p| match p.what.split_once(", found ") {
                Some((_, found)) => format!("! {found}"),
                None => format!("! {}", p.what),
            }),
    );
    said.extend(
        found
            .not_guarded
            .iter()
            .map(|n| format!("- {:?} {}", n.folders, n.why)),
    );
    said.join("; ")
}

const WEBUI: &str = "Image=ghcr.io/open-webui/open-webui:v0.6.38\n";

#[test]
fn every_way_to_write_a_volume() {
    for (lines, expected) in [
        ("Volume=/srv/a:/app/backend/data", "c /srv/a"),
        (
            "Volume=data:/app/backend/data",
            "c /data/containers/storage/volumes/data/_data",
        ),
        ("Volume=/srv/be:/app/backend", "c /srv/be/data"),
        (
            "Mount=type=bind,source=/srv/a,target=/app/backend/data",
            "c /srv/a",
        ),
        (
            "PodmanArgs=--gpus=all -v /srv/a:/app/backend/data",
            "c /srv/a",
        ),
        (
            "Volume=/srv/a:/d\nEnvironment=\"DATA_DIR=/d\" X=y",
            "c /srv/a",
        ),
        ("Volume=/srv/a:/d\nPodmanArgs=-e DATA_DIR=/d", "c /srv/a"),
        (
            "Volume=/srv/z:/app/backend/data\nVolume=\nVolume=/srv/a:/app/backend/data",
            "c /srv/a",
        ),
        (
            "",
            "! none: it would be written to the container's own layer",
        ),
        ("Tmpfs=/app/backend/data", "! one in memory"),
        (
            "Volume=/app/backend/data",
            "! an anonymous one, which Podman deletes with the container",
        ),
        (
            "Volume=~/x:/app/backend/data",
            "! `~/x`, and nothing expands `~`",
        ),
        (
            "Volume=./x:/app/backend/data",
            "! `./x`, which is relative to the unit file",
        ),
        (
            "Volume=/srv/x/../y:/app/backend/data",
            "! `/srv/x/../y`, which has `..` in it, so it cannot be told which folder that is",
        ),
        (
            "Volume=%t/x:/app/backend/data",
            "! `%t/x`, and what `%t` stands for is not known here",
        ),
        (
            "Volume=/srv/a:/app/backend/data:O",
            "! one with `O`, whose writes vanish with the container",
        ),
        (
            "Volume=/srv/a:/app/backend/data:ro",
            "! one with `ro`, which the container cannot write",
        ),
        (
            "Volume=no.volume:/app/backend/data",
            "! `no.volume`, and there is no such unit",
        ),
        (
            "Volume=/tmp/x:/app/backend/data",
            "c /tmp/x; ! `/tmp/x`, and `/tmp` does not outlive a boot",
        ),
        (
            "Volume=/srv/a:/app/backend/data/uploads",
            "! none: it would be written to the container's own layer; - [\"/srv/a\"] preset `open-webui` has no data there",
        ),
        (
            "Volume=/srv/a:/app/backend/data\nVolume=/etc/x:/x:ro",
            "c /srv/a",
        ),
        (
            "Volume=/srv/a:/d\nEnvironment=DATA_DIR=./d",
            "! `./d`, so it cannot be told where its data is; - [\"/srv/a\"] preset `open-webui` has no data there",
        ),
    ] {
        assert_eq!(outcome(&format!("{WEBUI}{lines}\n")), expected, "{lines}");
    }
}

#[test]
fn a_guard_knows_its_unit_mount_preset_and_stores() {
    let found =
        quadlet("Image=ollama/ollama\nVolume=/srv/m:/models\nEnvironment=OLLAMA_MODELS=/models\n");
    let [guard] = found.guards.as_slice() else {
        panic!("one guard: {found:?}");
    };
    assert_eq!(guard.unit.as_deref(), Some("c.service"));
    assert_eq!(guard.mount.as_deref(), Some(Path::new("/models")));
    assert_eq!(guard.preset.as_deref(), Some("ollama"));
    assert_eq!(guard.stores[0].path, Path::new("."));
}

#[test]
fn a_database_elsewhere_is_no_store_here() {
    let found = quadlet(&format!(
        "{WEBUI}Volume=/srv/a:/app/backend/data\nEnvironment=DATABASE_URL=postgresql://db/x\n"
    ));
    let names: Vec<&str> = found.guards[0]
        .stores
        .iter()
        .map(|s| s.name.as_str())
        .collect();
    assert_eq!(names, ["uploads", "vectors"]);
}

#[test]
fn nested_mounts_are_noted() {
    let found = quadlet(&format!(
        "{WEBUI}Volume=/srv/a:/app/backend/data\nVolume=/srv/up:/app/backend/data/uploads\nTmpfs=/app/backend/data/cache\n"
    ));
    assert_eq!(
        found.guards[0].nested,
        [
            crate::guard::NestedMount {
                below: "uploads".into(),
                host: Some("/srv/up".into())
            },
            crate::guard::NestedMount {
                below: "cache".into(),
                host: None
            }
        ]
    );
    assert_eq!(found.not_guarded.len(), 1);
    assert_eq!(found.not_guarded[0].folders, [Path::new("/srv/up")]);
}

#[test]
fn quadlets_with_units_drop_ins_and_default_names() {
    let home = Home::new(&[
        (
            "containers/systemd/stack/web-ui.container",
            "[Container]\nImage=wi.image\nVolume=data.volume:/app/backend/data\nVolume=dev.volume:/dev-data\n",
        ),
        (
            "containers/systemd/stack/wi.image",
            "[Image]\nImage=ghcr.io/open-webui/open-webui:v1\n",
        ),
        ("containers/systemd/data.volume", "[Volume]\n"),
        (
            "containers/systemd/dev.volume",
            "[Volume]\nVolumeName=dev\nType=none\nOptions=bind\nDevice=/srv/dev\n",
        ),
        (
            "containers/systemd/q.container",
            "[Container]\nImage=qdrant/qdrant\nContainerName=qdrant\nServiceName=vectors\n",
        ),
        (
            "containers/systemd/q.container.d/10-volume.conf",
            "[Container]\nVolume=/srv/q:/qdrant/storage\n",
        ),
        (
            "containers/systemd/t@.container",
            "[Container]\nImage=qdrant/qdrant\n",
        ),
        ("containers/systemd/notes.txt", "not a unit"),
    ]);
    let found = home.discover();
    assert_eq!(found.problems, []);
    let shown: Vec<(&str, Option<&str>, &Path)> = found
        .guards
        .iter()
        .map(|g| (g.name.as_str(), g.unit.as_deref(), g.data.as_path()))
        .collect();
    assert_eq!(
        shown,
        [
            ("qdrant", Some("vectors.service"), Path::new("/srv/q")),
            (
                "systemd-web-ui",
                Some("web-ui.service"),
                Path::new("/data/containers/storage/volumes/systemd-data/_data")
            ),
        ]
    );
    assert_eq!(found.not_guarded[0].folders, [Path::new("/srv/dev")]);
}

#[test]
fn home_managers_finished_units_are_read_through_links() {
    let home = Home::new(&[
        (
            "store/podman-open-webui.service",
            "# generated\n[X-Container]\nContainerName=open-webui\nEnvironment=\"WEBUI_AUTH=true\"\nImage=podman-wi.image\nLabel=nix.home-manager.managed=true\nVolume=/srv/w:/app/backend/data\n\n[Service]\nExecStart=/usr/bin/podman run \\\n --name open-webui\n",
        ),
        (
            "store/podman-wi-image.service",
            "[X-Image]\nImage=ghcr.io/open-webui/open-webui:v0.6.0\n",
        ),
        (
            "store/podman-qdrant.service",
            "[X-Container]\nContainerName=qdrant\nImage=docker.io/qdrant/qdrant\nVolume=podman-data.volume:/qdrant/storage\n",
        ),
        (
            "store/podman-data-volume.service",
            "[X-Volume]\nVolumeName=data\n",
        ),
        (
            "store/podman-ollama.service",
            "[X-Container]\nContainerName=ollama\nImage=docker.io/ollama/ollama\nVolume=podman-models.volume:/root/.ollama\n",
        ),
        (
            "store/podman-auto-update.service",
            "[Service]\nExecStart=/usr/bin/podman auto-update\n",
        ),
        (
            "systemd/user/other.service",
            "[X-Container]\nContainerName=other\n",
        ),
    ]);
    let config = home.environment().config_home;
    for name in [
        "open-webui",
        "wi-image",
        "qdrant",
        "data-volume",
        "ollama",
        "auto-update",
        "gone",
    ] {
        let file = format!("podman-{name}.service");
        std::os::unix::fs::symlink(
            config.join("store").join(&file),
            config.join("systemd/user").join(&file),
        )
        .unwrap();
    }
    let found = home.discover();
    let shown: Vec<String> = found
        .guards
        .iter()
        .map(|g| {
            format!(
                "{} {} {}",
                g.name,
                g.unit.as_deref().unwrap(),
                g.data.display()
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            "ollama podman-ollama.service /data/containers/storage/volumes/models/_data",
            "open-webui podman-open-webui.service /srv/w",
            "qdrant podman-qdrant.service /data/containers/storage/volumes/data/_data",
        ]
    );
    // The link to what the store has no more is told, and the others are read.
    assert_eq!(found.problems.len(), 1);
    assert_eq!(found.problems[0].kind, DiscoverProblemKind::Unreadable);
    assert_eq!(found.problems[0].finding(), Some(FindingId::CheckCouldNot));
}

#[test]
fn odd_files_are_told_and_never_fatal() {
    let home = Home::new(&[
        (
            "containers/systemd/a.container",
            "[Container]\nnonsense\nImage=qdrant/qdrant\nVolume=/srv/q:/qdrant/storage\n",
        ),
        (
            "containers/systemd/b.container",
            "[Container]\nImage=x\nContainerName=systemd-a\n",
        ),
        (
            "containers/systemd/c.container",
            "[Container]\nImage=x\nContainerName=%i\n",
        ),
        (
            "containers/systemd/d.container",
            "[Container]\nImage=x\nVolume=a:b:c:d\n",
        ),
    ]);
    let quadlets = home.environment().config_home.join("containers/systemd");
    std::fs::create_dir(quadlets.join("folder.container")).unwrap();
    std::os::unix::fs::symlink(&quadlets, quadlets.join("circle")).unwrap();
    let mut file = std::fs::File::create(quadlets.join("e.container")).unwrap();
    file.write_all(b"\xff\xfe").unwrap();
    let found = home.discover();
    assert_eq!(found.guards.len(), 1);
    let config = home.environment().config_home.display().to_string();
    let said: Vec<String> = found
        .problems
        .iter()
        .map(|p| p.what.replace(&config, "~"))
        .collect();
    insta::assert_snapshot!(said.join("\n"), @r##"
`~/containers/systemd/a.container`, line 2: expected `KEY=VALUE` in a section, found `nonsense`
read `~/containers/systemd/e.container`: expected UTF-8, found other bytes
expected one unit for container `systemd-a`, found `~/containers/systemd/a.container` and `~/containers/systemd/b.container`
`~/containers/systemd/c.container`: expected a container name, found `%i`
container `systemd-d`: expected `SOURCE:TARGET:OPTIONS`, found `a:b:c:d`
"##);
}

#[test]
fn one_folder_has_one_guard() {
    let home = Home::new(&[
        (
            "containers/systemd/a.container",
            "[Container]\nContainerName=a\nImage=qdrant/qdrant\nVolume=/srv/q:/qdrant/storage\n",
        ),
        (
            "containers/systemd/b.container",
            "[Container]\nContainerName=b\nImage=qdrant/qdrant\nVolume=/srv/q:/qdrant/storage\n",
        ),
        (
            "containers/systemd/v.container",
            "[Container]\nContainerName=v\nImage=qdrant/qdrant\nVolume=/data:/qdrant/storage\n",
        ),
    ]);
    let found = home.discover();
    let names: Vec<&str> = found.guards.iter().map(|g| g.name.as_str()).collect();
    assert_eq!(names, ["a"]);
    assert_eq!(found.problems.len(), 2);
    assert_eq!(found.not_guarded.len(), 1);
}

#[test]
fn a_known_image_without_a_volume_does_not_fail_the_settings() {
    let home = Home::new(&[(
        "containers/systemd/w.container",
        &format!("[Container]\n{WEBUI}"),
    )]);
    let settings = Settings::load(None, &home.environment()).unwrap();
    assert_eq!(settings.guards, []);
    assert_eq!(settings.problems[0].finding(), Some(FindingId::MountAbsent));
    let text = settings.problems[0].what.clone();
    insta::assert_snapshot!(text, @"expected a volume that keeps `/app/backend/data` of container `systemd-w`, found none: it would be written to the container's own layer");
    assert_eq!(settings.vault, Path::new("/data/aidb-vault"));
}

#[test]
fn surroundings_tell_what_a_file_does_not_name() {
    let home = Home::new(&[
        (
            "aidb/stack.json",
            r#"{"schema": 1, "vault": "/v", "guards": {"a": {"data": "/srv/a"}}}"#,
        ),
        (
            "containers/systemd/a.container",
            "[Container]\nContainerName=a\nImage=x\nVolume=/srv/a:/d\n",
        ),
        (
            "containers/systemd/b.container",
            "[Container]\nContainerName=b\nImage=x\nVolume=/srv/b:/d\n",
        ),
        (
            "containers/systemd/q.container",
            "[Container]\nContainerName=q\nImage=qdrant/qdrant\nVolume=/srv/q:/qdrant/storage\n",
        ),
    ]);
    let environment = home.environment();
    let settings = Settings::load(None, &environment).unwrap();
    assert_eq!(settings.not_guarded, []);
    let settings = settings.with_surroundings(&environment);
    let names: Vec<&str> = settings
        .not_guarded
        .iter()
        .map(|n| n.container.as_str())
        .collect();
    assert_eq!(names, ["q", "b"]);
    assert_eq!(settings.guards.len(), 1);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_readers_panic(text in "[\\[\\]=\\\\%:,'\"~./@a-zé\n -]{0,60}") {
        let environment = Environment::of_home(Path::new("/home/alice"));
        let mut unit = container_unit::UnitFile::default();
        unit.read(&text);
        let words = container_unit::words(&text);
        let _ = mount_lines::parse_arguments(&words, &environment);
        let _ = mount_lines::parse_volume(&text, &environment);
        let _ = mount_lines::parse_mount(&text, &environment);
        if let Some(image) = crate::image::Image::parse(&text) {
            let _ = Catalog::builtin().for_image(&image);
        }
        let _ = crate::catalog::matches_wildcard(&text, &text);
    }
}
