//! A real Redis: the one at `TEST_REDIS_URL`, a container, or the local `redis-server`.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use local_servers::redis as local;
use rand::Rng;
use redis::{Commands, Connection};
use testcontainers::ImageExt;

use super::{TIMEOUT, container, free_port, power, server::Server, tls::Certificate};

const TAG: &str = "8.2";
const PORT: u16 = 6379;
/// The file whose existence removes the limit of [`with_full_disk`].
const DISK_SPACE_MARKER: &str = "disk-space";

/// A running Redis.
#[derive(Debug)]
pub struct RedisServer {
    pub url: String,
    pub server: Server,
}

/// The Redis that all tests share. Each test uses streams of its own and changes no settings.
pub fn shared() -> Result<&'static RedisServer, String> {
    static SHARED: OnceLock<Result<RedisServer, String>> = OnceLock::new();
    SHARED
        .get_or_init(|| external().map_or_else(dedicated, Ok))
        .as_ref()
        .map_err(Clone::clone)
}

fn external() -> Option<RedisServer> {
    let url = std::env::var("TEST_REDIS_URL")
        .ok()
        .filter(|url| !url.is_empty())?;
    Some(RedisServer {
        url,
        server: Server::External,
    })
}

/// Starts a Redis for one test, which may break it.
pub fn dedicated() -> Result<RedisServer, String> {
    start_until_ready(&Options::default(), "")
}

/// Starts a Redis for one test that loads its keys slowly after a restart and replies `LOADING` meanwhile.
pub fn slow_to_load() -> Result<RedisServer, String> {
    start_until_ready(&Options::default(), "--key-load-delay 300")
}

/// Starts a Redis for one test, which may call [`RedisServer::lose_power`].
pub fn with_power_loss() -> Result<RedisServer, String> {
    let options = Options {
        // A command other than the image's own runs as root, who owns the files that are copied into a container.
        wrapper: &["env"],
        preload: Some(power::library()?),
        ..Options::default()
    };
    start_until_ready(&options, "--protected-mode no")
}

/// Starts a Redis whose files cannot grow beyond 32 KiB, as on a full disk, until it is restarted after
/// [`RedisServer::free_disk_space`].
pub fn with_full_disk() -> Result<RedisServer, String> {
    let script = format!("trap '' XFSZ; [ -e {DISK_SPACE_MARKER} ] || ulimit -f 64; exec \"$@\"");
    let options = Options {
        wrapper: &["sh", "-c", &script, "sh"],
        ..Options::default()
    };
    // The image disables the protected mode only for its own command.
    start_until_ready(&options, "--protected-mode no")
}

fn start_until_ready(options: &Options<'_>, flags: &str) -> Result<RedisServer, String> {
    let redis = start(options, |port| words(&format!("--port {port} {flags}")))?;
    redis.wait_until_ready()?;
    Ok(redis)
}

fn words(flags: &str) -> Vec<String> {
    flags.split_whitespace().map(str::to_owned).collect()
}

/// Starts a Redis that accepts only this user, and only over TLS. It may not be ready yet.
pub fn with_tls(
    certificate: &Certificate,
    user: &str,
    password: &str,
) -> Result<RedisServer, String> {
    start_with_tls(certificate, user, password, "no")
}

/// The same with client certificates (mutual TLS).
pub fn with_mutual_tls(
    certificate: &Certificate,
    user: &str,
    password: &str,
) -> Result<RedisServer, String> {
    start_with_tls(certificate, user, password, "yes")
}

fn start_with_tls(
    certificate: &Certificate,
    user: &str,
    password: &str,
    client_certificates: &str,
) -> Result<RedisServer, String> {
    let options = Options {
        certificate: Some(certificate),
        ..Options::default()
    };
    let mut redis = start(&options, |port| {
        words(&format!(
            "--port 0 --tls-port {port} --tls-auth-clients {client_certificates} --user default off --user {user} on >{password} ~* &* +@all"
        ))
    })?;
    redis.url = redis.url.replace(
        "redis://127.0.0.1",
        &format!("rediss://{user}:{password}@localhost"),
    );
    Ok(redis)
}

/// The options of a server.
#[derive(Default)]
struct Options<'a> {
    certificate: Option<&'a Certificate>,
    /// The program that starts the server.
    wrapper: &'a [&'a str],
    /// A library for `LD_PRELOAD`.
    preload: Option<&'a Path>,
}

/// Starts a Redis in a container if there is a container engine, else as a local process. With TLS the local program comes
/// first: the Redis of an image may be built without TLS.
fn start(
    options: &Options<'_>,
    listen_flags: impl Fn(u16) -> Vec<String>,
) -> Result<RedisServer, String> {
    let flags = |port: u16, folder: &str| {
        let mut flags: Vec<String> = local::DURABLE.map(str::to_owned).into();
        flags.extend(listen_flags(port));
        if options.certificate.is_some() {
            for (flag, name) in [("cert", "cert"), ("key", "key"), ("ca-cert", "cert")] {
                flags.extend([format!("--tls-{flag}-file"), format!("{folder}/{name}.pem")]);
            }
        }
        flags
    };
    let contained = || start_container(options, flags(PORT, "/tls"));
    let local = || start_local(options, flags);
    let started = if options.certificate.is_some() {
        local().or_else(|why| contained().map_err(|more| format!("{why}, {more}")))
    } else {
        contained().or_else(|why| local().map_err(|more| format!("{why}, {more}")))
    };
    let (server, port) =
        started.map_err(|why| format!("no Redis: TEST_REDIS_URL is not set, {why}"))?;
    Ok(RedisServer {
        url: local::url(port),
        server,
    })
}

fn start_container(options: &Options<'_>, flags: Vec<String>) -> Result<(Server, u16), String> {
    container::start("redis", TAG, PORT, |image| {
        let request = image.with_cmd(
            options
                .wrapper
                .iter()
                .chain(&["redis-server"])
                .map(|word| (*word).to_owned())
                .chain(flags),
        );
        let request = match options.preload {
            Some(library) => request
                .with_copy_to("/preload.so", library.to_owned())
                .with_env_var("LD_PRELOAD", "/preload.so"),
            None => request,
        };
        match options.certificate {
            Some(tls) => request
                .with_copy_to("/tls/cert.pem", tls.certificate.clone().into_bytes())
                .with_copy_to("/tls/key.pem", tls.key.clone().into_bytes()),
            None => request,
        }
    })
}

fn start_local(
    options: &Options<'_>,
    flags: impl Fn(u16, &str) -> Vec<String>,
) -> Result<(Server, u16), String> {
    let port = free_port();
    let preload = options
        .preload
        .map(|library| ["env".into(), format!("LD_PRELOAD={}", library.display())]);
    let wrapper: Vec<_> = preload
        .into_iter()
        .flatten()
        .chain(options.wrapper.iter().map(|word| (*word).to_owned()))
        .collect();
    let server = local::start(
        &wrapper,
        |folder, user| {
            options
                .certificate
                .map_or(Ok(()), |tls| tls.write(folder, user))
        },
        |folder| flags(port, folder),
    )?;
    Ok((Server::Process(server), port))
}

impl RedisServer {
    /// Host and port for another server.
    pub fn address_for_others(&self) -> (String, u16) {
        let port = self.url.rsplit_once(':').expect("it has a port").1;
        match self.server.address_in_its_network() {
            Some(host) => (host, PORT),
            None => ("127.0.0.1".into(), port.parse().expect("it is a number")),
        }
    }

    /// Waits until it replies.
    pub fn wait_until_ready(&self) -> Result<(), String> {
        local::wait_until_ready(&self.url)
    }

    /// Sends a command until it succeeds.
    pub fn exec(&self, command: &redis::Cmd) -> Result<(), String> {
        local::retry(&self.url, command)
    }

    /// A connection for inspection.
    pub fn connect(&self) -> Connection {
        local::connect(&self.url, TIMEOUT).expect("Redis replies")
    }

    /// Changes the permissions of a user, and creates the user if necessary.
    pub fn set_user(&self, name: &str, rules: &str) {
        let mut acl = redis::cmd("ACL");
        acl.arg("SETUSER")
            .arg(name)
            .arg(rules.split(' ').collect::<Vec<_>>());
        acl.exec(&mut self.connect()).expect("the rules are valid");
    }

    /// Closes the connections of a user.
    pub fn disconnect(&self, user: &str) {
        let mut kill = redis::cmd("CLIENT");
        kill.arg("KILL").arg("USER").arg(user);
        kill.exec(&mut self.connect()).expect("the user exists");
    }

    /// The URL with this user and password.
    pub fn url_for(&self, user: &str, password: &str) -> String {
        self.url
            .replace("redis://", &format!("redis://{user}:{password}@"))
    }

    /// Changes a setting.
    pub fn set(&self, setting: &str, value: &str) {
        redis::cmd("CONFIG")
            .arg("SET")
            .arg(setting)
            .arg(value)
            .exec(&mut self.connect())
            .expect("the setting exists");
    }

    /// The number of entries of a stream.
    pub fn length(&self, stream: &str) -> u64 {
        self.connect().xlen(stream).expect("the stream exists")
    }

    /// Removes the limit on file sizes from the next start on.
    pub fn free_disk_space(&self) {
        self.server.put_file(DISK_SPACE_MARKER);
    }

    /// Kills it and truncates its files as a power loss may do, in their unsynced parts. Returns the number of unsynced
    /// bytes.
    pub fn lose_power(&self, random: &mut impl Rng) -> u64 {
        self.server.kill();
        let mut unsynced = 0;
        self.server.edit("appendonlydir", |folder| {
            let files = std::fs::read_dir(folder).expect("the folder can be read");
            let files = files.map(|file| file.expect("it can be read").path());
            let is_incremental = |file: &PathBuf| file.to_string_lossy().ends_with(".incr.aof");
            let files: Vec<_> = files.filter(is_incremental).collect();
            let recorded = files
                .iter()
                .any(|file| power::synced_length(file).is_some());
            assert!(recorded, "the library is not loaded: {files:?}");
            for file in &files {
                unsynced += power::truncate_unsynced(file, random);
            }
        });
        unsynced
    }

    /// Kills and restarts it.
    pub fn restart(&self) {
        self.server.kill();
        self.server.start();
        self.wait_until_ready().expect("it starts again");
    }
}
