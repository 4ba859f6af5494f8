//! Probes of dependencies. Each runs in a separate task, so a probe that hangs does not delay others. `/ready` returns the latest
//! outcomes without a new probe.

use std::{
    fmt::Display,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use prometheus::{Gauge, IntGauge};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use telemetry::metrics::CommonMetrics;

const INTERVAL: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(1);
/// Number of consecutive failures after which a dependency is not ready, so that one lost packet does not make a replica unready.
const FAILURE_THRESHOLD: u32 = 3;

/// A dependency of a service, with the outcome of its last probe. Clones share it.
#[derive(Clone, Debug)]
pub struct Dependency {
    name: &'static str,
    /// The label in metrics and logs: the name, followed by the number of the shard if there are several.
    label: String,
    state: Arc<Mutex<State>>,
    up: IntGauge,
    probed_at: Gauge,
}

#[derive(Debug)]
struct State {
    failures: u32,
    last: Result<(), String>,
}

impl Dependency {
    /// Creates a dependency that has not been probed yet.
    #[must_use]
    pub fn new(name: &'static str, metrics: &CommonMetrics) -> Self {
        Self::with_label(name, name.to_owned(), metrics)
    }

    /// Creates one dependency per shard, with the labels `queue-0` and so on if there are several.
    #[must_use]
    pub fn shards(name: &'static str, count: usize, metrics: &CommonMetrics) -> Vec<Self> {
        let label = |shard| match count {
            1 => name.to_owned(),
            _ => format!("{name}-{shard}"),
        };
        (0..count)
            .map(|shard| Self::with_label(name, label(shard), metrics))
            .collect()
    }

    fn with_label(name: &'static str, label: String, metrics: &CommonMetrics) -> Self {
        let state = State {
            failures: FAILURE_THRESHOLD,
            last: Err("not probed yet".into()),
        };
        Self {
            name,
            state: Arc::new(Mutex::new(state)),
            up: metrics.dependency_up.with_label_values(&[&label]),
            probed_at: metrics
                .dependency_probe_timestamp_seconds
                .with_label_values(&[&label]),
            label,
        }
    }

    /// Probes the dependency every second until the shutdown. Calls `on_up` each time the dependency comes up.
    pub async fn watch<P, E, U>(
        self,
        shutting_down: CancellationToken,
        probe: impl Fn() -> P,
        on_up: impl Fn() -> U,
    ) where
        P: Future<Output = Result<(), E>>,
        E: Display,
        U: Future,
    {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while shutting_down
            .run_until_cancelled(ticks.tick())
            .await
            .is_some()
        {
            let outcome = match timeout(TIMEOUT, probe()).await {
                Ok(outcome) => outcome.map_err(|error| error.to_string()),
                Err(_) => Err(format!("no reply within {TIMEOUT:?}")),
            };
            self.up.set(outcome.is_ok().into());
            self.probed_at
                .set(Timestamp::now().as_duration().as_secs_f64());
            if self.record(outcome) {
                on_up().await;
            }
        }
    }

    /// Records the outcome of a probe. Returns true if the dependency has just come up.
    fn record(&self, outcome: Result<(), String>) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let was_up = state.last.is_ok();
        match &outcome {
            Ok(()) if !was_up => tracing::info!(dependency = self.label, "dependency is up"),
            // Logged once per error, also if the dependency has not been up since the start.
            Err(error) if state.last != outcome => {
                tracing::warn!(dependency = self.label, error, "dependency is down");
            }
            _ => {}
        }
        state.failures = if outcome.is_ok() {
            0
        } else {
            state.failures.saturating_add(1)
        };
        state.last = outcome;
        !was_up && state.last.is_ok()
    }

    /// Returns the outcome of the last probe for `/ready`. The first two consecutive failures after a success are ignored.
    #[must_use]
    pub fn check(&self) -> Check {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = if state.failures < FAILURE_THRESHOLD {
            Ok(())
        } else {
            state.last.clone()
        };
        Check {
            name: self.name,
            outcome,
        }
    }
}

/// The readiness check of a dependency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The name of the dependency.
    pub name: &'static str,
    /// The outcome of the last probe.
    pub outcome: Result<(), String>,
}

impl Check {
    /// Returns a failed check if the embedded file is not in its place. No network is involved, so a single failure is conclusive.
    #[must_use]
    pub fn missing_file(name: &'static str, in_place: io::Result<()>) -> Option<Self> {
        let error = in_place.err()?;
        Some(Self {
            name,
            outcome: Err(error.to_string()),
        })
    }

    /// Combines the checks of shards: ok if one shard is ok, otherwise the error of the first shard. `None` without shards.
    pub fn any(shards: impl IntoIterator<Item = Self>) -> Option<Self> {
        shards.into_iter().reduce(|first, next| {
            if first.outcome.is_err() && next.outcome.is_ok() {
                next
            } else {
                first
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_is_down_until_the_first_success_and_after_three_consecutive_failures() {
        let metrics = CommonMetrics::new(&prometheus::Registry::new());
        let dependency = Dependency::new("queue", &metrics);
        let fail = || dependency.record(Err("unreachable".into()));
        assert!(dependency.check().outcome.is_err());
        assert!(dependency.record(Ok(())), "it came up");
        assert!(!dependency.record(Ok(())), "it was up before");
        fail();
        fail();
        assert_eq!(dependency.check().outcome, Ok(()));
        fail();
        assert_eq!(dependency.check().outcome, Err("unreachable".into()));
        assert!(dependency.record(Ok(())), "it came up again");
        assert_eq!(dependency.check().outcome, Ok(()));
    }

    #[test]
    fn shards_have_separate_labels_and_one_that_is_up_is_enough() {
        let metrics = CommonMetrics::new(&prometheus::Registry::new());
        let shards = Dependency::shards("queue", 3, &metrics);
        let any = || Check::any(shards.iter().map(Dependency::check)).unwrap();
        assert_eq!(any().outcome, Err("not probed yet".into()));
        shards[1].record(Ok(()));
        assert_eq!(any().outcome, Ok(()));
        let labels: Vec<_> = shards.iter().map(|shard| &*shard.label).collect();
        assert_eq!(labels, ["queue-0", "queue-1", "queue-2"]);
        assert_eq!(Dependency::shards("queue", 1, &metrics)[0].label, "queue");
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_hangs_is_a_failure() {
        let metrics = CommonMetrics::new(&prometheus::Registry::new());
        let dependency = Dependency::new("store", &metrics);
        dependency.record(Ok(()));
        let hangs = std::future::pending::<Result<(), &str>>;
        let watch = dependency
            .clone()
            .watch(CancellationToken::new(), hangs, async || {});
        tokio::pin!(watch);
        for (after, is_up) in [(2500, true), (1000, false)] {
            let outcome = timeout(Duration::from_millis(after), &mut watch).await;
            assert!(outcome.is_err(), "the watch continues");
            assert_eq!(dependency.check().outcome.is_ok(), is_up);
        }
        assert_eq!(dependency.up.get(), 0);
    }
}
