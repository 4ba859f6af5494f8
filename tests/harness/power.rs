//! A simulated power loss: unsynced data may be lost from any byte on.
//!
//! Killing a process does not lose data, because the kernel keeps its writes. So a small library, preloaded into the
//! server, records the synced length of each file, and the simulation truncates files beyond that length.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use rand::{Rng, RngExt};
use tempfile::TempDir;

/// The path of the preloaded library, or the reason why it cannot be built.
pub fn library() -> Result<&'static Path, String> {
    static LIBRARY: OnceLock<Result<(TempDir, PathBuf), String>> = OnceLock::new();
    let library = LIBRARY.get_or_init(|| {
        if cfg!(not(target_os = "linux")) {
            return Err("synced lengths can be recorded on Linux only".into());
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
        let stderr = String::from_utf8_lossy(&built.stderr).into_owned();
        // Readable for the user that runs the server.
        let readable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder.path(), readable).expect("the folder is ours");
        built
            .status
            .success()
            .then_some((folder, library))
            .ok_or(stderr)
    });
    library
        .as_ref()
        .map(|(_, library)| library.as_path())
        .map_err(Clone::clone)
}

/// The synced length of a file in bytes; `None` if it was never synced or the library is not loaded.
pub fn synced_length(file: &Path) -> Option<u64> {
    let record = fs::read_to_string(file.with_added_extension("synced")).ok()?;
    record.trim().parse().ok()
}

/// Truncates a file at a random byte of its unsynced part. Returns the length of that part in bytes.
pub fn truncate_unsynced(file: &Path, random: &mut impl Rng) -> u64 {
    let synced = synced_length(file).unwrap_or(0);
    let length = file.metadata().expect("the file exists").len();
    let unsynced = length.saturating_sub(synced);
    if unsynced > 0 {
        let kept = random.random_range(0..=unsynced);
        let file = OpenOptions::new().write(true).open(file);
        let truncated = file.and_then(|file| file.set_len(synced + kept));
        truncated.expect("the file can be truncated");
    }
    unsynced
}
