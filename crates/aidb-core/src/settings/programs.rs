//! The programs that the tools call. A hook's PATH has almost none of them, so stack.json names them.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Environment;

/// Where to look when neither the settings nor `PATH` have a program.
const USUAL_PLACES: [&str; 4] = [
    "/run/wrappers/bin",
    "/run/current-system/sw/bin",
    "/usr/bin",
    "/bin",
];

/// A program that the tools call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Program {
    /// `podman`
    Podman,
    /// `systemctl`
    Systemctl,
    /// `unshare`, of util-linux
    Unshare,
    /// `newuidmap`, which `unshare --map-auto` calls
    Newuidmap,
    /// `newgidmap`, which `unshare --map-auto` calls
    Newgidmap,
    /// `notify-send`
    NotifySend,
    /// `btrfs`, of btrfs-progs; no setting: a system with such a disk has it
    Btrfs,
}

/// Where programs are, absolute. What is not named is looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Programs {
    /// `podman`
    pub podman: Option<PathBuf>,
    /// `systemctl`
    pub systemctl: Option<PathBuf>,
    /// `unshare`, of util-linux
    pub unshare: Option<PathBuf>,
    /// `newuidmap`, of shadow; the one with privileges
    pub newuidmap: Option<PathBuf>,
    /// `newgidmap`, of shadow; the one with privileges
    pub newgidmap: Option<PathBuf>,
    /// `notify-send`
    pub notify_send: Option<PathBuf>,
}

impl Program {
    /// Returns the program's file name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Podman => "podman",
            Self::Systemctl => "systemctl",
            Self::Unshare => "unshare",
            Self::Newuidmap => "newuidmap",
            Self::Newgidmap => "newgidmap",
            Self::NotifySend => "notify-send",
            Self::Btrfs => "btrfs",
        }
    }
}

impl Programs {
    /// Returns what the settings say about a program.
    #[must_use]
    pub fn named(&self, program: Program) -> Option<&Path> {
        match program {
            Program::Podman => &self.podman,
            Program::Systemctl => &self.systemctl,
            Program::Unshare => &self.unshare,
            Program::Newuidmap => &self.newuidmap,
            Program::Newgidmap => &self.newgidmap,
            Program::NotifySend => &self.notify_send,
            Program::Btrfs => &None,
        }
        .as_deref()
    }

    /// Returns where a program is: as the settings say, else in `PATH`, else in the usual places.
    #[must_use]
    pub fn locate(&self, program: Program, environment: &Environment) -> Option<PathBuf> {
        if let Some(named) = self.named(program) {
            return Some(named.to_owned());
        }
        environment
            .path
            .iter()
            .map(PathBuf::as_path)
            .chain(USUAL_PLACES.iter().map(Path::new))
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(program.name()))
            .find(|file| file.is_file())
    }

    pub(super) fn each_mut(&mut self) -> [(&'static str, &mut Option<PathBuf>); 6] {
        [
            ("podman", &mut self.podman),
            ("systemctl", &mut self.systemctl),
            ("unshare", &mut self.unshare),
            ("newuidmap", &mut self.newuidmap),
            ("newgidmap", &mut self.newgidmap),
            ("notifySend", &mut self.notify_send),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_win_over_path() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("podman");
        std::fs::File::create(&file).unwrap();
        let mut environment = Environment::of_home(Path::new("/home/alice"));
        environment.path = vec![folder.path().to_owned()];
        let mut programs = Programs::default();
        assert_eq!(programs.locate(Program::Podman, &environment), Some(file));
        programs.podman = Some("/nix/store/x/bin/podman".into());
        assert_eq!(
            programs.locate(Program::Podman, &environment),
            Some("/nix/store/x/bin/podman".into())
        );
    }
}
