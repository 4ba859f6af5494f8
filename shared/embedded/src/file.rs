//! The identity of an open database file.

use std::{
    fs,
    io::{Error, ErrorKind, Result},
    path::Path,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

/// A database file that was opened. Cloning is cheap.
///
/// A file that is removed while it is open takes writes as before, and they are lost with the last process that has it open.
#[derive(Clone, Debug)]
pub struct OpenedFile {
    path: Arc<Path>,
    identity: Arc<OnceLock<Option<Identity>>>,
    /// The time of this process' last change.
    changed_at: Arc<Mutex<Option<Instant>>>,
}

/// Device and inode.
type Identity = (u64, u64);

impl OpenedFile {
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.into(),
            identity: Arc::default(),
            changed_at: Arc::default(),
        }
    }

    pub fn record_commit(&self) {
        *self
            .changed_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Returns true if this process changed it within this time.
    pub fn was_changed_within(&self, time: Duration) -> bool {
        let changed_at = *self
            .changed_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        changed_at.is_some_and(|at| at.elapsed() < time)
    }

    /// Remembers the file at the path as the one that is open.
    pub fn record_identity(&self) {
        self.identity.get_or_init(|| identity(&self.path));
    }

    /// Checks that the open file is still the one at its path.
    ///
    /// # Errors
    /// It was removed, moved or replaced.
    pub fn ensure_in_place(&self) -> Result<()> {
        let Some(Some(opened)) = self.identity.get() else {
            return Ok(()); // it has not been opened yet, or files have no identity here
        };
        if identity(&self.path).as_ref() == Some(opened) {
            return Ok(());
        }
        let message = format!(
            "the file {} was removed or replaced while it was in use; put it back, or restart with a new one",
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

/// An open file cannot be removed on Windows.
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
        assert!(opened.ensure_in_place().is_ok(), "it is not open yet");
        fs::write(&path, "1").unwrap();
        opened.record_identity();
        assert!(opened.ensure_in_place().is_ok());
        let elsewhere = folder.path().join("moved.db");
        fs::rename(&path, &elsewhere).unwrap();
        let message = opened.ensure_in_place().unwrap_err().to_string();
        assert!(
            message.contains("v.db was removed or replaced"),
            "{message}"
        );
        fs::write(&path, "2").unwrap();
        assert!(opened.ensure_in_place().is_err(), "another file");
        fs::rename(&elsewhere, &path).unwrap();
        assert!(opened.ensure_in_place().is_ok(), "it was put back");
    }
}
