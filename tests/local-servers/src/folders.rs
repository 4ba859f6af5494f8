//! The folders of this workspace.

use std::path::{Path, PathBuf};

/// The root of the workspace.
///
/// # Panics
///
/// If this crate is not in the folder `tests`.
#[must_use]
pub fn root() -> &'static Path {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_folder
        .ancestors()
        .nth(2)
        .expect("this crate is in the folder `tests` of the workspace")
}

/// Cargo's target folder.
#[must_use]
pub fn target() -> PathBuf {
    ancestor_of_this_program(3)
}

/// The folder of the workspace's programs.
#[must_use]
pub fn programs() -> PathBuf {
    ancestor_of_this_program(2)
}

/// The ancestor of this test or benchmark program, which is `target/PROFILE/deps/NAME`.
fn ancestor_of_this_program(levels: usize) -> PathBuf {
    let program = std::env::current_exe().expect("the program has a path");
    program
        .ancestors()
        .nth(levels)
        .expect("it is in the target folder")
        .to_owned()
}
