//! The corpus: damaged, odd and healthy cases with labels.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

/// The unpacked corpus.
#[derive(Debug)]
pub struct Corpus {
    folder: TempDir,
    /// The labels.
    pub cases: Vec<Case>,
}

/// One labelled case.
#[derive(Debug, Clone)]
pub struct Case {
    pub id: String,
    pub app: String,
    /// The healthy fixture that it was derived from.
    pub base: Option<String>,
    pub what: String,
    /// `required`, `required_with_baseline`, `optional` or `forbidden`.
    pub alarm: String,
    /// What a checker should call it, and what is as good.
    pub verdicts: Vec<String>,
}

impl Corpus {
    /// Unpacks the corpus into a temporary folder.
    #[must_use]
    pub fn unpack() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let packed = std::fs::File::open(crate::fixture::folder().join("corpus.tar.xz")).unwrap();
        let mut archive = tar::Archive::new(xz2::read::XzDecoder::new(packed));
        archive.set_preserve_permissions(true);
        archive.set_preserve_mtime(true);
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            if entry.header().entry_type() == tar::EntryType::Fifo {
                let path = folder.path().join(entry.path().unwrap());
                rustix::fs::mknodat(
                    rustix::fs::CWD,
                    path,
                    rustix::fs::FileType::Fifo,
                    rustix::fs::Mode::RWXU,
                    0,
                )
                .unwrap();
            } else {
                entry.unpack_in(folder.path()).unwrap();
            }
        }
        let labels = std::fs::read_to_string(crate::fixture::folder().join("corpus.json")).unwrap();
        let labels: Value = serde_json::from_str(&labels).unwrap();
        let text = |v: &Value| v.as_str().map(str::to_owned);
        let cases = labels["cases"].as_array().unwrap().iter().map(|c| {
            let accepted = c["accept"].as_array().unwrap().iter().filter_map(text);
            Case {
                id: text(&c["id"]).unwrap(),
                app: text(&c["app"]).unwrap(),
                base: text(&c["base"]),
                what: text(&c["what"]).unwrap(),
                alarm: text(&c["alarm"]).unwrap(),
                verdicts: text(&c["verdict"]).into_iter().chain(accepted).collect(),
            }
        });
        Self {
            cases: cases.collect(),
            folder,
        }
    }

    /// Returns the folder of a case.
    #[must_use]
    pub fn folder(&self, id: &str) -> PathBuf {
        self.folder.path().join("broken").join(id)
    }

    /// Returns whether a case is an application's whole folder, and not one file of it.
    #[must_use]
    pub fn is_whole(&self, case: &Case) -> bool {
        std::fs::read_dir(self.folder(&case.id))
            .unwrap()
            .any(|e| e.unwrap().path().is_dir())
    }

    /// Puts the healthy state that a case was derived from at `target`; returns whether there is one.
    #[must_use]
    pub fn put_base(&self, case: &Case, target: &Path) -> bool {
        // Some cases of the corpus are healthy copies of their base.
        let healthy_case = match case.base.as_deref() {
            Some("chroma-1.0.20") if self.is_whole(case) => "s076-chroma-orphan-dir",
            Some("chroma-1.0.20") => "s037-fk-false-alarm",
            Some("openwebui-0.12.4-small") => "s043-wal-no-shm",
            Some(fixture @ ("openwebui-0.6.38-small" | "openwebui-0.12.4-crash")) => {
                crate::unpack(fixture, target);
                return true;
            }
            _ => return false,
        };
        copy_tree(&self.folder(healthy_case), target);
        true
    }
}

/// Copies a tree as it is: links as links, pipes as pipes, times and modes kept.
pub fn copy_tree(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp")
        .arg("-a")
        .arg(from)
        .arg(to)
        .status()
        .unwrap();
    assert!(
        status.success(),
        "cp -a {} {}",
        from.display(),
        to.display()
    );
}
