//! The fault matrix: what breaks, and the test that shows what is seen then. Servers are real, services are processes of
//! their own, and [`crate::harness::proxy`] is the network where that is at fault.
//!
//! | fault | test |
//! |---|---|
//! | Redis frozen, 200 voters | `queue_server::a_frozen_redis_is_a_fast_503_for_a_whole_crowd`; pages and probes: `outages::a_frozen_redis_fails_votes_fast_and_nothing_else` |
//! | Redis killed | `queue_server::a_killed_redis_loses_no_accepted_vote`, `original_app::a_killed_redis_loses_no_vote_and_votes_fail_fast` |
//! | a connection to Redis breaks | `queue_server::what_was_in_flight_when_a_connection_broke_is_not_sent_again`, `queue_server::the_first_voter_after_an_outage_of_redis_is_served` |
//! | Redis out of memory | `queue_server::a_redis_out_of_memory_is_emptied_all_the_same`, `queue_server::a_redis_out_of_memory_is_emptied_by_the_first_worker_too` |
//! | Redis' disk is full | `disk_full::a_full_disk_ends_redis_and_costs_no_accepted_vote`, `disk_full::a_full_disk_is_a_503_where_redis_syncs_every_second` |
//! | the embedded database's disk is full | `disk_full::a_full_disk_under_the_embedded_database_heals_with_the_room` |
//! | a database dropped and made anew, tables dropped, a key of another type, a file removed or locked | all of `recreated` |
//! | Redis made a replica | `failover::a_master_that_became_a_replica_is_left` |
//! | entries trimmed while pending | `stream::entries_removed_in_a_dead_workers_hands_are_counted_as_lost`, `queue_contract::entries_removed_while_pending_are_reported_as_lost` |
//! | consumer group missing | `stream::a_lost_group_is_made_again_under_a_running_worker`, `queue_contract::a_lost_consumer_group_is_recreated_from_the_first_entry` |
//! | dead workers' names | `stream::names_of_workers_that_hold_nothing_are_forgotten` |
//! | Postgres frozen | `outages::a_frozen_postgres_does_not_block_the_worker_forever` |
//! | Postgres partitioned, Redis partitioned | all of `partitions` |
//! | Postgres killed | `outages::voting_continues_while_postgres_is_down_and_the_result_is_marked_stale` |
//! | Postgres restarted, immediate | `store_server::an_immediate_restart_of_postgres_heals_alone` |
//! | Postgres takes no writes | `store_server::a_postgres_that_takes_no_writes_is_said_by_the_worker_and_shown_by_the_result` |
//! | worker killed between commit and acknowledgement | `worker_dies::between_commit_and_acknowledgement_nothing_changes`, `ballot_processor::…::a_crash_between_commit_and_acknowledgement_changes_no_vote` |
//! | the power goes, from any unsynced byte on | all of `power` |
//! | all of it by chance, at the same time | `random::whatever_breaks_nothing_accepted_is_lost`; that it would notice: `random::mutants`, `power::a_redis_that_syncs_every_second_is_found_out` |
//! | a shard killed, a shard frozen, a node of a Redis Cluster replaced by its replica | all of `shards` |
//! | more votes than the queue keeps | `overload::of_twice_what_the_queue_keeps_half_is_kept_in_time_and_half_is_refused_at_once` |
//! | more votes than the processor keeps up with | `overload::a_service_with_too_much_to_do_does_not_blame_the_queue` |
//! | anything killed under load | `processes::…::no_accepted_vote_is_lost_when_a_service_is_killed` |
//! | several workers, reordered deliveries | `convergence::…::any_order_ends_in_the_same_tally`, `ballot_processor::…::concurrent_workers_process_every_ballot_once`, all of `schedules`, `store_contract::…::concurrent_writers_end_in_the_correct_tally` |
//! | poison | `ballot_processor::…::invalid_ballots_become_dead_letters_and_block_no_others`, `ballot_processor::…::a_ballot_rejected_by_the_store_becomes_a_dead_letter`, `original_app::…::a_300_character_post_does_not_break_the_worker` |
//! | a voter twice in a batch | `store_contract::…::within_a_batch_only_the_newest_ballot_counts` |
//! | SIGTERM under load | all of `termination` |
//! | the queue wiped, its ids go back | all of `ids_go_back` |
//! | ids of the future, clocks set back, ballots removed before delivery | all of [`crate::clock`] |
//! | the table of votes changed by others | all of [`crate::table_faults`] |
//! | a pooler between | all of [`crate::pooler`] |
//! | the worker's loop hangs | `worker_dies::a_loop_that_hangs_is_said_by_health_and_a_long_migration_is_not` |
//! | weak, wrong or half-ready servers at the start | all of `start`, `access` and `half_ready` |
//! | no servers at the start | `outages::services_may_start_before_their_servers` |

mod access;
mod disk_full;
mod failover;
mod half_ready;
mod ids_go_back;
mod overload;
mod partitions;
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
        crowd::Counts,
        eventually,
        process::Service,
        storage::Storage,
        viewer::{get, get_json},
    },
    store_contract::assert_counts_are_right,
};

/// Time limits nearly as short as those of production: a disk that others use answers within these, and hardly within those.
/// The limits of the harness are longer.
pub const PROMPT: [(&str, &str); 2] = [("ENQUEUE_TIMEOUT", "2s"), ("STORE_TIMEOUT", "2s")];

/// The longest that a refusal may take which waits for nothing: less than any client's patience, and more than a busy
/// machine adds to the time limits of [`PROMPT`].
pub const AT_ONCE: Duration = Duration::from_secs(15);

/// Starts a service, and waits until it is ready.
pub async fn start_ready(name: &str, storage: &Storage, more: &[(&str, &str)]) -> Service {
    let service = Service::start(name, storage, more);
    until_ready(&service.url).await;
    service
}

pub async fn until_ready(url: &str) {
    let ready = async || get_json(&format!("{url}/ready")).await;
    eventually("/ready", |(status, _)| *status == StatusCode::OK, ready).await;
}

/// Waits until `/ready` says no, and why: with all of these words.
pub async fn until_unready_because(service: &Service, words: &[&str]) {
    let says_so = |(status, answer): &(StatusCode, serde_json::Value)| {
        let why = answer["checks"].to_string();
        *status == StatusCode::SERVICE_UNAVAILABLE && words.iter().all(|word| why.contains(word))
    };
    eventually("the reason in /ready", says_so, async || {
        get_json(&format!("{}/ready", service.url)).await
    })
    .await;
}

/// The service says what is wrong, in its log and in `/ready`.
async fn assert_it_says(service: &Service, words: &[&str]) {
    service.process.line_with(words[0]);
    until_unready_because(service, words).await;
}

/// Waits until the service's metrics have this line.
pub async fn until_metric(service: &Service, line: &str) {
    let has = |metrics: &String| metrics.lines().any(|said| said == line);
    eventually(line, has, async || {
        let metrics = get(&format!("{}/metrics", service.url)).await;
        metrics.text().await.unwrap_or_default()
    })
    .await;
}

/// Waits until every ballot is stored and acknowledged, for as long as there are fewer and fewer: how many a worker stores in
/// a second is the disk's business.
pub async fn until_empty(storage: &Storage) {
    for shard in storage.shards().await.shards() {
        let left = async || {
            let backlog = shard.consumer("looks").trim().await;
            backlog.map_or(u64::MAX, |backlog| backlog.pending + backlog.lag)
        };
        let mut least = u64::MAX;
        while least > 0 {
            least = eventually("a shorter queue", |left| *left < least, left).await;
        }
    }
}

/// Waits until the queue is empty; then accepted ⊆ counted ⊆ attempted, and the counts fit the votes.
pub async fn assert_nothing_is_lost_or_doubled(storage: &Storage, counts: &Counts) {
    until_empty(storage).await;
    let counted: i64 = storage.counted().await.iter().map(|(_, votes)| votes).sum();
    let counted = counted.unsigned_abs();
    assert!(
        counts.accepted() <= counted && counted <= counts.attempted(),
        "not {} ⊆ {counted} ⊆ {}",
        counts.accepted(),
        counts.attempted()
    );
    assert_counts_are_right(storage).await;
}
