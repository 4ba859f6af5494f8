//! A backlog in Redis and workers that drain it into Postgres.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::ensure;

use crate::{
    http,
    servers::Redis,
    service::Service,
    store::{POLL_ID, Votes, choice, voter},
    usage,
};

const STREAM: &str = "ballots";
/// Ballots per pipeline: enough to fill the stream fast.
const PIPELINE_SIZE: usize = 5000;
const TIMEOUT: Duration = Duration::from_mins(10);

/// Throughput and memory of a drain.
pub struct Drained {
    /// Votes per second.
    pub per_second: f64,
    /// The highest peak memory of a worker, in bytes.
    pub memory: f64,
}

/// Fills an empty stream with one ballot of each of these voters. In the next round they all choose the other option.
pub fn fill(
    redis: &Redis,
    voters: impl IntoIterator<Item = u64>,
    round: i64,
) -> anyhow::Result<()> {
    let mut connection = redis.connect()?;
    redis::cmd("DEL").arg(STREAM).exec(&mut connection)?;
    let mut voters = voters.into_iter();
    loop {
        let numbers: Vec<_> = voters.by_ref().take(PIPELINE_SIZE).collect();
        if numbers.is_empty() {
            return Ok(());
        }
        let mut adding = redis::pipe();
        for number in &numbers {
            adding
                .cmd("XADD")
                .arg(STREAM)
                .arg("*")
                .arg(&["poll", POLL_ID, "voter", &voter(*number)])
                .arg(&["choice", choice(*number, round)])
                .ignore();
        }
        let () = adding.query(&mut connection)?;
    }
}

/// The numbers below `count`, in another order each round: voters do not vote again in the order of their first votes.
pub fn shuffled(count: u64, round: u64) -> Vec<u64> {
    let mut voters: Vec<_> = (0..count).collect();
    voters.sort_by_cached_key(|number| voter(number + (round << 32)));
    voters
}

/// Drains a backlog with this number of workers.
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
        .map(|_| Service::start_live("worker", &environment))
        .collect::<Result<_, _>>()?;
    // Ballots that workers processed before they responded do not count.
    let (began, processed_before) = (Instant::now(), processed(&workers)?);
    loop {
        let processed = processed(&workers)?;
        #[expect(clippy::cast_precision_loss, reason = "no backlog has 2^53 ballots")]
        let all = ballots as f64;
        if processed >= all {
            let took = began.elapsed().as_secs_f64();
            let memory = workers
                .iter()
                .map(|worker| usage::peak_memory(worker.id()))
                .try_fold(0.0, |most: f64, memory| anyhow::Ok(most.max(memory?)))?;
            ensure!(
                votes.tally_matches_votes()?,
                "the tally does not equal the counted votes"
            );
            return Ok(Drained {
                per_second: (processed - processed_before) / took,
                memory,
            });
        }
        ensure!(
            began.elapsed() < TIMEOUT,
            "{processed} of {ballots} ballots were processed"
        );
        sleep(Duration::from_millis(20));
    }
}

fn processed(workers: &[Service]) -> anyhow::Result<f64> {
    let mut all = 0.0;
    for worker in workers {
        for outcome in ["applied", "stale"] {
            all += http::sum_metric(worker.address, "worker_ballots_processed_total", outcome)?;
        }
    }
    Ok(all)
}
