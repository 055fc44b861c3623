//! The vault: the folder of snapshots. Who may write where is said in `layout`.

pub mod archive;
pub mod diff;
pub mod head;
pub mod layout;

pub mod lock;

pub mod meant;
pub mod name;
pub mod proof;
pub mod prove;
pub mod prune;
pub mod publish;
pub mod replace;
pub mod restore;
pub mod retention;
pub mod room;
pub mod take;
pub mod verify;

pub use crate::manifest::Manifest;
pub use archive::Archive;
pub use layout::{Snapshot, Vault};
pub use name::SnapshotName;
pub use proof::Proof;
