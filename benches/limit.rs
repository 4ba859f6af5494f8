//! The limits: what this machine does at a stage with nothing around it. Each is a process of its own, as the service is
//! that it stands beside.

use std::{convert::Infallible, env, time::Duration};

use anyhow::Context;
use axum::{
    Router,
    body::Body,
    http::header,
    response::{Html, IntoResponse},
    routing::get,
};
use bytes::Bytes;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, sync::watch, time::interval};

/// The argument that makes this program a limit.
pub const ROLE: &str = "limit";

/// What to answer with.
#[derive(Debug, Deserialize, Serialize)]
pub enum Task {
    /// Every `GET` and `POST` at `/` with a page of so many bytes.
    Page(usize),
    /// Every `GET` at `/` with a viewer's stream: a frame of so many bytes, as often as this.
    Events { bytes: usize, every: Duration },
}

/// Answers until it is killed.
pub fn run(task: &str) -> anyhow::Result<()> {
    let task: Task = serde_json::from_str(task)?;
    let address = env::var("LISTEN_ADDR").context("LISTEN_ADDR is not set")?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await?;
        Ok(axum::serve(listener, routes(&task)).await?)
    })
}

#[expect(clippy::disallowed_methods, reason = "a limit has no API to describe")]
fn routes(task: &Task) -> Router {
    match *task {
        Task::Page(bytes) => {
            let page = Bytes::from("x".repeat(bytes));
            let answer = async move || Html(page);
            Router::new().route("/", get(answer.clone()).post(answer))
        }
        Task::Events { bytes, every } => {
            let (frames, latest) = watch::channel(Bytes::new());
            tokio::spawn(publish(frames, bytes, every));
            let answer = async move || events(latest.clone());
            Router::new()
                .route("/events", get(answer))
                .route("/", get(async || ""))
        }
    }
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
