//! A real Postgres: the one at `TEST_DATABASE_URL`, a container, or the local `initdb` and `postgres`.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

use local_servers::postgres as local;
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use testcontainers::ImageExt;

use super::{block_on_thread, container, free_port, server::Server, tls::Certificate, unique};

const TAG: &str = "18";
const PORT: u16 = 5432;
/// Tests kill servers, not machines: writes in the kernel's cache survive, and no test waits for a shared disk.
const UNSYNCED: &str = "-c fsync=off";

/// A Postgres that accepts connections.
#[derive(Debug)]
pub struct PostgresServer {
    options: PgConnectOptions,
    url: String,
    pub server: Server,
}

/// The Postgres that all tests share. Each test uses a database of its own.
pub fn shared() -> Result<&'static PostgresServer, String> {
    static SHARED: OnceLock<Result<PostgresServer, String>> = OnceLock::new();
    SHARED
        .get_or_init(|| external().unwrap_or_else(dedicated))
        .as_ref()
        .map_err(Clone::clone)
}

fn external() -> Option<Result<PostgresServer, String>> {
    let url = std::env::var("TEST_DATABASE_URL")
        .ok()
        .filter(|url| !url.is_empty())?;
    Some(PostgresServer::new(url, Server::External))
}

/// Starts a Postgres for one test, which may break it.
pub fn dedicated() -> Result<PostgresServer, String> {
    let (server, port) = start(None)?;
    PostgresServer::new(local::url(port), server)
}

/// Starts a local Postgres and a read replica of it.
pub fn with_replica() -> Result<(PostgresServer, PostgresServer), String> {
    let (port, port_of_replica) = (free_port(), free_port());
    let primary = local::start(port, |_, _| Ok(()), |_| UNSYNCED.into())?;
    let primary = PostgresServer::new(local::url(port), Server::Process(primary))?;
    let replica = local::start_replica(port, port_of_replica, UNSYNCED)?;
    let replica = PostgresServer::new(local::url(port_of_replica), Server::Process(replica))?;
    Ok((primary, replica))
}

/// A Postgres that accepts TLS connections. It may not be ready yet.
pub struct TlsPostgres {
    pub url: String,
    _server: Server,
}

/// Starts a Postgres with this certificate.
pub fn with_tls(certificate: &Certificate) -> Result<TlsPostgres, String> {
    let (server, port) = start(Some(certificate))?;
    Ok(TlsPostgres {
        url: local::url(port).replace("127.0.0.1", "localhost"),
        _server: server,
    })
}

/// Starts a Postgres in a container if there is a container engine, else as a local process.
fn start(certificate: Option<&Certificate>) -> Result<(Server, u16), String> {
    let flags = |folder: &str| {
        let tls = format!(
            " -c ssl=on -c ssl_cert_file={folder}/cert.pem -c ssl_key_file={folder}/key.pem"
        );
        // Several tests have connection pools at the same time.
        format!(
            "{UNSYNCED} -c max_connections=300{}",
            certificate.map_or("", |_| &tls)
        )
    };
    let container = container::start("postgres", TAG, PORT, |image| {
        const FOLDER: &str = "/var/lib/postgresql";
        let Some(tls) = certificate else {
            let command = format!("postgres {}", flags(FOLDER));
            return image
                .with_env_var("POSTGRES_PASSWORD", "postgres")
                .with_cmd(command.split(' '));
        };
        // Postgres accepts only a key file that it owns.
        let install = format!("install -o postgres -m 600 /tls/* {FOLDER}/");
        let script = format!(
            "{install} && exec docker-entrypoint.sh postgres {}",
            flags(FOLDER)
        );
        image
            .with_entrypoint("sh")
            .with_env_var("POSTGRES_PASSWORD", "postgres")
            .with_copy_to("/tls/cert.pem", tls.certificate.clone().into_bytes())
            .with_copy_to("/tls/key.pem", tls.key.clone().into_bytes())
            .with_cmd(["-c", &script])
    });
    container.or_else(|container| {
        let port = free_port();
        let prepare = |folder: &_, user| certificate.map_or(Ok(()), |tls| tls.write(folder, user));
        local::start(port, prepare, flags)
            .map(|server| (Server::Process(server), port))
            .map_err(|local| {
                format!("no Postgres: TEST_DATABASE_URL is not set, {container}, {local}")
            })
    })
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
        block_on_thread(async move { wait_until_ready(&options).await })?;
        Ok(postgres)
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Waits until it accepts connections.
    pub async fn wait_until_ready(&self) {
        wait_until_ready(&self.options)
            .await
            .expect("Postgres starts again");
    }

    /// Creates an empty database.
    pub async fn database(&'static self) -> Database {
        let name = unique("test");
        local::create_database(&self.options, &name)
            .await
            .expect("the role may create databases");
        Database { server: self, name }
    }
}

async fn wait_until_ready(options: &PgConnectOptions) -> Result<(), String> {
    let ready = local::wait_until_ready(options).await;
    ready.map_err(|error| format!("Postgres does not respond: {error}"))
}

/// The database of one test, dropped with this value.
#[derive(Debug)]
pub struct Database {
    server: &'static PostgresServer,
    name: String,
}

impl Database {
    pub fn url(&self) -> String {
        local::url_of(&self.server.url, &self.name)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The output of `pg_dump` with these flags.
    pub fn dump(&self, flags: &[&str]) -> String {
        let output = self.run_client("pg_dump", flags, "");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "pg_dump: {stderr}");
        String::from_utf8(output.stdout).expect("it is text")
    }

    /// Restores a dump with `psql`. Fails with its error output.
    pub fn restore(&self, dump: &str) -> Result<(), String> {
        let output = self.run_client("psql", &["--quiet"], dump);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() && stderr.is_empty() {
            Ok(())
        } else {
            Err(stderr)
        }
    }

    /// Runs a client program of the server's version.
    fn run_client(&self, program: &str, flags: &[&str], input: &str) -> Output {
        let (host, port) = self.address();
        let mut command = match &self.server.server {
            Server::Container { id, .. } => {
                let mut command = Command::new("docker");
                command.args(["exec", "--interactive", id, program]);
                command.args(["--username=postgres"]);
                command
            }
            Server::External | Server::Process(_) => {
                let found = local::program(program).expect("it is installed with the server");
                let mut command = Command::new(found);
                command.env("PGPASSWORD", "postgres");
                let port = port.to_string();
                command.args(["--username=postgres", "--host", host, "--port", &port]);
                command
            }
        };
        command.args(flags).arg(&self.name);
        command.stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the client can be run");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        let input = input.to_owned();
        let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().expect("it can be waited for");
        let _ = writer.join();
        output
    }

    /// The URL of the maintenance database.
    pub fn admin_url(&self) -> String {
        self.server.url().to_owned()
    }

    /// Host and port of its server.
    pub fn address(&self) -> (&str, u16) {
        let options = &self.server.options;
        (options.get_host(), options.get_port())
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A server that the tests started is removed as a whole; an external one is left as it was.
        if let Server::External = self.server.server {
            let (options, name) = (self.server.options.clone(), self.name.clone());
            let dropped = block_on_thread(async move {
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
