//! Server-sent events: the tally whenever it changes.
//!
//! Each event carries the whole tally and an id that is the same on every replica, so a browser that comes back, to
//! whatever replica, needs nothing but the current one, and not even that if it has it already.
//! Source: <https://html.spec.whatwg.org/multipage/server-sent-events.html>.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Request, State},
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{Stream, stream};
use prometheus::IntGauge;
use tokio::{
    sync::watch,
    time::{Instant, Interval, MissedTickBehavior, interval_at},
};
use tokio_util::sync::CancellationToken;
use utoipa::{
    IntoResponses,
    openapi::{RefOr, response},
};
use web::{ClientAddress, OverLimit, Problem, ProblemKind, problem_responses};

use crate::{
    described::Event, metrics::ResultMetrics, refresher::Latest, routes::App, snapshot::Snapshot,
};

/// The longest silence: a browser that has heard nothing for two of these and a little more knows that it is cut off, or
/// that something on the way holds events back, and asks for the tally instead. Thousands of viewers take a small part
/// of a core.
pub const HEARTBEAT: Duration = Duration::from_secs(3);
/// Sent first: how long a browser waits before it comes back.
const RETRY: &[u8] = b"retry: 1000\n\n";
/// How soon a viewer may try again who found no place, in seconds.
const RETRY_AFTER: u32 = 5;

/// There is no place for one more viewer.
struct TooMany;

impl IntoResponses for TooMany {
    fn responses() -> BTreeMap<String, RefOr<response::Response>> {
        problem_responses(&[ProblemKind::TooManyViewers])
    }
}

/// The tally whenever it changes, as server-sent events
///
/// An event `tally` carries the tally and its id; an event `heartbeat` comes after 3 seconds without any, with the
/// moment of the last look at the store. The first of either comes at once. The schema is that of each event, whose
/// `data` is one line of JSON. The answer has no end: it is cut off when the service ends, and whoever comes back with
/// `Last-Event-ID` gets only what is new.
#[utoipa::path(get, path = "/events", tag = "result", operation_id = "watch_tally",
    params(("Last-Event-ID" = Option<String>, Header, nullable = false, description = "The id of the tally that the client has.")),
    responses(
        (status = OK, description = "Events without end.", body = Event, content_type = "text/event-stream"),
        TooMany,
    ),
)]
pub async fn stream(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let refuse = |detail: String| {
        app.metrics.result_sse_connections_rejected_total.inc();
        Problem::new(ProblemKind::TooManyViewers, detail).retry_after(RETRY_AFTER)
    };
    let share = app.per_address.try_acquire(ClientAddress::of(&request));
    let share = share.map_err(|OverLimit(limit)| {
        refuse(format!("Your network has {limit} viewers of the live result already, which is as many as it may have. Please read /api/tally."))
    })?;
    let place = app.places.clone().try_acquire_owned().map_err(|_| {
        if let Some(count) = app.refused_log.count_event() {
            tracing::warn!(count, "as many viewers watch the live result as MAX_VIEWERS allows; more are refused");
        }
        refuse("Too many viewers watch the live result. Please try again in a moment, or read /api/tally.".into())
    })?;
    let last_seen = request
        .headers()
        .get("last-event-id")
        .and_then(|id| id.to_str().ok())
        .unwrap_or_default();
    let viewer = Viewer::new(
        app.latest.clone(),
        app.shutting_down.clone(),
        app.metrics.clone(),
        last_seen.into(),
        (place, share),
    );
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // nginx would collect events before it passes them on.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(viewer.events())).into_response())
}

/// One open connection.
struct Viewer<P> {
    latest: watch::Receiver<Latest>,
    shutting_down: CancellationToken,
    heartbeat: Interval,
    /// The id of the tally this viewer has.
    seen: Arc<str>,
    /// The last change that was looked at.
    change: Option<u64>,
    metrics: ResultMetrics,
    greeted: bool,
    _counted: GaugeGuard,
    _place: P,
}

impl<P> Viewer<P> {
    fn new(
        mut latest: watch::Receiver<Latest>,
        shutting_down: CancellationToken,
        metrics: ResultMetrics,
        seen: Arc<str>,
        place: P,
    ) -> Self {
        latest.mark_changed();
        let mut heartbeat = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let counted = GaugeGuard::new(metrics.result_sse_connections.clone());
        Self {
            latest,
            shutting_down,
            heartbeat,
            seen,
            change: None,
            metrics,
            greeted: false,
            _counted: counted,
            _place: place,
        }
    }

    /// Ends when the service closes; the browser then comes back by itself, to another replica.
    fn events(self) -> impl Stream<Item = Result<Bytes, Infallible>> {
        stream::unfold(self, async |mut viewer| {
            let event = viewer.next().await?;
            Some((Ok(event), viewer))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        if !std::mem::replace(&mut self.greeted, true) {
            return Some(self.greeting());
        }
        loop {
            tokio::select! {
                () = self.shutting_down.cancelled() => return None,
                changed = self.latest.changed() => changed.ok()?,
                _ = self.heartbeat.tick() => return Some(self.beat()),
            }
            let latest = self.latest.borrow_and_update().clone();
            if let Some(snapshot) = latest
                && self.is_news(&snapshot)
            {
                self.seen = snapshot.id.clone();
                self.heartbeat.reset();
                return Some(snapshot.event.clone());
            }
        }
    }

    /// The delay before reconnecting, and a heartbeat where there is no new tally: the first event tells a viewer that events
    /// arrive.
    fn greeting(&self) -> Bytes {
        let latest = self.latest.borrow();
        let has_news = latest.as_ref().is_some_and(|latest| latest.id != self.seen);
        drop(latest);
        if has_news {
            return Bytes::from_static(RETRY);
        }
        [RETRY, &self.beat()].concat().into()
    }

    /// Whether this viewer has not seen it, which is counted, and so is what came in between and was missed.
    fn is_news(&mut self, snapshot: &Snapshot) -> bool {
        let is_news = snapshot.id != self.seen;
        let before = self.change.replace(snapshot.change);
        let changes = before.map_or(0, |before| snapshot.change.saturating_sub(before));
        let push = |outcome| {
            self.metrics
                .result_sse_events_total
                .with_label_values(&[outcome])
        };
        push("sent").inc_by(is_news.into());
        push("skipped").inc_by(changes.saturating_sub(is_news.into()));
        is_news
    }

    /// Scripts cannot see comments, so a heartbeat is an event of its own. It says how fresh the tally is.
    fn beat(&self) -> Bytes {
        let latest = self.latest.borrow();
        let as_of = latest.as_ref().map_or_else(
            || "null".to_owned(),
            |snapshot| format!("\"{}\"", snapshot.document.as_of),
        );
        format!("event: heartbeat\ndata: {{\"as_of\":{as_of}}}\n\n").into()
    }
}

/// Counts a viewer for as long as it is connected.
struct GaugeGuard(IntGauge);

impl GaugeGuard {
    fn new(gauge: IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{counting::CountingDocument, refresher::publish};
    use jiff::Timestamp;
    use poll::{Poll, Schedule};
    use store::{OptionCount, Tally};

    #[tokio::test]
    async fn a_slow_viewer_gets_the_newest_tally_and_what_it_missed_is_counted() {
        let metrics = ResultMetrics::for_outcomes(&prometheus::Registry::new());
        let count = |outcome| {
            metrics
                .result_sse_events_total
                .with_label_values(&[outcome])
                .get()
        };
        let (publisher, latest) = watch::channel(None);
        let show = |votes| publish(&publisher, snapshot(votes));
        let shutting_down = CancellationToken::new();
        let mut viewer = Viewer::new(latest, shutting_down, metrics.clone(), "".into(), ());
        let greeting = viewer.next().await.unwrap();
        assert!(greeting.starts_with(RETRY));
        show(1);
        viewer.next().await.unwrap();
        assert_eq!((count("sent"), count("skipped")), (1, 0));
        for votes in [2, 2, 3, 4] {
            show(votes);
        }
        let event = viewer.next().await.unwrap();
        let event = std::str::from_utf8(&event).unwrap();
        assert!(event.contains("\"total\":4"), "{event}");
        assert_eq!((count("sent"), count("skipped")), (2, 2));
    }

    fn snapshot(votes: i64) -> Snapshot {
        let poll = Poll {
            question: "Cats or Dogs?".into(),
            options: "a=Cats,b=Dogs".parse().unwrap(),
            schedule: Schedule::always(),
        };
        let tally = Tally(vec![OptionCount {
            option: "a".into(),
            votes,
            last_cast_ms: 0,
        }]);
        let now = Timestamp::now();
        Snapshot::new(&poll, &tally, now, false, CountingDocument::default(), now)
    }
}
