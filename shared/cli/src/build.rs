//! Which version of the program this is.

/// The version, as in `Cargo.toml`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The revision of the source: from the variable `REVISION` or from git at build time; `unknown` where neither was there.
pub const REVISION: &str = env!("REVISION");
/// Both, for `--version`.
pub const LONG: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("REVISION"), ")");
