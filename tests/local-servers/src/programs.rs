//! Programs of this machine and the user that runs them.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

/// The path of a program, which is in one of these folders or on the `PATH`.
#[must_use]
pub fn find_program(name: &str, more: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    more.iter()
        .cloned()
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Runs a command in this folder, as this user; it must succeed.
pub(crate) fn run_as(
    command: &mut Command,
    folder: &Path,
    user: Option<u32>,
) -> Result<(), String> {
    command.current_dir(folder);
    if let Some(user) = user {
        command.uid(user);
    }
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|error| format!("{name} cannot be run: {error}"))?;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    output
        .status
        .success()
        .then_some(())
        .ok_or_else(|| format!("{name} failed: {stderr}"))
}

/// Runs a command that may fail.
pub(crate) fn run_quietly<const N: usize>(program: &str, arguments: [&str; N]) {
    let _ = Command::new(program).args(arguments).output();
}

/// The id of an unprivileged user if this program runs as root: Postgres does not start as root.
pub(crate) fn unprivileged_user() -> Option<u32> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let id = |name: &str| {
        let line = passwd
            .lines()
            .find(|line| line.split(':').next() == Some(name))?;
        line.split(':').nth(2)?.parse().ok()
    };
    id("postgres").or_else(|| id("nobody"))
}
