//! Identity of an open database file.

use std::{
    fs,
    io::{Error, ErrorKind, Result},
    path::Path,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

/// An open database file. Cloning is cheap.
///
/// A file that is removed while it is open still accepts writes. They are lost when the last process closes the file.
#[derive(Clone, Debug)]
pub struct OpenedFile {
    path: Arc<Path>,
    identity: Arc<OnceLock<Option<Identity>>>,
    /// Time of this process' last commit.
    last_commit: Arc<Mutex<Option<Instant>>>,
}

/// Device and inode.
type Identity = (u64, u64);

impl OpenedFile {
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.into(),
            identity: Arc::default(),
            last_commit: Arc::default(),
        }
    }

    /// Records the time of a commit.
    pub fn record_commit(&self) {
        *self
            .last_commit
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Returns true if this process committed a change within this time.
    pub fn was_committed_within(&self, time: Duration) -> bool {
        let last_commit = *self
            .last_commit
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        last_commit.is_some_and(|at| at.elapsed() < time)
    }

    /// Records the identity of the file at the path as that of the open file.
    pub fn record_identity(&self) {
        self.identity.get_or_init(|| identity(&self.path));
    }

    /// Checks that the open file is still at its path.
    ///
    /// # Errors
    /// The file was removed, moved or replaced.
    pub fn ensure_in_place(&self) -> Result<()> {
        let Some(Some(opened)) = self.identity.get() else {
            return Ok(()); // not opened yet, or this platform has no file identity
        };
        if identity(&self.path).as_ref() == Some(opened) {
            return Ok(());
        }
        let message = format!(
            "the file {} was removed or replaced while it was in use; restore it, or restart with a new file",
            self.path.display()
        );
        Err(Error::new(ErrorKind::NotFound, message))
    }
}

#[cfg(unix)]
fn identity(path: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Returns the same identity for all files: an open file cannot be removed on Windows.
#[cfg(not(unix))]
fn identity(path: &Path) -> Option<Identity> {
    fs::metadata(path).ok().map(|_| (0, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_removed_or_replaced_is_no_longer_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.db");
        let opened = OpenedFile::new(&path);
        assert!(opened.ensure_in_place().is_ok(), "not open yet");
        fs::write(&path, "1").unwrap();
        opened.record_identity();
        assert!(opened.ensure_in_place().is_ok());
        let moved = folder.path().join("moved.db");
        fs::rename(&path, &moved).unwrap();
        let message = opened.ensure_in_place().unwrap_err().to_string();
        assert!(
            message.contains("v.db was removed or replaced"),
            "{message}"
        );
        fs::write(&path, "2").unwrap();
        assert!(opened.ensure_in_place().is_err(), "another file");
        fs::rename(&moved, &path).unwrap();
        assert!(opened.ensure_in_place().is_ok(), "it was restored");
    }
}
