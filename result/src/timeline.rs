//! The votes over time, as a chart and as JSON.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use gzip::Gzippable;
use jiff::Timestamp;
use poll::Poll;
use store::{Store, StoreError, TimelinePoint};
use web::fingerprint;

use crate::{
    chart::Chart,
    snapshot::is_in_the_future,
    timeline_document::{Step, TimelineDocument},
};

/// Maximum number of steps, which a chart on a phone can show and a table can list.
const MAX_STEPS: i64 = 48;
/// The possible lengths of a step in seconds: round numbers, and multiples of the store's smallest step.
const STEP_LENGTHS: [i64; 16] = [
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

/// The timeline in both formats, drawn and serialised once for all viewers.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// The timeline as a chart and a table; `None` without votes.
    pub chart: Option<Chart>,
    /// The timeline as JSON.
    pub json: Gzippable,
    /// Hash of the timeline, the same on every replica; used as the entity tag.
    pub id: Arc<str>,
}

impl Timeline {
    /// Reads the timeline from the store.
    ///
    /// # Errors
    /// The store failed.
    pub async fn read(store: &Store, poll: &Poll) -> Result<Self, StoreError> {
        let extent = store.timeline_extent(&poll.id).await?;
        let (from, to) = extent.unwrap_or_default();
        let now = Timestamp::now();
        let to = if is_in_the_future(to, now) { now } else { to };
        let step_seconds = step_length(to.duration_since(from).as_secs());
        let step = Duration::from_secs(step_seconds.unsigned_abs());
        let mut points = store.timeline(&poll.id, from, step).await?;
        points.retain(|point| {
            Timestamp::from_millisecond(point.bucket)
                .is_ok_and(|start| !is_in_the_future(start, now))
        });
        let document = TimelineDocument {
            poll: poll.id.clone(),
            step_seconds,
            steps: steps(points, poll),
        };
        Ok(Self::new(&document, poll))
    }

    fn new(document: &TimelineDocument, poll: &Poll) -> Self {
        let json = serde_json::to_vec(document).expect("a timeline is numbers and text");
        let id = fingerprint(&json).into();
        Self {
            chart: Chart::new(document, poll),
            json: json.into(),
            id,
        }
    }
}

/// The length of a step for a timeline of this duration.
fn step_length(seconds: i64) -> i64 {
    STEP_LENGTHS
        .into_iter()
        .find(|step| seconds / step < MAX_STEPS)
        .unwrap_or(STEP_LENGTHS[STEP_LENGTHS.len() - 1])
}

/// Groups the points of the poll's options by step.
fn steps(points: Vec<TimelinePoint>, poll: &Poll) -> Vec<Step> {
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
            [0, 479, 480, 86_400, 86_400 * 30].map(step_length),
            [10, 10, 20, 3600, 24 * 3600]
        );
    }
}
