//! A real Redis: the one that `TEST_REDIS_URL` names, a container, or a `redis-server` of this machine.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use rand::Rng;
use redis::{Client, Commands, Connection};
use testcontainers::ImageExt;

use super::{
    PATIENCE, free_port, power,
    server::{self, Server, find_program},
    tls::Certificate,
};

const TAG: &str = "8.2";
const PORT: u16 = 6379;
/// As in production: what is answered is on the disk.
const FLAGS: [&str; 6] = [
    "--appendonly",
    "yes",
    "--appendfsync",
    "always",
    "--save",
    "",
];

/// The file that says that there is room again.
const ROOMY: &str = "roomy";

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
    let redis = start(&Place::default(), |port| {
        vec!["--port".into(), port.to_string()]
    })?;
    redis.wait_until_ready()?;
    Ok(redis)
}

/// A Redis for one test that takes its time over every key when it starts again, and says meanwhile that it is loading.
pub fn slow_to_load() -> Result<RedisServer, String> {
    let redis = start(&Place::default(), |port| {
        let flags = format!("--port {port} --key-load-delay 300");
        flags.split(' ').map(str::to_owned).collect()
    })?;
    redis.wait_until_ready()?;
    Ok(redis)
}

/// A Redis for one test, which may cut its power.
pub fn powered() -> Result<RedisServer, String> {
    let place = Place {
        // What the image does not start by itself stays root, who owns what is copied into a container.
        wrapper: &["env"],
        preload: Some(power::library()?),
        ..Place::default()
    };
    let redis = start(&place, |port| {
        let flags = format!("--port {port} --protected-mode no");
        flags.split(' ').map(str::to_owned).collect()
    })?;
    redis.wait_until_ready()?;
    Ok(redis)
}

/// A Redis whose files may not grow beyond 32 KiB, as on a full disk, until it is started again after
/// [`RedisServer::make_room`].
pub fn without_room() -> Result<RedisServer, String> {
    let script = format!("trap '' XFSZ; [ -e {ROOMY} ] || ulimit -f 64; exec \"$@\"");
    let place = Place {
        wrapper: &["sh", "-c", &script, "sh"],
        ..Place::default()
    };
    let redis = start(&place, |port| {
        // The image lets others than itself in only where it starts the server by itself.
        let flags = format!("--port {port} --protected-mode no");
        flags.split(' ').map(str::to_owned).collect()
    })?;
    redis.wait_until_ready()?;
    Ok(redis)
}

/// A Redis that only this user may use, and only over TLS. It may not answer yet.
pub fn secured(
    certificate: &Certificate,
    user: &str,
    password: &str,
) -> Result<RedisServer, String> {
    start_secured(certificate, user, password, "no")
}

/// The same, and it demands a certificate of its clients.
pub fn secured_both_ways(
    certificate: &Certificate,
    user: &str,
    password: &str,
) -> Result<RedisServer, String> {
    start_secured(certificate, user, password, "yes")
}

fn start_secured(
    certificate: &Certificate,
    user: &str,
    password: &str,
    of_clients: &str,
) -> Result<RedisServer, String> {
    let place = Place {
        certificate: Some(certificate),
        ..Place::default()
    };
    let mut redis = start(&place, |port| {
        let flags = format!(
            "--port 0 --tls-port {port} --tls-auth-clients {of_clients} --user default off --user {user} on >{password} ~* &* +@all"
        );
        flags.split(' ').map(str::to_owned).collect()
    })?;
    redis.url = redis.url.replace(
        "redis://127.0.0.1",
        &format!("rediss://{user}:{password}@localhost"),
    );
    Ok(redis)
}

/// What a server has around it.
#[derive(Default)]
struct Place<'a> {
    certificate: Option<&'a Certificate>,
    /// A program that starts it.
    wrapper: &'a [&'a str],
    /// A library that is loaded before its own.
    preload: Option<&'a Path>,
}

/// In a container if there are such, else from this machine's programs. With TLS it is the other way round: an image's Redis may be
/// built without it, and a distribution's has it.
fn start(place: &Place<'_>, listen: impl Fn(u16) -> Vec<String>) -> Result<RedisServer, String> {
    let flags = |port: u16, folder: &str| {
        let mut flags: Vec<String> = FLAGS.map(str::to_owned).into();
        flags.extend(listen(port));
        if place.certificate.is_some() {
            for (flag, name) in [("cert", "cert"), ("key", "key"), ("ca-cert", "cert")] {
                flags.extend([format!("--tls-{flag}-file"), format!("{folder}/{name}.pem")]);
            }
        }
        flags
    };
    let contained = || in_container(place, flags(PORT, "/tls"));
    let local = || on_this_machine(place, flags);
    let started = if place.certificate.is_some() {
        local().or_else(|why| contained().map_err(|more| format!("{why}, {more}")))
    } else {
        contained().or_else(|why| local().map_err(|more| format!("{why}, {more}")))
    };
    let (server, port) =
        started.map_err(|why| format!("no Redis: TEST_REDIS_URL is not set, {why}"))?;
    Ok(RedisServer {
        url: url(port),
        server,
    })
}

fn in_container(place: &Place<'_>, flags: Vec<String>) -> Result<(Server, u16), String> {
    server::in_container("redis", TAG, PORT, |image| {
        let request = image.with_cmd(
            place
                .wrapper
                .iter()
                .chain(&["redis-server"])
                .map(|word| (*word).to_owned())
                .chain(flags),
        );
        let request = match place.preload {
            Some(library) => request
                .with_copy_to("/preload.so", library.to_owned())
                .with_env_var("LD_PRELOAD", "/preload.so"),
            None => request,
        };
        match place.certificate {
            Some(tls) => request
                .with_copy_to("/tls/cert.pem", tls.certificate.clone().into_bytes())
                .with_copy_to("/tls/key.pem", tls.key.clone().into_bytes()),
            None => request,
        }
    })
}

fn on_this_machine(
    place: &Place<'_>,
    flags: impl Fn(u16, &str) -> Vec<String>,
) -> Result<(Server, u16), String> {
    let program = find_program("redis-server", &[])
        .ok_or("redis-server is not on this machine".to_owned())?;
    let port = free_port();
    let server = Server::process(
        "redis",
        |folder, user| {
            place
                .certificate
                .map_or(Ok(()), |tls| tls.write(folder, user))
        },
        |folder| {
            let folder = folder.display().to_string();
            let preload = place
                .preload
                .map(|library| ["env".into(), format!("LD_PRELOAD={}", library.display())]);
            let wrapper = place.wrapper.iter().map(|word| (*word).to_owned());
            preload
                .into_iter()
                .flatten()
                .chain(wrapper)
                .chain([program.display().to_string()])
                .chain(["--bind", "127.0.0.1", "--dir", &folder].map(str::to_owned))
                .chain(flags(port, &folder))
                .collect()
        },
    )?;
    Ok((server, port))
}

fn url(port: u16) -> String {
    format!("redis://127.0.0.1:{port}")
}

impl RedisServer {
    /// Host and port, as another server reaches it.
    pub fn address_for_others(&self) -> (String, u16) {
        let port = self.url.rsplit_once(':').expect("it has a port").1;
        match self.server.address_in_its_network() {
            Some(host) => (host, PORT),
            None => ("127.0.0.1".into(), port.parse().expect("it is a number")),
        }
    }

    /// Waits until it answers.
    pub fn wait_until_ready(&self) -> Result<(), String> {
        self.exec(&redis::cmd("PING"))
    }

    /// Sends a command, until it is carried out.
    pub fn exec(&self, command: &redis::Cmd) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        let exec = || -> redis::RedisResult<()> {
            command.exec(&mut self.connect_within(Duration::from_secs(1))?)
        };
        while let Err(error) = exec() {
            if Instant::now() > deadline {
                return Err(format!("Redis does not answer: {error}"));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn connect_within(&self, timeout: Duration) -> redis::RedisResult<Connection> {
        Client::open(self.url.as_str())?.get_connection_with_timeout(timeout)
    }

    /// A connection for looking into it.
    pub fn connect(&self) -> Connection {
        self.connect_within(PATIENCE).expect("Redis answers")
    }

    /// Changes the rights of a user, who is made if need be.
    pub fn set_user(&self, name: &str, rules: &str) {
        let mut acl = redis::cmd("ACL");
        acl.arg("SETUSER")
            .arg(name)
            .arg(rules.split(' ').collect::<Vec<_>>());
        acl.exec(&mut self.connect()).expect("these are rules");
    }

    /// Ends the connections of a user.
    pub fn disconnect(&self, user: &str) {
        let mut kill = redis::cmd("CLIENT");
        kill.arg("KILL").arg("USER").arg(user);
        kill.exec(&mut self.connect()).expect("it is a user");
    }

    /// The URL for this user.
    pub fn url_for(&self, user: &str, password: &str) -> String {
        self.url
            .replace("redis://", &format!("redis://{user}:{password}@"))
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

    /// Lets its files grow, from the next start on.
    pub fn make_room(&self) {
        self.server.put_file(ROOMY);
    }

    /// Kills it, and takes from its files what a power cut may take: some of what it had not synced. Returns how many
    /// bytes were at stake.
    pub fn cut_power(&self, random: &mut impl Rng) -> u64 {
        self.server.kill();
        let mut at_stake = 0;
        self.server.edit("appendonlydir", |folder| {
            let files = std::fs::read_dir(folder).expect("the folder can be read");
            let files = files.map(|file| file.expect("it can be read").path());
            let grows = |file: &PathBuf| file.to_string_lossy().ends_with(".incr.aof");
            let files: Vec<_> = files.filter(grows).collect();
            let watched = files.iter().any(|file| power::synced(file).is_some());
            assert!(watched, "the library is not at work: {files:?}");
            for file in &files {
                at_stake += power::cut(file, random);
            }
        });
        at_stake
    }

    /// Kills it, and starts it again.
    pub fn restart(&self) {
        self.server.kill();
        self.server.start();
        self.wait_until_ready().expect("it starts again");
    }
}
