//! The clock of polls: the system clock, or a manual one for tests.

use std::{future::pending, time::Duration};

use jiff::Timestamp;
use tokio::{sync::watch, time::sleep};

/// The system clock, or a manual clock. Clones of a manual clock share its time.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// The time of a manual clock; `None` for the system clock.
    manual: Option<watch::Receiver<Timestamp>>,
}

/// Sets the time of a manual [`Clock`].
#[derive(Debug)]
pub struct ManualClock(watch::Sender<Timestamp>);

impl Clock {
    /// Returns a clock that stays at `now` until it is set, and the handle that sets it.
    #[must_use]
    pub fn manual(now: Timestamp) -> (Self, ManualClock) {
        let (setter, time) = watch::channel(now);
        (Self { manual: Some(time) }, ManualClock(setter))
    }

    /// Returns the time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.manual {
            Some(time) => *time.borrow(),
            None => Timestamp::now(),
        }
    }

    /// Waits until this time, or forever if there is none.
    pub async fn wait_until(&self, time: Option<Timestamp>) {
        let Some(target) = time else {
            return pending().await;
        };
        if let Some(mut time) = self.manual.clone() {
            if time.wait_for(|now| *now >= target).await.is_err() {
                // The manual clock was dropped, so the time does not change any more.
                pending::<()>().await;
            }
        } else {
            let delay = target.duration_since(Timestamp::now());
            sleep(Duration::try_from(delay).unwrap_or_default()).await;
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
    async fn a_wait_ends_when_the_manual_clock_is_set_to_its_time() {
        let start = Timestamp::UNIX_EPOCH;
        let (clock, setter) = Clock::manual(start);
        assert_eq!(clock.now(), start);
        let noon = start + 12.hours();
        let waiting = tokio::spawn({
            let clock = clock.clone();
            async move { clock.wait_until(Some(noon)).await }
        });
        setter.set(noon - 1.second());
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        setter.set(noon);
        waiting.await.unwrap();
        assert_eq!(clock.now(), noon);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_when_the_system_clock_reaches_its_time() {
        let clock = Clock::default();
        clock.wait_until(Some(clock.now() + 1.hour())).await;
        clock.wait_until(Some(clock.now() - 1.hour())).await;
    }
}
