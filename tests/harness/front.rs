//! An HTTP server in front of replicas, as a load balancer is: it leads each request to the next of them, notes it, and
//! may hold back the bodies of streams.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::{Stream, StreamExt, future};
use reqwest::Client;
use tokio::{
    net::TcpListener,
    sync::{broadcast, watch},
};
use tokio_util::task::AbortOnDropHandle;

/// A running front.
pub struct Front {
    pub url: String,
    state: Arc<FrontState>,
    _serving: AbortOnDropHandle<std::io::Result<()>>,
}

/// A request that was answered.
#[derive(Clone)]
struct Answer {
    path: String,
    status: StatusCode,
    asked_at: Instant,
}

struct FrontState {
    client: Client,
    replicas: Vec<String>,
    next: AtomicUsize,
    answers: Mutex<Vec<Answer>>,
    retry_after: watch::Sender<Option<Duration>>,
    holds: watch::Sender<bool>,
    ends: broadcast::Sender<()>,
}

impl Front {
    pub async fn of(replicas: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let client = Client::builder().no_proxy().build();
        let state = Arc::new(FrontState {
            client: client.expect("a client can be built"),
            replicas: replicas.iter().map(|url| (*url).to_owned()).collect(),
            next: AtomicUsize::new(0),
            answers: Mutex::default(),
            retry_after: watch::Sender::new(None),
            holds: watch::Sender::new(false),
            ends: broadcast::Sender::new(1),
        });
        let app = Router::new().fallback(forward).with_state(state.clone());
        let serving = tokio::spawn(axum::serve(listener, app).into_future());
        Self {
            url,
            state,
            _serving: AbortOnDropHandle::new(serving),
        }
    }

    /// Holds back what comes on streams, after their heads; or lets it pass.
    pub fn hold_streams(&self, holds: bool) {
        self.state.holds.send_replace(holds);
    }

    /// Ends the streams that are open.
    pub fn end_streams(&self) {
        let _ = self.state.ends.send(());
    }

    /// Refuses each request with 503 and asks for this wait before the next one; `None`: refuses none.
    pub fn refuse(&self, retry_after: Option<Duration>) {
        self.state.retry_after.send_replace(retry_after);
    }

    /// The statuses of all responses for this path so far.
    pub fn answers(&self, path: &str) -> Vec<StatusCode> {
        let of_path = self.of_path(path);
        of_path.iter().map(|answer| answer.status).collect()
    }

    /// The times between the requests for this path so far.
    pub fn waits(&self, path: &str) -> Vec<Duration> {
        let of_path = self.of_path(path);
        let pairs = of_path.windows(2);
        pairs
            .map(|pair| pair[1].asked_at - pair[0].asked_at)
            .collect()
    }

    fn of_path(&self, path: &str) -> Vec<Answer> {
        let answers = self.state.answers.lock().unwrap();
        let of_path = answers.iter().filter(|answer| answer.path == path);
        of_path.cloned().collect()
    }

    /// The number of requests so far.
    pub fn requests(&self) -> usize {
        self.state.answers.lock().unwrap().len()
    }
}

async fn forward(State(state): State<Arc<FrontState>>, request: Request) -> Response {
    let turn = state.next.fetch_add(1, Ordering::Relaxed);
    let replica = &state.replicas[turn % state.replicas.len()];
    let path = request.uri().path().to_owned();
    let asked_at = Instant::now();
    let note = |status| {
        let answer = Answer {
            path,
            status,
            asked_at,
        };
        state.answers.lock().unwrap().push(answer);
    };
    let retry_after = *state.retry_after.borrow();
    if let Some(wait) = retry_after {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        note(status);
        return (status, [(header::RETRY_AFTER, wait.as_secs())]).into_response();
    }
    let mut headers = request.headers().clone();
    headers.remove(header::HOST);
    let asked = state.client.get(format!("{replica}{}", request.uri()));
    let Ok(answer) = asked.headers(headers).send().await else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    let status = answer.status();
    note(status);
    let mut headers = HeaderMap::new();
    for (name, value) in answer.headers() {
        if ![header::CONNECTION, header::TRANSFER_ENCODING].contains(name) {
            headers.append(name, value.clone());
        }
    }
    let is_stream = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind == "text/event-stream");
    let pieces = answer.bytes_stream();
    let body = if is_stream {
        Body::from_stream(stream(&state, pieces))
    } else {
        Body::from_stream(pieces)
    };
    (status, headers, body).into_response()
}

fn stream(
    state: &FrontState,
    pieces: impl Stream<Item = reqwest::Result<bytes::Bytes>> + Send + 'static,
) -> impl Stream<Item = Result<bytes::Bytes, Infallible>> + Send + 'static {
    let (holds, mut ends) = (state.holds.subscribe(), state.ends.subscribe());
    pieces
        .filter_map(|piece| future::ready(piece.ok().map(Ok)))
        .then(move |piece| {
            let mut holds = holds.clone();
            async move {
                let _ = holds.wait_for(|holds| !holds).await;
                piece
            }
        })
        .take_until(async move {
            let _ = ends.recv().await;
        })
}
