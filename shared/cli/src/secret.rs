//! Secrets from environment variables or files.

use std::path::{Path, PathBuf};

/// Returns a secret from its file if one is set, otherwise from its variable.
///
/// # Errors
/// The file cannot be read or is empty.
pub fn secret(
    variable: &'static str,
    value: Option<&str>,
    file: Option<&Path>,
) -> Result<Option<String>, InvalidSecret> {
    let Some(path) = file else {
        return Ok(value.map(str::to_owned));
    };
    let invalid = |reason: String| InvalidSecret {
        variable,
        path: path.to_owned(),
        reason,
    };
    let content = std::fs::read_to_string(path).map_err(|error| invalid(error.to_string()))?;
    match content.trim() {
        "" => Err(invalid("it is empty".into())),
        secret => Ok(Some(secret.to_owned())),
    }
}

/// The file of a secret cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{variable}_FILE: {} cannot be used: {reason}", path.display())]
pub struct InvalidSecret {
    variable: &'static str,
    path: PathBuf,
    reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_from_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("url");
        std::fs::write(&file, "redis://host\n").unwrap();
        assert_eq!(
            secret("X", None, Some(&file)).unwrap().as_deref(),
            Some("redis://host")
        );
        std::fs::write(&file, "\n").unwrap();
        assert!(
            secret("X", None, Some(&file))
                .unwrap_err()
                .to_string()
                .starts_with("X_FILE: ")
        );
        assert!(secret("X", None, Some(Path::new("/no/such/file"))).is_err());
    }
}
