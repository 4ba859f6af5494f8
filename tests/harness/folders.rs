//! The folders of this workspace.

use std::path::{Path, PathBuf};

/// The root of the workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests are a folder of the workspace")
}

/// Cargo's target folder.
pub fn target() -> PathBuf {
    ancestor_of_test_program(3)
}

/// The folder of the workspace's programs.
pub fn programs() -> PathBuf {
    ancestor_of_test_program(2)
}

/// The ancestor of the test program, which is `target/PROFILE/deps/NAME`.
fn ancestor_of_test_program(levels: usize) -> PathBuf {
    let program = std::env::current_exe().expect("the program has a path");
    program
        .ancestors()
        .nth(levels)
        .expect("it is in the target folder")
        .to_owned()
}
