//! The version and the source revision of the program.

/// The version, as in `Cargo.toml`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The source revision, from the variable `REVISION` or from git at build time; `unknown` without both.
pub const REVISION: &str = env!("REVISION");
/// Version and revision, for `--version`.
pub const LONG: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("REVISION"), ")");
