//! The polls that were asked before, read from the store on request.
//!
//! The current poll is served from the live snapshot. All others seldom change and are seldom read, so they cost nothing until they are
//! requested: each is read at most once in [`MAX_AGE`] for all viewers.

pub mod api;
pub mod page;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use poll::{Poll, PollId, ResultsMode, Schedule};
use store::{RecordedPoll, Store, StoreError};
use tokio::sync::Mutex;
use web::{Problem, ProblemKind};

use crate::{counting::CountingDocument, snapshot::Snapshot, timeline::Timeline};

/// Time for which a poll or the list of polls is not read again.
const MAX_AGE: Duration = Duration::from_secs(2);
/// Maximum number of polls in memory.
const MAX_POLLS: usize = 100;

/// A poll that is not the current one, with its result.
pub struct ArchivedPoll {
    /// The poll.
    pub poll: Poll,
    /// The tally and the timeline of the poll.
    pub snapshot: Snapshot,
}

/// Reads polls from the store. At most one read is in progress at a time.
pub struct Archive {
    store: Store,
    list: Mutex<Option<(Instant, Arc<[RecordedPoll]>)>>,
    polls: Mutex<HashMap<PollId, (Instant, Arc<ArchivedPoll>)>>,
}

impl Archive {
    /// An archive that has read nothing yet.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            list: Mutex::default(),
            polls: Mutex::default(),
        }
    }

    /// Returns all recorded polls, the newest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn list(&self) -> Result<Arc<[RecordedPoll]>, Problem> {
        let mut list = self.list.lock().await;
        if let Some((read_at, polls)) = &*list
            && read_at.elapsed() < MAX_AGE
        {
            return Ok(polls.clone());
        }
        let mut polls = self
            .store
            .polls()
            .await
            .map_err(|error| unavailable(&error))?;
        polls.reverse();
        let polls: Arc<[_]> = polls.into();
        *list = Some((Instant::now(), polls.clone()));
        Ok(polls)
    }

    /// Returns the poll with this id and its result.
    ///
    /// # Errors
    /// There is no such poll, or the store cannot be read.
    pub async fn find(&self, id: &PollId) -> Result<Arc<ArchivedPoll>, Problem> {
        let mut polls = self.polls.lock().await;
        if let Some((read_at, poll)) = polls.get(id)
            && read_at.elapsed() < MAX_AGE
        {
            return Ok(poll.clone());
        }
        let recorded = self
            .store
            .poll(id)
            .await
            .map_err(|error| unavailable(&error))?;
        let poll = recorded.ok_or_else(|| unknown_poll(id.as_str()))?;
        let poll = Arc::new(self.read(poll).await.map_err(|error| unavailable(&error))?);
        if polls.len() >= MAX_POLLS {
            polls.clear();
        }
        polls.insert(id.clone(), (Instant::now(), poll.clone()));
        Ok(poll)
    }

    async fn read(&self, mut poll: Poll) -> Result<ArchivedPoll, StoreError> {
        let now = Timestamp::now();
        // Votes are accepted for the current poll only, so voting has ended, whatever the schedule says. A result that is hidden until
        // the scheduled end stays hidden until then.
        if poll.schedule.results_visible(now) {
            poll.schedule = ended(&poll.schedule, now);
        }
        let tally = self.store.tally(&poll.id).await?;
        let timeline = Timeline::read(&self.store, &poll).await?;
        let counting = CountingDocument::default();
        let snapshot = Snapshot::new(&poll, &tally, now, false, counting, now);
        let snapshot = Snapshot {
            timeline: Some(Arc::new(timeline)),
            ..snapshot
        };
        Ok(ArchivedPoll { poll, snapshot })
    }
}

/// Returns the schedule of a poll that is no longer the current one.
fn ended(schedule: &Schedule, now: Timestamp) -> Schedule {
    let closes_at = schedule
        .closes_at()
        .filter(|closes_at| *closes_at <= now)
        .or_else(|| Timestamp::from_second(now.as_second()).ok());
    Schedule::new(None, closes_at, ResultsMode::Live).unwrap_or_else(|_| Schedule::always())
}

fn unavailable(error: &StoreError) -> Problem {
    tracing::warn!(%error, "reading a poll from the store failed");
    let detail = "The poll cannot be read from the store now. Please try again in a moment.";
    Problem::new(ProblemKind::ResultUnavailable, detail).retry_after(1)
}

/// Returns the problem that there is no such poll.
pub fn unknown_poll(id: &str) -> Problem {
    let id = poll::abbreviate(id);
    let detail = format!("There is no poll with the id {id:?}. /api/polls lists all polls.");
    Problem::new(ProblemKind::NotFound, detail)
}
