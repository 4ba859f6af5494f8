//! The setting of embedded storage.

use std::path::PathBuf;

use clap::Args;

/// The file of the embedded database in the data folder.
const DATABASE_FILE: &str = "voting.db";

/// Where embedded storage keeps its files.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Storage")]
pub struct DataSettings {
    /// The folder for embedded storage; made where it is missing
    #[arg(long, env = "DATA_DIR", default_value = "data")]
    pub data_dir: PathBuf,
}

impl DataSettings {
    /// The file of the embedded database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.data_dir.join(DATABASE_FILE)
    }
}
