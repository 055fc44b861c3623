//! What stands where the database belongs, and what lies beside it.

use std::os::unix::fs::PermissionsExt;

use super::Label::Required;
use super::{OwnCase, crash, instance, main, small};

pub(super) const CASES: &[OwnCase] = &[
    OwnCase::new(
        "a-socket",
        Required(&["store.special-file"]),
        small,
        |data| {
            std::fs::remove_file(main(data)).unwrap();
            drop(std::os::unix::net::UnixListener::bind(main(data)).unwrap());
        },
    ),
    OwnCase::new(
        "ollama-db-beside",
        Required(&["openwebui.legacy-db"]),
        small,
        |data| instance("webui-0.6.38", &data.join("ollama.db"), "old", 1, 1),
    ),
    OwnCase::new(
        "ollama-db-beside-a-live-log",
        Required(&["openwebui.legacy-db"]),
        crash,
        |data| std::fs::write(data.join("ollama.db"), b"").unwrap(),
    ),
    OwnCase {
        plain_user: true,
        ..OwnCase::new(
            "nobody-may-read-it",
            Required(&["store.unreadable"]),
            small,
            |data| {
                std::fs::set_permissions(main(data), PermissionsExt::from_mode(0o0)).unwrap();
            },
        )
    },
    OwnCase {
        plain_user: true,
        ..OwnCase::new(
            "nobody-may-enter-the-folder",
            Required(&["store.unreadable"]),
            small,
            |data| {
                std::fs::set_permissions(data, PermissionsExt::from_mode(0o0)).unwrap();
            },
        )
    },
];
