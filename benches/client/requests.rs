//! Requests in a closed loop: each connection sends the next one after the response.

use std::{cell::RefCell, io, net::SocketAddr, rc::Rc};

use hdrhistogram::Histogram;
use tokio::{task::spawn_local, time::Instant};

use super::{
    RequestKind, RequestStats, Requests, announce_ready,
    connection::{Connection, Response},
    latencies, percentile, record,
};

struct Outcome {
    latencies: Histogram<u64>,
    succeeded: u64,
    failed: u64,
}

pub async fn run(task: Requests) -> anyhow::Result<RequestStats> {
    let outcome = Rc::new(RefCell::new(Outcome {
        latencies: latencies(),
        succeeded: 0,
        failed: 0,
    }));
    let mut connections = Vec::new();
    for _ in 0..task.connections {
        connections.push(Connection::open(task.address).await?);
    }
    announce_ready();
    let from = Instant::now() + task.warm_up;
    let until = from + task.duration;
    let clients: Vec<_> = connections
        .into_iter()
        .map(|connection| {
            let sequence = RequestSequence::new(&task);
            spawn_local(send_until(
                task.address,
                connection,
                sequence,
                (from, until),
                outcome.clone(),
            ))
        })
        .collect();
    for client in clients {
        client.await?;
    }
    let outcome = outcome.borrow();
    #[expect(clippy::cast_precision_loss, reason = "no run has 2^53 requests")]
    let measured = outcome.latencies.len() as f64;
    Ok(RequestStats {
        succeeded: outcome.succeeded,
        failed: outcome.failed,
        per_second: measured / task.duration.as_secs_f64(),
        p50: percentile(&outcome.latencies, 50.0),
        p99: percentile(&outcome.latencies, 99.0),
    })
}

async fn send_until(
    address: SocketAddr,
    connection: Connection,
    mut sequence: RequestSequence,
    (from, until): (Instant, Instant),
    outcome: Rc<RefCell<Outcome>>,
) {
    let mut connection = Some(connection);
    loop {
        let began = Instant::now();
        if began >= until {
            return;
        }
        let response = send_request(address, &mut connection, sequence.next()).await;
        let now = Instant::now();
        let mut outcome = outcome.borrow_mut();
        match response {
            Ok(response) if response.status == 200 => {
                outcome.succeeded += 1;
                // Only requests that end within the measured time, or the rate would be too high.
                if now >= from && now < until {
                    record(&mut outcome.latencies, now - began);
                }
                sequence.record_response(response);
            }
            Ok(_) | Err(_) => outcome.failed += 1,
        }
    }
}

/// Sends a request on the open connection, or on a new one if the last response or an error closed it.
async fn send_request(
    address: SocketAddr,
    open: &mut Option<Connection>,
    request: &[u8],
) -> io::Result<Response> {
    let mut connection = match open.take() {
        Some(connection) => connection,
        None => Connection::open(address).await?,
    };
    let response = connection.exchange(request).await?;
    if !response.closes {
        *open = Some(connection);
    }
    Ok(response)
}

/// The sequence of requests of one connection.
struct RequestSequence {
    /// Request of a new voter.
    first: Vec<u8>,
    /// Request of a known voter: the part before the cookie, and the part after it.
    repeat: Option<(Vec<u8>, Vec<u8>)>,
    cookie: Option<Vec<u8>>,
    is_repeat: bool,
    request: Vec<u8>,
}

impl RequestSequence {
    fn new(task: &Requests) -> Self {
        let (first, repeat) = match &task.kind {
            RequestKind::Get(path) => {
                let request = format!(
                    "GET {path} HTTP/1.1\r\nhost: {}\r\nsec-fetch-site: none\r\n\r\n",
                    task.address
                );
                (request.into_bytes(), None)
            }
            RequestKind::Vote { gzip, repeat } => {
                let (head, end) = vote(task.address, "b", *gzip);
                let repeat = repeat.then(|| {
                    (
                        [&head[..], b"cookie: "].concat(),
                        [b"\r\n", &end[..]].concat(),
                    )
                });
                let (head, end) = vote(task.address, "a", *gzip);
                ([head, end].concat(), repeat)
            }
        };
        Self {
            first,
            repeat,
            cookie: None,
            is_repeat: false,
            request: Vec::new(),
        }
    }

    fn next(&mut self) -> &[u8] {
        self.is_repeat = false;
        if let (Some((head, end)), Some(cookie)) = (&self.repeat, self.cookie.take()) {
            self.is_repeat = true;
            self.request.clear();
            for part in [head, &cookie, end] {
                self.request.extend_from_slice(part);
            }
            return &self.request;
        }
        &self.first
    }

    fn record_response(&mut self, response: Response) {
        if !self.is_repeat {
            self.cookie = response.cookie;
        }
    }
}

/// A vote by the page's form, with the headers that browsers send: the beginning of the head, and the rest.
pub fn vote(address: SocketAddr, key: &str, gzip: bool) -> (Vec<u8>, Vec<u8>) {
    let encoding = if gzip {
        "accept-encoding: gzip, deflate, br\r\n"
    } else {
        ""
    };
    let body = format!("vote={key}");
    let head = format!(
        "POST / HTTP/1.1\r\nhost: {address}\r\naccept: text/html\r\naccept-language: en\r\n{encoding}\
         content-type: application/x-www-form-urlencoded\r\n"
    );
    let end = format!("content-length: {}\r\n\r\n{body}", body.len());
    (head.into_bytes(), end.into_bytes())
}
