//! Metrics as text, shared among all who ask for them: neither their number nor what they leave unread costs memory or time
//! without bounds.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::openmetrics;
use gzip::Gzippable;

/// The number of texts that may be in memory at once, because clients have not read theirs yet.
const MAX_TEXTS: usize = 16;
/// The number of texts that may be rendered in a row, and the time after which there may be one more: a few percent of a
/// core.
const MAX_BURST: u32 = 50;
const INTERVAL: Duration = Duration::from_millis(20);

/// A format of metrics as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The text format of Prometheus, version 0.0.4.
    Prometheus,
    /// The text format of OpenMetrics, version 1.0.0, which has exemplars.
    OpenMetrics,
}

impl Format {
    /// The format that a client with this header `Accept` prefers.
    #[must_use]
    pub fn preferred(accept: &str) -> Self {
        if openmetrics::is_preferred(accept) {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// The content type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => openmetrics::CONTENT_TYPE,
        }
    }
}

/// The metrics as text, at one moment. Cloning is cheap; clones share it.
#[derive(Clone, Debug)]
pub struct Exposition {
    text: Gzippable,
    /// Given back when nobody has the text any more.
    permit: Arc<OwnedSemaphorePermit>,
}

impl Exposition {
    /// The text.
    #[must_use]
    pub fn plain(&self) -> Bytes {
        self.held(self.text.plain())
    }

    /// The text, compressed by gzip.
    #[must_use]
    pub fn gzip(&self) -> Bytes {
        self.held(self.text.gzip())
    }

    /// Bytes of this text, which is in memory as long as they are.
    fn held(&self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Held {
            bytes,
            _permit: self.permit.clone(),
        })
    }
}

struct Held {
    bytes: Bytes,
    _permit: Arc<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The last text, and how many more there may be.
#[derive(Debug)]
pub struct SharedExposition {
    texts: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    latest: Option<Exposition>,
    /// The moment until which what was rendered is paid for.
    paid_until: Instant,
}

impl Default for SharedExposition {
    fn default() -> Self {
        Self {
            texts: Arc::new(Semaphore::new(MAX_TEXTS)),
            state: Mutex::new(State {
                latest: None,
                paid_until: Instant::now(),
            }),
        }
    }
}

impl SharedExposition {
    /// A new text, or the last one where there may be no new one.
    pub fn get(&self, render: impl FnOnce() -> String) -> Exposition {
        self.get_at(Instant::now(), render)
    }

    fn get_at(&self, now: Instant, render: impl FnOnce() -> String) -> Exposition {
        // Held to the end: while one is rendered, the others wait for it.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = state.paid_until.max(now);
        let is_affordable = begun.duration_since(now) < INTERVAL * MAX_BURST;
        let permit = self.texts.clone().try_acquire_owned();
        match (&state.latest, permit) {
            (latest, Ok(permit)) if is_affordable || latest.is_none() => {
                let exposition = Exposition {
                    text: render().into(),
                    permit: Arc::new(permit),
                };
                state.paid_until = begun + INTERVAL;
                state.latest = Some(exposition.clone());
                exposition
            }
            (Some(latest), _) => latest.clone(),
            (None, _) => unreachable!("the last text has a permit, and without one all are free"),
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
    fn as_many_texts_as_there_may_be_are_held_however_many_ask() {
        let (shared, now) = (SharedExposition::default(), Instant::now());
        let held = texts(&shared, now, 100);
        let last = (MAX_TEXTS - 1).to_string();
        assert_eq!(held[1], "1");
        assert!(held[MAX_TEXTS..].iter().all(|text| *text == last));
        assert_eq!(shared.texts.available_permits(), 0);
        drop(held);
        assert_eq!(
            shared.texts.available_permits(),
            MAX_TEXTS - 1,
            "the last one stays"
        );
        let gzip = shared.get_at(now, || "new".into()).gzip();
        assert_eq!(texts(&shared, now, 1), ["0"]);
        assert_eq!(shared.texts.available_permits(), MAX_TEXTS - 2);
        drop(gzip);
        assert_eq!(shared.texts.available_permits(), MAX_TEXTS - 1);
    }

    #[test]
    fn a_burst_is_rendered_and_then_one_in_each_interval() {
        let (shared, now) = (SharedExposition::default(), Instant::now());
        let mut rendered = 0;
        let mut ask = |now| {
            shared.get_at(now, || {
                rendered += 1;
                String::new()
            });
        };
        for _ in 0..200 {
            ask(now);
        }
        for _ in 0..10 {
            ask(now + 2 * INTERVAL);
        }
        assert_eq!(rendered, MAX_BURST + 2);
    }
}
