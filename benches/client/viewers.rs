//! Viewers of the live result, and the time between the first and the last of them to receive an event.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use tokio::{
    task::{JoinSet, LocalSet, spawn_local},
    time::{Instant, sleep_until},
};

use super::{
    FanOutStats, Viewers, announce_ready, events::EventStream, latencies, percentile, record,
};

/// Concurrent connection attempts: more would overflow the service's listen backlog.
const MAX_CONNECTING: usize = 64;

/// The times at which viewers received an event.
struct Arrivals {
    first: Instant,
    last: Instant,
    viewers: usize,
}

type Events = Rc<RefCell<BTreeMap<u64, Arrivals>>>;

pub async fn run(task: Viewers) -> anyhow::Result<FanOutStats> {
    raise_nofile_limit();
    let events = Events::default();
    let local = LocalSet::new();
    local.run_until(watch(task, events)).await
}

async fn watch(task: Viewers, events: Events) -> anyhow::Result<FanOutStats> {
    let mut connecting = JoinSet::new();
    let mut viewers = Vec::with_capacity(task.count);
    for _ in 0..task.count {
        if connecting.len() == MAX_CONNECTING
            && let Some(open) = connecting.join_next().await
        {
            viewers.push(open??);
        }
        connecting.spawn_local(EventStream::open(task.address));
    }
    while let Some(open) = connecting.join_next().await {
        viewers.push(open??);
    }
    for viewer in viewers {
        spawn_local(listen(viewer, events.clone()));
    }
    announce_ready();
    // Every viewer first receives the current result.
    let from = Instant::now() + task.duration / 10;
    sleep_until(Instant::now() + task.duration).await;
    let events = events.borrow();
    let mut spreads = latencies();
    let (mut complete, mut received) = (0, 0);
    for arrivals in events.values().filter(|arrivals| arrivals.first >= from) {
        received += 1;
        if arrivals.viewers == task.count {
            complete += 1;
            record(&mut spreads, arrivals.last - arrivals.first);
        }
    }
    Ok(FanOutStats {
        complete,
        events: received,
        spread_p50: percentile(&spreads, 50.0),
        spread_max: percentile(&spreads, 100.0),
    })
}

async fn listen(mut viewer: EventStream, events: Events) {
    let mut record = |now, total| {
        let mut events = events.borrow_mut();
        let arrivals = events.entry(total).or_insert(Arrivals {
            first: now,
            last: now,
            viewers: 0,
        });
        arrivals.last = now;
        arrivals.viewers += 1;
    };
    while viewer.read(&mut record).await.is_ok() {}
}

fn raise_nofile_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    // If this is not allowed, connecting fails with an error.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    );
}
