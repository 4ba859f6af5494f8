//! Limits for each client address, so that one client cannot take what is there for everybody.

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

/// The address that a request comes from, as far as that can be trusted: an extension of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddress(pub IpAddr);

impl ClientAddress {
    /// The address of this request's client.
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

    /// The network that counts as one client: the address of IPv4, and the first 48 bits of IPv6, which is what a site gets
    /// (<https://www.rfc-editor.org/rfc/rfc6177>).
    #[must_use]
    pub fn site(self) -> IpAddr {
        self.network(48)
    }

    /// The address of IPv4, and so many first bits of IPv6.
    #[must_use]
    pub fn network(self, bits: u32) -> IpAddr {
        match self.0 {
            IpAddr::V4(_) => self.0,
            IpAddr::V6(address) => {
                let rest = u128::MAX.checked_shr(bits).unwrap_or(0);
                Ipv6Addr::from_bits(address.to_bits() & !rest).into()
            }
        }
    }
}

/// A limit for what each address may have at once of one kind of thing. Cloning is cheap; clones share what is counted.
#[derive(Clone, Debug)]
pub struct AddressLimit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The kind of thing, as metrics and the log name it.
    what: &'static str,
    limit: u32,
    counts: Mutex<HashMap<IpAddr, u32>>,
    refused: IntCounter,
    log: Throttle,
}

impl AddressLimit {
    /// A limit for connections, requests or streams.
    #[must_use]
    pub fn new(what: &'static str, limit: u32, metrics: &HttpMetrics) -> Self {
        let refused = &metrics.http_server_connections_rejected_per_address_total;
        Self(Arc::new(Inner {
            what,
            limit,
            counts: Mutex::default(),
            refused: refused.with_label_values(&[what]),
            log: Throttle::default(),
        }))
    }

    /// Counts one more for this client.
    ///
    /// # Errors
    /// It has as many as it may. Metrics and the log say so, too.
    pub fn enter(&self, client: ClientAddress) -> Result<Share, OverLimit> {
        let site = client.site();
        let limits = &self.0;
        let mut counts = limits.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(site).or_default();
        if *count < limits.limit {
            *count += 1;
            let limits = limits.clone();
            return Ok(Share { limits, site });
        }
        drop(counts);
        limits.refused.inc();
        if let Some(count) = limits.log.count_event() {
            let Inner { what, limit, .. } = **limits;
            tracing::warn!(%site, what, limit, count, "an address has as many as it may have; more are refused");
        }
        Err(OverLimit(limits.limit))
    }
}

/// A client has as many of something as this limit allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverLimit(pub u32);

/// One thing that a client has, until this is dropped.
#[derive(Debug)]
pub struct Share {
    limits: Arc<Inner>,
    site: IpAddr,
}

impl Share {
    /// The response, to whose end this lasts.
    pub(crate) fn held_by(self, response: Response) -> Response {
        response.map(|body| Body::new(HeldBody { body, _share: self }))
    }
}

struct HeldBody {
    body: Body,
    _share: Share,
}

impl HttpBody for HeldBody {
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

impl Drop for Share {
    fn drop(&mut self) {
        let counts = &self.limits.counts;
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = counts.entry(self.site) {
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
    fn one_address_gets_its_share_and_others_theirs() {
        let limit = limit(2);
        let first = [client("192.0.2.1"); 3].map(|client| limit.enter(client));
        assert!(first[1].is_ok());
        assert_eq!(first[2].as_ref().err(), Some(&OverLimit(2)));
        assert_eq!(limit.0.refused.get(), 1);
        assert!(limit.enter(client("192.0.2.2")).is_ok());
        drop(first);
        assert!(limit.0.counts.lock().unwrap().is_empty());
        assert!(limit.enter(client("192.0.2.1")).is_ok());
    }

    #[test]
    fn a_site_of_ipv6_is_one_client() {
        let limit = limit(1);
        let held = limit.enter(client("2001:db8:1::1"));
        assert!(held.is_ok() && limit.enter(client("2001:db8:1:ffff::2")).is_err());
        assert!(limit.enter(client("2001:db8:2::1")).is_ok());
    }

    #[test]
    fn networks_are_the_first_bits() {
        let address = client("2001:db8:1:2:3:4:5:6");
        assert_eq!(address.network(64).to_string(), "2001:db8:1:2::");
        assert_eq!(address.network(128), address.0);
        assert_eq!(client("192.0.2.1").network(48).to_string(), "192.0.2.1");
    }

    #[tokio::test]
    async fn a_share_lasts_until_the_answer_is_read() {
        let limit = limit(1);
        let share = || limit.enter(client("192.0.2.1"));
        let response = share().unwrap().held_by(Response::new(Body::from("text")));
        assert!(share().is_err());
        let body = axum::body::to_bytes(response.into_body(), usize::MAX);
        assert_eq!(body.await.unwrap(), "text");
        assert!(share().is_ok());
    }
}
