//! A connection to the live events: the stream of tallies and heartbeats for one viewer.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, stream};
use tokio::{
    sync::watch,
    time::{Instant, Interval, MissedTickBehavior, interval_at},
};
use tokio_util::sync::CancellationToken;
use web::GaugeGuard;

use crate::{metrics::ResultMetrics, snapshot::Snapshot, tally_poller::CurrentSnapshot};

/// Maximum time without an event. A browser that receives nothing for a little more than two intervals is disconnected, or
/// something between buffers the events; it then polls the tally. Heartbeats for thousands of viewers take a small part of a core.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(3);
/// The delay before a browser reconnects; sent first.
const RETRY: &[u8] = b"retry: 1000\n\n";

/// The stream of events of one connection. `P` is the type of the permits that it holds.
pub struct SseConnection<P> {
    snapshot: watch::Receiver<CurrentSnapshot>,
    shutting_down: CancellationToken,
    heartbeat: Interval,
    /// The id of the tally that the client has.
    last_id: Arc<str>,
    /// The sequence number of the last snapshot that was compared with the client's.
    last_sequence: Option<u64>,
    metrics: ResultMetrics,
    is_greeted: bool,
    _gauge: GaugeGuard,
    _permits: P,
}

impl<P> SseConnection<P> {
    /// A connection to a client that has the tally `last_id`.
    pub fn new(
        mut snapshot: watch::Receiver<CurrentSnapshot>,
        shutting_down: CancellationToken,
        metrics: ResultMetrics,
        last_id: Arc<str>,
        permits: P,
    ) -> Self {
        snapshot.mark_changed();
        let mut heartbeat = interval_at(Instant::now() + HEARTBEAT_INTERVAL, HEARTBEAT_INTERVAL);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let gauge = GaugeGuard::new(metrics.result_sse_connections.clone());
        Self {
            snapshot,
            shutting_down,
            heartbeat,
            last_id,
            last_sequence: None,
            metrics,
            is_greeted: false,
            _gauge: gauge,
            _permits: permits,
        }
    }

    /// The events as a stream, which ends when the service shuts down. The browser then reconnects to another replica.
    pub fn events(self) -> impl Stream<Item = Result<Bytes, Infallible>> {
        stream::unfold(self, async |mut connection| {
            let event = connection.next().await?;
            Some((Ok(event), connection))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        if !std::mem::replace(&mut self.is_greeted, true) {
            return Some(self.greeting());
        }
        loop {
            tokio::select! {
                () = self.shutting_down.cancelled() => return None,
                changed = self.snapshot.changed() => changed.ok()?,
                _ = self.heartbeat.tick() => return Some(self.heartbeat_event()),
            }
            let current = self.snapshot.borrow_and_update().clone();
            if let Some(snapshot) = current
                && self.record_if_new(&snapshot)
            {
                self.last_id = snapshot.id.clone();
                self.heartbeat.reset();
                return Some(snapshot.event.clone());
            }
        }
    }

    /// The reconnection delay, followed by a heartbeat if the client has the current tally. The first event shows the client that
    /// events arrive.
    fn greeting(&self) -> Bytes {
        let current = self.snapshot.borrow();
        let is_new = current
            .as_ref()
            .is_some_and(|snapshot| snapshot.id != self.last_id);
        drop(current);
        if is_new {
            return Bytes::from_static(RETRY);
        }
        [RETRY, &self.heartbeat_event()].concat().into()
    }

    /// Returns true if the client does not have this snapshot. Counts it as sent, and the snapshots between as skipped.
    fn record_if_new(&mut self, snapshot: &Snapshot) -> bool {
        let is_new = snapshot.id != self.last_id;
        let last = self.last_sequence.replace(snapshot.sequence);
        let changes = last.map_or(0, |last| snapshot.sequence.saturating_sub(last));
        let events = |outcome| {
            self.metrics
                .result_sse_events_total
                .with_label_values(&[outcome])
        };
        events("sent").inc_by(is_new.into());
        events("skipped").inc_by(changes.saturating_sub(is_new.into()));
        is_new
    }

    /// A heartbeat with the time of the tally. It is an event, because scripts cannot read comments.
    fn heartbeat_event(&self) -> Bytes {
        let current = self.snapshot.borrow();
        let as_of = current.as_ref().map_or_else(
            || "null".to_owned(),
            |snapshot| format!("\"{}\"", snapshot.document.as_of),
        );
        format!("event: heartbeat\ndata: {{\"as_of\":{as_of}}}\n\n").into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{snapshot::tests::snapshot_of_votes, tally_poller::publish};
    use jiff::Timestamp;

    #[tokio::test]
    async fn a_slow_client_gets_the_newest_tally_and_skipped_ones_are_counted() {
        let metrics = ResultMetrics::for_outcomes(&prometheus::Registry::new());
        let count = |outcome| {
            metrics
                .result_sse_events_total
                .with_label_values(&[outcome])
                .get()
        };
        let (publisher, receiver) = watch::channel(None);
        let show = |votes| publish(&publisher, snapshot_of_votes(votes, Timestamp::now()));
        let shutting_down = CancellationToken::new();
        let mut connection =
            SseConnection::new(receiver, shutting_down, metrics.clone(), "".into(), ());
        let greeting = connection.next().await.unwrap();
        assert!(greeting.starts_with(RETRY));
        show(1);
        connection.next().await.unwrap();
        assert_eq!((count("sent"), count("skipped")), (1, 0));
        for votes in [2, 2, 3, 4] {
            show(votes);
        }
        let event = connection.next().await.unwrap();
        let event = std::str::from_utf8(&event).unwrap();
        assert!(event.contains("\"total\":4"), "{event}");
        assert_eq!((count("sent"), count("skipped")), (2, 2));
    }
}
