//! Postgres as a local process, by the installed `initdb` and `postgres`.

use std::{
    cmp::Reverse,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use tokio::time::{Instant, sleep};

use crate::{CONNECT_INTERVAL, ServerProcess, TIMEOUT, find_program, programs::run_as};

/// Starts an empty Postgres, which may not be ready yet. The flags may name files in its folder, which `prepare` writes.
pub fn start(
    port: u16,
    prepare: impl FnOnce(&Path, Option<u32>) -> Result<(), String>,
    flags: impl FnOnce(&str) -> String,
) -> Result<ServerProcess, String> {
    let (initdb, postgres) = (program("initdb")?, program("postgres")?);
    ServerProcess::start(
        "postgres",
        |folder, user| {
            prepare(folder, user)?;
            init_cluster(&initdb, folder, user)
        },
        |folder| {
            let flags = flags(&folder.display().to_string());
            command(&postgres, folder, port, &flags)
        },
    )
}

/// Starts a read replica of the local Postgres at the port `primary`.
pub fn start_replica(primary: u16, port: u16, flags: &str) -> Result<ServerProcess, String> {
    let (copy, postgres) = (program("pg_basebackup")?, program("postgres")?);
    ServerProcess::start(
        "postgres",
        |folder, user| {
            let mut command = Command::new(&copy);
            command
                .args(["--username=postgres", "--host=127.0.0.1", "--port"])
                .arg(primary.to_string())
                .args(["--write-recovery-conf", "--checkpoint=fast", "--pgdata"])
                .arg(folder.join("data"));
            run_as(&mut command, folder, user)
        },
        |folder| command(&postgres, folder, port, flags),
    )
}

/// The URL of a Postgres on this machine: its maintenance database.
#[must_use]
pub fn url(port: u16) -> String {
    format!("postgres://postgres:postgres@127.0.0.1:{port}/postgres")
}

/// The URL of another database of the server with this URL.
///
/// # Panics
///
/// If the URL has no path.
#[must_use]
pub fn url_of(server: &str, database: &str) -> String {
    let (before, query) = server
        .split_once('?')
        .map_or((server, String::new()), |(before, query)| {
            (before, format!("?{query}"))
        });
    let (address, _) = before.rsplit_once('/').expect("a URL has a path");
    format!("{address}/{database}{query}")
}

/// Creates an empty database.
pub async fn create_database(options: &PgConnectOptions, name: &str) -> sqlx::Result<()> {
    let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
    let mut connection = PgConnection::connect_with(options).await?;
    sqlx::query(create).execute(&mut connection).await?;
    connection.close().await
}

/// The path of a program of Postgres.
pub fn program(name: &str) -> Result<PathBuf, String> {
    find_program(name, &debian_folders()).ok_or_else(|| format!("{name} is not installed"))
}

/// Waits until the server, or a pooler in front of it, accepts connections.
pub async fn wait_until_ready(options: &PgConnectOptions) -> Result<(), String> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match PgConnection::connect_with(options).await {
            Ok(connection) => return connection.close().await.map_err(|error| error.to_string()),
            Err(error) if Instant::now() > deadline => return Err(error.to_string()),
            Err(_) => sleep(CONNECT_INTERVAL).await,
        }
    }
}

fn command(postgres: &Path, folder: &Path, port: u16, flags: &str) -> Vec<String> {
    let folder = folder.display().to_string();
    let options = format!(
        "-D {folder}/data -p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
    );
    let command = format!("{} {options} {flags}", postgres.display());
    command.split_whitespace().map(str::to_owned).collect()
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
    versions.sort_unstable_by_key(|version| Reverse(*version));
    versions
        .into_iter()
        .map(|version| format!("/usr/lib/postgresql/{version}/bin").into())
        .collect()
}

fn init_cluster(initdb: &Path, folder: &Path, user: Option<u32>) -> Result<(), String> {
    let mut command = Command::new(initdb);
    command
        .args([
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "-D",
        ])
        .arg(folder.join("data"));
    run_as(&mut command, folder, user)
}
