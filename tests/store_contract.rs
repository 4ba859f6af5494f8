//! The contract of all store backends.

use std::time::Duration;

use jiff::Timestamp;
use poll::ballot::{Ballot, BallotId, CastBallot, VoterId};
use sqlx::{Connection, PgConnection};
use store::{Applied, DeadLetter, ErrorClass, Store, WorkerProgress};
use tokio::time::timeout;

use crate::harness::{
    TIMEOUT,
    skip::or_skip,
    storage::{Backend, Storage, on_both_storages, poll},
    unique,
};

on_both_storages! {
    the_newest_ballot_of_a_voter_counts,
    ids_are_compared_as_numbers,
    a_repeated_ballot_changes_nothing,
    within_a_batch_only_the_newest_ballot_counts,
    the_tally_and_the_timeline_follow_every_change,
    concurrent_writers_end_in_the_correct_tally,
    the_tally_follows_direct_changes_of_the_votes,
    a_dead_letter_is_stored_once_with_its_reason,
    ballots_and_dead_letters_are_stored_atomically,
    an_empty_batch_is_no_error,
    subscribers_are_notified_of_changes,
    concurrent_migrations_succeed,
    a_store_of_a_newer_version_is_rejected,
    workers_report_their_progress,
}

/// A ballot with this id.
pub fn cast(voter: VoterId, choice: &str, ms: u64, seq: u64) -> CastBallot {
    let ballot = Ballot {
        voter,
        choice: poll().choice(choice).unwrap(),
        traceparent: None,
    };
    CastBallot {
        id: BallotId { ms, seq },
        ballot,
    }
}

/// Applies ballots, and returns the numbers of applied and stale ones.
async fn apply(store: &Store, ballots: &[CastBallot]) -> (u64, u64) {
    let Applied { applied, stale } = store.upsert_ballots(ballots, &[]).await.unwrap();
    (applied, stale)
}

/// The votes for a and b in the tally.
async fn votes(store: &Store) -> (u64, u64) {
    let tally = store.tally().await.unwrap();
    (tally.votes("a"), tally.votes("b"))
}

async fn the_newest_ballot_of_a_voter_counts(storage: Storage) {
    let store = storage.store().await;
    let voter = VoterId::random();
    assert_eq!(apply(&store, &[cast(voter, "a", 20, 0)]).await, (1, 0));
    assert_eq!(
        apply(&store, &[cast(voter, "b", 10, 5)]).await,
        (0, 1),
        "an older ballot arrives late"
    );
    assert_eq!(votes(&store).await, (1, 0));
    assert_eq!(apply(&store, &[cast(voter, "b", 20, 1)]).await, (1, 0));
    assert_eq!(votes(&store).await, (0, 1));
    assert_eq!(storage.count_votes().await, [("b".to_owned(), 1)]);
}

async fn ids_are_compared_as_numbers(storage: Storage) {
    let store = storage.store().await;
    let voter = VoterId::random();
    apply(&store, &[cast(voter, "a", 999, 9)]).await;
    assert_eq!(
        apply(&store, &[cast(voter, "b", 1000, 9)]).await,
        (1, 0),
        "as text, 1000 is below 999"
    );
    assert_eq!(
        apply(&store, &[cast(voter, "a", 1000, 10)]).await,
        (1, 0),
        "as text, 10 is below 9"
    );
    assert_eq!(votes(&store).await, (1, 0));
}

async fn a_repeated_ballot_changes_nothing(storage: Storage) {
    let store = storage.store().await;
    let ballot = cast(VoterId::random(), "a", 10, 0);
    for expected in [(1, 0), (0, 1), (0, 1)] {
        assert_eq!(apply(&store, std::slice::from_ref(&ballot)).await, expected);
        assert_eq!(votes(&store).await, (1, 0));
    }
}

async fn within_a_batch_only_the_newest_ballot_counts(storage: Storage) {
    let store = storage.store().await;
    let voter = VoterId::random();
    let batch = [
        cast(voter, "a", 10, 0),
        cast(voter, "b", 12, 0),
        cast(voter, "a", 11, 0),
        cast(VoterId::random(), "a", 1, 0),
    ];
    assert_eq!(apply(&store, &batch).await, (4, 0));
    assert_eq!(votes(&store).await, (1, 1));
}

async fn the_tally_and_the_timeline_follow_every_change(storage: Storage) {
    let store = storage.store().await;
    let voter = VoterId::random();
    apply(
        &store,
        &[
            cast(voter, "a", 15_000, 0),
            cast(VoterId::random(), "a", 17_000, 0),
        ],
    )
    .await;
    apply(&store, &[cast(voter, "b", 31_000, 0)]).await;
    assert_timeline(&store, 10, &[(10_000, "a", 1), (30_000, "b", 1)]).await;
    assert_timeline(&store, 60, &[(0, "a", 1), (0, "b", 1)]).await;
    let extent = store
        .timeline_extent()
        .await
        .unwrap()
        .map(|(first, last)| (first.as_second(), last.as_second()));
    assert_eq!(extent, Some((10, 30)));
    let tally = store.tally().await.unwrap();
    let last: Vec<_> = tally.0.iter().map(|count| count.last_cast_ms).collect();
    assert_eq!(last, [17_000, 31_000]);
}

async fn assert_timeline(store: &Store, step: u64, expected: &[(i64, &str, i64)]) {
    let points = store
        .timeline(Timestamp::UNIX_EPOCH, Duration::from_secs(step))
        .await
        .unwrap();
    let points: Vec<_> = points
        .iter()
        .map(|point| (point.bucket, point.option.as_str(), point.votes))
        .collect();
    assert_eq!(points, expected);
}

async fn concurrent_writers_end_in_the_correct_tally(storage: Storage) {
    const WRITERS: u64 = 6;
    const BATCHES: u64 = 15;
    let voters: Vec<_> = (0..40).map(|_| VoterId::random()).collect();
    storage.store().await;
    // Every writer changes the votes of the same voters, in a different order of batches.
    let writers = (0..WRITERS).map(|writer| {
        let (voters, config) = (voters.clone(), storage.store_config());
        tokio::spawn(async move {
            let store = Store::open(&config).await.unwrap();
            for batch in 0..BATCHES {
                let choice = |voter: usize| {
                    if (voter as u64 + writer + batch).is_multiple_of(3) {
                        "a"
                    } else {
                        "b"
                    }
                };
                let ms = 1 + (batch * 7 + writer * 5) % 50;
                let ballots: Vec<_> = voters
                    .iter()
                    .enumerate()
                    .map(|(index, voter)| cast(*voter, choice(index), ms, writer))
                    .collect();
                // A deadlock would be an error here.
                store.upsert_ballots(&ballots, &[]).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_counts_are_right(&storage).await;
    assert_eq!(
        storage
            .count_votes()
            .await
            .iter()
            .map(|(_, votes)| votes)
            .sum::<i64>(),
        40
    );
}

/// Checks that the running counts equal the counted votes.
pub async fn assert_counts_are_right(storage: &Storage) {
    let tally = storage
        .rows("SELECT option, votes FROM tally WHERE votes <> 0 ORDER BY option")
        .await;
    assert_eq!(
        tally,
        storage.count_votes().await,
        "the tally equals the counted votes"
    );
    let timeline =
        "SELECT option || ' ' || bucket AS step, votes FROM timeline WHERE votes <> 0 ORDER BY 1";
    let counted = "SELECT vote || ' ' || (cast_ms / 10000 * 10000) AS step, count(*) AS votes FROM votes WHERE cast_ms > 0
                   GROUP BY 1 ORDER BY 1";
    assert_eq!(
        storage.rows(timeline).await,
        storage.rows(counted).await,
        "the timeline equals the counted votes"
    );
}

async fn the_tally_follows_direct_changes_of_the_votes(storage: Storage) {
    let store = storage.store().await;
    apply(
        &store,
        &[
            cast(VoterId::random(), "a", 10_000, 0),
            cast(VoterId::random(), "b", 10_000, 1),
        ],
    )
    .await;
    // The statements of the original worker.
    storage
        .execute("INSERT INTO votes (id, vote) VALUES ('1b5d3a', 'a')")
        .await;
    assert_eq!(votes(&store).await, (2, 1));
    storage
        .execute("UPDATE votes SET vote = 'b' WHERE id = '1b5d3a'")
        .await;
    assert_eq!(votes(&store).await, (1, 2));
    assert_counts_are_right(&storage).await;
    storage.execute("DELETE FROM votes WHERE vote = 'b'").await;
    assert_eq!(votes(&store).await, (1, 0));
    assert_counts_are_right(&storage).await;
}

/// A dead letter with this time in its id.
pub fn dead(ms: u64, reason: &str) -> DeadLetter {
    DeadLetter {
        id: BallotId { ms, seq: 1 },
        reason: reason.into(),
        payload: r#"{"voter":"x\u0000"}"#.into(),
        received_at: Timestamp::from_millisecond(1_763_900_000_120).unwrap(),
    }
}

async fn a_dead_letter_is_stored_once_with_its_reason(storage: Storage) {
    let store = storage.store().await;
    let letters = [
        dead(9, "first"),
        dead(u64::MAX, "with an id above the range of SQL integers"),
    ];
    store.upsert_ballots(&[], &letters).await.unwrap();
    store
        .upsert_ballots(&[], &[dead(9, "delivered again")])
        .await
        .unwrap();
    assert_eq!(store.dead_letters().await.unwrap(), letters);
}

async fn ballots_and_dead_letters_are_stored_atomically(storage: Storage) {
    let store = storage.store().await;
    storage
        .execute("ALTER TABLE dead_letters RENAME TO hidden")
        .await;
    let ballot = [cast(VoterId::random(), "a", 10, 0)];
    let error = store
        .upsert_ballots(&ballot, &[dead(9, "poison")])
        .await
        .unwrap_err();
    assert_eq!(
        error.class,
        ErrorClass::Transient,
        "a missing table is an error of the operator, not of the ballot"
    );
    assert_eq!(votes(&store).await, (0, 0));
    storage
        .execute("ALTER TABLE hidden RENAME TO dead_letters")
        .await;
    store
        .upsert_ballots(&ballot, &[dead(9, "poison")])
        .await
        .unwrap();
    assert_eq!(votes(&store).await, (1, 0));
    assert_eq!(store.dead_letters().await.unwrap().len(), 1);
}

async fn an_empty_batch_is_no_error(storage: Storage) {
    let store = storage.store().await;
    assert_eq!(apply(&store, &[]).await, (0, 0));
    assert_eq!(store.timeline_extent().await.unwrap(), None);
}

async fn subscribers_are_notified_of_changes(storage: Storage) {
    let store = storage.store().await;
    let mut changes = storage.store().await.changes();
    timeout(TIMEOUT, changes.changed())
        .await
        .expect("a notification when the subscription starts")
        .unwrap();
    for ms in 1..4 {
        apply(&store, &[cast(VoterId::random(), "a", ms, 0)]).await;
        timeout(TIMEOUT, changes.changed())
            .await
            .expect("a notification of the change")
            .unwrap();
    }
}

async fn concurrent_migrations_succeed(storage: Storage) {
    let services = (0..8).map(|_| {
        let config = storage.store_config();
        tokio::spawn(async move {
            let store = Store::open(&config).await.unwrap();
            store.migrate().await.unwrap();
            store.tally().await.unwrap();
        })
    });
    for service in services.collect::<Vec<_>>() {
        service.await.unwrap();
    }
}

async fn a_store_of_a_newer_version_is_rejected(storage: Storage) {
    storage.migrate_to_newer_version().await;
    let message = match Store::open(&storage.store_config()).await {
        Err(error) => format!("{:#}", anyhow::Error::from(error)),
        Ok(store) => {
            let error = store.migrate().await.unwrap_err();
            assert_eq!(error.class, ErrorClass::Permanent);
            error.to_string()
        }
    };
    assert!(
        message.contains("newer version") && message.contains("9999"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_of_the_original_app_is_migrated_with_its_votes() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    // The table as the original worker creates it.
    storage
        .execute("CREATE TABLE votes (id VARCHAR(255) NOT NULL UNIQUE, vote VARCHAR(255) NOT NULL)")
        .await;
    let voter = VoterId::random();
    storage.execute("INSERT INTO votes SELECT md5(n::text), CASE WHEN n <= 20 THEN 'a' ELSE 'b' END FROM generate_series(1, 30) n").await;
    let store = storage.store().await;
    assert_eq!(votes(&store).await, (20, 10));
    // Votes of the original app can be changed: every new ballot is newer.
    let again = format!("UPDATE votes SET id = '{voter}' WHERE id = md5('1')");
    sqlx::query(sqlx::AssertSqlSafe(again))
        .execute(&mut connect(&storage).await)
        .await
        .unwrap();
    apply(&store, &[cast(voter, "b", 1, 0)]).await;
    assert_eq!(votes(&store).await, (19, 11));
    assert_counts_are_right(&storage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_vote_stays_on_its_page() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    let store = storage.store().await;
    // These votes fill about ten pages.
    let voters: Vec<_> = (0..1000).map(|_| VoterId::random()).collect();
    let of = |voters: &[VoterId], choice, ms| -> Vec<_> {
        let cast = |voter: &VoterId| cast(*voter, choice, ms, 0);
        voters.iter().map(cast).collect()
    };
    apply(&store, &of(&voters, "a", 1)).await;
    let mut connection = connect(&storage).await;
    let mut pages = async || {
        sqlx::query_as::<_, (String, String)>(
            "SELECT id, split_part(ctid::text, ',', 1) FROM votes ORDER BY id",
        )
        .fetch_all(&mut connection)
        .await
        .unwrap()
    };
    let before = pages().await;
    apply(&store, &of(&voters[..20], "b", 2)).await;
    assert_eq!(pages().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_role_can_use_migrated_tables() {
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    storage.store().await;
    let role = unique("reader");
    let mut owner = connect(&storage).await;
    for statement in [
        format!("CREATE ROLE {role} LOGIN PASSWORD 'secret'"),
        format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .execute(&mut owner)
            .await
            .unwrap();
    }
    let mut url = url::Url::parse(&storage.database_url).unwrap();
    url.set_username(&role).unwrap();
    url.set_password(Some("secret")).unwrap();
    storage.database_url = url.into();

    let store = storage.store().await;
    assert_eq!(votes(&store).await, (0, 0));
    let rejected = store
        .upsert_ballots(&[cast(VoterId::random(), "a", 1, 0)], &[])
        .await
        .unwrap_err();
    assert!(
        rejected.to_string().contains("permission denied"),
        "{rejected}"
    );

    let remove = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(remove))
        .execute(&mut owner)
        .await
        .unwrap();
}

async fn connect(storage: &Storage) -> PgConnection {
    PgConnection::connect(&storage.database_url).await.unwrap()
}

async fn workers_report_their_progress(storage: Storage) {
    let store = storage.store().await;
    assert_eq!(store.progress().await.unwrap(), []);
    let report = async |worker: &str, waits| {
        let progress = WorkerProgress {
            worker: worker.into(),
            last_batch_at: Some(Timestamp::now()).filter(|_| waits > 0),
            oldest_ballot_age: Duration::from_millis(waits),
        };
        store.report_progress(&progress).await.unwrap();
    };
    let waits = async || {
        let reports = store.progress().await.unwrap();
        assert!(reports.iter().all(|report| report.age < TIMEOUT));
        let mut waits: Vec<_> = reports
            .iter()
            .map(|report| report.oldest_ballot_age.as_millis())
            .collect();
        waits.sort_unstable();
        waits
    };
    report("one", 0).await;
    report("other", 1234).await;
    assert_eq!(waits().await, [0, 1234]);
    report("one", 7).await;
    assert_eq!(waits().await, [7, 1234], "one row per worker");
    let long_ago = if storage.database_url.starts_with("sqlite") {
        "reported_ms = 0"
    } else {
        "reported_at = to_timestamp(0)"
    };
    let age = format!("UPDATE progress SET {long_ago}");
    storage.execute(&age).await;
    report("one", 8).await;
    assert_eq!(
        waits().await,
        [8],
        "reports of workers that stopped long ago are deleted"
    );
}
