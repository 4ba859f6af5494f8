//! The limits: minimal servers that show what this machine can do at a stage. Each is a process of its own, like the
//! service that is compared with it.

use std::{convert::Infallible, env, time::Duration};

use anyhow::Context;
use axum::{
    Router,
    body::Body,
    http::{StatusCode, header},
    response::{Html, IntoResponse},
    routing::get,
};
use bytes::Bytes;
use futures_util::stream;
use redis::Client;
use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, sync::watch, time::interval};

/// The argument that runs this program as a limit.
pub const ROLE: &str = "limit";

/// A value as long as a voter id.
const VOTER: &str = "0123456789abcdef0123456789abcdef";

/// The responses of a limit.
#[derive(Debug, Deserialize, Serialize)]
pub enum Task {
    /// Responds to `GET` and `POST` of `/` with a page of this many bytes.
    Page(usize),
    /// The same, after an entry is on the disk of the Redis at this URL: the minimal way to accept a vote.
    Entry { url: String, page: usize },
    /// Responds to `GET` of `/events` with an event stream: a frame of this many bytes at this interval.
    Events { bytes: usize, every: Duration },
}

/// Serves until the process is killed.
pub fn run(task: &str) -> anyhow::Result<()> {
    let task: Task = serde_json::from_str(task)?;
    let address = env::var("LISTEN_ADDR").context("LISTEN_ADDR is not set")?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await?;
        Ok(axum::serve(listener, routes(task).await?).await?)
    })
}

#[expect(clippy::disallowed_methods, reason = "a limit has no API to describe")]
async fn routes(task: Task) -> anyhow::Result<Router> {
    Ok(match task {
        Task::Page(bytes) => {
            let page = page(bytes);
            let respond = async move || page;
            Router::new().route("/", get(respond.clone()).post(respond))
        }
        Task::Entry { url, page: bytes } => {
            let queue = Client::open(url)?.get_connection_manager().await?;
            let page = page(bytes);
            let respond = page.clone();
            let enqueue = async move || {
                let mut entry = redis::cmd("XADD");
                entry.arg(&["limit", "*", "voter", VOTER, "vote", "a"]);
                let enqueued = entry.exec_async(&mut queue.clone()).await;
                enqueued
                    .map(|()| page)
                    .map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
            };
            Router::new().route("/", get(async move || respond).post(enqueue))
        }
        Task::Events { bytes, every } => {
            let (frames, latest) = watch::channel(Bytes::new());
            tokio::spawn(publish(frames, bytes, every));
            let respond = async move || events(latest.clone());
            Router::new()
                .route("/events", get(respond))
                .route("/", get(async || ""))
        }
    })
}

fn page(bytes: usize) -> Html<Bytes> {
    Html(Bytes::from("x".repeat(bytes)))
}

async fn publish(frames: watch::Sender<Bytes>, bytes: usize, every: Duration) {
    let mut ticks = interval(every);
    for total in 1_u64.. {
        ticks.tick().await;
        let start = format!("event: tally\ndata: {{\"total\":{total},\"rest\":\"");
        let rest = "x".repeat(bytes.saturating_sub(start.len() + 4));
        frames.send_replace(format!("{start}{rest}\"}}\n\n").into());
    }
}

fn events(latest: watch::Receiver<Bytes>) -> impl IntoResponse {
    let events = stream::unfold(latest, async |mut latest| {
        latest.changed().await.ok()?;
        let frame = latest.borrow_and_update().clone();
        Some((Ok::<_, Infallible>(frame), latest))
    });
    (
        [(header::CONTENT_TYPE, "text/event-stream")],
        Body::from_stream(events),
    )
}
