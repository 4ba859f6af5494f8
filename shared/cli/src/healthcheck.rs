//! The command `healthcheck`.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, bail};
use clap::Subcommand;

/// Timeout of connecting, and of each read.
const HEALTHCHECK_TIMEOUT: Duration = Duration::from_secs(3);

/// The commands of a service.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Query the running service; the exit code is its health. For containers without a shell
    Healthcheck {
        /// Query the readiness instead of the liveness
        #[arg(long)]
        ready: bool,
    },
}

impl Command {
    /// Runs the command for the services that listen on these addresses.
    ///
    /// # Errors
    /// A service does not respond, or is not healthy.
    pub fn run(&self, addresses: &[Addresses]) -> anyhow::Result<()> {
        let Self::Healthcheck { ready } = self;
        let path = if *ready { "/ready" } else { "/health" };
        let query = |address: SocketAddr| {
            healthcheck(connect_address(address), path)
                .with_context(|| format!("http://{address}{path}"))
        };
        addresses.iter().try_for_each(|addresses| {
            // The public address first, as load balancers query it. Only the response of the management address has the reasons.
            query(addresses.public).or_else(|error| addresses.management.map_or(Err(error), &query))
        })
    }
}

/// The addresses of a service.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// The public address.
    pub public: SocketAddr,
    /// The address for operators and Prometheus, if it is a separate one.
    pub management: Option<SocketAddr>,
}

/// Sends the request, and fails with the last line of the response unless its status is 200.
///
/// Uses no HTTP library: one constant request, whose response ends with the connection, needs neither TLS nor an async runtime,
/// which every container would start every few seconds.
fn healthcheck(address: SocketAddr, path: &str) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, HEALTHCHECK_TIMEOUT)?;
    stream.set_read_timeout(Some(HEALTHCHECK_TIMEOUT))?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    match response.split_ascii_whitespace().nth(1) {
        Some("200") => Ok(()),
        _ => bail!("{}", response.lines().next_back().unwrap_or("no response")),
    }
}

/// Returns the address to connect to: the IPv4 loopback address, which exists also without IPv6, for a service that listens on all
/// addresses.
fn connect_address(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
