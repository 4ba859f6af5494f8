//! The request of a vote: its headers, address and body, read but not validated.

use std::{convert::Infallible, mem::take, time::Duration};

use axum::{
    body::Bytes,
    extract::{
        DefaultBodyLimit, FromRequest, Request,
        rejection::{BytesRejection, FailedToBufferBody::LengthLimitError},
    },
    http::{HeaderMap, header},
};
use poll::ballot::Traceparent;
use tokio::time::timeout;
use web::ClientAddress;

use crate::vote_error::VoteError;

/// Upper bound on the body in bytes. A vote needs less than a hundred.
const MAX_BODY: usize = 4 * 1024;
/// Timeout of reading the body. It is shorter than the timeout of the response, so that the client learns the reason.
const BODY_TIMEOUT: Duration = Duration::from_secs(4);

/// Request of a vote. Errors of its body are part of it, so that the handler can respond to them.
pub struct VoteRequest {
    /// Headers of the request.
    pub headers: HeaderMap,
    /// Address of the client.
    pub address: ClientAddress,
    body: Result<Bytes, VoteError>,
}

impl<S: Send + Sync> FromRequest<S> for VoteRequest {
    type Rejection = Infallible;

    async fn from_request(mut request: Request, state: &S) -> Result<Self, Infallible> {
        let address = ClientAddress::of(&request);
        let headers = take(request.headers_mut());
        DefaultBodyLimit::max(MAX_BODY).apply(&mut request);
        let body = timeout(BODY_TIMEOUT, Bytes::from_request(request, state)).await;
        let body = match body {
            Ok(body) => body.map_err(VoteError::from),
            Err(_) => Err(VoteError::TooSlow),
        };
        Ok(Self {
            headers,
            address,
            body,
        })
    }
}

impl From<BytesRejection> for VoteError {
    fn from(rejection: BytesRejection) -> Self {
        match rejection {
            BytesRejection::FailedToBufferBody(LengthLimitError(_)) => Self::TooLarge(MAX_BODY),
            _ => Self::Malformed("its body ended early".into()),
        }
    }
}

impl VoteRequest {
    /// Returns the body.
    ///
    /// # Errors
    /// The body is too large, ended early or did not arrive within the timeout.
    pub fn body(&self) -> Result<&Bytes, VoteError> {
        self.body.as_ref().map_err(Clone::clone)
    }

    /// Returns the content type with its parameters; empty if the header is missing.
    pub fn content_type(&self) -> &str {
        let header = self.headers.get(header::CONTENT_TYPE);
        header
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// Returns true if the content type is this one, with any parameters.
    pub fn has_content_type(&self, content_type: &str) -> bool {
        let essence = self.content_type().split(';').next().unwrap_or_default();
        essence.trim().eq_ignore_ascii_case(content_type)
    }

    /// Returns the trace context of the request.
    pub fn traceparent(&self) -> Option<Traceparent> {
        let value = self.headers.get("traceparent")?;
        Traceparent::parse(value.to_str().ok()?)
    }
}
