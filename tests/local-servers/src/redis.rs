//! Redis as a local process, by the installed `redis-server`.

use std::{
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use redis::{Client, Cmd, Connection, RedisResult};

use crate::{CONNECT_INTERVAL, ServerProcess, TIMEOUT, find_program};

/// The durable settings of production: a write is on the disk before its reply.
pub const DURABLE: [&str; 6] = [
    "--appendonly",
    "yes",
    "--appendfsync",
    "always",
    "--save",
    "",
];

/// Starts a Redis, which may not be ready yet. The flags, which include its port, may name files in its folder, which
/// `prepare` writes. `wrapper` is the beginning of its command, in front of the server's.
pub fn start(
    wrapper: &[String],
    prepare: impl FnOnce(&Path, Option<u32>) -> Result<(), String>,
    flags: impl FnOnce(&str) -> Vec<String>,
) -> Result<ServerProcess, String> {
    let program = find_program("redis-server", &[]).ok_or("redis-server is not installed")?;
    ServerProcess::start("redis", prepare, |folder| {
        let folder = folder.display().to_string();
        let (program, own) = (program.display().to_string(), ["--bind", "127.0.0.1"]);
        wrapper
            .iter()
            .cloned()
            .chain([program])
            .chain(own.map(str::to_owned))
            .chain(["--dir".to_owned(), folder.clone()])
            .chain(flags(&folder))
            .collect()
    })
}

/// The URL of a Redis without TLS on this machine.
#[must_use]
pub fn url(port: u16) -> String {
    format!("redis://127.0.0.1:{port}")
}

/// Opens a connection.
pub fn connect(url: &str, timeout: Duration) -> RedisResult<Connection> {
    Client::open(url)?.get_connection_with_timeout(timeout)
}

/// Sends a command until it succeeds, each time on a new connection.
pub fn retry(url: &str, command: &Cmd) -> Result<(), String> {
    let deadline = Instant::now() + TIMEOUT;
    let exec = || command.exec(&mut connect(url, Duration::from_secs(1))?);
    while let Err(error) = exec() {
        if Instant::now() > deadline {
            return Err(format!("Redis does not reply: {error}"));
        }
        sleep(CONNECT_INTERVAL);
    }
    Ok(())
}

/// Waits until the server replies.
pub fn wait_until_ready(url: &str) -> Result<(), String> {
    retry(url, &redis::cmd("PING"))
}
