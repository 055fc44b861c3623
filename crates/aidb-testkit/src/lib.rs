//! Builds stores, keeps writers busy, damages pages: for tests only.
