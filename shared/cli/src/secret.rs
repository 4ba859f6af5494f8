//! Secrets, which are set directly or in a file.

use std::path::{Path, PathBuf};

/// A value from its own variable or from the file that another variable names.
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
    let unreadable = |why: String| InvalidSecret {
        variable,
        path: path.to_owned(),
        why,
    };
    let content = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    match content.trim() {
        "" => Err(unreadable("it is empty".into())),
        secret => Ok(Some(secret.to_owned())),
    }
}

/// A secret's file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{variable}_FILE: {} cannot be used: {why}", path.display())]
pub struct InvalidSecret {
    variable: &'static str,
    path: PathBuf,
    why: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_may_be_in_a_file() {
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
