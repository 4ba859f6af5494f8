//! A real Postgres: the one that `TEST_DATABASE_URL` names, a container, or an `initdb` and `postgres` of this machine.

use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use testcontainers::ImageExt;
use tokio::time::{Instant, sleep};

use super::{
    PATIENCE, free_port, on_a_thread,
    server::{self, Server, find_program},
    unique,
};

const TAG: &str = "18";

/// A Postgres, ready to be used.
#[derive(Debug)]
pub struct PostgresServer {
    options: PgConnectOptions,
    url: String,
    pub server: Server,
}

/// The Postgres that all tests of this program share. They use databases of their own.
pub fn shared() -> Result<&'static PostgresServer, String> {
    static SHARED: OnceLock<Result<PostgresServer, String>> = OnceLock::new();
    SHARED
        .get_or_init(|| external().unwrap_or_else(own))
        .as_ref()
        .map_err(Clone::clone)
}

fn external() -> Option<Result<PostgresServer, String>> {
    let url = std::env::var("TEST_DATABASE_URL")
        .ok()
        .filter(|url| !url.is_empty())?;
    Some(PostgresServer::new(url, Server::External))
}

/// A Postgres for one test, which may break it.
pub fn own() -> Result<PostgresServer, String> {
    let (container, local) = match in_container() {
        Ok(postgres) => return Ok(postgres),
        Err(why) => (why, on_this_machine()),
    };
    local
        .map_err(|local| format!("no Postgres: TEST_DATABASE_URL is not set, {container}, {local}"))
}

fn in_container() -> Result<PostgresServer, String> {
    let (server, port) = server::in_container("postgres", TAG, 5432, |image| {
        // Several tests hold pools at once.
        image
            .with_env_var("POSTGRES_PASSWORD", "postgres")
            .with_cmd(["postgres", "-c", "max_connections=300"])
    })?;
    PostgresServer::new(
        format!("postgres://postgres:postgres@127.0.0.1:{port}/postgres"),
        server,
    )
}

fn on_this_machine() -> Result<PostgresServer, String> {
    let missing = |name| format!("{name} is not on this machine");
    let initdb = find_program("initdb", &debian_folders()).ok_or_else(|| missing("initdb"))?;
    let postgres =
        find_program("postgres", &debian_folders()).ok_or_else(|| missing("postgres"))?;
    let port = free_port();
    let server = Server::process(
        "postgres",
        |folder, user| make_cluster(&initdb, folder, user),
        |folder| {
            let flags = format!(
                "-D {0}/data -p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={0} -c max_connections=300",
                folder.display()
            );
            [postgres.display().to_string()]
                .into_iter()
                .chain(flags.split(' ').map(str::to_owned))
                .collect()
        },
    )?;
    PostgresServer::new(
        format!("postgres://postgres:postgres@127.0.0.1:{port}/postgres"),
        server,
    )
}

/// Debian keeps each version's programs in a folder of its own; the newest comes first.
fn debian_folders() -> Vec<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut versions: Vec<u32> = versions
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    versions.sort_unstable_by_key(|version| std::cmp::Reverse(*version));
    versions
        .into_iter()
        .map(|version| format!("/usr/lib/postgresql/{version}/bin").into())
        .collect()
}

fn make_cluster(initdb: &Path, folder: &Path, user: Option<u32>) -> Result<(), String> {
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
    command.current_dir(folder);
    if let Some(user) = user {
        command.uid(user);
    }
    let output = command
        .output()
        .map_err(|error| format!("initdb cannot be run: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    output
        .status
        .success()
        .then_some(())
        .ok_or_else(|| format!("initdb failed: {said}"))
}

impl PostgresServer {
    fn new(url: String, server: Server) -> Result<Self, String> {
        let options = url
            .parse()
            .map_err(|_| "TEST_DATABASE_URL is not a Postgres URL".to_owned())?;
        let postgres = Self {
            options,
            url,
            server,
        };
        let options = postgres.options.clone();
        on_a_thread(async move { wait_until_ready(&options).await })?;
        Ok(postgres)
    }

    /// Waits until it answers.
    pub async fn wait_until_ready(&self) {
        wait_until_ready(&self.options)
            .await
            .expect("Postgres starts again");
    }

    /// A connection to the database that is always there.
    async fn connect(&self) -> PgConnection {
        PgConnection::connect_with(&self.options)
            .await
            .expect("Postgres answers")
    }

    /// A new, empty database.
    pub async fn database(&'static self) -> Database {
        let name = unique("test");
        let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(create)
            .execute(&mut self.connect().await)
            .await
            .expect("the role may create databases");
        Database { server: self, name }
    }

    fn url_of(&self, database: &str) -> String {
        let (before, query) = self
            .url
            .split_once('?')
            .map_or((self.url.as_str(), String::new()), |(before, query)| {
                (before, format!("?{query}"))
            });
        let (server, _) = before.rsplit_once('/').expect("a URL has a path");
        format!("{server}/{database}{query}")
    }
}

async fn wait_until_ready(options: &PgConnectOptions) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match PgConnection::connect_with(options).await {
            Ok(connection) => return connection.close().await.map_err(|error| error.to_string()),
            Err(error) if Instant::now() > deadline => {
                return Err(format!("Postgres does not answer: {error}"));
            }
            Err(_) => sleep(std::time::Duration::from_millis(50)).await,
        }
    }
}

/// A database of one test, dropped with this value.
#[derive(Debug)]
pub struct Database {
    server: &'static PostgresServer,
    name: String,
}

impl Database {
    pub fn url(&self) -> String {
        self.server.url_of(&self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Whoever started the server throws it away; somebody else's is left as it was.
        if let Server::External = self.server.server {
            let (options, name) = (self.server.options.clone(), self.name.clone());
            let dropped = on_a_thread(async move {
                let drop = sqlx::AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"));
                let mut connection = PgConnection::connect_with(&options)
                    .await
                    .map_err(|error| error.to_string())?;
                sqlx::query(drop)
                    .execute(&mut connection)
                    .await
                    .map_err(|error| error.to_string())
            });
            drop(dropped);
        }
    }
}
