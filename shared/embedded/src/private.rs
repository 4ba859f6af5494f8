//! Files and folders that only this user can read: votes with their voters, and the key of the cookies.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io,
    path::Path,
};

/// Creates a folder and its missing parents with permissions for this user only. An existing folder is not changed.
///
/// # Errors
/// The folder cannot be created.
pub fn create_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
}

/// Opens a file for writing, or creates it with permissions for this user only.
///
/// # Errors
/// The file cannot be opened or created.
pub fn open_or_create(file: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.create(true).truncate(false).write(true).open(file)
}
