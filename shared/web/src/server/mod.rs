//! The server: accepts connections up to a limit.

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

pub use connection_limit::Rejection;
pub use per_address::{AddressLimit, AddressPermit, ClientAddress, OverLimit};

use connection::serve_connection;
use connection_limit::ConnectionLimit;

/// Limits and timeouts of connections.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Network")]
pub struct ConnectionSettings {
    /// Maximum number of open connections. Further ones get a 503 response and are closed
    #[arg(long, env = "MAX_CONNECTIONS", default_value = "10000", value_parser = whole_number(1_u32..=1_000_000))]
    pub max_connections: u32,

    /// Maximum number of open connections per client address. Further ones get a 503 response and are closed. For clients behind
    /// TRUSTED_PROXIES it limits the requests in flight. IPv6 addresses with the same first 48 bits count as one; if not set, half
    /// of MAX_CONNECTIONS
    #[arg(long, env = "MAX_CONNECTIONS_PER_ADDRESS", value_parser = whole_number(1_u32..=1_000_000))]
    pub max_connections_per_address: Option<u32>,

    /// Time for which an idle connection stays open. It must be longer than the idle timeout of a load balancer in front, which
    /// would otherwise use a connection that is being closed; if not set, 75s, and 620s for TRUSTED_PROXIES: the idle timeout is
    /// 600s in Google's load balancers and 60s in those of AWS
    #[arg(long, env = "KEEP_ALIVE_TIMEOUT", value_parser = keep_alive_timeout)]
    pub keep_alive_timeout: Option<Duration>,
}

const MANAGEMENT_CONNECTIONS: u32 = 100;
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);
const KEEP_ALIVE: Duration = Duration::from_secs(75);
const KEEP_ALIVE_PROXY: Duration = Duration::from_secs(620);

fn keep_alive_timeout(raw: &str) -> Result<Duration, String> {
    let allowed = Duration::from_secs(1)..=Duration::from_hours(2);
    duration(raw)
        .ok()
        .filter(|timeout| allowed.contains(timeout))
        .ok_or_else(|| "write a duration from 1s to 2h, such as 75s or 10m 20s".into())
}

impl ConnectionSettings {
    /// Returns the settings of a listener for operators and Prometheus.
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

    /// Returns the time for which a connection may be idle.
    ///
    /// hyper uses it also as the timeout of the head of each request after the first. So only trusted proxies get the longer time
    /// by default.
    fn keep_alive(&self, is_proxy: bool) -> Duration {
        let default = if is_proxy {
            KEEP_ALIVE_PROXY
        } else {
            KEEP_ALIVE
        };
        self.keep_alive_timeout.unwrap_or(default)
    }
}

/// Serves until shutdown, and then until every request in flight is finished. Each request has the extension [`ClientAddress`].
///
/// # Errors
/// The options of the listener's socket cannot be set.
pub async fn serve(
    listener: TcpListener,
    app: AppService,
    settings: ConnectionSettings,
    lifecycle: Lifecycle,
) -> anyhow::Result<()> {
    let app = app.layered();
    let max_connections = settings.max_connections as usize;
    socket::raise_nofile_limit(max_connections);
    socket::set_options(&listener).context("cannot set the socket options of the listener")?;
    let limit = ConnectionLimit::new(
        max_connections,
        settings.per_address(),
        app.metrics().clone(),
    );
    let connections = TaskTracker::new();
    while let Some(accepted) = lifecycle
        .shutting_down
        .run_until_cancelled(listener.accept())
        .await
    {
        match accepted {
            Ok((stream, peer)) => {
                let is_proxy = app.site().trusted_proxies.trusts(peer.ip().to_canonical());
                let client = (!is_proxy).then(|| ClientAddress(peer.ip().to_canonical()));
                if let Some(permit) = limit.try_acquire(client) {
                    let (app, lifecycle) = (app.clone(), lifecycle.clone());
                    let keep_alive = settings.keep_alive(is_proxy);
                    connections.spawn(serve_connection(
                        stream, peer, app, permit, keep_alive, lifecycle,
                    ));
                }
            }
            Err(error) => {
                // Probably out of file descriptors: retry after other connections have been closed.
                tracing::error!(%error, "cannot accept a connection");
                sleep(ACCEPT_RETRY_DELAY).await;
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
    fn connections_of_proxies_outlast_their_idle_timeout() {
        let settings = |keep_alive_timeout| ConnectionSettings {
            max_connections: 1,
            max_connections_per_address: None,
            keep_alive_timeout,
        };
        let keep_alive = |settings: ConnectionSettings| {
            [false, true].map(|is_proxy| settings.keep_alive(is_proxy).as_secs())
        };
        assert_eq!(keep_alive(settings(None)), [75, 620]);
        assert_eq!(keep_alive(settings(Some(Duration::from_secs(9)))), [9; 2]);
        for bad in ["0s", "500ms", "3h", "75"] {
            assert!(keep_alive_timeout(bad).is_err(), "{bad}");
        }
    }
}
