//! Metrics as text, shared by all clients, so that many or slow clients use limited memory and CPU time.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::openmetrics;
use gzip::Gzippable;

/// Maximum number of texts in memory: the latest one, and those that clients have not read yet.
const MAX_TEXTS: usize = 16;
/// Maximum number of texts rendered in a burst.
const MAX_BURST: u32 = 50;
/// Minimum interval between texts after a burst. Rendering at this rate takes a few percent of a core.
const INTERVAL: Duration = Duration::from_millis(20);

/// A text format of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The text format of Prometheus, version 0.0.4.
    Prometheus,
    /// The text format of OpenMetrics, version 1.0.0, which has exemplars.
    OpenMetrics,
}

impl Format {
    /// Returns the format that a client with this `Accept` header prefers.
    #[must_use]
    pub fn preferred(accept: &str) -> Self {
        if openmetrics::is_preferred(accept) {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// Returns the content type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => openmetrics::CONTENT_TYPE,
        }
    }
}

/// The metrics as text, at one time. Cloning is cheap; clones share it.
#[derive(Clone, Debug)]
pub struct Exposition {
    text: Gzippable,
    /// Released with the last reference to the text.
    permit: Arc<OwnedSemaphorePermit>,
}

impl Exposition {
    /// Returns the plain text.
    #[must_use]
    pub fn plain(&self) -> Bytes {
        self.with_permit(self.text.plain())
    }

    /// Returns the text, compressed with gzip.
    #[must_use]
    pub fn gzip(&self) -> Bytes {
        self.with_permit(self.text.gzip())
    }

    /// Returns the bytes together with the permit of this text.
    fn with_permit(&self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(PermittedBytes {
            bytes,
            _permit: self.permit.clone(),
        })
    }
}

struct PermittedBytes {
    bytes: Bytes,
    _permit: Arc<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for PermittedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The latest text, and the limits on new ones.
#[derive(Debug)]
pub struct SharedExposition {
    /// One permit per text in memory.
    permits: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    latest: Option<Exposition>,
    /// The theoretical arrival time of the generic cell rate algorithm.
    theoretical_arrival: Instant,
}

impl Default for SharedExposition {
    fn default() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(MAX_TEXTS)),
            state: Mutex::new(State {
                latest: None,
                theoretical_arrival: Instant::now(),
            }),
        }
    }
}

impl SharedExposition {
    /// Returns a new text, or the latest one if a limit is reached.
    pub fn get(&self, render: impl FnOnce() -> String) -> Exposition {
        self.get_at(Instant::now(), render)
    }

    fn get_at(&self, now: Instant, render: impl FnOnce() -> String) -> Exposition {
        // The lock is held while the text is rendered, so that only one client renders at a time.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let arrival = state.theoretical_arrival.max(now);
        let is_within_burst = arrival.duration_since(now) < INTERVAL * MAX_BURST;
        let permit = self.permits.clone().try_acquire_owned();
        match (&state.latest, permit) {
            (latest, Ok(permit)) if is_within_burst || latest.is_none() => {
                let exposition = Exposition {
                    text: render().into(),
                    permit: Arc::new(permit),
                };
                state.theoretical_arrival = arrival + INTERVAL;
                state.latest = Some(exposition.clone());
                exposition
            }
            (Some(latest), _) => latest.clone(),
            (None, _) => unreachable!("all permits are available before the first text"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(shared: &SharedExposition, now: Instant, count: usize) -> Vec<Bytes> {
        let mut number = 0..;
        let mut text = || {
            let render = || {
                number
                    .next()
                    .map_or_else(String::new, |number| number.to_string())
            };
            shared.get_at(now, render).plain()
        };
        (0..count).map(|_| text()).collect()
    }

    #[test]
    fn the_number_of_texts_in_memory_is_limited() {
        let (shared, now) = (SharedExposition::default(), Instant::now());
        let held = texts(&shared, now, 100);
        let last = (MAX_TEXTS - 1).to_string();
        assert_eq!(held[1], "1");
        assert!(held[MAX_TEXTS..].iter().all(|text| *text == last));
        assert_eq!(shared.permits.available_permits(), 0);
        drop(held);
        assert_eq!(
            shared.permits.available_permits(),
            MAX_TEXTS - 1,
            "the latest text stays in memory"
        );
        let gzip = shared.get_at(now, || "new".into()).gzip();
        assert_eq!(texts(&shared, now, 1), ["0"]);
        assert_eq!(shared.permits.available_permits(), MAX_TEXTS - 2);
        drop(gzip);
        assert_eq!(shared.permits.available_permits(), MAX_TEXTS - 1);
    }

    #[test]
    fn after_a_burst_one_text_is_rendered_per_interval() {
        let (shared, now) = (SharedExposition::default(), Instant::now());
        let mut rendered = 0;
        let mut get = |now| {
            shared.get_at(now, || {
                rendered += 1;
                String::new()
            });
        };
        for _ in 0..200 {
            get(now);
        }
        for _ in 0..10 {
            get(now + 2 * INTERVAL);
        }
        assert_eq!(rendered, MAX_BURST + 2);
    }
}
