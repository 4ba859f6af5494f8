//! New voters at a constant rate, independent of the responses, and one viewer who receives the totals.
//!
//! The queue preserves the order of the votes. So the n-th vote is visible as soon as the total has grown by n.

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
    DeliveryStats, Steady, announce_ready, connection::Connection, events::EventStream, latencies,
    percentile, record, requests::vote,
};

/// Time limit until the last vote is visible.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);

/// The totals that a viewer received, with their times.
type Totals = Rc<RefCell<Vec<(Instant, u64)>>>;

pub async fn run(task: Steady) -> anyhow::Result<DeliveryStats> {
    let totals = Totals::default();
    let viewer = spawn_local(view(task.result, totals.clone()));
    let before = wait_for_total(&totals, |total| total >= task.counted)
        .await
        .context("the viewer receives no total")?;
    let mut connections = Vec::new();
    for _ in 0..task.connections {
        connections.push(Connection::open(task.vote).await?);
    }
    announce_ready();
    let shared = Rc::new(Shared {
        began: Instant::now(),
        next: Cell::new(0),
        due: RefCell::default(),
        failed: Cell::new(0),
        task,
    });
    let voters: Vec<_> = connections
        .into_iter()
        .map(|connection| spawn_local(vote_on_schedule(connection, shared.clone())))
        .collect();
    for voter in voters {
        voter.await?;
    }
    let mut due = shared.due.take();
    due.sort_unstable();
    let accepted = due.len() as u64;
    wait_for_total(&totals, |total| total >= before + accepted)
        .await
        .context("accepted votes are not counted")?;
    viewer.abort();
    let totals = totals.borrow();
    let mut delays = latencies();
    let mut next = 0;
    for (moment, total) in &*totals {
        while let Some(due) = due.get(next).filter(|_| before + (next as u64) < *total) {
            record(&mut delays, *moment - *due);
            next += 1;
        }
    }
    ensure!(
        next == due.len(),
        "{} votes never became visible",
        due.len() - next
    );
    Ok(DeliveryStats {
        accepted,
        failed: shared.failed.get(),
        p50: percentile(&delays, 50.0),
        p99: percentile(&delays, 99.0),
    })
}

struct Shared {
    task: Steady,
    began: Instant,
    next: Cell<u32>,
    /// The scheduled time of each accepted vote.
    due: RefCell<Vec<Instant>>,
    failed: Cell<u64>,
}

async fn vote_on_schedule(mut connection: Connection, shared: Rc<Shared>) {
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
        match connection.exchange(&request).await {
            Ok(response) if response.status == 200 => shared.due.borrow_mut().push(due),
            Ok(_) => shared.failed.set(shared.failed.get() + 1),
            Err(_) => {
                shared.failed.set(shared.failed.get() + 1);
                return;
            }
        }
    }
}

async fn view(address: SocketAddr, totals: Totals) -> anyhow::Result<()> {
    let mut events = EventStream::open(address).await?;
    loop {
        let record = |now, total| totals.borrow_mut().push((now, total));
        events.read(record).await?;
    }
}

/// Waits for a total that fulfils the condition, and returns it.
async fn wait_for_total(totals: &Totals, condition: impl Fn(u64) -> bool) -> anyhow::Result<u64> {
    let polling = async {
        loop {
            let last = totals.borrow().last().map(|(_, total)| *total);
            if let Some(total) = last.filter(|total| condition(*total)) {
                return total;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    Ok(timeout(DELIVERY_TIMEOUT, polling).await?)
}
