//! One restore, with all that is known about it.

use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::attributes::Attributes;
use super::carry;
use super::place::Place;
use super::select::{Databases, Selection, select};
use super::stage::{Stage, Written};
use super::step::sync_filesystem;
use crate::capture::walk::Root;
use crate::error::{Error, IoContext, Result};
use crate::guard::Guard;
use crate::progress::{Progress, Silent, Work};
use crate::userns::IdMap;
use crate::vault::{Manifest, Snapshot};

/// One restore.
pub(super) struct Job<'j> {
    pub guard: &'j Guard,
    pub manifest: &'j Manifest,
    pub place: Place,
    pub sequence: u64,
    pub selection: Selection<'j>,
    /// The folder of the snapshot's files.
    pub snapshot: Root,
    /// The present data folder, held open.
    pub present: Option<Root>,
    /// Excluded paths that are kept from the present folder.
    pub carried: Vec<PathBuf>,
    /// The `btrfs` program, if there is one.
    pub btrfs: Option<&'j Path>,
    /// Is told of every byte that was written and compared.
    pub progress: &'j dyn Progress,
}

impl<'j> Job<'j> {
    /// Finds out what is to be done, changing nothing.
    pub fn new(
        guard: &'j Guard,
        snapshot: &Snapshot,
        manifest: &'j Manifest,
        only: &[PathBuf],
    ) -> Result<Self> {
        let place = Place::of(&guard.data)?;
        let present = if place.present {
            Some(Root::open(&place.data)?)
        } else {
            None
        };
        Self::at(place, present, guard, snapshot, manifest, only)
    }

    /// Finds out what would be restored if there were no data folder: for files that go elsewhere.
    pub fn without_present(
        guard: &'j Guard,
        snapshot: &Snapshot,
        manifest: &'j Manifest,
        only: &[PathBuf],
    ) -> Result<Self> {
        let place = Place::absent(&guard.data);
        Self::at(place, None, guard, snapshot, manifest, only)
    }

    fn at(
        place: Place,
        present: Option<Root>,
        guard: &'j Guard,
        snapshot: &Snapshot,
        manifest: &'j Manifest,
        only: &[PathBuf],
    ) -> Result<Self> {
        let source = Root::open(&snapshot.data())?;
        let databases = Databases {
            guard,
            manifest,
            snapshot: &source,
            present: present.as_ref(),
        };
        let selection = select(manifest, only, &databases)?;
        let mut carried = match &present {
            Some(present) => carry::carried(present, guard, manifest)?,
            None => Vec::new(),
        };
        if !selection.is_whole() {
            carried.retain(|top| selection.chosen.iter().any(|path| top.starts_with(path)));
        }
        Ok(Self {
            guard,
            manifest,
            place,
            sequence: snapshot.name.sequence,
            selection,
            snapshot: source,
            present,
            carried,
            btrfs: None,
            progress: &Silent,
        })
    }

    /// Returns what tells databases from other files.
    pub fn databases(&self) -> Databases<'_> {
        Databases {
            guard: self.guard,
            manifest: self.manifest,
            snapshot: &self.snapshot,
            present: self.present.as_ref(),
        }
    }

    /// Fills a folder of ours with what is to be restored and what is carried over, and makes it durable.
    pub fn fill(&self, target: &Path, carried: &[PathBuf], like_present: bool) -> Result<Written> {
        let mut stage = Stage::new(self.snapshot.path(), target, self.manifest)?;
        let work = Work::begin(self.progress, "restore", self.selection.size_bytes());
        stage.write(&self.selection.entries, &work)?;
        drop(work);
        if let Some(present) = &self.present {
            carry::bring(&mut stage, present, carried)?;
        }
        let mut root = None;
        if let Some(present) = self.present.as_ref().filter(|_| like_present) {
            let fd = present
                .open_at(Path::new(""), OFlags::RDONLY | OFlags::DIRECTORY)
                .doing("open", present.path())?;
            let attributes = Attributes::of_file(&fd)
                .doing("look at", present.path())?
                .without_time();
            stage.finish_folder_as(Path::new(""), attributes.clone());
            root = Some(attributes);
        }
        if self.present.is_none()
            && like_present
            && let Some(known) = &self.manifest.root
        {
            let attributes = Attributes::of_root(known, &IdMap::of_this_process());
            stage.finish_folder_as(Path::new(""), attributes);
        }
        stage.finish_folders()?;
        if let Some(root) = root {
            let fd = stage
                .target()
                .open_at(Path::new(""), OFlags::PATH)
                .doing("open", target)?;
            // With another owner the application could not use its own folder.
            if !root.owned_alike(&fd).doing("look at", target)? {
                return Err(Error::CouldNot {
                    what: format!(
                        "the new folder cannot be given the owner of `{}`",
                        self.place.data.display()
                    ),
                    hint: Some("run the same command inside `podman unshare`".into()),
                });
            }
        }
        sync_filesystem(target)?;
        Ok(stage.written)
    }
}
