//! Our services as release builds, each in a process of its own.

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use local_servers::{folders, free_port};
use tempfile::TempDir;

use crate::{http, limit};

const START_TIMEOUT: Duration = Duration::from_secs(30);

static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();

/// Sets the folder of the services' programs.
pub fn set_program_dir(folder: PathBuf) {
    PROGRAMS.get_or_init(|| folder);
}

/// Builds the services, because `cargo bench` builds the programs of one package only. Returns their folder.
pub fn build() -> anyhow::Result<PathBuf> {
    let status = Command::new(env!("CARGO"))
        .args([
            "build",
            "--release",
            "--workspace",
            "--bins",
            "--target-dir",
        ])
        .arg(folders::target())
        .current_dir(folders::root())
        .status()
        .context("cargo cannot be run")?;
    ensure!(status.success(), "the services cannot be built");
    Ok(folders::target().join("release"))
}

/// A running service. It is killed when this value is dropped.
pub struct Service {
    pub address: SocketAddr,
    /// Time from the start to the first 200 of `/ready`.
    pub startup_time: Duration,
    child: Child,
    folder: TempDir,
}

impl Service {
    /// Starts the program with this name and waits until it is ready.
    pub fn start(name: &str, environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::start_until("/ready", name, environment)
    }

    /// Starts the program with this name and waits until it responds, for work that it begins before it is ready.
    pub fn start_live(name: &str, environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::start_until("/health", name, environment)
    }

    fn start_until(probe: &str, name: &str, environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        let programs = PROGRAMS
            .get()
            .context("the folder of the programs is not set")?;
        let mut command = Command::new(programs.join(name));
        command.env_clear().envs(environment.iter().copied());
        Self::run(command, name, probe)
    }

    /// Starts a limit and waits until it responds.
    pub fn limit(task: &limit::Task) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(limit::ROLE).arg(serde_json::to_string(task)?);
        Self::run(command, "limit", "/")
    }

    fn run(mut command: Command, name: &str, ready: &str) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let log = File::create(log(folder.path()))?;
        let began = Instant::now();
        let child = command
            .env("LISTEN_ADDR", address.to_string())
            .env("DATA_DIR", folder.path())
            // All clients are on this machine.
            .env("MAX_CONNECTIONS_PER_ADDRESS", "1000000")
            .env("MAX_VIEWERS_PER_ADDRESS", "1000000")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("{name} cannot be started"))?;
        let mut service = Self {
            address,
            startup_time: Duration::ZERO,
            child,
            folder,
        };
        while let Err(error) = http::get(address, ready) {
            let ended = service.child.try_wait()?.is_some();
            if ended || began.elapsed() > START_TIMEOUT {
                let log = std::fs::read_to_string(log_of(&service))?;
                bail!("{name} is not ready: {error:#}; its log: {log}");
            }
            sleep(Duration::from_millis(1));
        }
        service.startup_time = began.elapsed();
        Ok(service)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

fn log(folder: &Path) -> PathBuf {
    folder.join("log")
}

fn log_of(service: &Service) -> PathBuf {
    log(service.folder.path())
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
