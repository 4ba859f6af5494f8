//! Limits on open connections.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::per_address::{AddressLimit, AddressPermit, ClientAddress, OverLimit};
use crate::metrics::{GaugeGuard, HttpMetrics};
use retry::Throttle;

/// Maximum number of connections above the limit, which get a response with a rejection. More are closed without a response.
const MAX_OVERFLOW_CONNECTIONS: usize = 256;

/// Timeout of a new connection until the head of its first request has arrived.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The same near the limit. Regular clients send a request at once.
const FIRST_REQUEST_TIMEOUT_BUSY: Duration = Duration::from_secs(3);
/// The same above the limit.
const FIRST_REQUEST_TIMEOUT_OVERFLOW: Duration = Duration::from_secs(1);

/// The limit that rejects a connection or a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The limit on all connections.
    Full,
    /// The limit per address, with its value.
    PerAddress(u32),
}

impl From<OverLimit> for Rejection {
    fn from(OverLimit(limit): OverLimit) -> Self {
        Self::PerAddress(limit)
    }
}

/// The limit on open connections. Cloning is cheap; clones share the permits.
#[derive(Clone)]
pub(crate) struct ConnectionLimit {
    permits: Arc<Semaphore>,
    overflow: Arc<Semaphore>,
    /// Number of free permits below which the limit is near.
    busy_threshold: usize,
    connections: AddressLimit,
    requests: AddressLimit,
    metrics: HttpMetrics,
    limit: usize,
    log: Arc<Throttle>,
}

impl ConnectionLimit {
    pub(crate) fn new(limit: usize, per_address: u32, metrics: HttpMetrics) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(limit)),
            overflow: Arc::new(Semaphore::new(MAX_OVERFLOW_CONNECTIONS)),
            busy_threshold: limit / 10,
            connections: AddressLimit::new("connection", per_address, &metrics),
            requests: AddressLimit::new("request", per_address, &metrics),
            metrics,
            limit,
            log: Arc::default(),
        }
    }

    /// Returns a permit for a connection; `None`: it must be closed. `client` is `None` for a proxy's connection, which has many
    /// clients.
    pub(crate) fn try_acquire(&self, client: Option<ClientAddress>) -> Option<ConnectionPermit> {
        let (permit, address_permit, rejection) = match self.try_acquire_regular(client) {
            Ok((permit, address_permit)) => (permit, address_permit, None),
            Err(rejection) => {
                let permit = self.overflow.clone().try_acquire_owned().ok()?;
                (permit, None, Some(rejection))
            }
        };
        let gauge = self.metrics.http_server_open_connections.clone();
        Some(ConnectionPermit {
            limit: self.clone(),
            rejection,
            _permit: permit,
            _address_permit: address_permit,
            _open: GaugeGuard::new(gauge),
        })
    }

    fn try_acquire_regular(
        &self,
        client: Option<ClientAddress>,
    ) -> Result<(OwnedSemaphorePermit, Option<AddressPermit>), Rejection> {
        let address_permit = client.map(|client| self.connections.try_acquire(client));
        let address_permit = address_permit.transpose()?;
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            return Ok((permit, address_permit));
        }
        self.metrics.http_server_connections_rejected_total.inc();
        if let Some(count) = self.log.count_event() {
            tracing::warn!(
                limit = self.limit,
                count,
                "connections rejected: MAX_CONNECTIONS reached"
            );
        }
        Err(Rejection::Full)
    }

    fn near_capacity(&self) -> bool {
        self.permits.available_permits() < self.busy_threshold
    }
}

/// The permit of a connection. Dropping it releases the permit.
pub(crate) struct ConnectionPermit {
    limit: ConnectionLimit,
    /// The reason why this connection gets only rejections and responses to probes. Probes are answered because a service
    /// at its limit is healthy and must not be replaced.
    pub(crate) rejection: Option<Rejection>,
    _permit: OwnedSemaphorePermit,
    _address_permit: Option<AddressPermit>,
    _open: GaugeGuard,
}

impl ConnectionPermit {
    fn is_overflow(&self) -> bool {
        self.rejection.is_some()
    }

    /// Returns the timeout for the first request.
    pub(crate) fn first_request_timeout(&self) -> Duration {
        if self.is_overflow() {
            FIRST_REQUEST_TIMEOUT_OVERFLOW
        } else if self.limit.near_capacity() {
            FIRST_REQUEST_TIMEOUT_BUSY
        } else {
            FIRST_REQUEST_TIMEOUT
        }
    }

    /// Returns true if the connection may stay open after a response. Near the limit it may not: others need the permits of idle
    /// connections.
    pub(crate) fn keep_alive_allowed(&self) -> bool {
        !self.is_overflow() && !self.limit.near_capacity()
    }

    /// Returns a permit for a request of a proxy's client.
    pub(crate) fn acquire_request(
        &self,
        client: ClientAddress,
    ) -> Result<AddressPermit, Rejection> {
        Ok(self.limit.requests.try_acquire(client)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::Registry;

    #[test]
    fn connections_near_the_limit_close_early_and_connections_above_it_are_rejected() {
        let metrics = HttpMetrics::new(&Registry::new());
        let limit = ConnectionLimit::new(20, 1, metrics.clone());
        let mut permits: Vec<_> = (0..18).map(|_| limit.try_acquire(None).unwrap()).collect();
        assert!(
            permits
                .iter()
                .all(|permit| permit.keep_alive_allowed() && permit.rejection.is_none())
        );
        permits.push(limit.try_acquire(None).unwrap());
        assert!(
            permits.iter().all(|permit| !permit.keep_alive_allowed()),
            "the limit is near"
        );
        assert_eq!(
            permits[0].first_request_timeout(),
            FIRST_REQUEST_TIMEOUT_BUSY
        );
        permits.push(limit.try_acquire(None).unwrap());
        let overflow: Vec<_> = (0..=MAX_OVERFLOW_CONNECTIONS)
            .map(|_| limit.try_acquire(None))
            .collect();
        assert!(
            overflow[..MAX_OVERFLOW_CONNECTIONS]
                .iter()
                .flatten()
                .all(|permit| permit.rejection == Some(Rejection::Full))
        );
        assert!(overflow[MAX_OVERFLOW_CONNECTIONS].is_none());
        assert_eq!(metrics.http_server_connections_rejected_total.get(), 257);
        assert_eq!(metrics.http_server_open_connections.get(), 20 + 256);
        drop((overflow, permits));
        assert_eq!(metrics.http_server_open_connections.get(), 0);
        assert_eq!(
            limit.try_acquire(None).unwrap().first_request_timeout(),
            FIRST_REQUEST_TIMEOUT
        );
    }

    #[test]
    fn an_address_over_its_limit_does_not_affect_others() {
        let metrics = HttpMetrics::for_methods(&Registry::new());
        let limit = ConnectionLimit::new(20, 2, metrics.clone());
        let client = |last| Some(ClientAddress([192, 0, 2, last].into()));
        let own: Vec<_> = (0..3)
            .map(|_| limit.try_acquire(client(1)).unwrap())
            .collect();
        let rejections = own.iter().map(|permit| permit.rejection);
        assert_eq!(
            rejections.collect::<Vec<_>>(),
            [None, None, Some(Rejection::PerAddress(2))]
        );
        assert_eq!(limit.try_acquire(client(2)).unwrap().rejection, None);
        assert_eq!(limit.permits.available_permits(), 18);
        let rejected = metrics.http_server_connections_rejected_per_address_total;
        assert_eq!(rejected.with_label_values(&["connection"]).get(), 1);
    }
}
