//! Errors as problem details (RFC 9457).

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Serialize, Serializer};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

/// The content type of a problem document.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Declares the kinds of problem: description, status and name of each.
macro_rules! problem_kinds {
    ($($(#[doc = $description:literal])+ $kind:ident = $status:ident $name:literal,)+) => {
        /// The kind of a problem. The names are for programs and never change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ProblemKind {
            $($(#[doc = $description])+ $kind,)+
        }

        impl ProblemKind {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$kind,)+];

            /// Returns the problem's type, a unique URI reference. Nothing is served there.
            #[must_use]
            pub fn uri(self) -> &'static str {
                match self {
                    $(Self::$kind => concat!("/problems/", $name),)+
                }
            }

            /// Returns the HTTP status.
            #[must_use]
            pub fn status(self) -> StatusCode {
                match self {
                    $(Self::$kind => StatusCode::$status,)+
                }
            }

            /// Returns the description for the API documentation.
            #[must_use]
            pub fn description(self) -> &'static str {
                match self {
                    $(Self::$kind => concat!($($description,)+).trim_ascii(),)+
                }
            }
        }
    };
}

problem_kinds! {
    /// The request cannot be read: a body that is not JSON or not a form, a field that is missing, unknown or
    /// sent twice, no Host header or two.
    MalformedRequest = BAD_REQUEST "malformed-request",
    /// A page of another site sent the vote.
    CrossSiteRequest = FORBIDDEN "cross-site-request",
    /// The result is not shown before the poll has closed.
    ResultHidden = FORBIDDEN "result-hidden",
    /// There is nothing at this path.
    NotFound = NOT_FOUND "not-found",
    /// The method is not allowed at this path. The header Allow lists the allowed methods.
    MethodNotAllowed = METHOD_NOT_ALLOWED "method-not-allowed",
    /// The header Host names none of the hosts in PUBLIC_ORIGINS.
    UnknownHost = MISDIRECTED_REQUEST "unknown-host",
    /// The body did not arrive before the timeout. The vote was not stored: send it again.
    RequestTooSlow = REQUEST_TIMEOUT "request-too-slow",
    /// The vote names another poll than the current one. It was not counted: read the current poll and vote again.
    OtherPoll = CONFLICT "other-poll",
    /// Voting has not begun.
    PollNotOpenYet = CONFLICT "poll-not-open-yet",
    /// Voting has ended.
    PollClosed = CONFLICT "poll-closed",
    /// The body is larger than the limit.
    RequestTooLarge = PAYLOAD_TOO_LARGE "request-too-large",
    /// The content type of the body is not supported.
    UnsupportedContentType = UNSUPPORTED_MEDIA_TYPE "unsupported-content-type",
    /// The poll has no such option.
    UnknownChoice = UNPROCESSABLE_ENTITY "unknown-choice",
    /// Too many votes from the client's network. The vote was not stored: send it again after the time in Retry-After.
    RateLimited = TOO_MANY_REQUESTS "rate-limited",
    /// The body has a transfer coding other than chunked. Send it without one.
    UnknownTransferCoding = NOT_IMPLEMENTED "unknown-transfer-coding",
    /// An internal error of the service.
    InternalError = INTERNAL_SERVER_ERROR "internal-error",
    /// More votes arrive than can be stored. The vote was not stored: send it again.
    Overloaded = SERVICE_UNAVAILABLE "overloaded",
    /// The queue did not confirm the vote, which may or may not be stored: send it again.
    QueueUnavailable = SERVICE_UNAVAILABLE "queue-unavailable",
    /// The result has not been read from the store yet, or cannot be read.
    ResultUnavailable = SERVICE_UNAVAILABLE "result-unavailable",
    /// Too many clients are connected. A vote was not stored: send it again.
    TooManyConnections = SERVICE_UNAVAILABLE "too-many-connections",
    /// Too many viewers of the live result are connected. /api/tally is still available.
    TooManyViewers = SERVICE_UNAVAILABLE "too-many-viewers",
    /// The response took too long. A vote may or may not be stored: send it again.
    TimedOut = SERVICE_UNAVAILABLE "timed-out",
}

impl ProblemKind {
    /// Returns true if the response has the header `Retry-After`.
    #[must_use]
    pub fn has_retry_after(self) -> bool {
        matches!(
            self.status(),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        )
    }
}

impl Serialize for ProblemKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.uri())
    }
}

impl PartialSchema for ProblemKind {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(
                "The kind of the problem. The names never change; nothing is served there.",
            ))
            .enum_values(Some(Self::ALL.iter().map(|kind| kind.uri())))
            .into()
    }
}

impl ToSchema for ProblemKind {}

/// A problem document. Source: <https://www.rfc-editor.org/rfc/rfc9457>.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// The kind of the problem.
    #[serde(rename = "type")]
    pub kind: ProblemKind,
    /// The reason phrase of the status.
    #[schema(value_type = String)]
    pub title: &'static str,
    /// The HTTP status code.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// A description of this occurrence, and of what is allowed.
    pub detail: String,
    #[serde(skip)]
    retry_after: Option<u32>,
}

impl Problem {
    /// Creates a problem of this kind. `detail` is one or more sentences.
    #[must_use]
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        let (status, detail) = (kind.status(), detail.into());
        debug_assert!(is_sentence(&detail), "not a sentence: {detail}");
        Self {
            kind,
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail,
            retry_after: None,
        }
    }

    /// Sets the number of seconds after which the client may retry.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

/// Returns true if the text begins with a capital letter and ends with a full stop.
fn is_sentence(text: &str) -> bool {
    text.starts_with(char::is_uppercase) && text.ends_with('.')
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let retry_after = self.retry_after;
        let mut response = (self.kind.status(), Json(self)).into_response();
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(seconds) = retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
