//! A local Redis and Postgres with durable settings, in temporary folders.

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

use crate::{service::free_port, store::block_on};

const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A process that is ended when this value is dropped.
struct Server {
    child: Child,
    _folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Redis and Postgres both end at once on SIGINT, with their child processes.
        let _ = kill_process(Pid::from_child(&self.child), Signal::INT);
        let _ = self.child.wait();
    }
}

/// A Redis that syncs every write to its disk before it replies.
pub struct Redis {
    pub url: String,
    client: redis::Client,
    _server: Server,
}

impl Redis {
    pub fn start() -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let port = free_port()?.to_string();
        let mut command = Command::new(program("redis-server", &[])?);
        command
            .args(["--bind", "127.0.0.1", "--port", &port, "--dir"])
            .arg(folder.path())
            .args([
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
                "--save",
                "",
            ])
            .args(["--maxmemory-policy", "noeviction"]);
        let server = spawn(command, folder)?;
        let url = format!("redis://127.0.0.1:{port}");
        let client = redis::Client::open(url.as_str())?;
        let redis = Self {
            url,
            client,
            _server: server,
        };
        wait_until_ready("Redis", || redis.connect())?;
        Ok(redis)
    }

    pub fn connect(&self) -> anyhow::Result<redis::Connection> {
        Ok(self.client.get_connection()?)
    }
}

/// A Postgres that syncs every commit to its disk before it replies.
pub struct Postgres {
    url: String,
    _server: Server,
}

/// Settings that `docs/scaling.md` recommends for millions of rows. Checkpoints are so rare that only explicit ones happen:
/// the first writes after a checkpoint cost more.
pub const LARGE_TABLE_SETTINGS: [&str; 3] = [
    "max_wal_size=12GB",
    "checkpoint_timeout=1h",
    "shared_buffers=3GB",
];

impl Postgres {
    /// Starts a Postgres with the default settings.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(&[])
    }

    /// Starts a Postgres with additional settings.
    pub fn start_with(settings: &[&str]) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let data = folder.path().join("data");
        let user = unprivileged_user();
        if let Some(user) = user {
            chown(folder.path(), Some(user), None)?;
        }
        let mut initdb = Command::new(program("initdb", &debian_folders())?);
        initdb
            .args([
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "-D",
            ])
            .arg(&data)
            .current_dir(folder.path());
        let port = free_port()?.to_string();
        let mut postgres = Command::new(program("postgres", &debian_folders())?);
        postgres
            .args(["-p", &port, "-D"])
            .arg(&data)
            .args([
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "synchronous_commit=on",
                "-c",
            ])
            .arg(format!(
                "unix_socket_directories={}",
                folder.path().display()
            ));
        for setting in settings {
            postgres.args(["-c", setting]);
        }
        if let Some(user) = user {
            initdb.uid(user);
            postgres.uid(user);
        }
        let made = initdb.output().context("initdb cannot be run")?;
        ensure!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        let server = spawn(postgres, folder)?;
        let url = format!("postgres://postgres@127.0.0.1:{port}");
        wait_until_ready("Postgres", || block_on(connect(&format!("{url}/postgres"))))?;
        Ok(Self {
            url,
            _server: server,
        })
    }

    /// Creates an empty database and returns its URL.
    pub fn database(&self, name: &str) -> anyhow::Result<String> {
        let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
        let work = async {
            let mut connection = connect(&format!("{}/postgres", self.url)).await?;
            sqlx::query(create).execute(&mut connection).await?;
            anyhow::Ok(())
        };
        block_on(work)?;
        Ok(format!("{}/{name}", self.url))
    }
}

async fn connect(url: &str) -> anyhow::Result<PgConnection> {
    Ok(PgConnection::connect(url).await?)
}

fn spawn(mut command: Command, folder: TempDir) -> anyhow::Result<Server> {
    let log = fs::File::create(folder.path().join("log"))?;
    let child = command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("a server cannot be started")?;
    Ok(Server {
        child,
        _folder: folder,
    })
}

fn wait_until_ready<T>(
    what: &str,
    mut ready: impl FnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        match ready() {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() > deadline => {
                return Err(error.context(format!("{what} does not respond")));
            }
            Err(_) => sleep(Duration::from_millis(20)),
        }
    }
}

fn program(name: &str, more: &[PathBuf]) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = more.iter().cloned().chain(std::env::split_paths(&path));
    let found = folders
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    match found {
        Some(file) => Ok(file),
        None => {
            bail!("{name} is not installed; cargo bench needs redis-server, initdb and postgres")
        }
    }
}

/// Debian's folders of Postgres programs, one per version, the newest first.
fn debian_folders() -> Vec<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut versions: Vec<u32> = versions
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    versions.sort_unstable_by(|one, other| other.cmp(one));
    let folder = |version| Path::new("/usr/lib/postgresql").join(format!("{version}/bin"));
    versions.into_iter().map(folder).collect()
}

/// The id of an unprivileged user if this process runs as root: Postgres does not start as root.
fn unprivileged_user() -> Option<u32> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let number = |name: &str| {
        let line = passwd
            .lines()
            .find(|line| line.split(':').next() == Some(name))?;
        line.split(':').nth(2)?.parse().ok()
    };
    number("postgres").or_else(|| number("nobody"))
}
