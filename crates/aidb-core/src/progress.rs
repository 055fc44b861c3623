//! How far long work has come: the core says it, a tool may show it.

/// Is told how far work has come, from any thread.
pub trait Progress: Sync {
    /// Begins a piece of work of so many bytes; 0 if that is not known.
    fn begin(&self, what: &str, bytes: u64);

    /// So many bytes more are done.
    fn advance(&self, bytes: u64);

    /// The piece of work has ended, well or not.
    fn end(&self);
}

impl std::fmt::Debug for dyn Progress + '_ {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Progress")
    }
}

/// Shows nothing: for hooks, tests, and whoever does not ask.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _what: &str, _bytes: u64) {}
    fn advance(&self, _bytes: u64) {}
    fn end(&self) {}
}

/// A piece of work that ends when this is dropped, also by an error.
pub struct Work<'p>(&'p dyn Progress);

impl<'p> Work<'p> {
    /// Begins it.
    pub fn begin(progress: &'p dyn Progress, what: &str, bytes: u64) -> Self {
        progress.begin(what, bytes);
        Self(progress)
    }

    /// So many bytes more are done.
    pub fn advance(&self, bytes: u64) {
        self.0.advance(bytes);
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl std::fmt::Debug for Work<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Work")
    }
}
