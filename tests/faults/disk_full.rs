//! The disk under the queue is full. A limit on the size of its files stands for it: to Redis both are a write that fails.

use std::{io::Write, path::PathBuf, process::Command};

use reqwest::StatusCode;
use serde_json::Value;
use tempfile::TempDir;

use super::{
    PROMPT, assert_nothing_is_lost_or_doubled, start_ready, until_ready, until_unready_because,
};
use crate::harness::{
    crowd::Crowd,
    eventually,
    process::{Process, program},
    redis,
    skip::or_skip,
    storage::{Kind, Storage},
    viewer::{get_json, until_votes},
    voter::Voter,
};

/// With `appendfsync always` Redis takes nothing back that it has answered, so it ends instead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_ends_redis_and_costs_no_accepted_vote() {
    let redis = or_skip!(redis::without_room());
    let mut storage = or_skip!(Storage::new(Kind::Servers).await);
    storage.queue_url.clone_from(&redis.url);
    let vote = start_ready("vote", &storage, &PROMPT).await;
    let _worker = start_ready("worker", &storage, &PROMPT).await;
    let crowd = Crowd::gather(&vote.url, 10);
    redis.server.wait();
    crowd.is_refused(20).await;

    redis.make_room();
    redis.server.start();
    redis.wait_until_ready().unwrap();
    crowd.accepts(300).await;
    let counts = crowd.go_home().await;
    assert_eq!((counts.broken(), counts.impolite()), (0, 0));
    assert_nothing_is_lost_or_doubled(&storage, &counts).await;
}

/// With less it goes on, and refuses writes until there is room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_a_503_where_redis_syncs_every_second() {
    let redis = or_skip!(redis::without_room());
    redis.set("appendfsync", "everysec");
    let mut storage = or_skip!(Storage::new(Kind::Servers).await);
    storage.queue_url.clone_from(&redis.url);
    let vote = start_ready("vote", &storage, &PROMPT).await;
    let crowd = Crowd::gather(&vote.url, 10);
    crowd.is_refused(20).await;
    until_unready_because(&vote, &["MISCONF"]).await;
    let counts = crowd.go_home().await;
    assert_eq!((counts.broken(), counts.impolite()), (0, 0));
}

/// The embedded database on a file system of 2 MiB, which others fill and clear again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_under_the_embedded_database_heals_with_the_room() {
    let disk = or_skip!(SmallDisk::new());
    let storage = Storage::new(Kind::Embedded).await.unwrap();
    let app = disk.start("voting-app", &storage);
    let [vote, result, worker] = ["vote    ", "result  ", "worker  "].map(|name| app.url_in(name));
    for url in [&vote, &worker] {
        until_ready(url).await;
    }
    Voter::new(&vote).must_vote_for("a").await;
    until_votes(&result, &[1, 0]).await;

    let filler = disk.path(&app).join("filler");
    // As much as there is.
    let mut file = std::fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    drop(file);
    let page = Voter::new(&vote).vote_for("b").await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    for url in [&vote, &worker] {
        let ready = async || get_json(&format!("{url}/ready")).await;
        let is_said = |(status, body): &(StatusCode, Value)| {
            *status == StatusCode::SERVICE_UNAVAILABLE && body.to_string().contains("full")
        };
        eventually("a full disk is said", is_said, ready).await;
    }

    std::fs::remove_file(&filler).unwrap();
    for url in [&vote, &worker] {
        until_ready(url).await;
    }
    Voter::new(&vote).must_vote_for("b").await;
    until_votes(&result, &[1, 1]).await;
}

/// A small file system in a mount namespace of its own, which a program is started in.
struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    fn new() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let disk = Self { folder };
        let tried = disk.command(&["true"]).output();
        let tried = tried.map_err(|error| format!("unshare cannot be run: {error}"))?;
        let said = String::from_utf8_lossy(&tried.stderr).into_owned();
        tried
            .status
            .success()
            .then_some(disk)
            .ok_or_else(|| format!("no file system can be mounted here: {said}"))
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

    /// The disk, as seen from outside the namespace.
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
