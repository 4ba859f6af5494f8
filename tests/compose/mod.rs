//! The stack of `docker compose up` on a real container engine.

mod closed_files;
mod confinement;
mod drop_in;
mod images;
mod kills;
mod lifecycle;
mod memory;
mod new_passwords;
mod replicas;
mod traces;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use reqwest::StatusCode;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::harness::{
    container::docker,
    eventually,
    stack::Stack,
    viewer::{tally, votes},
    voter::client,
};

fn inspect(what: &str) -> Value {
    let all: Value = serde_json::from_str(&docker(&["inspect", what])).expect("it is JSON");
    all[0].clone()
}

/// The number of clients of a [`Load`].
const CLIENTS: u64 = 4;

/// Clients that vote continuously, each time as a new voter.
struct Load {
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicU64>,
    attempted: Arc<AtomicU64>,
    voters: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(vote: &str) -> Self {
        let load = Self {
            stop: Arc::default(),
            accepted: Arc::default(),
            attempted: Arc::default(),
            voters: Vec::new(),
        };
        let voters = (0..CLIENTS).map(|_| {
            let (url, stop) = (vote.to_owned(), load.stop.clone());
            let (accepted, attempted) = (load.accepted.clone(), load.attempted.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    attempted.fetch_add(1, Ordering::Relaxed);
                    let response = client().post(&url).form(&[("vote", "a")]).send().await;
                    if response.is_ok_and(|response| response.status() == StatusCode::OK) {
                        accepted.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        });
        Self {
            voters: voters.collect(),
            ..load
        }
    }

    /// Waits until more votes have been accepted.
    async fn wait_for_accepted(&self) {
        let before = self.accepted.load(Ordering::Relaxed);
        let accepted = async || self.accepted.load(Ordering::Relaxed);
        eventually("more accepted votes", |now| *now >= before + 50, accepted).await;
    }

    /// Waits until every client has attempted another vote, accepted or not.
    async fn wait_for_attempts(&self) {
        let before = self.attempted.load(Ordering::Relaxed);
        // An attempt of each client may have begun before, and a fast client may attempt several votes meanwhile.
        let attempts = 4 * CLIENTS;
        let attempted = async || self.attempted.load(Ordering::Relaxed);
        eventually("more attempts", |now| *now >= before + attempts, attempted).await;
    }

    /// Stops the clients. Returns the numbers of accepted and attempted votes.
    async fn stop(self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        for voter in self.voters {
            voter.await.unwrap();
        }
        (
            self.accepted.load(Ordering::Relaxed),
            self.attempted.load(Ordering::Relaxed),
        )
    }
}

/// Asserts that all accepted votes are counted, and only attempted ones.
async fn assert_all_is_counted(stack: &Stack, load: Load) {
    let (accepted, attempted) = load.stop().await;
    let all = |tally: &Value| {
        votes(tally)
            .first()
            .is_some_and(|counted| *counted >= accepted)
    };
    let result = eventually("every accepted vote", all, async || {
        tally(&stack.result).await
    })
    .await;
    // The queue must be empty, so that nothing can be counted any more.
    let backlog = "redis-cli --no-auth-warning -u \"$(cat /volume/queue-url)\" XLEN ballots";
    let empty =
        async || stack.run_in_back_tier("secrets-worker", "redis:8.2", &["sh", "-c", backlog]);
    eventually("an empty queue", |length| length.trim() == "0", empty).await;
    let counted = votes(&result)[0].max(votes(&tally(&stack.result).await)[0]);
    println!("attempted {attempted}, accepted {accepted}, counted {counted}");
    assert!(
        accepted <= counted && counted <= attempted,
        "{accepted} ⊆ {counted} ⊆ {attempted}"
    );
}
