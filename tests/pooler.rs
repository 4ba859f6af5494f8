//! A connection pooler between the services and Postgres, as many hosting providers have.

use crate::{
    faults::{assert_no_vote_lost_or_duplicated, wait_until_ready},
    harness::{
        client_pool::ClientPool,
        eventually,
        pooler::{Mode, Pooler, Source},
        process::Service,
        skip::or_skip,
        storage::{Backend, Storage},
        viewer::tally,
    },
};

/// Two workers start on an empty database at the same time; every vote is stored once and shown.
async fn assert_everything_works(source: Source, mode: Mode) {
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    let database = storage.database.as_ref().expect("a database on a server");
    let pooler = or_skip!(Pooler::start(source, mode, database).await);
    println!("{}", pooler.version);
    let direct = std::mem::replace(&mut storage.database_url, pooler.url.clone());
    let workers = [0, 1].map(|_| Service::start("worker", &storage, &[]));
    let result = Service::start("result", &storage, &[]);
    let vote = Service::start("vote", &storage, &[]);
    for service in workers.iter().chain([&result, &vote]) {
        wait_until_ready(&service.url).await;
    }
    let polling = "no notifications; polling for changes of the tally";
    if mode == Mode::Transaction {
        result.process.wait_for_line(polling);
    }
    let clients = ClientPool::start(&vote.url, 8);
    clients.wait_for_accepted(400).await;
    let counts = clients.stop().await;
    let total = async || tally(&result.url).await["total"].as_u64().unwrap_or(0);
    eventually(
        "all accepted votes",
        |total| *total >= counts.accepted(),
        total,
    )
    .await;
    storage.database_url = direct;
    assert_no_vote_lost_or_duplicated(&storage, &counts).await;
}

macro_rules! poolers {
    ($($test:ident: $source:ident, $mode:ident;)+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            assert_everything_works(Source::$source, Mode::$mode).await;
        })+
    };
}
poolers! {
    this_machines_pooler_in_transaction_mode: ThisMachine, Transaction;
    this_machines_pooler_in_session_mode: ThisMachine, Session;
    debian_13_pooler_in_transaction_mode: Debian13, Transaction;
    debian_13_pooler_in_session_mode: Debian13, Session;
}
