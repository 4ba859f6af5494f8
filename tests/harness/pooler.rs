//! A real PgBouncer in front of a real Postgres: the local `pgbouncer`, or that of Debian 13 in a container.

use std::{fs, os::unix::fs::chown, path::PathBuf};

use local_servers::postgres as local;
use sqlx::postgres::PgConnectOptions;

use super::{debian, find_program, free_port, postgres::Database, server::Server};

/// The pool mode: the server connection that a client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Any connection, for each transaction.
    Transaction,
    /// The same connection for the whole session.
    Session,
}

/// The source of the PgBouncer program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    ThisMachine,
    Debian13,
}

/// A PgBouncer in front of one database.
pub struct Pooler {
    pub url: String,
    /// The first line of `pgbouncer --version`.
    pub version: String,
    _server: Server,
}

impl Pooler {
    /// Starts a PgBouncer. In transaction mode it has two server connections for all clients.
    pub async fn start(source: Source, mode: Mode, database: &Database) -> Result<Self, String> {
        let port = free_port();
        let (server, version) = match source {
            Source::ThisMachine => {
                let program = find_program("pgbouncer", &[PathBuf::from("/usr/sbin")])
                    .ok_or("pgbouncer is not installed")?;
                let version = std::process::Command::new(&program)
                    .arg("--version")
                    .output()
                    .map_err(|error| error.to_string())?;
                let server = Server::process(
                    "pgbouncer",
                    |folder, user| {
                        for (name, content) in
                            files(mode, port, database, &folder.display().to_string())
                        {
                            let path = folder.join(name);
                            fs::write(&path, content)
                                .and_then(|()| chown(&path, user, None))
                                .map_err(|error| error.to_string())?;
                        }
                        Ok(())
                    },
                    |folder| {
                        let settings = folder.join("pgbouncer.ini").display().to_string();
                        vec![program.display().to_string(), settings]
                    },
                )?;
                (
                    server,
                    String::from_utf8_lossy(&version.stdout).into_owned(),
                )
            }
            Source::Debian13 => {
                let files = files(mode, port, database, "/tmp");
                let command = "pgbouncer /tmp/pgbouncer.ini";
                let server = debian::start("pgbouncer", &files, command, "postgres")?;
                (server, debian::output(&["pgbouncer", "--version"])?)
            }
        };
        let pooler = Self {
            url: format!(
                "postgres://postgres:postgres@127.0.0.1:{port}/{}",
                database.name()
            ),
            version: version.lines().next().unwrap_or_default().to_owned(),
            _server: server,
        };
        pooler.wait_until_ready().await?;
        Ok(pooler)
    }

    async fn wait_until_ready(&self) -> Result<(), String> {
        let options: PgConnectOptions = self.url.parse().expect("it is a URL");
        let options = options.extra_float_digits(None);
        let ready = local::wait_until_ready(&options).await;
        ready.map_err(|error| format!("PgBouncer does not respond: {error}"))
    }
}

fn files(mode: Mode, port: u16, database: &Database, folder: &str) -> [(&'static str, String); 2] {
    let (host, server_port) = database.address();
    let (mode, size) = match mode {
        Mode::Transaction => ("transaction", 2),
        Mode::Session => ("session", 20),
    };
    let settings = format!(
        "[databases]
* = host={host} port={server_port} user=postgres password=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users.txt
pool_mode = {mode}
default_pool_size = {size}
"
    );
    let users = "\"postgres\" \"postgres\"\n".to_owned();
    [("pgbouncer.ini", settings), ("users.txt", users)]
}
