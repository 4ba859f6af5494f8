//! A round-robin HTTP load balancer for replicas. It records each request and can hold back the bodies of streams.

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

/// A running load balancer.
pub struct LoadBalancer {
    pub url: String,
    state: Arc<LoadBalancerState>,
    _serving: AbortOnDropHandle<std::io::Result<()>>,
}

/// A request and the status of its response.
#[derive(Clone)]
struct Record {
    path: String,
    status: StatusCode,
    requested_at: Instant,
}

struct LoadBalancerState {
    client: Client,
    replicas: Vec<String>,
    next: AtomicUsize,
    records: Mutex<Vec<Record>>,
    retry_after: watch::Sender<Option<Duration>>,
    holds: watch::Sender<bool>,
    ends: broadcast::Sender<()>,
}

impl LoadBalancer {
    pub async fn start(replicas: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        let url = format!(
            "http://{}",
            listener.local_addr().expect("the listener is bound")
        );
        let client = Client::builder().no_proxy().build();
        let state = Arc::new(LoadBalancerState {
            client: client.expect("a client can be built"),
            replicas: replicas.iter().map(|url| (*url).to_owned()).collect(),
            next: AtomicUsize::new(0),
            records: Mutex::default(),
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

    /// Holds back the bodies of streams, or passes them on.
    pub fn hold_streams(&self, holds: bool) {
        self.state.holds.send_replace(holds);
    }

    /// Closes the open streams.
    pub fn close_streams(&self) {
        let _ = self.state.ends.send(());
    }

    /// Rejects each request with 503 and this `Retry-After`; `None` rejects none.
    pub fn reject_requests(&self, retry_after: Option<Duration>) {
        self.state.retry_after.send_replace(retry_after);
    }

    /// The statuses of all responses for this path so far.
    pub fn statuses(&self, path: &str) -> Vec<StatusCode> {
        let of_path = self.of_path(path);
        of_path.iter().map(|record| record.status).collect()
    }

    /// The intervals between the requests for this path so far.
    pub fn intervals(&self, path: &str) -> Vec<Duration> {
        let of_path = self.of_path(path);
        let pairs = of_path.windows(2);
        pairs
            .map(|pair| pair[1].requested_at - pair[0].requested_at)
            .collect()
    }

    fn of_path(&self, path: &str) -> Vec<Record> {
        let records = self.state.records.lock().unwrap();
        let of_path = records.iter().filter(|record| record.path == path);
        of_path.cloned().collect()
    }

    /// The number of requests so far.
    pub fn request_count(&self) -> usize {
        self.state.records.lock().unwrap().len()
    }
}

async fn forward(State(state): State<Arc<LoadBalancerState>>, request: Request) -> Response {
    let number = state.next.fetch_add(1, Ordering::Relaxed);
    let replica = &state.replicas[number % state.replicas.len()];
    let path = request.uri().path().to_owned();
    let requested_at = Instant::now();
    let record = |status| {
        let record = Record {
            path,
            status,
            requested_at,
        };
        state.records.lock().unwrap().push(record);
    };
    let retry_after = *state.retry_after.borrow();
    if let Some(wait) = retry_after {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        record(status);
        return (status, [(header::RETRY_AFTER, wait.as_secs())]).into_response();
    }
    let mut headers = request.headers().clone();
    headers.remove(header::HOST);
    let forwarded = state.client.get(format!("{replica}{}", request.uri()));
    let Ok(response) = forwarded.headers(headers).send().await else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    let status = response.status();
    record(status);
    let mut headers = HeaderMap::new();
    for (name, value) in response.headers() {
        if ![header::CONNECTION, header::TRANSFER_ENCODING].contains(name) {
            headers.append(name, value.clone());
        }
    }
    let is_stream = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind == "text/event-stream");
    let chunks = response.bytes_stream();
    let body = if is_stream {
        Body::from_stream(stream(&state, chunks))
    } else {
        Body::from_stream(chunks)
    };
    (status, headers, body).into_response()
}

fn stream(
    state: &LoadBalancerState,
    chunks: impl Stream<Item = reqwest::Result<bytes::Bytes>> + Send + 'static,
) -> impl Stream<Item = Result<bytes::Bytes, Infallible>> + Send + 'static {
    let (holds, mut ends) = (state.holds.subscribe(), state.ends.subscribe());
    chunks
        .filter_map(|chunk| future::ready(chunk.ok().map(Ok)))
        .then(move |chunk| {
            let mut holds = holds.clone();
            async move {
                let _ = holds.wait_for(|holds| !holds).await;
                chunk
            }
        })
        .take_until(async move {
            let _ = ends.recv().await;
        })
}
