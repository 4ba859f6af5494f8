//! A viewer of the result.

use futures_util::{Stream, StreamExt};
use reqwest::{Response, StatusCode};
use serde_json::Value;
use tokio::time::timeout;

use super::{TIMEOUT, eventually, voter::client};

/// The tally as JSON; null if there is none.
pub async fn tally(result: &str) -> Value {
    let response = client()
        .get(format!("{result}/api/tally"))
        .send()
        .await
        .expect("the result service responds");
    if response.status() == StatusCode::OK {
        response.json().await.expect("a tally is JSON")
    } else {
        Value::Null
    }
}

/// The votes for each option, in the order of the poll.
pub fn votes(tally: &Value) -> Vec<u64> {
    let options = tally["options"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    options
        .iter()
        .map(|option| option["votes"].as_u64().unwrap_or(u64::MAX))
        .collect()
}

/// Waits until the result shows these votes.
pub async fn wait_for_votes(result: &str, wanted: &[u64]) -> Value {
    let what = format!("the result {wanted:?}");
    eventually(
        &what,
        |tally| votes(tally) == wanted,
        async || tally(result).await,
    )
    .await
}

/// Waits until all forms of the result are available: the timeline is read after the tally.
pub async fn wait_until_complete(result: &str) {
    let timeline = async || get(&format!("{result}/api/timeline")).await.status();
    eventually("the timeline", |status| *status == StatusCode::OK, timeline).await;
}

pub async fn get(url: &str) -> Response {
    client().get(url).send().await.expect("it responds")
}

/// The status and the JSON of the response.
pub async fn get_json(url: &str) -> (StatusCode, Value) {
    let response = get(url).await;
    (response.status(), response.json().await.unwrap_or_default())
}

/// One server-sent event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    pub id: String,
    pub kind: String,
    pub data: String,
}

/// An open event stream.
pub struct Viewer {
    stream: std::pin::Pin<Box<dyn Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>,
    received: String,
}

impl Viewer {
    pub async fn open(result: &str, last_event_id: Option<&str>) -> Self {
        // An event stream has no end, so the client has no timeout.
        let client = reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("a client can be built");
        let mut request = client.get(format!("{result}/events"));
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.expect("/events responds");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            stream: Box::pin(response.bytes_stream()),
            received: String::new(),
        }
    }

    /// The next event with data; `None` when the stream has ended.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some((block, rest)) = self.received.split_once("\n\n") {
                let event = parse(block);
                self.received = rest.into();
                if !event.data.is_empty() {
                    return Some(event);
                }
            }
            let chunk = timeout(TIMEOUT, self.stream.next())
                .await
                .expect("events arrive in time")?;
            self.received
                .push_str(std::str::from_utf8(&chunk.ok()?).expect("events are text"));
        }
    }

    /// Waits for the event that shows these votes.
    pub async fn wait_for_votes(&mut self, wanted: &[u64]) -> Event {
        loop {
            let event = self.next().await.expect("the stream has not ended");
            if event.kind == "tally"
                && votes(&serde_json::from_str(&event.data).expect("a tally is JSON")) == wanted
            {
                return event;
            }
        }
    }
}

fn parse(block: &str) -> Event {
    let mut event = Event::default();
    for (name, value) in block.lines().filter_map(|line| line.split_once(": ")) {
        match name {
            "id" => event.id = value.into(),
            "event" => event.kind = value.into(),
            "data" => event.data = value.into(),
            _ => {}
        }
    }
    event
}
