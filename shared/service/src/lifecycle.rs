//! The lifecycle of a service: its tasks and its graceful shutdown.
//!
//! On SIGTERM or Ctrl-C a service first drains: it is not ready, but still serves, so that load balancers can remove it. Then it accepts
//! no new work, finishes the work in flight, and exits at a deadline at the latest.

use std::{io, time::Duration};

use clap::Args;
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use cli::duration;
use telemetry::traces;

/// Timeout for sending the last traces.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// The settings of the shutdown.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Shutdown")]
pub struct DrainSettings {
    /// Time to keep serving after SIGTERM while /ready responds 503, so that load balancers remove the instance
    #[arg(long, env = "DRAIN_DELAY", default_value = "0s", value_parser = duration)]
    pub drain_delay: Duration,

    /// Grace period for in-flight work after DRAIN_DELAY
    #[arg(long, env = "SHUTDOWN_TIMEOUT", default_value = "10s", value_parser = duration)]
    pub shutdown_timeout: Duration,
}

/// The shutdown of a service, in two steps.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    /// Cancelled first. The service is then not ready, but still serves.
    pub draining: CancellationToken,
    /// Cancelled after the drain delay, or when a task fails. The service then starts no new work.
    pub shutting_down: CancellationToken,
    shutdown_timeout: Duration,
}

impl Lifecycle {
    /// Creates a lifecycle that starts to drain when `shutdown` is cancelled.
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
            tracing::info!(drain.delay = ?settings.drain_delay, "draining");
            sleep(settings.drain_delay).await;
            shutting_down.cancel();
        });
        lifecycle
    }

    /// Runs the tasks of a service until all have ended.
    ///
    /// # Errors
    /// A task failed, panicked, or ended before the shutdown. The other tasks are shut down first, because a service without one of its
    /// tasks must be restarted.
    pub async fn run(self, mut tasks: Tasks) -> anyhow::Result<()> {
        let mut failure = None;
        let deadline = async {
            self.shutting_down.cancelled().await;
            sleep(self.shutdown_timeout).await;
        };
        tokio::pin!(deadline);
        let ended_before_deadline = loop {
            let ended = tokio::select! {
                ended = tasks.0.join_next() => ended,
                () = &mut deadline => {
                    tracing::warn!(shutdown.timeout = ?self.shutdown_timeout, tasks.running = tasks.0.len(), "shutdown timeout reached, aborting tasks");
                    break false;
                }
            };
            let outcome: anyhow::Result<()> = match ended {
                None => break true,
                Some(Ok((_, Ok(())))) if self.shutting_down.is_cancelled() => continue,
                Some(Ok((name, Ok(())))) => {
                    Err(anyhow::anyhow!("the {name} ended before the shutdown"))
                }
                Some(Ok((name, Err(error)))) => Err(error.context(format!("the {name} failed"))),
                Some(Err(panic)) => {
                    Err(anyhow::Error::new(panic).context("a task of the service panicked"))
                }
            };
            failure = failure.or(outcome.err());
            self.shutting_down.cancel();
        };
        if ended_before_deadline {
            tokio::select! {
                () = traces::flush() => {}
                () = sleep(FLUSH_TIMEOUT) => tracing::warn!("sending the last traces timed out"),
                () = &mut deadline => {}
            }
        }
        failure.map_or(Ok(()), Err)
    }
}

/// The tasks of a service, which run concurrently.
#[derive(Default)]
pub struct Tasks(JoinSet<(&'static str, anyhow::Result<()>)>);

impl Tasks {
    /// Starts a task. It must end at the shutdown, and not before.
    pub fn spawn(
        &mut self,
        name: &'static str,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        self.0.spawn(async move { (name, task.await) });
    }
}

/// Returns a token that SIGTERM and Ctrl-C cancel. A second signal exits the process at once.
///
/// # Errors
/// The signal handler cannot be installed.
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
                tracing::warn!("second signal, exiting at once");
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

    async fn run_until(shutting_down: CancellationToken) -> anyhow::Result<()> {
        shutting_down.cancelled().await;
        Ok(())
    }

    #[tokio::test]
    async fn tasks_that_end_at_the_shutdown_succeed() {
        let (shutdown, lifecycle) = lifecycle(Duration::from_mins(1));
        let mut tasks = Tasks::default();
        let shutting_down = lifecycle.shutting_down.clone();
        tasks.spawn("task", run_until(shutting_down));
        shutdown.cancel();
        lifecycle.run(tasks).await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_shuts_the_other_tasks_down_and_fails_the_service() {
        let (_shutdown, lifecycle) = lifecycle(Duration::from_mins(1));
        let mut tasks = Tasks::default();
        let shutting_down = lifecycle.shutting_down.clone();
        tasks.spawn("good", run_until(shutting_down));
        tasks.spawn("bad", async { panic!("on purpose") });
        assert!(
            lifecycle
                .run(tasks)
                .await
                .unwrap_err()
                .to_string()
                .contains("panicked")
        );
    }

    #[tokio::test]
    async fn a_task_that_ends_before_the_shutdown_fails_the_service() {
        let (_shutdown, lifecycle) = lifecycle(Duration::from_mins(1));
        let mut tasks = Tasks::default();
        tasks.spawn("loop", async { Ok(()) });
        assert_eq!(
            lifecycle.run(tasks).await.unwrap_err().to_string(),
            "the loop ended before the shutdown"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_service_ends_at_the_deadline() {
        let (shutdown, lifecycle) = lifecycle(Duration::from_secs(7));
        let mut tasks = Tasks::default();
        tasks.spawn("endless", std::future::pending());
        shutdown.cancel();
        let start = tokio::time::Instant::now();
        lifecycle.run(tasks).await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 7);
    }
}
