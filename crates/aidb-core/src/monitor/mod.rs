//! What changed while nobody looked: one look at everything, compared with what is known, and told.

pub mod alert;
pub mod metrics;
pub mod picture;
pub mod tell;
pub mod watch;

pub use alert::{News, Topic};
pub use picture::Picture;
pub use watch::{Watch, Watched};
