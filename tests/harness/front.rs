//! An HTTP server in front of replicas, as a load balancer is: it leads each request to the next of them, notes it, and
//! may hold back the bodies of streams.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
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

struct FrontState {
    client: Client,
    replicas: Vec<String>,
    next: AtomicUsize,
    answers: Mutex<Vec<(String, StatusCode)>>,
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

    /// The statuses of what was asked for at this path so far.
    pub fn answers(&self, path: &str) -> Vec<StatusCode> {
        let answers = self.state.answers.lock().unwrap();
        let of_path = answers.iter().filter(|(asked, _)| asked == path);
        of_path.map(|(_, status)| *status).collect()
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
    let mut headers = request.headers().clone();
    headers.remove(header::HOST);
    let asked = state.client.get(format!("{replica}{}", request.uri()));
    let Ok(answer) = asked.headers(headers).send().await else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    let status = answer.status();
    state.answers.lock().unwrap().push((path, status));
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
