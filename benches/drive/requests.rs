//! Requests one after the other on each connection: as many as are answered.

use std::{cell::RefCell, io, net::SocketAddr, rc::Rc};

use hdrhistogram::Histogram;
use tokio::{task::spawn_local, time::Instant};

use super::{
    Answered, Kind, Requests, announce,
    connection::{Answer, Connection},
    latencies, percentile, record,
};

struct Outcome {
    latencies: Histogram<u64>,
    all: u64,
    failed: u64,
}

pub async fn run(task: Requests) -> anyhow::Result<Answered> {
    let outcome = Rc::new(RefCell::new(Outcome {
        latencies: latencies(),
        all: 0,
        failed: 0,
    }));
    let mut connections = Vec::new();
    for _ in 0..task.connections {
        connections.push(Connection::open(task.address).await?);
    }
    announce();
    let from = Instant::now() + task.warm_up;
    let until = from + task.duration;
    let clients: Vec<_> = connections
        .into_iter()
        .map(|connection| {
            let asked = Asked::new(&task);
            spawn_local(ask_until(
                task.address,
                connection,
                asked,
                (from, until),
                outcome.clone(),
            ))
        })
        .collect();
    for client in clients {
        client.await?;
    }
    let outcome = outcome.borrow();
    #[expect(clippy::cast_precision_loss, reason = "no run has so many requests")]
    let measured = outcome.latencies.len() as f64;
    Ok(Answered {
        all: outcome.all,
        failed: outcome.failed,
        per_second: measured / task.duration.as_secs_f64(),
        p50: percentile(&outcome.latencies, 50.0),
        p99: percentile(&outcome.latencies, 99.0),
    })
}

async fn ask_until(
    address: SocketAddr,
    connection: Connection,
    mut asked: Asked,
    (from, until): (Instant, Instant),
    outcome: Rc<RefCell<Outcome>>,
) {
    let mut connection = Some(connection);
    loop {
        let began = Instant::now();
        if began >= until {
            return;
        }
        let answer = ask(address, &mut connection, asked.next()).await;
        let now = Instant::now();
        let mut outcome = outcome.borrow_mut();
        match answer {
            Ok(answer) if answer.status == 200 => {
                outcome.all += 1;
                // Those that end within the time: the rate would else count what nobody waited for.
                if now >= from && now < until {
                    record(&mut outcome.latencies, now - began);
                }
                asked.learn(answer);
            }
            Ok(_) | Err(_) => outcome.failed += 1,
        }
    }
}

/// On the open connection, or a new one where the last answer, or a failure, ended it.
async fn ask(
    address: SocketAddr,
    open: &mut Option<Connection>,
    request: &[u8],
) -> io::Result<Answer> {
    let mut connection = match open.take() {
        Some(connection) => connection,
        None => Connection::open(address).await?,
    };
    let answer = connection.ask(request).await?;
    if !answer.is_last {
        *open = Some(connection);
    }
    Ok(answer)
}

/// The requests of one connection.
struct Asked {
    /// By somebody new.
    first: Vec<u8>,
    /// By somebody known, up to the cookie, and what follows it.
    again: Option<(Vec<u8>, Vec<u8>)>,
    cookie: Option<Vec<u8>>,
    repeated: bool,
    request: Vec<u8>,
}

impl Asked {
    fn new(task: &Requests) -> Self {
        let (first, again) = match &task.kind {
            Kind::Get(path) => {
                let request = format!(
                    "GET {path} HTTP/1.1\r\nhost: {}\r\nsec-fetch-site: none\r\n\r\n",
                    task.address
                );
                (request.into_bytes(), None)
            }
            Kind::Vote { gzip, again } => {
                let (head, end) = vote(task.address, "b", *gzip);
                let again = again.then(|| {
                    (
                        [&head[..], b"cookie: "].concat(),
                        [b"\r\n", &end[..]].concat(),
                    )
                });
                let (head, end) = vote(task.address, "a", *gzip);
                ([head, end].concat(), again)
            }
        };
        Self {
            first,
            again,
            cookie: None,
            repeated: false,
            request: Vec::new(),
        }
    }

    fn next(&mut self) -> &[u8] {
        self.repeated = false;
        if let (Some((head, end)), Some(cookie)) = (&self.again, self.cookie.take()) {
            self.repeated = true;
            self.request.clear();
            for part in [head, &cookie, end] {
                self.request.extend_from_slice(part);
            }
            return &self.request;
        }
        &self.first
    }

    fn learn(&mut self, answer: Answer) {
        if !self.repeated {
            self.cookie = answer.cookie;
        }
    }
}

/// A vote by the page's form, with the headers that browsers send: the beginning of its head, and the rest.
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
