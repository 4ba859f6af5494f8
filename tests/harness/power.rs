//! A power cut, as far as files can tell: what was not synced may be gone, from any byte on.
//!
//! A killed process does not show it, for the system keeps what it wrote. So a small library, preloaded into the server,
//! writes down how much of each file was synced, and the cut takes from what came after.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use rand::{Rng, RngExt};
use tempfile::TempDir;

/// The library that is preloaded, or why there is none on this machine.
pub fn library() -> Result<&'static Path, String> {
    static LIBRARY: OnceLock<Result<(TempDir, PathBuf), String>> = OnceLock::new();
    let library = LIBRARY.get_or_init(|| {
        if cfg!(not(target_os = "linux")) {
            return Err("what was synced can be found out on Linux only".into());
        }
        let folder = tempfile::tempdir().expect("a folder can be made");
        let (source, library) = (
            folder.path().join("synced.c"),
            folder.path().join("synced.so"),
        );
        fs::write(&source, include_str!("synced.c")).expect("the folder is ours");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .output()
            .map_err(|error| format!("cc cannot be run: {error}"))?;
        let said = String::from_utf8_lossy(&built.stderr).into_owned();
        // By the user that the server runs as.
        let readable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder.path(), readable).expect("the folder is ours");
        built
            .status
            .success()
            .then_some((folder, library))
            .ok_or(said)
    });
    library
        .as_ref()
        .map(|(_, library)| library.as_path())
        .map_err(Clone::clone)
}

/// How much of a file was synced, in bytes; `None`: it never was, or the library is not at work.
pub fn synced(file: &Path) -> Option<u64> {
    let notes = fs::read_to_string(file.with_added_extension("synced")).ok()?;
    notes.trim().parse().ok()
}

/// Takes some of what was not synced from the end of a file, from any byte on. Returns how many bytes were at stake.
pub fn cut(file: &Path, random: &mut impl Rng) -> u64 {
    let synced = synced(file).unwrap_or(0);
    let length = file.metadata().expect("the file is there").len();
    let at_stake = length.saturating_sub(synced);
    if at_stake > 0 {
        let kept = random.random_range(0..=at_stake);
        let file = OpenOptions::new().write(true).open(file);
        let cut = file.and_then(|file| file.set_len(synced + kept));
        cut.expect("the file can be cut");
    }
    at_stake
}
