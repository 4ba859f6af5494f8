//! A backlog in Redis, and the workers that drain it into Postgres.

use std::{
    ops::Range,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::ensure;

use crate::{
    ask,
    servers::Redis,
    service::Service,
    store::{Votes, voter},
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
pub fn fill(redis: &Redis, voters: Range<u64>, round: i64) -> anyhow::Result<()> {
    let mut connection = redis.connect()?;
    redis::cmd("DEL").arg(STREAM).exec(&mut connection)?;
    let numbers: Vec<_> = voters.collect();
    for numbers in numbers.chunks(AT_ONCE) {
        let mut adding = redis::pipe();
        for number in numbers {
            let choice = if (number.cast_signed() + round) % 2 == 0 {
                "a"
            } else {
                "b"
            };
            adding
                .cmd("XADD")
                .arg(STREAM)
                .arg("*")
                .arg(&["voter", &voter(*number), "choice", choice])
                .ignore();
        }
        let () = adding.query(&mut connection)?;
    }
    Ok(())
}

/// Drains a backlog of so many ballots with so many workers.
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
                per_second: (all - moved_before) / took,
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
            all += ask::metric(worker.address, "worker_entries_total", outcome)?;
        }
    }
    Ok(all)
}
