//! The server: takes connections in, as many as there is room for.

mod connection;
mod connection_limit;
pub(crate) mod framing;
mod per_address;
mod socket;

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::{net::TcpListener, time::sleep};
use tokio_util::task::TaskTracker;

use crate::AppService;
use cli::{duration, whole_number};
use service::lifecycle::Lifecycle;

pub use connection_limit::Refused;
pub use per_address::{AddressLimit, ClientAddress, OverLimit, Share};

use connection::serve_connection;
use connection_limit::ConnectionLimit;

/// How many connections a service holds.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Network")]
pub struct ConnectionSettings {
    /// How many connections may be open at once; further ones are answered 503 and closed
    #[arg(long, env = "MAX_CONNECTIONS", default_value = "10000", value_parser = whole_number(1_u32..=1_000_000))]
    pub max_connections: u32,

    /// The number of connections that one address may have open; further ones are answered 503 and closed. For the clients of the proxies
    /// in TRUSTED_PROXIES it is the number of requests of one address that may be unfinished. IPv6 addresses with the same first 48 bits
    /// are one; if not set, half of MAX_CONNECTIONS
    #[arg(long, env = "MAX_CONNECTIONS_PER_ADDRESS", value_parser = whole_number(1_u32..=1_000_000))]
    pub max_connections_per_address: Option<u32>,

    /// The time for which an idle connection stays open. It must be longer than the idle timeout of a load balancer in
    /// front, which would otherwise use a connection that is being closed; if not set, 75s, and 620s for the proxies in TRUSTED_PROXIES: Google's
    /// load balancers keep 600s, those of AWS 60s
    #[arg(long, env = "KEEP_ALIVE_TIMEOUT", value_parser = keep_alive_timeout)]
    pub keep_alive_timeout: Option<Duration>,
}

const MANAGEMENT_CONNECTIONS: u32 = 100;
const KEEP_ALIVE: Duration = Duration::from_secs(75);
const KEEP_ALIVE_OF_PROXIES: Duration = Duration::from_secs(620);

fn keep_alive_timeout(raw: &str) -> Result<Duration, String> {
    let allowed = Duration::from_secs(1)..=Duration::from_hours(2);
    duration(raw)
        .ok()
        .filter(|timeout| allowed.contains(timeout))
        .ok_or_else(|| "write a length of time from 1s to 2h, such as 75s or 10m 20s".into())
}

impl ConnectionSettings {
    /// The settings of a listener that only operators and Prometheus reach.
    pub(crate) fn for_management() -> Self {
        Self {
            max_connections: MANAGEMENT_CONNECTIONS,
            max_connections_per_address: None,
            keep_alive_timeout: None,
        }
    }

    fn per_address(&self) -> u32 {
        let half = self.max_connections.div_ceil(2);
        self.max_connections_per_address.unwrap_or(half)
    }

    /// The time for which a connection may be idle.
    ///
    /// It is also how long a client may take to send the head of a request that is not its first: hyper has one time
    /// limit for both. So only known proxies get the longer one by default.
    fn keep_alive(&self, is_proxy: bool) -> Duration {
        let by_default = if is_proxy {
            KEEP_ALIVE_OF_PROXIES
        } else {
            KEEP_ALIVE
        };
        self.keep_alive_timeout.unwrap_or(by_default)
    }
}

/// Serves until the service closes and every request in hand is answered. Handlers find the client's address as
/// [`ClientAddress`].
///
/// # Errors
/// The listener is none for TCP.
pub async fn serve(
    listener: TcpListener,
    answers: AppService,
    settings: ConnectionSettings,
    lifecycle: Lifecycle,
) -> anyhow::Result<()> {
    let places = settings.max_connections as usize;
    socket::make_room_for(places);
    socket::prepare(&listener).context("the listener cannot be set up")?;
    let room = ConnectionLimit::new(places, settings.per_address(), answers.metrics().clone());
    let connections = TaskTracker::new();
    while let Some(accepted) = lifecycle
        .shutting_down
        .run_until_cancelled(listener.accept())
        .await
    {
        match accepted {
            Ok((stream, peer)) => {
                let is_proxy = answers
                    .site()
                    .trusted_proxies
                    .trusts(peer.ip().to_canonical());
                let client = (!is_proxy).then(|| ClientAddress(peer.ip().to_canonical()));
                if let Some(place) = room.place(client) {
                    let (answers, lifecycle) = (answers.clone(), lifecycle.clone());
                    let keep_alive = settings.keep_alive(is_proxy);
                    connections.spawn(serve_connection(
                        stream, peer, answers, place, keep_alive, lifecycle,
                    ));
                }
            }
            Err(error) => {
                // Out of file descriptors, most likely; other connections will end and free some.
                tracing::error!(%error, "a connection cannot be accepted");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_kept_longer_than_they_keep_us() {
        let settings = |keep_alive_timeout| ConnectionSettings {
            max_connections: 1,
            max_connections_per_address: None,
            keep_alive_timeout,
        };
        let kept = |settings: ConnectionSettings| {
            [false, true].map(|is_proxy| settings.keep_alive(is_proxy).as_secs())
        };
        assert_eq!(kept(settings(None)), [75, 620]);
        assert_eq!(kept(settings(Some(Duration::from_secs(9)))), [9; 2]);
        for bad in ["0s", "500ms", "3h", "75"] {
            assert!(keep_alive_timeout(bad).is_err(), "{bad}");
        }
    }
}
