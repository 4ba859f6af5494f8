//! Settings of embedded storage.

use std::path::PathBuf;

use clap::Args;

/// Name of the database file in the data folder.
const DATABASE_FILE: &str = "voting.db";

/// Settings of embedded storage.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Storage")]
pub struct DataSettings {
    /// Folder of embedded storage; created if it is missing
    #[arg(long, env = "DATA_DIR", default_value = "data")]
    pub data_dir: PathBuf,
}

impl DataSettings {
    /// Returns the path of the database file.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.data_dir.join(DATABASE_FILE)
    }
}
