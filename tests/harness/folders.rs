//! The folders of this workspace.

use std::path::{Path, PathBuf};

/// The root of the workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests are a folder of the workspace")
}

/// The folder that cargo builds into.
pub fn target() -> PathBuf {
    above_the_test(3)
}

/// The folder of the workspace's programs.
pub fn programs() -> PathBuf {
    above_the_test(2)
}

/// A test program is `target/PROFILE/deps/NAME`.
fn above_the_test(levels: usize) -> PathBuf {
    let program = std::env::current_exe().expect("the program has a path");
    program
        .ancestors()
        .nth(levels)
        .expect("it is in the target folder")
        .to_owned()
}
