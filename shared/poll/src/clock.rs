//! The clock by which polls open and close: the system's, or one that a test moves.

use std::{future::pending, time::Duration};

use jiff::Timestamp;
use tokio::{sync::watch, time::sleep};

/// A clock. Copies tell the same time.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// The time of a clock that is moved by hand; `None`: the system's time.
    manual: Option<watch::Receiver<Timestamp>>,
}

/// Moves a [`Clock`] that stands still otherwise.
#[derive(Debug)]
pub struct ManualClock(watch::Sender<Timestamp>);

impl Clock {
    /// A clock that stands at `now` until it is moved.
    #[must_use]
    pub fn manual(now: Timestamp) -> (Self, ManualClock) {
        let (hand, time) = watch::channel(now);
        (Self { manual: Some(time) }, ManualClock(hand))
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.manual {
            Some(time) => *time.borrow(),
            None => Timestamp::now(),
        }
    }

    /// Waits until it is this moment; for ever without one.
    pub async fn wait_until(&self, moment: Option<Timestamp>) {
        let Some(moment) = moment else {
            return pending().await;
        };
        if let Some(mut time) = self.manual.clone() {
            if time.wait_for(|now| *now >= moment).await.is_err() {
                // Nobody moves the clock any more.
                pending::<()>().await;
            }
        } else {
            let wait = moment.duration_since(Timestamp::now());
            sleep(Duration::try_from(wait).unwrap_or_default()).await;
        }
    }
}

impl ManualClock {
    /// Sets the time.
    pub fn set(&self, now: Timestamp) {
        self.0.send_replace(now);
    }
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;

    use super::*;

    #[tokio::test]
    async fn a_manual_clock_reaches_a_moment_when_it_is_moved_there() {
        let start = Timestamp::UNIX_EPOCH;
        let (clock, hand) = Clock::manual(start);
        assert_eq!(clock.now(), start);
        let noon = start + 12.hours();
        let waiting = tokio::spawn({
            let clock = clock.clone();
            async move { clock.wait_until(Some(noon)).await }
        });
        hand.set(noon - 1.second());
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        hand.set(noon);
        waiting.await.unwrap();
        assert_eq!(clock.now(), noon);
    }

    #[tokio::test(start_paused = true)]
    async fn the_systems_clock_reaches_a_moment_by_itself() {
        let clock = Clock::default();
        clock.wait_until(Some(clock.now() + 1.hour())).await;
        clock.wait_until(Some(clock.now() - 1.hour())).await;
    }
}
