//! When a poll takes votes, and when its result may be seen.

use jiff::Timestamp;

use super::Clock;

/// When votes are taken and results shown.
#[derive(Clone, Debug)]
pub struct Schedule {
    opens_at: Option<Timestamp>,
    closes_at: Option<Timestamp>,
    results: ResultsMode,
    clock: Clock,
}

/// Where a poll stands at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Votes are not taken yet.
    NotOpenYet,
    /// Votes are taken.
    Open,
    /// Votes are taken no more.
    Closed,
}

impl Phase {
    /// Its name, as programs read it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotOpenYet => "not-open-yet",
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// When the result may be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "settings", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum ResultsMode {
    /// From the first vote on.
    #[default]
    Live,
    /// Only once the poll is closed.
    AfterClose,
}

impl Schedule {
    /// A schedule that can be kept.
    ///
    /// # Errors
    /// The poll would close before it opens, or hide its result for ever.
    pub fn new(
        opens_at: Option<Timestamp>,
        closes_at: Option<Timestamp>,
        results: ResultsMode,
    ) -> Result<Self, InvalidSchedule> {
        if let (Some(opens_at), Some(closes_at)) = (opens_at, closes_at)
            && closes_at <= opens_at
        {
            return Err(InvalidSchedule::ClosesBeforeItOpens {
                opens_at,
                closes_at,
            });
        }
        if results == ResultsMode::AfterClose && closes_at.is_none() {
            return Err(InvalidSchedule::HiddenForEver);
        }
        Ok(Self {
            opens_at,
            closes_at,
            results,
            clock: Clock::default(),
        })
    }

    /// The same schedule by another clock.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Open from the beginning, never closing, with a live result.
    #[must_use]
    pub fn always() -> Self {
        Self {
            opens_at: None,
            closes_at: None,
            results: ResultsMode::Live,
            clock: Clock::default(),
        }
    }

    /// The time by the clock of this schedule.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// When votes begin to be taken; `None`: they always were.
    #[must_use]
    pub fn opens_at(&self) -> Option<Timestamp> {
        self.opens_at
    }

    /// When votes cease to be taken; `None`: never.
    #[must_use]
    pub fn closes_at(&self) -> Option<Timestamp> {
        self.closes_at
    }

    /// When the result may be seen.
    #[must_use]
    pub fn results(&self) -> ResultsMode {
        self.results
    }

    /// Where the poll stands at this moment. It is open at `opens_at` and closed at `closes_at`.
    #[must_use]
    pub fn phase(&self, now: Timestamp) -> Phase {
        if self.opens_at.is_some_and(|opens_at| now < opens_at) {
            Phase::NotOpenYet
        } else if self.closes_at.is_some_and(|closes_at| now >= closes_at) {
            Phase::Closed
        } else {
            Phase::Open
        }
    }

    /// Whether the result may be seen at this moment.
    #[must_use]
    pub fn results_visible(&self, now: Timestamp) -> bool {
        self.results == ResultsMode::Live || self.phase(now) == Phase::Closed
    }

    /// The next moment after `now` at which the poll opens or closes.
    #[must_use]
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        [self.opens_at, self.closes_at]
            .into_iter()
            .flatten()
            .filter(|moment| *moment > now)
            .min()
    }

    /// Waits until the poll opens or closes next; for ever if it does neither.
    pub async fn wait_for_change(&self) {
        self.clock.wait_until(self.next_change(self.now())).await;
    }
}

/// The schedule cannot be kept.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSchedule {
    /// Nobody could ever vote.
    #[error("POLL_CLOSES_AT ({closes_at}) must be later than POLL_OPENS_AT ({opens_at})")]
    ClosesBeforeItOpens {
        /// As set.
        opens_at: Timestamp,
        /// As set.
        closes_at: Timestamp,
    },
    /// Nobody could ever see the result.
    #[error(
        "POLL_RESULTS=after-close needs POLL_CLOSES_AT, or the results would stay hidden for ever"
    )]
    HiddenForEver,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_poll_opens_and_closes_on_the_moment() {
        let schedule = Schedule::new(Some(at(10)), Some(at(20)), ResultsMode::Live).unwrap();
        let phases = [9, 10, 19, 20].map(|second| schedule.phase(at(second)));
        assert_eq!(
            phases,
            [Phase::NotOpenYet, Phase::Open, Phase::Open, Phase::Closed]
        );
        assert_eq!(
            [9, 10, 20].map(|second| schedule.next_change(at(second))),
            [Some(at(10)), Some(at(20)), None]
        );
    }

    #[test]
    fn hidden_results_appear_when_the_poll_closes() {
        let schedule = Schedule::new(None, Some(at(20)), ResultsMode::AfterClose).unwrap();
        assert!(!schedule.results_visible(at(19)));
        assert!(schedule.results_visible(at(20)));
        assert!(Schedule::always().results_visible(at(0)));
    }

    #[test]
    fn impossible_schedules_are_refused() {
        assert!(Schedule::new(Some(at(20)), Some(at(20)), ResultsMode::Live).is_err());
        assert_eq!(
            Schedule::new(None, None, ResultsMode::AfterClose).unwrap_err(),
            InvalidSchedule::HiddenForEver
        );
    }
}
