//! What ran on the data when it was kept: image, container and Home Manager generation.
//!
//! A newer application changes the schema, and an older one then damages what it does not know. So each snapshot says with
//! which image it belongs together. It is read from Podman's storage without calling Podman; when the container is gone
//! already, from what the ledger last knew of it.

use std::path::PathBuf;

use crate::guard::Guard;
use crate::incarnation::Ending;
use crate::ledger::Ledger;
use crate::manifest::Pairing;
use crate::podman::Storage;
use crate::settings::Environment;

/// Returns what is known of what runs, or last ran, on the guard's data. What is not known is absent.
#[must_use]
pub fn of(guard: &Guard, environment: &Environment, ledger: Option<&Ledger>) -> Pairing {
    let generation = generation(environment);
    let last = ledger.and_then(|l| l.latest_incarnation(&guard.container).ok().flatten());
    let failed = last.as_ref().and_then(|l| l.ending) == Some(Ending::Failed);
    let storage = Storage::of(environment);
    let stored = storage.container(&guard.container).ok().flatten();
    if let Some(stored) = stored {
        return Pairing {
            image_digest: storage.image_digest(&stored.image_id),
            image: stored.image_name,
            container_id: Some(stored.id),
            generation,
            failed,
        };
    }
    let (image, image_digest, container_id) = last.map_or_else(Default::default, |l| {
        (l.image, l.image_digest, l.container_id)
    });
    Pairing {
        image,
        image_digest,
        container_id,
        generation,
        failed,
    }
}

/// Returns the Home Manager generation that is active, where it really lies.
#[must_use]
pub fn generation(environment: &Environment) -> Option<PathBuf> {
    let state = &environment.state_home;
    [
        state.join("home-manager/gcroots/current-home"),
        state.join("nix/profiles/home-manager"),
    ]
    .iter()
    .find_map(|link| link.canonicalize().ok())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;
    use crate::ledger::{Left, Run, Running};
    use crate::vault::Vault;

    fn guard(home: &Path) -> Guard {
        Guard::of_folder("web", &home.join("web"))
    }

    #[test]
    fn a_running_container_tells_its_image_and_a_gone_one_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path();
        let mut environment = Environment::of_home(home);
        std::fs::write(
            home.join("storage.conf"),
            format!("[storage]\ngraphroot = \"{}/pods\"\n", home.display()),
        )
        .unwrap();
        environment.storage_settings = Some(home.join("storage.conf"));
        let generations = home.join(".local/state/home-manager/gcroots");
        std::fs::create_dir_all(&generations).unwrap();
        std::fs::create_dir(home.join("generation-7")).unwrap();
        symlink(home.join("generation-7"), generations.join("current-home")).unwrap();
        let generation = Some(home.join("generation-7").canonicalize().unwrap());

        let mut ledger = Ledger::open(home, &Vault::at(&home.join("vault"))).unwrap();
        let guard = guard(home);
        let nothing = of(&guard, &environment, Some(&ledger));
        assert_eq!(nothing.image, None);
        assert_eq!(nothing.generation, generation);

        let running = Running {
            id: "aa".into(),
            image: Some("localhost/web:1".into()),
            image_digest: Some("sha256:11".into()),
            layer: None,
            started_at: None,
        };
        let run = Run {
            invocation: None,
            boot: "b".into(),
        };
        let now = jiff::Timestamp::now();
        ledger.announce_start("web", &run, now).unwrap();
        ledger.note_running("web", &running, "b", now).unwrap();
        let gone = of(&guard, &environment, Some(&ledger));
        assert_eq!(gone.image_digest.as_deref(), Some("sha256:11"));
        assert!(!gone.failed);
        // An image that cannot live on the data ends by a failure, and is no word about who can.
        let left = Left {
            result: Some("exit-code".into()),
            exit_code: Some("exited".into()),
            exit_status: Some("1".into()),
        };
        ledger.note_end("web", &run, &left, now).unwrap();
        assert!(of(&guard, &environment, Some(&ledger)).failed);
        ledger.announce_start("web", &run, now).unwrap();
        assert!(!of(&guard, &environment, Some(&ledger)).failed);
        ledger.note_running("web", &running, "b", now).unwrap();
        assert_eq!(gone.generation, generation);

        // As Podman 5.4 wrote it.
        let containers = home.join("pods/overlay-containers");
        let images = home.join("pods/overlay-images");
        std::fs::create_dir_all(&containers).unwrap();
        std::fs::create_dir_all(&images).unwrap();
        std::fs::write(
            containers.join("volatile-containers.json"),
            r#"[{"id":"bb","names":["web"],"image":"4873","layer":"f53c","created":"2026-11-25T14:53:53Z",
                "metadata":"{\"image-name\":\"localhost/web:2\",\"image-id\":\"4873\",\"name\":\"web\"}"}]"#,
        )
        .unwrap();
        std::fs::write(
            images.join("images.json"),
            r#"[{"id":"4873","digest":"sha256:22","layer":"1d6d"}]"#,
        )
        .unwrap();
        let runs = of(&guard, &environment, Some(&ledger));
        assert_eq!(
            runs,
            Pairing {
                image: Some("localhost/web:2".into()),
                image_digest: Some("sha256:22".into()),
                container_id: Some("bb".into()),
                generation,
                failed: false,
            }
        );
    }
}
