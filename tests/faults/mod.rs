//! The fault matrix: each fault and the test that shows its effect. Servers are real, services are processes of their own,
//! and [`crate::harness::proxy`] injects network faults.
//!
//! | fault | test |
//! |---|---|
//! | Redis frozen, 200 clients | `queue_server::a_frozen_redis_is_a_fast_503_for_200_clients`; pages and probes: `outages::a_frozen_redis_fails_votes_fast_and_nothing_else` |
//! | Redis killed | `queue_server::a_killed_redis_loses_no_accepted_vote`, `original_app::a_killed_redis_loses_no_vote_and_votes_fail_fast` |
//! | a connection to Redis breaks | `queue_server::in_flight_enqueues_are_not_retried_after_a_broken_connection`, `queue_server::the_first_vote_after_a_redis_outage_is_accepted` |
//! | Redis out of memory | `queue_server::workers_drain_a_redis_that_is_out_of_memory`, `queue_server::the_first_worker_drains_a_redis_that_is_out_of_memory` |
//! | Redis' disk is full | `disk_full::a_full_disk_stops_redis_without_losing_accepted_votes`, `disk_full::a_full_disk_is_a_503_with_everysec_fsync` |
//! | the embedded database's disk is full | `disk_full::the_embedded_database_recovers_from_a_full_disk` |
//! | a database dropped and recreated, tables dropped, a key of another type, a file removed or locked | all of `recreated` |
//! | Redis made a replica | `failover::services_reconnect_when_the_master_becomes_a_replica` |
//! | entries trimmed while pending | `stream::removed_pending_entries_of_a_dead_worker_are_counted_as_lost`, `queue_contract::redis_faults::entries_removed_while_pending_are_reported_as_lost` |
//! | consumer group missing | `stream::a_running_worker_recreates_a_lost_consumer_group`, `queue_contract::redis_faults::a_lost_consumer_group_is_recreated_from_the_first_entry` |
//! | consumers of dead workers | `stream::consumers_without_pending_entries_are_removed` |
//! | Postgres frozen | `outages::a_frozen_postgres_does_not_block_the_worker_forever` |
//! | Postgres partitioned, Redis partitioned | all of `partitions` |
//! | Postgres killed | `outages::voting_continues_while_postgres_is_down_and_the_result_is_marked_stale` |
//! | Postgres restarted, immediate | `store_server::services_recover_from_an_immediate_restart_of_postgres` |
//! | Postgres read-only | `store_server::worker_reports_and_result_serves_a_read_only_postgres` |
//! | worker killed between commit and acknowledgement | `worker_dies::a_crash_between_commit_and_acknowledgement_changes_nothing`, `ballot_processor::…::a_crash_between_commit_and_acknowledgement_changes_no_vote` |
//! | power loss from any unsynced byte on | all of `power` |
//! | random faults at the same time | `random::random_faults_lose_no_accepted_vote`; the tests detect lost votes: `random::mutants`, `power::votes_lost_with_everysec_fsync_are_detected` |
//! | a shard killed, a shard frozen, a node of a Redis Cluster replaced by its replica | all of `shards` |
//! | more votes than the capacity of the queue | `overload::at_twice_the_capacity_half_of_the_votes_are_accepted_and_half_rejected` |
//! | more votes than the CPU can process | `overload::cpu_overload_is_not_attributed_to_the_queue` |
//! | any process killed under load | `processes::…::no_accepted_vote_is_lost_when_a_service_is_killed` |
//! | several workers, reordered deliveries | `convergence::…::any_order_ends_in_the_same_tally`, `ballot_processor::…::concurrent_workers_process_every_ballot_once`, all of `schedules`, `store_contract::counts::…::concurrent_writers_end_in_the_correct_tally` |
//! | invalid ballots | `ballot_processor::…::invalid_ballots_become_dead_letters_and_block_no_others`, `ballot_processor::…::a_ballot_rejected_by_the_store_becomes_a_dead_letter`, `original_app::…::a_300_character_post_does_not_break_the_worker` |
//! | a voter twice in a batch | `store_contract::ballots::…::within_a_batch_only_the_newest_ballot_counts` |
//! | SIGTERM under load | all of `termination` |
//! | the queue deleted, its ids go backwards | all of `ids_go_back` |
//! | ids from the future, clocks set back, ballots removed before delivery | all of [`crate::clock`] |
//! | the table of votes changed by other programs | all of [`crate::table_faults`] |
//! | a connection pooler | all of [`crate::pooler`] |
//! | a hanging loop of the worker | `worker_dies::health_reports_a_hanging_loop_but_not_a_long_migration` |
//! | servers with weak settings, wrong credentials or not ready at the start | all of `start`, `access` and `half_ready` |
//! | no servers at the start | `outages::services_may_start_before_their_servers` |

mod access;
mod disk_full;
mod failover;
mod half_ready;
mod ids_go_back;
mod overload;
mod partitions;
mod polls;
mod power;
mod queue_server;
mod random;
mod recreated;
mod start;
mod store_server;
mod stream;
mod termination;
mod worker_dies;

use std::time::Duration;

use reqwest::StatusCode;

use crate::{
    harness::{
        client_pool::Counts,
        eventually,
        process::Service,
        storage::Storage,
        viewer::{get, get_json},
    },
    store_contract::assert_counts_are_right,
};

/// Timeouts almost as short as in production: a shared disk responds within these, but hardly within those of production.
/// The default timeouts of the harness are longer.
pub const SHORT_TIMEOUTS: [(&str, &str); 2] = [("ENQUEUE_TIMEOUT", "2s"), ("STORE_TIMEOUT", "2s")];

/// The maximum latency of a rejection: less than the timeout of any client, and more than a busy machine adds to
/// [`SHORT_TIMEOUTS`].
pub const MAX_REJECTION_LATENCY: Duration = Duration::from_secs(15);

/// Starts a service, and waits until it is ready.
pub async fn start_ready(name: &str, storage: &Storage, more: &[(&str, &str)]) -> Service {
    let service = Service::start(name, storage, more);
    wait_until_ready(&service.url).await;
    service
}

pub async fn wait_until_ready(url: &str) {
    let ready = async || get_json(&format!("{url}/ready")).await;
    eventually("/ready", |(status, _)| *status == StatusCode::OK, ready).await;
}

/// Waits until `/ready` is a 503 whose reason contains all of these words.
pub async fn wait_until_unready(service: &Service, words: &[&str]) {
    let has_reason = |(status, body): &(StatusCode, serde_json::Value)| {
        let reason = body["checks"].to_string();
        *status == StatusCode::SERVICE_UNAVAILABLE && words.iter().all(|word| reason.contains(word))
    };
    eventually("the reason in /ready", has_reason, async || {
        get_json(&format!("{}/ready", service.url)).await
    })
    .await;
}

/// Asserts that the service reports the fault in its log and in `/ready`.
async fn assert_reports(service: &Service, words: &[&str]) {
    service.process.wait_for_line(words[0]);
    wait_until_unready(service, words).await;
}

/// Waits until the service's metrics contain this line.
pub async fn wait_for_metric(service: &Service, line: &str) {
    let has = |metrics: &String| metrics.lines().any(|found| found == line);
    eventually(line, has, async || {
        let metrics = get(&format!("{}/metrics", service.url)).await;
        metrics.text().await.unwrap_or_default()
    })
    .await;
}

/// Waits until every ballot is stored and acknowledged. The timeout restarts whenever the queue gets shorter, because the
/// throughput of a worker depends on the disk.
pub async fn wait_until_empty(storage: &Storage) {
    for shard in storage.shards().await.shards() {
        let length = async || {
            let backlog = shard.consumer("observer").trim().await;
            backlog.map_or(u64::MAX, |backlog| backlog.pending + backlog.lag)
        };
        let mut least = u64::MAX;
        while least > 0 {
            least = eventually("a shorter queue", |length| *length < least, length).await;
        }
    }
}

/// Waits until the queue is empty, then asserts accepted ⊆ counted ⊆ attempted, and that the tally equals the votes.
pub async fn assert_no_vote_lost_or_duplicated(storage: &Storage, counts: &Counts) {
    wait_until_empty(storage).await;
    let counted: i64 = storage
        .count_votes()
        .await
        .iter()
        .map(|(_, votes)| votes)
        .sum();
    let counted = counted.unsigned_abs();
    assert!(
        counts.accepted() <= counted && counted <= counts.attempted(),
        "not {} ⊆ {counted} ⊆ {}",
        counts.accepted(),
        counts.attempted()
    );
    assert_counts_are_right(storage).await;
}
