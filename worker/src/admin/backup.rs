//! Copies the embedded database while the services run.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use clap::Args;
use store::Store;

/// The arguments of `admin backup`.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// New file to write; it must not exist. It appears only when it is complete
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Settings {
    pub(super) async fn run(&self, store: &Store) -> anyhow::Result<()> {
        let file = &self.file;
        let unwritable = || format!("{} cannot be written", file.display());
        ensure!(
            !file.exists(),
            "{} already exists; name a new file",
            file.display()
        );
        let folder = match file.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let draft = tempfile::Builder::new()
            .prefix(".backup-")
            .tempdir_in(folder)
            .with_context(unwritable)?;
        let copy = draft.path().join("copy.db");
        store.copy_to(&copy).await.with_context(unwritable)?;
        let sync = File::open(&copy).and_then(|copy| copy.sync_all());
        sync.with_context(unwritable)?;
        fs::rename(&copy, file).with_context(unwritable)?;
        let counts = store.counts().await?;
        println!(
            "{} written, with about {}",
            file.display(),
            super::pluralize(counts.votes, "vote")
        );
        Ok(())
    }
}
