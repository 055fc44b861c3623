//! What is known of a store's migrations: which files were applied, and which was at work when its run was killed.

mod interrupted;
mod record;

pub use interrupted::interrupted;
pub(crate) use interrupted::interrupted_before;
pub(crate) use record::{Pending, Record};
