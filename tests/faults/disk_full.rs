//! The disk of the queue is full. A limit on file sizes simulates it: in both cases a write of Redis fails.

use std::{io::Write, path::PathBuf, process::Command};

use reqwest::StatusCode;
use serde_json::Value;
use tempfile::TempDir;

use super::{
    SHORT_TIMEOUTS, assert_no_vote_lost_or_duplicated, start_ready, wait_until_ready,
    wait_until_unready,
};
use crate::harness::{
    client_pool::ClientPool,
    eventually,
    process::{Process, program},
    redis,
    skip::or_skip,
    storage::{Backend, Storage},
    viewer::{get_json, wait_for_votes},
    voter::Voter,
};

/// With `appendfsync always` Redis exits on a failed write, because it cannot revoke a reply.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_redis_without_losing_accepted_votes() {
    let redis = or_skip!(redis::with_full_disk());
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    storage.queue_url.clone_from(&redis.url);
    let vote = start_ready("vote", &storage, &SHORT_TIMEOUTS).await;
    let _worker = start_ready("worker", &storage, &SHORT_TIMEOUTS).await;
    let clients = ClientPool::start(&vote.url, 10);
    redis.server.wait();
    clients.wait_for_rejected(20).await;

    redis.free_disk_space();
    redis.server.start();
    redis.wait_until_ready().unwrap();
    clients.wait_for_accepted(300).await;
    let counts = clients.stop().await;
    assert_eq!((counts.failed(), counts.without_retry_after()), (0, 0));
    assert_no_vote_lost_or_duplicated(&storage, &counts).await;
}

/// With `appendfsync everysec` Redis keeps running and rejects writes until there is space.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_a_503_with_everysec_fsync() {
    let redis = or_skip!(redis::with_full_disk());
    redis.set("appendfsync", "everysec");
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    storage.queue_url.clone_from(&redis.url);
    let vote = start_ready("vote", &storage, &SHORT_TIMEOUTS).await;
    let clients = ClientPool::start(&vote.url, 10);
    clients.wait_for_rejected(20).await;
    wait_until_unready(&vote, &["MISCONF"]).await;
    let counts = clients.stop().await;
    assert_eq!((counts.failed(), counts.without_retry_after()), (0, 0));
}

/// The embedded database on a file system of 2 MiB, which another file fills temporarily.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_database_recovers_from_a_full_disk() {
    let disk = or_skip!(SmallDisk::new());
    let storage = Storage::new(Backend::Embedded).await.unwrap();
    let app = disk.start("voting-app", &storage);
    let [vote, result, worker] = ["vote    ", "result  ", "worker  "].map(|name| app.url_in(name));
    for url in [&vote, &worker] {
        wait_until_ready(url).await;
    }
    Voter::new(&vote).must_vote_for("a").await;
    wait_for_votes(&result, &[1, 0]).await;

    let filler = disk.path(&app).join("filler");
    // Fills the file system.
    let mut file = std::fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    drop(file);
    let page = Voter::new(&vote).vote_for("b").await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    for url in [&vote, &worker] {
        let ready = async || get_json(&format!("{url}/ready")).await;
        let is_reported = |(status, body): &(StatusCode, Value)| {
            *status == StatusCode::SERVICE_UNAVAILABLE && body.to_string().contains("full")
        };
        eventually("a reported full disk", is_reported, ready).await;
    }

    std::fs::remove_file(&filler).unwrap();
    for url in [&vote, &worker] {
        wait_until_ready(url).await;
    }
    Voter::new(&vote).must_vote_for("b").await;
    wait_for_votes(&result, &[1, 1]).await;
}

/// A small file system in a mount namespace of its own, in which a program runs.
struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    fn new() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let disk = Self { folder };
        let output = disk.command(&["true"]).output();
        let output = output.map_err(|error| format!("unshare cannot be run: {error}"))?;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        output
            .status
            .success()
            .then_some(disk)
            .ok_or_else(|| format!("no file system can be mounted here: {stderr}"))
    }

    fn command(&self, words: &[&str]) -> Command {
        let mount = "mount -t tmpfs -o size=2m tmpfs \"$0\" && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", mount]);
        command.arg(self.folder.path()).args(words);
        command
    }

    fn start(&self, name: &str, storage: &Storage) -> Process {
        let program = program(name);
        let mut command = self.command(&[&program.display().to_string()]);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
            .env("DATA_DIR", self.folder.path())
            .current_dir(storage.folder.path());
        for variable in [
            "VOTE_LISTEN_ADDR",
            "RESULT_LISTEN_ADDR",
            "WORKER_LISTEN_ADDR",
        ] {
            command.env(variable, "127.0.0.1:0");
        }
        Process::start(command)
    }

    /// The path of the disk from outside the namespace.
    fn path(&self, process: &Process) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", process.id()));
        root.join(
            self.folder
                .path()
                .strip_prefix("/")
                .expect("it is absolute"),
        )
    }
}
