//! Viewers of the live result: who gets an event first, and who last.

use std::{cell::RefCell, collections::BTreeMap, net::SocketAddr, rc::Rc};

use tokio::{
    task::{JoinSet, LocalSet, spawn_local},
    time::{Instant, sleep_until},
};

use super::{
    Viewers, Watched, announce,
    connection::{Connection, read},
    latencies, percentile, record,
};

/// How many connect at the same time: more would overflow the line before the service's door.
const CONNECTING: usize = 64;

/// When the viewers got an event.
struct Arrivals {
    first: Instant,
    last: Instant,
    viewers: usize,
}

type Events = Rc<RefCell<BTreeMap<u64, Arrivals>>>;

pub async fn run(task: Viewers) -> anyhow::Result<Watched> {
    raise_limit_of_open_files();
    let events = Events::default();
    let local = LocalSet::new();
    local.run_until(watch(task, events)).await
}

async fn watch(task: Viewers, events: Events) -> anyhow::Result<Watched> {
    let mut connecting = JoinSet::new();
    let mut viewers = Vec::with_capacity(task.count);
    for _ in 0..task.count {
        if connecting.len() == CONNECTING
            && let Some(open) = connecting.join_next().await
        {
            viewers.push(open??);
        }
        connecting.spawn_local(connect(task.address));
    }
    while let Some(open) = connecting.join_next().await {
        viewers.push(open??);
    }
    for viewer in viewers {
        spawn_local(listen(viewer, events.clone()));
    }
    announce();
    // The first moments are everybody's greeting.
    let from = Instant::now() + task.duration / 10;
    sleep_until(Instant::now() + task.duration).await;
    let events = events.borrow();
    let mut spreads = latencies();
    let (mut complete, mut seen) = (0, 0);
    for arrivals in events.values().filter(|arrivals| arrivals.first >= from) {
        seen += 1;
        if arrivals.viewers == task.count {
            complete += 1;
            record(&mut spreads, arrivals.last - arrivals.first);
        }
    }
    Ok(Watched {
        complete,
        seen,
        spread_p50: percentile(&spreads, 50.0),
        spread_most: percentile(&spreads, 100.0),
    })
}

async fn connect(address: SocketAddr) -> std::io::Result<Connection> {
    let connection = Connection::open(address).await?;
    let request =
        format!("GET /events HTTP/1.1\r\nhost: {address}\r\naccept: text/event-stream\r\n\r\n");
    connection.send(request.as_bytes()).await?;
    Ok(connection)
}

async fn listen(viewer: Connection, events: Events) {
    let stream = viewer.into_stream();
    let mut buffer = [0; 4096];
    let mut rest = Vec::new();
    while let Ok(count) = read(&stream, &mut buffer).await {
        rest.extend_from_slice(&buffer[..count]);
        let now = Instant::now();
        while let Some(end) = rest.windows(2).position(|two| two == b"\n\n") {
            let event: Vec<_> = rest.drain(..end + 2).collect();
            if let Some(total) = total(&event) {
                let mut events = events.borrow_mut();
                let arrivals = events.entry(total).or_insert(Arrivals {
                    first: now,
                    last: now,
                    viewers: 0,
                });
                arrivals.last = now;
                arrivals.viewers += 1;
            }
        }
    }
}

/// All votes, as the event tells.
pub fn total(event: &[u8]) -> Option<u64> {
    let event = std::str::from_utf8(event).ok()?;
    let after = event.split_once("\"total\":")?.1;
    let end = after.find(|other: char| !other.is_ascii_digit())?;
    after[..end].parse().ok()
}

fn raise_limit_of_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    // Where it is refused, connecting fails and says so.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    );
}
