//! What every request goes through on its way to the routes, and its answer on the way back: measuring, a time limit, an
//! answer in words even after a crash, as a page for people, and headers that keep browsers safe.
//!
//! It is one function around the routes and not a layer of each of them: a layer is copied, and asks for memory, with
//! every request. What it is made of are combinators: an `async fn` has room for the future that it is given twice over.

use std::{any::Any, convert::Infallible, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::Request,
    http::{Method, Uri},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use tokio::time::timeout;
use tower::Service;

use crate::{
    BasePath, HttpMetrics, Problem, ProblemKind, Site,
    metrics::{RequestMetrics, Routes},
    request::{host::HostCheck, options_method},
    response::{problem_page::Reader, security_headers::SafetyHeaders},
    server::{Refused, framing},
};

/// How long an answer may take to begin.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// A service's routes, and what all of them need around them. Cloning is cheap.
#[derive(Clone)]
pub struct AppService(Arc<Parts>);

struct Parts {
    routes: Router,
    labels: Routes,
    metrics: HttpMetrics,
    headers: SafetyHeaders,
    hosts: HostCheck,
    site: Site,
    base_path: BasePath,
    timeout: Duration,
    on_refused: Box<OnRefused>,
}

/// Called with the method and the path of each request that a limit on connections refuses.
type OnRefused = dyn Fn(&Method, &str, Refused) + Send + Sync;

impl AppService {
    /// The answers of these routes, whose expected ones are in the metrics already.
    #[must_use]
    pub fn new(routes: Router, metrics: HttpMetrics, site: Site) -> Self {
        let routes = routes
            .fallback(not_found)
            .method_not_allowed_fallback(method_not_allowed);
        Self(Arc::new(Parts {
            routes,
            labels: Routes::expected_by(&metrics),
            metrics,
            headers: SafetyHeaders::new(site.hsts.as_ref()),
            hosts: HostCheck::new(site.public_origins.clone()),
            site,
            base_path: BasePath::default(),
            timeout: REQUEST_TIMEOUT,
            on_refused: Box::new(|_, _, _| {}),
        }))
    }

    /// The same where an answer may have to wait for so long for something that has a time limit of its own.
    ///
    /// # Panics
    /// They are shared already.
    #[must_use]
    pub fn waiting_for(mut self, limit: Duration) -> Self {
        let parts = Arc::get_mut(&mut self.0).expect("it is set up before it is shared");
        parts.timeout = REQUEST_TIMEOUT + limit;
        self
    }

    /// The same below this path.
    ///
    /// # Panics
    /// They are shared already.
    #[must_use]
    pub fn below(mut self, base_path: BasePath) -> Self {
        let parts = Arc::get_mut(&mut self.0).expect("it is set up before it is shared");
        parts.base_path = base_path;
        self
    }

    /// The same where this is called with the method and the path of each request that a limit on connections refuses:
    /// it reaches no route that could count it.
    ///
    /// # Panics
    /// They are shared already.
    #[must_use]
    pub fn on_refused(
        mut self,
        call: impl Fn(&Method, &str, Refused) + Send + Sync + 'static,
    ) -> Self {
        let parts = Arc::get_mut(&mut self.0).expect("it is set up before it is shared");
        parts.on_refused = Box::new(call);
        self
    }

    pub(crate) fn metrics(&self) -> &HttpMetrics {
        &self.0.metrics
    }

    pub(crate) fn site(&self) -> &Site {
        &self.0.site
    }

    /// The answer to a request.
    pub(crate) async fn answer(&self, mut request: Request) -> Response {
        let reader = Reader::of(&request);
        let elsewhere = self.0.base_path.enter(&mut request);
        let measured = RequestMetrics::begin(&self.0.metrics, &self.0.labels, &request);
        let checked = framing::check(&request).and_then(|()| self.0.hosts.check(&request));
        let response = match (elsewhere, checked) {
            (None, Ok(())) => {
                let asks_for_methods = options_method::prepare(&mut request);
                let answer = self.0.routes.clone().call(request);
                let response = measured
                    .around(in_time(self.0.timeout, whole(answer)))
                    .await;
                options_method::finish(response, asks_for_methods)
            }
            (_, Err(problem)) => problem.into_response(),
            (Some(response), Ok(())) => response,
        };
        let response = self.finish(response, &reader);
        measured.end(response.status());
        response
    }

    /// Returns true for the path of a probe.
    pub(crate) fn is_probe(&self, path: &str) -> bool {
        self.0.base_path.is_probe(path)
    }

    /// The answer to a request that a limit on connections refuses. It is measured like any other.
    pub(crate) fn refuse(&self, mut request: Request, refused: Refused) -> Response {
        let reader = Reader::of(&request);
        // Only for the path's label: outside of the base path the answer is the same.
        let _ = self.0.base_path.enter(&mut request);
        let measured = RequestMetrics::begin(&self.0.metrics, &self.0.labels, &request);
        (self.0.on_refused)(request.method(), request.uri().path(), refused);
        let response = self.finish(Problem::from(refused).into_response(), &reader);
        measured.end(response.status());
        response
    }

    fn finish(&self, response: Response, reader: &Reader) -> Response {
        let mut response = reader.readable(response, &self.0.base_path);
        self.0.headers.put_on(&mut response);
        response
    }
}

/// The answer, if it begins in time.
fn in_time(
    limit: Duration,
    answer: impl Future<Output = Response>,
) -> impl Future<Output = Response> {
    timeout(limit, answer).map(move |answer| {
        answer.unwrap_or_else(|_| {
            let seconds = limit.as_secs();
            let detail = format!("There was no answer within {seconds} seconds. Please try again.");
            Problem::new(ProblemKind::TimedOut, detail)
                .retry_after(1)
                .into_response()
        })
    })
}

/// The answer, or one that says that there is none: a crash ends one request, and no other.
fn whole(
    answer: impl Future<Output = Result<Response, Infallible>>,
) -> impl Future<Output = Response> {
    AssertUnwindSafe(answer)
        .catch_unwind()
        .map(|answer| match answer {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(cause) => crashed(&*cause).into_response(),
        })
}

async fn not_found(uri: Uri) -> Problem {
    let detail = format!("There is nothing at {}.", uri.path());
    Problem::new(ProblemKind::NotFound, detail)
}

pub(crate) async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let detail = format!(
        "The method {method} is not allowed at {}; the header Allow lists those that are.",
        uri.path()
    );
    Problem::new(ProblemKind::MethodNotAllowed, detail)
}

fn crashed(cause: &(dyn Any + Send)) -> Problem {
    let text = cause
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| cause.downcast_ref::<&str>().copied());
    tracing::error!(
        cause = text.unwrap_or("unknown"),
        "a request handler crashed"
    );
    Problem::new(
        ProblemKind::InternalError,
        "Something went wrong in the service. Please try again.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PROBLEM_JSON;
    use axum::{body::Body, routing::get};
    use prometheus::Registry;
    use std::future::pending;

    async fn answer_of(routes: fn() -> Router) -> Response {
        let metrics = HttpMetrics::for_methods(&Registry::new());
        let answers = AppService::new(routes(), metrics, Site::default());
        let request = Request::get("/").header("host", "a.example");
        answers.answer(request.body(Body::empty()).unwrap()).await
    }

    #[tokio::test(start_paused = true)]
    #[expect(clippy::disallowed_methods, reason = "a test has no API to describe")]
    async fn an_answer_that_takes_too_long_is_a_problem() {
        let answer = answer_of(|| Router::new().route("/", get(pending::<Response>))).await;
        assert_eq!(answer.status(), ProblemKind::TimedOut.status());
        assert_eq!(answer.headers()["content-type"], PROBLEM_JSON);
        assert_eq!(answer.headers()["retry-after"], "1");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    }

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "a test has no API to describe")]
    async fn a_crash_is_answered_in_words() {
        async fn crash() -> Response {
            panic!("on purpose")
        }
        let answer = answer_of(|| Router::new().route("/", get(crash))).await;
        assert_eq!(answer.status(), ProblemKind::InternalError.status());
        assert_eq!(answer.headers()["content-type"], PROBLEM_JSON);
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    }
}
