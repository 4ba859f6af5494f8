//! Limits per client address, so that one client cannot use up the capacity for all.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::{IpAddr, Ipv6Addr},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::Request,
    response::Response,
};
use hyper::body::{Frame, SizeHint};
use prometheus::IntCounter;

use crate::metrics::HttpMetrics;
use retry::Throttle;

/// The client address of a request, as far as it can be trusted. It is an extension of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddress(pub IpAddr);

impl ClientAddress {
    /// Returns the client address of a request.
    ///
    /// # Panics
    /// The request did not come through the server.
    #[must_use]
    pub fn of(request: &Request) -> Self {
        *request
            .extensions()
            .get()
            .expect("the server adds it to every request")
    }

    /// Returns the network that counts as one client: an IPv4 address, or the first 48 bits of an IPv6 address, which is the prefix of a site
    /// (<https://www.rfc-editor.org/rfc/rfc6177>).
    #[must_use]
    pub fn client_network(self) -> IpAddr {
        self.network(48)
    }

    /// Returns an IPv4 address as it is, and the network of an IPv6 address with a prefix of this length.
    #[must_use]
    pub fn network(self, prefix_bits: u32) -> IpAddr {
        match self.0 {
            IpAddr::V4(_) => self.0,
            IpAddr::V6(address) => {
                let rest = u128::MAX.checked_shr(prefix_bits).unwrap_or(0);
                Ipv6Addr::from_bits(address.to_bits() & !rest).into()
            }
        }
    }
}

/// A limit on the connections, requests or streams that each address may have open at the same time. Cloning is cheap; clones
/// share the counts.
#[derive(Clone, Debug)]
pub struct AddressLimit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The limited resource, as in the metric label and the log.
    what: &'static str,
    limit: u32,
    counts: Mutex<HashMap<IpAddr, u32>>,
    rejected: IntCounter,
    log: Throttle,
}

impl AddressLimit {
    /// Creates a limit. `what` is `connection`, `request` or `stream`.
    #[must_use]
    pub fn new(what: &'static str, limit: u32, metrics: &HttpMetrics) -> Self {
        let rejected = &metrics.http_server_connections_rejected_per_address_total;
        Self(Arc::new(Inner {
            what,
            limit,
            counts: Mutex::default(),
            rejected: rejected.with_label_values(&[what]),
            log: Throttle::default(),
        }))
    }

    /// Returns a permit for this client.
    ///
    /// # Errors
    /// The client has reached the limit. A metric and the log show it, too.
    pub fn try_acquire(&self, client: ClientAddress) -> Result<AddressPermit, OverLimit> {
        let network = client.client_network();
        let inner = &self.0;
        let mut counts = inner.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(network).or_default();
        if *count < inner.limit {
            *count += 1;
            let limit = inner.clone();
            return Ok(AddressPermit { limit, network });
        }
        drop(counts);
        inner.rejected.inc();
        if let Some(count) = inner.log.count_event() {
            let Inner { what, limit, .. } = **inner;
            tracing::warn!(%network, what, limit, count, "rejected: limit per address reached");
        }
        Err(OverLimit(inner.limit))
    }
}

/// The client has reached this limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverLimit(pub u32);

/// A permit for one connection, request or stream of a client. Dropping it releases the permit.
#[derive(Debug)]
pub struct AddressPermit {
    limit: Arc<Inner>,
    network: IpAddr,
}

impl AddressPermit {
    /// Attaches the permit to a response: it is released when the body has been sent.
    pub(crate) fn attach_to(self, response: Response) -> Response {
        response.map(|body| {
            Body::new(PermittedBody {
                body,
                _permit: self,
            })
        })
    }
}

struct PermittedBody {
    body: Body,
    _permit: AddressPermit,
}

impl HttpBody for PermittedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        let counts = &self.limit.counts;
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = counts.entry(self.network) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::Registry;

    fn limit(limit: u32) -> AddressLimit {
        AddressLimit::new("stream", limit, &HttpMetrics::new(&Registry::new()))
    }

    fn client(address: &str) -> ClientAddress {
        ClientAddress(address.parse().unwrap())
    }

    #[test]
    fn each_address_has_a_limit_of_its_own() {
        let limit = limit(2);
        let first = [client("192.0.2.1"); 3].map(|client| limit.try_acquire(client));
        assert!(first[1].is_ok());
        assert_eq!(first[2].as_ref().err(), Some(&OverLimit(2)));
        assert_eq!(limit.0.rejected.get(), 1);
        assert!(limit.try_acquire(client("192.0.2.2")).is_ok());
        drop(first);
        assert!(limit.0.counts.lock().unwrap().is_empty());
        assert!(limit.try_acquire(client("192.0.2.1")).is_ok());
    }

    #[test]
    fn an_ipv6_prefix_of_48_bits_is_one_client() {
        let limit = limit(1);
        let held = limit.try_acquire(client("2001:db8:1::1"));
        assert!(held.is_ok() && limit.try_acquire(client("2001:db8:1:ffff::2")).is_err());
        assert!(limit.try_acquire(client("2001:db8:2::1")).is_ok());
    }

    #[test]
    fn a_network_has_the_first_bits_of_the_address() {
        let address = client("2001:db8:1:2:3:4:5:6");
        assert_eq!(address.network(64).to_string(), "2001:db8:1:2::");
        assert_eq!(address.network(128), address.0);
        assert_eq!(client("192.0.2.1").network(48).to_string(), "192.0.2.1");
    }

    #[tokio::test]
    async fn a_permit_lasts_until_the_body_is_read() {
        let limit = limit(1);
        let permit = || limit.try_acquire(client("192.0.2.1"));
        let response = permit()
            .unwrap()
            .attach_to(Response::new(Body::from("text")));
        assert!(permit().is_err());
        let body = axum::body::to_bytes(response.into_body(), usize::MAX);
        assert_eq!(body.await.unwrap(), "text");
        assert!(permit().is_ok());
    }
}
