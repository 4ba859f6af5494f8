//! How a service starts, ends, and ends in time.
//!
//! On SIGTERM or Ctrl-C a service first says that it is not ready and goes on serving, so that load balancers can turn
//! away from it; then it takes nothing new, finishes what it has in hand, and is gone before a hard deadline.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{net::TcpListener, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use cli::duration;
use telemetry::traces;

/// Traces are not worth a longer wait.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// How to end.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Ending")]
pub struct DrainSettings {
    /// How long to go on serving after SIGTERM while /ready says 503, for load balancers to notice
    #[arg(long, env = "DRAIN_DELAY", default_value = "0s", value_parser = duration)]
    pub drain_delay: Duration,

    /// How long what is in hand may then take to finish
    #[arg(long, env = "SHUTDOWN_TIMEOUT", default_value = "10s", value_parser = duration)]
    pub shutdown_timeout: Duration,
}

/// The end of a service, in two steps.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    /// Cancelled first: not ready any more, but still serving.
    pub draining: CancellationToken,
    /// Cancelled next: nothing new is begun.
    pub shutting_down: CancellationToken,
    shutdown_timeout: Duration,
}

impl Lifecycle {
    /// Begins to drain when `shutdown` is cancelled.
    #[must_use]
    pub fn new(shutdown: CancellationToken, settings: DrainSettings) -> Self {
        let shutting_down = CancellationToken::new();
        let lifecycle = Self {
            draining: shutdown,
            shutting_down,
            shutdown_timeout: settings.shutdown_timeout,
        };
        let Self {
            draining,
            shutting_down,
            ..
        } = lifecycle.clone();
        tokio::spawn(async move {
            draining.cancelled().await;
            tracing::info!(delay = ?settings.drain_delay, "draining");
            sleep(settings.drain_delay).await;
            shutting_down.cancel();
        });
        lifecycle
    }

    /// Runs a service's tasks until they are closed.
    ///
    /// # Errors
    /// A task failed, panicked, or ended before its time. The others are closed first: a service that misses a part is
    /// better replaced.
    pub async fn run(self, mut tasks: Tasks) -> anyhow::Result<()> {
        let mut failure = None;
        let deadline = async {
            self.shutting_down.cancelled().await;
            sleep(self.shutdown_timeout).await;
        };
        tokio::pin!(deadline);
        let ended_in_time = loop {
            let ended = tokio::select! {
                ended = tasks.0.join_next() => ended,
                () = &mut deadline => {
                    tracing::warn!(timeout = ?self.shutdown_timeout, unfinished = tasks.0.len(), "ending with work in hand");
                    break false;
                }
            };
            let outcome: anyhow::Result<()> = match ended {
                None => break true,
                Some(Ok((_, Ok(())))) if self.shutting_down.is_cancelled() => continue,
                Some(Ok((name, Ok(())))) => {
                    Err(anyhow::anyhow!("the {name} ended before its time"))
                }
                Some(Ok((name, Err(error)))) => Err(error.context(format!("the {name} failed"))),
                Some(Err(panic)) => {
                    Err(anyhow::Error::new(panic).context("a part of the service crashed"))
                }
            };
            failure = failure.or(outcome.err());
            self.shutting_down.cancel();
        };
        if ended_in_time {
            tokio::select! {
                () = traces::flush() => {}
                () = sleep(FLUSH_TIMEOUT) => tracing::warn!("the last traces were not sent in time"),
                () = &mut deadline => {}
            }
        }
        failure.map_or(Ok(()), Err)
    }
}

/// The parts of a service that run side by side.
#[derive(Default)]
pub struct Tasks(JoinSet<(&'static str, anyhow::Result<()>)>);

impl Tasks {
    /// Starts a part. It must end when the service closes, and not before.
    pub fn spawn(
        &mut self,
        name: &'static str,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        self.0.spawn(async move { (name, task.await) });
    }
}

/// The length of the kernel's queue of new connections, as tokio's own listeners have it.
const BACKLOG: i32 = 1024;

/// Binds an address. `[::]` is all addresses: of IPv6 and of IPv4, and those of IPv4 where the machine has no IPv6.
///
/// # Errors
/// It is in use or not ours; the message names it.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    let listener = if address.is_ipv6() && address.ip().is_unspecified() {
        or_ipv4(dual_stack(address), address.port()).await
    } else {
        TcpListener::bind(address).await
    };
    listener.map_err(|error| ListenError {
        address,
        reason: reason(&error),
    })
}

/// Listens on the address for operators and Prometheus, where there is one, and says so.
///
/// # Errors
/// The address cannot be used; the message names the variable.
pub async fn listen_for_management(
    variable: &'static str,
    address: Option<SocketAddr>,
) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = address else {
        return Ok(None);
    };
    let listener = listen(address).await.context(variable)?;
    tracing::info!(address = %listener.local_addr()?, variable, "management listens");
    Ok(Some(listener))
}

/// The listener, or one for IPv4 alone where there can be none for IPv6. A port that is taken is taken for both.
async fn or_ipv4(dual: io::Result<TcpListener>, port: u16) -> io::Result<TcpListener> {
    match dual {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await
        }
        bound => bound,
    }
}

/// A listener for both protocols, whatever the system's default for that is.
fn dual_stack(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_only_v6(false)?;
    // As tokio does: connections of the previous process that are still closing do not block the port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {reason}")]
pub struct ListenError {
    address: SocketAddr,
    reason: String,
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program is using this port; choose another one or end that program".into()
        }
        io::ErrorKind::PermissionDenied => {
            "this port needs more rights; choose one from 1024 to 65535".into()
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address; choose one of its own, 127.0.0.1 for this machine alone, or 0.0.0.0 for all"
                .into()
        }
        _ => error.to_string(),
    }
}

/// Is cancelled by SIGTERM or Ctrl-C. A second signal ends the process at once.
///
/// # Errors
/// The process cannot handle signals.
pub fn shutdown_signal() -> io::Result<CancellationToken> {
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    #[cfg(unix)]
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::spawn(async move {
        loop {
            #[cfg(unix)]
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            #[cfg(not(unix))]
            let _ = tokio::signal::ctrl_c().await;
            if token.is_cancelled() {
                tracing::warn!("a second signal: ending at once");
                std::process::exit(130);
            }
            token.cancel();
        }
    });
    Ok(shutdown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifecycle(shutdown_timeout: Duration) -> (CancellationToken, Lifecycle) {
        let shutdown = CancellationToken::new();
        let settings = DrainSettings {
            drain_delay: Duration::ZERO,
            shutdown_timeout,
        };
        (shutdown.clone(), Lifecycle::new(shutdown, settings))
    }

    async fn until(shutting_down: CancellationToken) -> anyhow::Result<()> {
        shutting_down.cancelled().await;
        Ok(())
    }

    #[tokio::test]
    async fn all_addresses_are_those_of_both_protocols() {
        let listener = listen("[::]:0".parse().unwrap()).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let here = TcpListener::bind("[::1]:0").await.is_ok();
        for address in ["127.0.0.1", "::1"].into_iter().take(1 + usize::from(here)) {
            let (connected, accepted) = tokio::join!(
                tokio::net::TcpStream::connect((address, port)),
                listener.accept()
            );
            connected.unwrap();
            accepted.unwrap();
        }
        let twice = listen(SocketAddr::new([0; 8].into(), port))
            .await
            .unwrap_err();
        assert!(
            twice
                .to_string()
                .contains("another program is using this port")
        );
    }

    #[tokio::test]
    async fn without_ipv6_all_addresses_are_those_of_ipv4() {
        let no_ipv6 = io::Error::from_raw_os_error(97); // EAFNOSUPPORT
        let listener = or_ipv4(Err(no_ipv6), 0).await.unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(address.ip(), Ipv4Addr::UNSPECIFIED);
        let taken = or_ipv4(Err(io::ErrorKind::AddrInUse.into()), 0).await;
        assert_eq!(taken.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn closed_tasks_end_well() {
        let (shutdown, lifecycle) = lifecycle(Duration::from_mins(1));
        let mut tasks = Tasks::default();
        let shutting_down = lifecycle.shutting_down.clone();
        tasks.spawn("task", until(shutting_down));
        shutdown.cancel();
        lifecycle.run(tasks).await.unwrap();
    }

    #[tokio::test]
    async fn a_crashed_task_ends_the_others_and_fails_the_service() {
        let (_shutdown, lifecycle) = lifecycle(Duration::from_mins(1));
        let mut tasks = Tasks::default();
        let shutting_down = lifecycle.shutting_down.clone();
        tasks.spawn("good", until(shutting_down));
        tasks.spawn("bad", async { panic!("on purpose") });
        assert!(
            lifecycle
                .run(tasks)
                .await
                .unwrap_err()
                .to_string()
                .contains("crashed")
        );
    }

    #[tokio::test]
    async fn a_task_that_ends_too_early_fails_the_service() {
        let (_shutdown, lifecycle) = lifecycle(Duration::from_mins(1));
        let mut tasks = Tasks::default();
        tasks.spawn("loop", async { Ok(()) });
        assert_eq!(
            lifecycle.run(tasks).await.unwrap_err().to_string(),
            "the loop ended before its time"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_outlives_the_deadline() {
        let (shutdown, lifecycle) = lifecycle(Duration::from_secs(7));
        let mut tasks = Tasks::default();
        tasks.spawn("endless", std::future::pending());
        shutdown.cancel();
        let began = tokio::time::Instant::now();
        lifecycle.run(tasks).await.unwrap();
        assert_eq!(began.elapsed().as_secs(), 7);
    }
}
