//! Checks of the header `Host`, before a request goes anywhere.

use axum::{
    extract::Request,
    http::{Version, header},
};

use super::origin::PublicOrigins;
use crate::{Problem, ProblemKind, probes::is_probe};
use retry::Throttle;

/// The hosts for which this service answers.
pub(crate) struct HostCheck {
    origins: PublicOrigins,
    refused: Throttle,
}

impl HostCheck {
    pub(crate) fn new(origins: PublicOrigins) -> Self {
        Self {
            origins,
            refused: Throttle::default(),
        }
    }

    /// Refuses what RFC 9112 says must be (<https://www.rfc-editor.org/rfc/rfc9112#section-3.2>): no `Host`, which only
    /// HTTP/1.0 may leave out, and more than one. Where the public origins are set, also any other host's: a name in an
    /// attacker's DNS that points here would make this service a part of the attacker's site. Probes tell nothing and are
    /// answered.
    pub(crate) fn check(&self, request: &Request) -> Result<(), Problem> {
        let mut hosts = request.headers().get_all(header::HOST).into_iter();
        let malformed = |detail| Err(Problem::new(ProblemKind::MalformedRequest, detail));
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host,
            (None, _) if request.version() < Version::HTTP_11 => return Ok(()),
            (None, _) => return malformed("The header Host is missing; send it once."),
            (Some(_), Some(_)) => {
                return malformed("The header Host is there twice; send it once.");
            }
        };
        if self.origins.is_empty() || is_probe(request.uri().path()) {
            return Ok(());
        }
        if host.to_str().is_ok_and(|host| self.origins.have_host(host)) {
            return Ok(());
        }
        if let Some(count) = self.refused.count_event() {
            tracing::warn!(
                count,
                host = ?host,
                "requests for another host were refused; if it is this one's, add its origin to PUBLIC_ORIGINS"
            );
        }
        Err(Problem::new(
            ProblemKind::UnknownHost,
            "This service is not reachable under the name in the header Host.",
        ))
    }
}
