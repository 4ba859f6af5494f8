//! Votes over time, read from the store after the tally has changed.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use gzip::Gzippable;
use jiff::Timestamp;
use poll::{Poll, ballot::Choice};
use retry::Backoff;
use serde::Serialize;
use store::{Store, StoreError, TimelinePoint};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;
use web::fingerprint;

use crate::{chart::Chart, refresher::Latest, snapshot::is_of_the_future};

/// As many steps as a chart on a phone has room for, and a table for a patient reader.
const MOST_STEPS: i64 = 48;
/// The lengths of a step that people can read, in seconds: multiples of the store's finest.
const STEPS: [i64; 16] = [
    10,
    20,
    30,
    60,
    120,
    300,
    600,
    900,
    1800,
    3600,
    2 * 3600,
    4 * 3600,
    12 * 3600,
    24 * 3600,
    7 * 24 * 3600,
    30 * 24 * 3600,
];
/// It is read no more often than this: it takes the store longer than the tally does.
const AT_MOST_EVERY: Duration = Duration::from_secs(2);

/// The timeline, in both forms in which it is asked for: drawn and serialised once for all viewers.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// The timeline as a picture and a table; `None`: nobody has voted yet.
    pub chart: Option<Chart>,
    /// The timeline as JSON.
    pub json: Gzippable,
    /// Tells this timeline from every other, the same on every replica: the entity tag.
    pub id: Arc<str>,
}

/// The timeline, as programs read it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TimelineDocument {
    /// The length of a step, in seconds.
    #[schema(minimum = 10)]
    pub step_seconds: i64,
    /// The steps in which votes were cast that still stand, oldest first.
    #[schema(max_items = 48)]
    pub steps: Vec<Step>,
}

/// The standing votes that were cast in one step.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = TimelineStep)]
pub struct Step {
    /// When the step begins.
    pub start: Timestamp,
    /// Votes per option's key.
    #[schema(value_type = BTreeMap<Choice, u64>)]
    pub votes: BTreeMap<String, u64>,
}

/// The timeline of now, or nothing before the store has answered once.
pub type LatestTimeline = Option<Arc<Timeline>>;

/// Reads the timeline whenever the tally has changed, and publishes it, until the service closes.
pub async fn keep_fresh(
    store: &Store,
    poll: &Poll,
    mut tally: watch::Receiver<Latest>,
    publisher: &watch::Sender<LatestTimeline>,
    shutting_down: &CancellationToken,
) {
    let mut backoff = Backoff::default();
    while let Some(Ok(())) = shutting_down.run_until_cancelled(tally.changed()).await {
        let wait = match read(store, poll).await {
            Ok(timeline) => {
                backoff.reset();
                publisher.send_replace(Some(Arc::new(timeline)));
                AT_MOST_EVERY
            }
            Err(error) => {
                let wait = backoff.next_delay();
                tracing::warn!(%error, ?wait, "the votes over time cannot be read; viewers see the last ones");
                tally.mark_changed();
                wait
            }
        };
        shutting_down.run_until_cancelled(sleep(wait)).await;
    }
}

async fn read(store: &Store, poll: &Poll) -> Result<Timeline, StoreError> {
    let extent = store.timeline_extent().await?;
    let (from, to) = extent.unwrap_or_default();
    let now = Timestamp::now();
    let to = if is_of_the_future(to, now) { now } else { to };
    let step_seconds = step_for(to.duration_since(from).as_secs());
    let step = Duration::from_secs(step_seconds.unsigned_abs());
    let mut points = store.timeline(from, step).await?;
    points.retain(|point| {
        Timestamp::from_millisecond(point.bucket).is_ok_and(|start| !is_of_the_future(start, now))
    });
    let document = TimelineDocument {
        step_seconds,
        steps: steps_of(points, poll),
    };
    let json = serde_json::to_vec(&document).expect("a timeline is numbers and text");
    let id = fingerprint(&json).into();
    Ok(Timeline {
        chart: Chart::new(&document, poll),
        json: json.into(),
        id,
    })
}

fn step_for(seconds: i64) -> i64 {
    STEPS
        .into_iter()
        .find(|step| seconds / step < MOST_STEPS)
        .unwrap_or(STEPS[STEPS.len() - 1])
}

fn steps_of(points: Vec<TimelinePoint>, poll: &Poll) -> Vec<Step> {
    let mut steps: BTreeMap<i64, BTreeMap<String, u64>> = BTreeMap::new();
    for point in points {
        if poll.choice(&point.option).is_ok() {
            steps
                .entry(point.bucket)
                .or_default()
                .insert(point.option, point.votes.unsigned_abs());
        }
    }
    let step = |(bucket, votes)| {
        Some(Step {
            start: Timestamp::from_millisecond(bucket).ok()?,
            votes,
        })
    };
    steps.into_iter().filter_map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_poll_has_longer_steps() {
        assert_eq!(
            [0, 479, 480, 86_400, 86_400 * 30].map(step_for),
            [10, 10, 20, 3600, 24 * 3600]
        );
    }
}
