//! Queries of the health of a running service.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, bail};
use clap::Subcommand;

const HEALTHCHECK_TIMEOUT: Duration = Duration::from_secs(3);

/// What a service can do besides serving.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Ask the running service whether it is healthy; the exit code tells. For containers without a shell
    Healthcheck {
        /// Ask whether it is ready to serve, not only whether it is alive
        #[arg(long)]
        ready: bool,
    },
}

impl Command {
    /// Carries the command out against the services that listen on these addresses.
    ///
    /// # Errors
    /// A service does not answer, or says no.
    pub fn run(&self, addresses: &[Addresses]) -> anyhow::Result<()> {
        let Self::Healthcheck { ready } = self;
        let path = if *ready { "/ready" } else { "/health" };
        let ask = |address: SocketAddr| {
            healthcheck(local(address), path).with_context(|| format!("http://{address}{path}"))
        };
        addresses.iter().try_for_each(|addresses| {
            // Load balancers ask the public address, so that is what counts; only the other one gives reasons.
            ask(addresses.public).or_else(|refused| addresses.management.map_or(Err(refused), &ask))
        })
    }
}

/// The addresses that a service listens on.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// For everybody.
    pub public: SocketAddr,
    /// For operators and Prometheus, where they have an address of their own.
    pub management: Option<SocketAddr>,
}

fn healthcheck(address: SocketAddr, path: &str) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, HEALTHCHECK_TIMEOUT)?;
    stream.set_read_timeout(Some(HEALTHCHECK_TIMEOUT))?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_ascii_whitespace().nth(1) {
        Some("200") => Ok(()),
        _ => bail!("{}", answer.lines().next_back().unwrap_or("no answer")),
    }
}

/// A service that listens everywhere is asked on the loopback address of IPv4, which it has even where there is no IPv6.
fn local(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
