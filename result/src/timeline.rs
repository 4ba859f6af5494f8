//! Votes over time, read from the store at most once per change of the tally.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use shared::{
    poll::Poll,
    store::{Store, StoreError, TimelinePoint},
};
use tokio::sync::Mutex;

/// A chart needs no more steps than it has pixels.
const MOST_STEPS: i64 = 200;
/// The lengths of a step, in seconds, that people can read.
const STEPS: [i64; 10] = [
    10,
    30,
    60,
    300,
    900,
    3600,
    4 * 3600,
    24 * 3600,
    7 * 24 * 3600,
    30 * 24 * 3600,
];

/// The timeline, as programs read it.
#[derive(Serialize)]
struct TimelineDocument {
    /// The length of a step, in seconds.
    step_seconds: i64,
    /// The steps in which votes were cast that still stand, oldest first.
    steps: Vec<Step>,
}

#[derive(Serialize)]
struct Step {
    start: Timestamp,
    /// Votes per option's key.
    votes: BTreeMap<String, u64>,
}

/// The timeline as JSON, kept until the tally changes. Cloning is cheap.
#[derive(Clone, Default)]
pub struct Timeline(Arc<Mutex<Option<(String, Bytes)>>>);

impl Timeline {
    /// The timeline that belongs to the tally with this id.
    ///
    /// Whoever asks while it is being read waits for the same answer.
    pub async fn json(&self, id: &str, store: &Store, poll: &Poll) -> Result<Bytes, StoreError> {
        let mut kept = self.0.lock().await;
        match &*kept {
            Some((of, json)) if of == id => Ok(json.clone()),
            _ => {
                let json = read(store, poll).await?;
                Ok(kept.insert((id.to_owned(), json)).1.clone())
            }
        }
    }
}

async fn read(store: &Store, poll: &Poll) -> Result<Bytes, StoreError> {
    let extent = store.timeline_extent().await?;
    let (from, to) = extent.unwrap_or_default();
    let step_seconds = step_for(to.duration_since(from).as_secs());
    let step = Duration::from_secs(step_seconds.unsigned_abs());
    let points = store.timeline(from, step).await?;
    let document = TimelineDocument {
        step_seconds,
        steps: steps_of(points, poll),
    };
    Ok(serde_json::to_vec(&document)
        .expect("a timeline is numbers and text")
        .into())
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
            [0, 1999, 2000, 86_400, 86_400 * 30].map(step_for),
            [10, 10, 30, 900, 4 * 3600]
        );
    }
}
