//! New voters at a steady rate, whether answers come or not, and one viewer who sees the total rise.
//!
//! The queue keeps the order in which votes come in. So the n-th vote is seen as soon as the total has grown by n.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};

use anyhow::{Context, ensure};
use tokio::{
    task::spawn_local,
    time::{Instant, sleep_until, timeout},
};

use super::{
    Seen, Steady, announce,
    connection::{Connection, read},
    latencies, percentile, record,
    requests::vote,
    viewers::total,
};

/// How long the last vote may take to be seen.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a viewer saw: when which total was there.
type Totals = Rc<RefCell<Vec<(Instant, u64)>>>;

pub async fn run(task: Steady) -> anyhow::Result<Seen> {
    let totals = Totals::default();
    let viewer = spawn_local(view(task.result, totals.clone()));
    let before = until(&totals, |total| total >= task.counted)
        .await
        .context("the viewer sees nothing")?;
    let mut connections = Vec::new();
    for _ in 0..task.connections {
        connections.push(Connection::open(task.vote).await?);
    }
    announce();
    let shared = Rc::new(Shared {
        began: Instant::now(),
        next: Cell::new(0),
        due: RefCell::default(),
        failed: Cell::new(0),
        task,
    });
    let voters: Vec<_> = connections
        .into_iter()
        .map(|connection| spawn_local(vote_on_time(connection, shared.clone())))
        .collect();
    for voter in voters {
        voter.await?;
    }
    let mut due = shared.due.take();
    due.sort_unstable();
    let accepted = due.len() as u64;
    until(&totals, |total| total >= before + accepted)
        .await
        .context("accepted votes are not counted")?;
    viewer.abort();
    let totals = totals.borrow();
    let mut seen = latencies();
    let mut next = 0;
    for (moment, total) in &*totals {
        while let Some(due) = due.get(next).filter(|_| before + (next as u64) < *total) {
            record(&mut seen, *moment - *due);
            next += 1;
        }
    }
    ensure!(
        next == due.len(),
        "{} votes were never seen",
        due.len() - next
    );
    Ok(Seen {
        accepted,
        failed: shared.failed.get(),
        p50: percentile(&seen, 50.0),
        p99: percentile(&seen, 99.0),
    })
}

struct Shared {
    task: Steady,
    began: Instant,
    next: Cell<u32>,
    /// When each accepted vote was to be sent.
    due: RefCell<Vec<Instant>>,
    failed: Cell<u64>,
}

async fn vote_on_time(mut connection: Connection, shared: Rc<Shared>) {
    let (head, end) = vote(shared.task.vote, "a", false);
    let request = [head, end].concat();
    loop {
        let number = shared.next.get();
        shared.next.set(number + 1);
        let after = Duration::from_secs_f64(f64::from(number) / shared.task.rate);
        if after >= shared.task.duration {
            return;
        }
        let due = shared.began + after;
        sleep_until(due).await;
        match connection.ask(&request).await {
            Ok(answer) if answer.status == 200 => shared.due.borrow_mut().push(due),
            Ok(_) => shared.failed.set(shared.failed.get() + 1),
            Err(_) => {
                shared.failed.set(shared.failed.get() + 1);
                return;
            }
        }
    }
}

async fn view(address: SocketAddr, totals: Totals) -> anyhow::Result<()> {
    let connection = Connection::open(address).await?;
    let request = format!("GET /events HTTP/1.1\r\nhost: {address}\r\n\r\n");
    connection.send(request.as_bytes()).await?;
    let stream = connection.into_stream();
    let mut buffer = [0; 4096];
    let mut rest = Vec::new();
    loop {
        let count = read(&stream, &mut buffer).await?;
        rest.extend_from_slice(&buffer[..count]);
        while let Some(end) = rest.windows(2).position(|two| two == b"\n\n") {
            let event: Vec<_> = rest.drain(..end + 2).collect();
            if let Some(total) = total(&event) {
                totals.borrow_mut().push((Instant::now(), total));
            }
        }
    }
}

/// Waits for such a total, and returns it.
async fn until(totals: &Totals, good: impl Fn(u64) -> bool) -> anyhow::Result<u64> {
    let looking = async {
        loop {
            let last = totals.borrow().last().map(|(_, total)| *total);
            if let Some(total) = last.filter(|total| good(*total)) {
                return total;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    Ok(timeout(PATIENCE, looking).await?)
}
