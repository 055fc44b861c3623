//! Flags, rendering and exit statuses that the tools share.
