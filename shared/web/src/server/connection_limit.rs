//! Who gets in when many are there already.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::per_address::{AddressLimit, ClientAddress, OverLimit, Share};
use crate::metrics::{GaugeGuard, HttpMetrics};
use retry::Throttle;

/// How many of those that find no place are told so at the same time; more are closed without a word.
const REFUSED_AT_ONCE: usize = 256;

/// How long a new connection may take until its first request's head is there.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same when few places are left: who comes to ask something asks it at once.
const LITTLE_PATIENCE: Duration = Duration::from_secs(3);
/// The same for those that are to be refused.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);

/// The limit that refuses a connection or a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The limit of all connections.
    Full,
    /// The limit of one address, which this is.
    PerAddress(u32),
}

impl From<OverLimit> for Refused {
    fn from(OverLimit(limit): OverLimit) -> Self {
        Self::PerAddress(limit)
    }
}

/// The places for connections.
#[derive(Clone)]
pub(crate) struct ConnectionLimit {
    places: Arc<Semaphore>,
    reserve: Arc<Semaphore>,
    /// With fewer places left than this it is crowded.
    few: usize,
    connections: AddressLimit,
    requests: AddressLimit,
    metrics: HttpMetrics,
    limit: usize,
    log: Arc<Throttle>,
}

impl ConnectionLimit {
    pub(crate) fn new(places: usize, per_address: u32, metrics: HttpMetrics) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            reserve: Arc::new(Semaphore::new(REFUSED_AT_ONCE)),
            few: places / 10,
            connections: AddressLimit::new("connection", per_address, &metrics),
            requests: AddressLimit::new("request", per_address, &metrics),
            metrics,
            limit: places,
            log: Arc::default(),
        }
    }

    /// A place for a connection; `None`: it must be closed. A proxy's has no client of its own.
    pub(crate) fn place(&self, client: Option<ClientAddress>) -> Option<ConnectionPermit> {
        let (permit, share, refused) = match self.regular(client) {
            Ok((permit, share)) => (permit, share, None),
            Err(refused) => {
                let permit = self.reserve.clone().try_acquire_owned().ok()?;
                (permit, None, Some(refused))
            }
        };
        let gauge = self.metrics.http_server_open_connections.clone();
        Some(ConnectionPermit {
            room: self.clone(),
            refused,
            _permit: permit,
            _share: share,
            _counted: GaugeGuard::new(gauge),
        })
    }

    fn regular(
        &self,
        client: Option<ClientAddress>,
    ) -> Result<(OwnedSemaphorePermit, Option<Share>), Refused> {
        let share = client.map(|client| self.connections.enter(client));
        let share = share.transpose()?;
        if let Ok(permit) = self.places.clone().try_acquire_owned() {
            return Ok((permit, share));
        }
        self.metrics.http_server_connections_rejected_total.inc();
        if let Some(count) = self.log.count_event() {
            tracing::warn!(
                limit = self.limit,
                count,
                "as many connections are open as MAX_CONNECTIONS allows; more are refused"
            );
        }
        Err(Refused::Full)
    }

    fn is_crowded(&self) -> bool {
        self.places.available_permits() < self.few
    }
}

/// A connection's place, free again when this is dropped.
pub(crate) struct ConnectionPermit {
    room: ConnectionLimit,
    /// The reason why this place is only for saying no, and for probes: a service that is full is not ill, and must not be
    /// replaced for it.
    pub(crate) refused: Option<Refused>,
    _permit: OwnedSemaphorePermit,
    _share: Option<Share>,
    _counted: GaugeGuard,
}

impl ConnectionPermit {
    /// How long to wait for the first request.
    pub(crate) fn patience(&self) -> Duration {
        match self {
            Self {
                refused: Some(_), ..
            } => LEAST_PATIENCE,
            _ if self.room.is_crowded() => LITTLE_PATIENCE,
            _ => PATIENCE,
        }
    }

    /// Whether the connection may stay open after an answer: idle ones take places that others need.
    pub(crate) fn may_stay(&self) -> bool {
        self.refused.is_none() && !self.room.is_crowded()
    }

    /// The share of a proxy's client in what may be unfinished.
    pub(crate) fn share(&self, client: ClientAddress) -> Result<Share, Refused> {
        Ok(self.room.requests.enter(client)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::Registry;

    #[test]
    fn places_run_out_one_after_the_other_and_come_back() {
        let metrics = HttpMetrics::new(&Registry::new());
        let room = ConnectionLimit::new(20, 1, metrics.clone());
        let mut places: Vec<_> = (0..18).map(|_| room.place(None).unwrap()).collect();
        assert!(
            places
                .iter()
                .all(|place| place.may_stay() && place.refused.is_none())
        );
        places.push(room.place(None).unwrap());
        assert!(
            places.iter().all(|place| !place.may_stay()),
            "it is crowded"
        );
        assert_eq!(places[0].patience(), LITTLE_PATIENCE);
        places.push(room.place(None).unwrap());
        let refused: Vec<_> = (0..=REFUSED_AT_ONCE).map(|_| room.place(None)).collect();
        assert!(
            refused[..REFUSED_AT_ONCE]
                .iter()
                .flatten()
                .all(|place| place.refused == Some(Refused::Full))
        );
        assert!(refused[REFUSED_AT_ONCE].is_none());
        assert_eq!(metrics.http_server_connections_rejected_total.get(), 257);
        assert_eq!(metrics.http_server_open_connections.get(), 20 + 256);
        drop((refused, places));
        assert_eq!(metrics.http_server_open_connections.get(), 0);
        assert_eq!(room.place(None).unwrap().patience(), PATIENCE);
    }

    #[test]
    fn one_address_has_its_share_of_places_and_leaves_the_others() {
        let metrics = HttpMetrics::for_methods(&Registry::new());
        let room = ConnectionLimit::new(20, 2, metrics.clone());
        let client = |last| Some(ClientAddress([192, 0, 2, last].into()));
        let own: Vec<_> = (0..3).map(|_| room.place(client(1)).unwrap()).collect();
        let refused = own.iter().map(|place| place.refused);
        assert_eq!(
            refused.collect::<Vec<_>>(),
            [None, None, Some(Refused::PerAddress(2))]
        );
        assert_eq!(room.place(client(2)).unwrap().refused, None);
        assert_eq!(room.places.available_permits(), 18);
        let counted = metrics.http_server_connections_rejected_per_address_total;
        assert_eq!(counted.with_label_values(&["connection"]).get(), 1);
    }
}
