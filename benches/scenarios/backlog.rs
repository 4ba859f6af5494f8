//! A backlog in Redis, and the workers that drain it into Postgres.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::ensure;

use crate::{
    ask,
    servers::Redis,
    service::Service,
    store::{Votes, choice, voter},
    usage,
};

const STREAM: &str = "ballots";
/// Ballots in one command: enough to fill the stream fast.
const AT_ONCE: usize = 5000;
const LONGEST: Duration = Duration::from_mins(10);

/// What draining it took.
pub struct Drained {
    /// Votes per second.
    pub per_second: f64,
    /// The most memory that one of the workers ever had, in bytes.
    pub memory: f64,
}

/// Puts one ballot of each of these voters into an empty stream. In the next round they all choose the other option.
pub fn fill(
    redis: &Redis,
    voters: impl IntoIterator<Item = u64>,
    round: i64,
) -> anyhow::Result<()> {
    let mut connection = redis.connect()?;
    redis::cmd("DEL").arg(STREAM).exec(&mut connection)?;
    let mut voters = voters.into_iter();
    loop {
        let numbers: Vec<_> = voters.by_ref().take(AT_ONCE).collect();
        if numbers.is_empty() {
            return Ok(());
        }
        let mut adding = redis::pipe();
        for number in &numbers {
            adding
                .cmd("XADD")
                .arg(STREAM)
                .arg("*")
                .arg(&["voter", &voter(*number), "choice", choice(*number, round)])
                .ignore();
        }
        let () = adding.query(&mut connection)?;
    }
}

/// The voters below this number, in another order each round: people do not vote again in the order in which they voted.
pub fn shuffled(crowd: u64, round: u64) -> Vec<u64> {
    let mut voters: Vec<_> = (0..crowd).collect();
    voters.sort_by_cached_key(|number| voter(number + (round << 32)));
    voters
}

/// Drains so many ballots of a backlog with so many workers.
pub fn drain(
    redis: &Redis,
    votes: &Votes,
    ballots: u64,
    workers: usize,
) -> anyhow::Result<Drained> {
    let environment = [
        ("QUEUE_URL", redis.url.as_str()),
        ("DATABASE_URL", &votes.url),
    ];
    let workers: Vec<_> = (0..workers)
        .map(|_| Service::start("worker", &environment))
        .collect::<Result<_, _>>()?;
    // They began while they became ready: what is moved by then is not counted.
    let (began, moved_before) = (Instant::now(), moved(&workers)?);
    loop {
        let moved = moved(&workers)?;
        #[expect(clippy::cast_precision_loss, reason = "no backlog is so long")]
        let all = ballots as f64;
        if moved >= all {
            let took = began.elapsed().as_secs_f64();
            let memory = workers
                .iter()
                .map(|worker| usage::peak_memory(worker.id()))
                .try_fold(0.0, |most: f64, memory| anyhow::Ok(most.max(memory?)))?;
            ensure!(votes.is_sound()?, "the tally is not the votes counted");
            return Ok(Drained {
                per_second: (moved - moved_before) / took,
                memory,
            });
        }
        ensure!(
            began.elapsed() < LONGEST,
            "{moved} of {ballots} ballots were moved"
        );
        sleep(Duration::from_millis(20));
    }
}

fn moved(workers: &[Service]) -> anyhow::Result<f64> {
    let mut all = 0.0;
    for worker in workers {
        for outcome in ["applied", "stale"] {
            all += ask::metric(worker.address, "worker_ballots_processed_total", outcome)?;
        }
    }
    Ok(all)
}
