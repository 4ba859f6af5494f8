//! How a service starts, ends, and ends in time.
//!
//! On SIGTERM or Ctrl-C a service first says that it is not ready and goes on serving, so that load balancers can turn
//! away from it; then it takes nothing new, finishes what it has in hand, and is gone before a hard deadline.

use std::{io, time::Duration};

use clap::Args;
use tokio::{task::JoinSet, time::sleep};
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
