//! The schedule of a poll: the start and the end of voting, and the visibility of the result.

use jiff::Timestamp;

use super::Clock;

/// The start and the end of voting, and the visibility of the result.
#[derive(Clone, Debug)]
pub struct Schedule {
    opens_at: Option<Timestamp>,
    closes_at: Option<Timestamp>,
    results: ResultsMode,
    clock: Clock,
}

/// The phase of a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Votes are not accepted yet.
    NotOpenYet,
    /// Votes are accepted.
    Open,
    /// Votes are no longer accepted.
    Closed,
}

impl Phase {
    /// Returns the name of the phase in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotOpenYet => "not-open-yet",
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// The time from which the result is visible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "settings", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum ResultsMode {
    /// From the first vote.
    #[default]
    Live,
    /// After the poll has closed.
    AfterClose,
}

impl ResultsMode {
    /// Returns the name in settings and in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::AfterClose => "after-close",
        }
    }

    /// Returns the mode with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let mut modes = [Self::Live, Self::AfterClose].into_iter();
        modes.find(|mode| mode.name() == name)
    }
}

impl Schedule {
    /// Creates a schedule with the system clock.
    ///
    /// # Errors
    /// The poll would close before it opens, or its result would never be visible.
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
            return Err(InvalidSchedule::NeverVisible);
        }
        Ok(Self {
            opens_at,
            closes_at,
            results,
            clock: Clock::default(),
        })
    }

    /// Returns the same schedule with another clock.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Returns a schedule that is always open, with a live result.
    #[must_use]
    pub fn always() -> Self {
        Self {
            opens_at: None,
            closes_at: None,
            results: ResultsMode::Live,
            clock: Clock::default(),
        }
    }

    /// Returns the time of the clock of this schedule.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns the start of voting; `None` if voting is open from the beginning.
    #[must_use]
    pub fn opens_at(&self) -> Option<Timestamp> {
        self.opens_at
    }

    /// Returns the end of voting; `None` if voting never ends.
    #[must_use]
    pub fn closes_at(&self) -> Option<Timestamp> {
        self.closes_at
    }

    /// Returns the time from which the result is visible.
    #[must_use]
    pub fn results(&self) -> ResultsMode {
        self.results
    }

    /// Returns the phase of the poll at this time. It is open at `opens_at` and closed at `closes_at`.
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

    /// Returns true if the result is visible at this time.
    #[must_use]
    pub fn results_visible(&self, now: Timestamp) -> bool {
        self.results == ResultsMode::Live || self.phase(now) == Phase::Closed
    }

    /// Returns the next time after `now` at which the poll opens or closes.
    #[must_use]
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        [self.opens_at, self.closes_at]
            .into_iter()
            .flatten()
            .filter(|change| *change > now)
            .min()
    }

    /// Waits until the poll opens or closes; forever if no such time is in the future.
    pub async fn wait_for_change(&self) {
        self.clock.wait_until(self.next_change(self.now())).await;
    }
}

/// The schedule is invalid.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSchedule {
    /// The poll would never be open.
    #[error("POLL_CLOSES_AT ({closes_at}) must be later than POLL_OPENS_AT ({opens_at})")]
    ClosesBeforeItOpens {
        /// The start of voting.
        opens_at: Timestamp,
        /// The end of voting.
        closes_at: Timestamp,
    },
    /// The result would never be visible.
    #[error(
        "POLL_RESULTS=after-close needs POLL_CLOSES_AT: without it, the result would never be visible"
    )]
    NeverVisible,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_poll_opens_and_closes_at_the_exact_time() {
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
    fn a_hidden_result_is_visible_after_the_poll_has_closed() {
        let schedule = Schedule::new(None, Some(at(20)), ResultsMode::AfterClose).unwrap();
        assert!(!schedule.results_visible(at(19)));
        assert!(schedule.results_visible(at(20)));
        assert!(Schedule::always().results_visible(at(0)));
    }

    #[test]
    fn invalid_schedules_are_rejected() {
        assert!(Schedule::new(Some(at(20)), Some(at(20)), ResultsMode::Live).is_err());
        assert_eq!(
            Schedule::new(None, None, ResultsMode::AfterClose).unwrap_err(),
            InvalidSchedule::NeverVisible
        );
    }
}
