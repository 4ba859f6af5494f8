//! Direct access to the votes in Postgres, without the services: creates, inspects and stores them.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use local_servers::block_on;
use poll::PollId;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use store::{Store, StoreConfig};

/// The batch size of a worker.
const BATCH: u64 = 1000;

/// A database with the tables of the store.
pub struct Votes {
    pub url: String,
}

impl Votes {
    pub fn prepare(url: String) -> anyhow::Result<Self> {
        block_on(async {
            open(&url).await?.migrate(&poll()).await?;
            anyhow::Ok(())
        })?;
        Ok(Self { url })
    }

    /// Runs SQL statements.
    pub fn execute(&self, statements: &str) -> anyhow::Result<()> {
        block_on(async {
            let mut connection = PgConnection::connect(&self.url).await?;
            sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))
                .execute(&mut connection)
                .await?;
            Ok(())
        })
    }

    /// Runs a query that returns one number.
    pub fn number(&self, query: &str) -> anyhow::Result<i64> {
        let query = AssertSqlSafe(query.to_owned());
        block_on(async {
            let mut connection = PgConnection::connect(&self.url).await?;
            Ok(sqlx::query_scalar(query).fetch_one(&mut connection).await?)
        })
    }

    /// Deletes all votes and dead letters and writes a checkpoint.
    pub fn clear(&self) -> anyhow::Result<()> {
        self.execute("TRUNCATE votes, dead_letters; CHECKPOINT")
    }

    /// Records closed polls with their counts, and without votes.
    pub fn add_closed_polls(&self, count: u64) -> anyhow::Result<()> {
        self.execute(&format!(
            "SET voting_app.recount = 'on';
             INSERT INTO polls (id, question, options, results)
                 SELECT 'closed-' || n, 'Question ' || n || '?', 'a=Yes,b=No', 'live' FROM generate_series(1, {count}) AS n;
             INSERT INTO tally (poll, option, votes, last_cast_ms)
                 SELECT 'closed-' || n, chr(96 + o), 1000, 1000 FROM generate_series(1, {count}) AS n, generate_series(1, 20) AS o;
             INSERT INTO timeline (poll, bucket, option, votes)
                 SELECT 'closed-' || n, step * 10000, 'a', 1 FROM generate_series(1, {count}) AS n, generate_series(1, 48) AS step"
        ))?;
        self.execute("VACUUM ANALYZE")
    }

    /// Returns true if the running tally of the services' poll equals the counted votes.
    pub fn tally_matches_votes(&self) -> anyhow::Result<bool> {
        let differences = self.number(&format!(
            "SELECT count(*)
             FROM (SELECT vote, count(*) FROM votes WHERE poll = '{POLL_ID}' GROUP BY vote) AS counted (option, votes)
             FULL JOIN (SELECT option, votes FROM tally WHERE poll = '{POLL_ID}' AND votes > 0) AS tally USING (option, votes)
             WHERE counted IS NULL OR tally IS NULL",
        ))?;
        Ok(differences == 0)
    }

    /// The median time to read the tally as `result` does.
    pub fn tally_read_time(&self) -> anyhow::Result<Duration> {
        block_on(async {
            let store = open(&self.url).await?;
            let mut times = Vec::new();
            for _ in 0..500 {
                let began = Instant::now();
                store.tally(&poll()).await?;
                times.push(began.elapsed());
            }
            times.sort_unstable();
            Ok(times[times.len() / 2])
        })
    }

    /// Adds votes of the voters with numbers from `from` up to `to`, exclusive.
    pub fn fill(&self, from: u64, to: u64) -> anyhow::Result<()> {
        const ROWS_PER_COPY: usize = 100_000;
        block_on(async {
            let mut connection = PgConnection::connect(&self.url).await?;
            for first in (from..to).step_by(ROWS_PER_COPY) {
                let mut lines = String::new();
                for number in first..to.min(first + ROWS_PER_COPY as u64) {
                    let choice = choice(number, 0);
                    let (ms, seq) = (1000 + number / 100, number % 100);
                    writeln!(lines, "{}\t{choice}\t{ms}\t{seq}", voter(number))?;
                }
                let mut rows = connection
                    .copy_in_raw("COPY votes (id, vote, cast_ms, cast_seq) FROM STDIN")
                    .await?;
                rows.send(lines.into_bytes()).await?;
                rows.finish().await?;
            }
            Ok(())
        })
    }

    /// The limit: stores votes of this many voters by the same SQL, batch by batch, on one connection. Returns votes
    /// per second.
    pub fn store_directly(&self, voters: u64, round: i64) -> anyhow::Result<f64> {
        let batches: Vec<_> = (0..voters)
            .step_by(usize::try_from(BATCH)?)
            .map(|first| Rows::new(first..voters.min(first + BATCH), round))
            .collect();
        block_on(async {
            let mut connection = PgConnection::connect(&self.url).await?;
            let began = Instant::now();
            for rows in &batches {
                let mut transaction = connection.begin().await?;
                rows.upsert(&mut transaction).await?;
                transaction.commit().await?;
            }
            #[expect(clippy::cast_precision_loss, reason = "no run has 2^53 voters")]
            let voters = voters as f64;
            Ok(voters / began.elapsed().as_secs_f64())
        })
    }
}

async fn open(url: &str) -> anyhow::Result<Store> {
    let config = StoreConfig {
        url: url.parse()?,
        timeout: Duration::from_mins(1),
        max_connections: 1,
    };
    Ok(Store::open(&config).await?)
}

/// The id of the services' poll, as computed from the default settings.
pub const POLL_ID: &str = "6998f771";

fn poll() -> PollId {
    POLL_ID.parse().expect("it is valid")
}

/// The id of the voter with this number: 32 hexadecimal digits, pseudo-random.
pub fn voter(number: u64) -> String {
    // The finaliser of MurmurHash3 spreads the ids over the whole range, as random ids are.
    let mixed = |mut bits: u64| {
        bits = (bits ^ (bits >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        bits = (bits ^ (bits >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        bits ^ (bits >> 33)
    };
    format!("{:016x}{:016x}", mixed(number + 1), mixed(!number))
}

/// The choice of the voter with this number, which alternates from round to round.
pub fn choice(number: u64, round: i64) -> &'static str {
    if (number.cast_signed() + round) % 2 == 0 {
        "a"
    } else {
        "b"
    }
}

/// The columns of a batch, sorted by voter as in the worker.
struct Rows {
    voters: Vec<String>,
    choices: Vec<&'static str>,
    ms: Vec<i64>,
    seq: Vec<i64>,
}

impl Rows {
    fn new(numbers: std::ops::Range<u64>, round: i64) -> Self {
        let mut rows: Vec<_> = numbers.map(|number| (voter(number), number)).collect();
        rows.sort_unstable();
        Self {
            choices: rows
                .iter()
                .map(|(_, number)| choice(*number, round))
                .collect(),
            ms: rows
                .iter()
                .map(|(_, number)| round * 1_000_000_000 + number.cast_signed() / 50)
                .collect(),
            seq: rows
                .iter()
                .map(|(_, number)| number.cast_signed() % 50)
                .collect(),
            voters: rows.into_iter().map(|(voter, _)| voter).collect(),
        }
    }

    async fn upsert(&self, transaction: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::query(
            "INSERT INTO votes (id, vote, poll, cast_ms, cast_seq)
             SELECT id, vote, $5, ms, seq
             FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) AS cast_votes (id, vote, ms, seq)
             ON CONFLICT (id) DO UPDATE
                 SET vote = excluded.vote, poll = excluded.poll, cast_ms = excluded.cast_ms, cast_seq = excluded.cast_seq
                 WHERE (excluded.cast_ms, excluded.cast_seq) > (votes.cast_ms, votes.cast_seq)",
        )
        .bind(&self.voters)
        .bind(&self.choices)
        .bind(&self.ms)
        .bind(&self.seq)
        .bind(POLL_ID)
        .execute(transaction)
        .await?;
        Ok(())
    }
}
