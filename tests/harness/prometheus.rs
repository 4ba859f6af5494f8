//! A real, local Prometheus that scrapes one service.

use std::{fs, process::Command};

use serde_json::Value;
use tempfile::TempDir;

use super::{find_program, free_port, process::Process};

pub struct Prometheus {
    url: String,
    _process: Process,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts a Prometheus that scrapes this service every second. Fails if it is not installed.
    pub fn of(service: &str) -> Result<Self, String> {
        let program = find_program("prometheus", &[])
            .ok_or("prometheus is not installed (Debian: prometheus)")?;
        let folder = tempfile::tempdir().expect("a folder can be made");
        let configuration = folder.path().join("prometheus.yml");
        let target = service.trim_start_matches("http://");
        let scrapes = format!(
            "global: {{ scrape_interval: 1s }}\nscrape_configs:\n  - job_name: service\n    static_configs: [{{ targets: ['{target}'] }}]\n"
        );
        fs::write(&configuration, scrapes).expect("the folder is ours");
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = Command::new(program);
        command
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .arg("--enable-feature=exemplar-storage");
        Ok(Self {
            url: format!("http://{address}"),
            _process: Process::start(command),
            _folder: folder,
        })
    }

    /// The `data` of a response of its API; null before it listens.
    pub async fn query(&self, path_and_query: &str) -> Value {
        let url = format!("{}/api/v1/{path_and_query}", self.url);
        let Ok(response) = reqwest::get(url).await else {
            return Value::Null;
        };
        let body: Value = response.json().await.unwrap_or_default();
        body["data"].clone()
    }
}
