//! Check of the header `Host`, before the request is routed.

use axum::{
    extract::Request,
    http::{Version, header},
};

use super::origin::PublicOrigins;
use crate::{Problem, ProblemKind, probes::is_probe};
use retry::Throttle;

/// A check against the public origins.
pub(crate) struct HostCheck {
    origins: PublicOrigins,
    log: Throttle,
}

impl HostCheck {
    pub(crate) fn new(origins: PublicOrigins) -> Self {
        Self {
            origins,
            log: Throttle::default(),
        }
    }

    /// Rejects requests as RFC 9112 requires (<https://www.rfc-editor.org/rfc/rfc9112#section-3.2>): without `Host`, which only
    /// HTTP/1.0 may leave out, or with more than one. If public origins are set, it also rejects other hosts: a name in an
    /// attacker's DNS that points here would make this service a part of the attacker's site (DNS rebinding). Probes are accepted:
    /// they reveal nothing.
    pub(crate) fn check(&self, request: &Request) -> Result<(), Problem> {
        let mut hosts = request.headers().get_all(header::HOST).into_iter();
        let malformed = |detail| Err(Problem::new(ProblemKind::MalformedRequest, detail));
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host,
            (None, _) if request.version() < Version::HTTP_11 => return Ok(()),
            (None, _) => return malformed("The header Host is missing; send it once."),
            (Some(_), Some(_)) => {
                return malformed("The header Host occurs twice; send it once.");
            }
        };
        if self.origins.is_empty() || is_probe(request.uri().path()) {
            return Ok(());
        }
        if host
            .to_str()
            .is_ok_and(|host| self.origins.allow_host(host))
        {
            return Ok(());
        }
        if let Some(count) = self.log.count_event() {
            tracing::warn!(
                count,
                host = ?host,
                "requests for an unknown host rejected: if it is correct, add its origin to PUBLIC_ORIGINS"
            );
        }
        Err(Problem::new(
            ProblemKind::UnknownHost,
            "The header Host names a host that is not in PUBLIC_ORIGINS.",
        ))
    }
}
