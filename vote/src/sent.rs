//! What a vote's request carries, read with care and not believed yet.

use std::{convert::Infallible, error::Error, iter::successors, time::Duration};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{FromRequest, Request},
    http::{HeaderMap, header, request::Parts},
};
use http_body_util::LengthLimitError;
use poll::ballot::Traceparent;
use tokio::time::timeout;
use web::ClientAddress;

use crate::refusal::Refusal;

/// A vote needs less than a hundred bytes.
const MAX_BODY: usize = 4 * 1024;
/// How long a body may take to come: shorter than an answer may take, so that the client hears that it was too slow.
const BODY_TIMEOUT: Duration = Duration::from_secs(4);

/// A request that may be a vote.
pub struct Sent {
    /// Its headers.
    pub headers: HeaderMap,
    /// Where it comes from.
    pub address: ClientAddress,
    body: Result<Bytes, Refusal>,
}

impl<S: Sync> FromRequest<S> for Sent {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        let address = ClientAddress::of(&request);
        let (Parts { headers, .. }, body) = request.into_parts();
        Ok(Self {
            headers,
            address,
            body: read(body).await,
        })
    }
}

async fn read(body: Body) -> Result<Bytes, Refusal> {
    match timeout(BODY_TIMEOUT, to_bytes(body, MAX_BODY)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) if is_too_large(&error) => Err(Refusal::TooLarge(MAX_BODY)),
        Ok(Err(_)) => Err(Refusal::Malformed("its body ended early".into())),
        Err(_) => Err(Refusal::TooSlow),
    }
}

fn is_too_large(error: &(dyn Error + 'static)) -> bool {
    successors(Some(error), |error| (*error).source()).any(<dyn Error>::is::<LengthLimitError>)
}

impl Sent {
    /// The body, if it is small enough and came in time.
    pub fn body(&self) -> Result<&Bytes, Refusal> {
        self.body.as_ref().map_err(Clone::clone)
    }

    /// The content type with its parameters; empty where there is none.
    pub fn content_type(&self) -> &str {
        let sent = self.headers.get(header::CONTENT_TYPE);
        sent.and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// Returns true if the content type is this one, with any parameters.
    pub fn is_of_type(&self, content_type: &str) -> bool {
        let essence = self.content_type().split(';').next().unwrap_or_default();
        essence.trim().eq_ignore_ascii_case(content_type)
    }

    /// The trace the request belongs to.
    pub fn traceparent(&self) -> Option<Traceparent> {
        let value = self.headers.get("traceparent")?;
        Traceparent::parse(value.to_str().ok()?)
    }
}
