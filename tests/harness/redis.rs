//! A real Redis: the one that `TEST_REDIS_URL` names, a container, or a `redis-server` of this machine.

use std::{
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use redis::{Client, Commands, Connection};
use testcontainers::ImageExt;

use super::{
    PATIENCE, free_port,
    server::{self, Server, find_program},
};

const TAG: &str = "8.0";
/// As in production: what is answered is on the disk.
const FLAGS: [&str; 6] = [
    "--appendonly",
    "yes",
    "--appendfsync",
    "always",
    "--save",
    "",
];

/// A Redis, ready to be used.
#[derive(Debug)]
pub struct RedisServer {
    pub url: String,
    pub server: Server,
}

/// The Redis that all tests of this program share. They use streams of their own and leave the server as it is.
pub fn shared() -> Result<&'static RedisServer, String> {
    static SHARED: OnceLock<Result<RedisServer, String>> = OnceLock::new();
    SHARED
        .get_or_init(|| external().map_or_else(own, Ok))
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

/// A Redis for one test, which may break it.
pub fn own() -> Result<RedisServer, String> {
    let (container, local) = match in_container() {
        Ok(redis) => return redis.ready(),
        Err(why) => (why, on_this_machine()),
    };
    local
        .map_err(|local| format!("no Redis: TEST_REDIS_URL is not set, {container}, {local}"))?
        .ready()
}

fn in_container() -> Result<RedisServer, String> {
    let command = ["redis-server"].iter().chain(&FLAGS).copied();
    let (server, port) = server::in_container("redis", TAG, 6379, |image| image.with_cmd(command))?;
    Ok(RedisServer {
        url: url(port),
        server,
    })
}

fn on_this_machine() -> Result<RedisServer, String> {
    let program = find_program("redis-server", &[]).ok_or("redis-server is not on this machine")?;
    let port = free_port();
    let server = Server::process(
        "redis",
        |_, _| Ok(()),
        |folder| {
            let folder = folder.display().to_string();
            let place = [
                "--bind",
                "127.0.0.1",
                "--port",
                &port.to_string(),
                "--dir",
                &folder,
            ]
            .map(str::to_owned);
            let flags = FLAGS.map(str::to_owned);
            [program.display().to_string()]
                .into_iter()
                .chain(place)
                .chain(flags)
                .collect()
        },
    )?;
    Ok(RedisServer {
        url: url(port),
        server,
    })
}

fn url(port: u16) -> String {
    format!("redis://127.0.0.1:{port}")
}

impl RedisServer {
    fn ready(self) -> Result<Self, String> {
        self.wait_until_ready()?;
        Ok(self)
    }

    /// Waits until it answers.
    pub fn wait_until_ready(&self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        let ping =
            || -> redis::RedisResult<()> { redis::cmd("PING").exec(&mut self.try_connect()?) };
        while let Err(error) = ping() {
            if Instant::now() > deadline {
                return Err(format!("Redis does not answer: {error}"));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn try_connect(&self) -> redis::RedisResult<Connection> {
        Client::open(self.url.as_str())?.get_connection_with_timeout(Duration::from_secs(1))
    }

    /// A connection for looking into it.
    pub fn connect(&self) -> Connection {
        self.try_connect().expect("Redis answers")
    }

    /// Sets one of its settings.
    pub fn set(&self, setting: &str, value: &str) {
        redis::cmd("CONFIG")
            .arg("SET")
            .arg(setting)
            .arg(value)
            .exec(&mut self.connect())
            .expect("it is a setting");
    }

    /// How many entries a stream has.
    pub fn length(&self, stream: &str) -> u64 {
        self.connect().xlen(stream).expect("it is a stream")
    }

    /// Kills it, and starts it again.
    pub fn restart(&self) {
        self.server.kill();
        self.server.start();
        self.wait_until_ready().expect("it starts again");
    }
}
