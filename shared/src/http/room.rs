//! Who gets in when many are there already.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::measured::{Counted, HttpMetrics};

/// How many of those that find no place are told so at the same time; more are closed without a word.
const REFUSED_AT_ONCE: usize = 256;

/// How long a new connection may take until its first request's head is there.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same when few places are left: who comes to ask something asks it at once.
const LITTLE_PATIENCE: Duration = Duration::from_secs(3);
/// The same for those that are to be refused.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);

/// The places for connections.
#[derive(Clone)]
pub(super) struct Room {
    places: Arc<Semaphore>,
    reserve: Arc<Semaphore>,
    /// With fewer places left than this it is crowded.
    few: usize,
    metrics: HttpMetrics,
}

impl Room {
    pub(super) fn new(places: usize, metrics: HttpMetrics) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            reserve: Arc::new(Semaphore::new(REFUSED_AT_ONCE)),
            few: places / 10,
            metrics,
        }
    }

    /// A place for a connection; `None`: it must be closed.
    pub(super) fn place(&self) -> Option<Place> {
        let regular = self.places.clone().try_acquire_owned().ok();
        let is_reserve = regular.is_none();
        if is_reserve {
            self.metrics.http_server_refused_connections_total.inc();
        }
        let permit = regular.or_else(|| self.reserve.clone().try_acquire_owned().ok())?;
        let gauge = self.metrics.http_server_open_connections.clone();
        Some(Place {
            room: self.clone(),
            is_reserve,
            _permit: permit,
            _counted: Counted::new(gauge),
        })
    }

    fn is_crowded(&self) -> bool {
        self.places.available_permits() < self.few
    }
}

/// A connection's place, free again when this is dropped.
pub(super) struct Place {
    room: Room,
    /// Whether there was no place any more, and this one is only for saying so, and for probes: a service that is full
    /// is not ill, and must not be replaced for it.
    pub(super) is_reserve: bool,
    _permit: OwnedSemaphorePermit,
    _counted: Counted,
}

impl Place {
    /// How long to wait for the first request.
    pub(super) fn patience(&self) -> Duration {
        match self {
            Self {
                is_reserve: true, ..
            } => LEAST_PATIENCE,
            _ if self.room.is_crowded() => LITTLE_PATIENCE,
            _ => PATIENCE,
        }
    }

    /// Whether the connection may stay open after an answer: idle ones take places that others need.
    pub(super) fn may_stay(&self) -> bool {
        !self.is_reserve && !self.room.is_crowded()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::Registry;

    #[test]
    fn places_run_out_one_after_the_other_and_come_back() {
        let metrics = HttpMetrics::new(&Registry::new());
        let room = Room::new(20, metrics.clone());
        let mut places: Vec<_> = (0..18).map(|_| room.place().unwrap()).collect();
        assert!(
            places
                .iter()
                .all(|place| place.may_stay() && !place.is_reserve)
        );
        places.push(room.place().unwrap());
        assert!(
            places.iter().all(|place| !place.may_stay()),
            "it is crowded"
        );
        assert_eq!(places[0].patience(), LITTLE_PATIENCE);
        places.push(room.place().unwrap());
        let refused: Vec<_> = (0..=REFUSED_AT_ONCE).map(|_| room.place()).collect();
        assert!(
            refused[..REFUSED_AT_ONCE]
                .iter()
                .flatten()
                .all(|place| place.is_reserve)
        );
        assert!(refused[REFUSED_AT_ONCE].is_none());
        assert_eq!(metrics.http_server_refused_connections_total.get(), 257);
        assert_eq!(metrics.http_server_open_connections.get(), 20 + 256);
        drop((refused, places));
        assert_eq!(metrics.http_server_open_connections.get(), 0);
        assert_eq!(room.place().unwrap().patience(), PATIENCE);
    }
}
