//! The stack of `docker compose up` on a real container engine.

mod closed_files;
mod drop_in;
mod memory;
mod new_passwords;
mod traces;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use reqwest::StatusCode;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::harness::{
    container::docker,
    eventually,
    skip::or_skip,
    stack::{REVISION, Stack, dockerfile_images, images, text, uses_dockerfile_images},
    viewer::{get, tally, votes, wait_for_votes},
    voter::{Voter, client},
};

const BASE: &str = "gcr.io/distroless/cc-debian13:nonroot";
const MEBIBYTE: u64 = 1 << 20;

fn is_optimised() -> bool {
    uses_dockerfile_images() && std::env::var_os("TEST_IMAGES_OPT_LEVEL").is_none()
}

fn inspect(what: &str) -> Value {
    let all: Value = serde_json::from_str(&docker(&["inspect", what])).expect("it is JSON");
    all[0].clone()
}

/// The files of an image, listed from a container that is created but never started.
fn files(image: &str) -> BTreeSet<String> {
    let id = docker(&["create", image, "none"]).trim().to_owned();
    let list = std::process::Command::new("sh")
        .args(["-c", "docker export \"$1\" | tar -t", "sh", &id])
        .output()
        .unwrap();
    docker(&["rm", &id]);
    // Files that the engine adds to every container.
    let is_of_engine = |file: &str| {
        [
            ".dockerenv",
            "dev/",
            "etc/hostname",
            "etc/hosts",
            "etc/mtab",
            "etc/resolv.conf",
            "proc/",
            "sys/",
        ]
        .iter()
        .any(|own| file.starts_with(own))
    };
    text(&list.stdout)
        .lines()
        .filter(|file| !file.ends_with('/') && !is_of_engine(file))
        .map(str::to_owned)
        .collect()
}

#[test]
fn an_image_adds_only_its_program() {
    let images = or_skip!(images());
    let base_files = files(BASE);
    let base_size = inspect(BASE)["Size"].as_u64().unwrap();
    for (service, image) in &images.names {
        let own: Vec<_> = files(image).difference(&base_files).cloned().collect();
        assert_eq!(own, [format!("usr/local/bin/{service}")]);
        let shells = files(image)
            .into_iter()
            .filter(|file| file.ends_with("/sh") || file.ends_with("/bash"))
            .count();
        assert_eq!(shells, 0);
        let details = inspect(image);
        let size = details["Size"].as_u64().unwrap() - base_size;
        // Programs without optimisation are larger.
        let limit = if is_optimised() { 40 } else { 150 };
        assert!(size < limit * MEBIBYTE, "{service} adds {size} bytes");
        let config = &details["Config"];
        assert_eq!(config["User"], "65532:65532");
        assert_eq!(config["Entrypoint"], serde_json::json!([service]));
        assert_eq!(label(&details, "title"), *service);
        assert_eq!(label(&details, "version"), env!("CARGO_PKG_VERSION"));
        assert_eq!(label(&details, "licenses"), "MIT OR Apache-2.0");
    }
}

fn label<'a>(details: &'a Value, name: &str) -> &'a str {
    details["Config"]["Labels"][format!("org.opencontainers.image.{name}")]
        .as_str()
        .unwrap_or_default()
}

#[test]
#[ignore = "compiles the services in a container, which takes minutes; run it with --ignored"]
fn the_dockerfile_compiles_the_programs() {
    for (service, image) in &or_skip!(dockerfile_images()).names {
        assert_eq!(label(&inspect(image), "revision"), REVISION);
        let version = docker(&["run", "--rm", "--network", "none", image, "--version"]);
        assert_eq!(
            version.trim(),
            format!("{service} {} ({REVISION})", env!("CARGO_PKG_VERSION"))
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stack_counts_seeds_and_keeps_every_vote() {
    let stack = or_skip!(Stack::new());
    stack.up(&[]);
    let voter = Voter::new(&stack.vote);
    voter.must_vote_for("a").await;
    wait_for_votes(&stack.result, &[1, 0]).await;
    let output = stack.compose(&["--profile", "seed", "run", "--rm", "seed"]);
    assert!(
        output.contains("2000 votes for a") && output.contains("1000 votes for b"),
        "{output}"
    );
    wait_for_votes(&stack.result, &[2001, 1000]).await;

    // All containers are confined.
    for service in ["vote", "worker", "result", "redis", "db"] {
        for id in stack.containers(service) {
            assert_confined(service, &inspect(&id));
        }
    }
    assert_only_the_pages_are_published(&stack);
    assert_least_privileges(&stack);

    // After down and up again, only the named volumes remain.
    let anonymous = stack.anonymous_volumes();
    stack.compose(&["down"]);
    for volume in anonymous {
        assert!(
            !docker(&["volume", "ls", "--quiet"]).contains(&volume),
            "{volume} was not removed"
        );
    }
    stack.up(&[]);
    wait_for_votes(&stack.result, &[2001, 1000]).await;
    assert_eq!(
        voter.get_page().await.selected_options(),
        ["a"],
        "the cookie key is kept, too"
    );
    voter.must_vote_for("b").await;
    wait_for_votes(&stack.result, &[2000, 1001]).await;

    assert_admin_commands_work(&stack).await;

    // A custom configuration.
    let mut stack = stack;
    stack.set("POLL_OPTIONS", "a=Tea,b=Coffee,c=Water");
    stack.set("SECRETS_VERSION", "mine");
    stack.set_secrets("# mine\nWORKER_DB_PASSWORD=another-password\nCOOKIE_KEY=short\n");
    let output = stack.try_compose(&["up", "--detach", "--wait", "--no-build"]);
    assert!(
        !output.status.success(),
        "a key that is too short is accepted"
    );
    stack.set_secrets("# mine\nWORKER_DB_PASSWORD=another-password\n");
    stack.up(&[]);
    assert_no_secret_is_shown(&stack);
    Voter::new(&stack.vote).must_vote_for("c").await;
    wait_for_votes(&stack.result, &[0, 1, 1]).await;
}

#[test]
fn locally_built_images_are_not_pulled() {
    let mut stack = or_skip!(Stack::new());
    stack.set("TAG", "not-built");
    let output = stack.try_compose(&["up", "--detach", "--no-build", "vote"]);
    let output = text(&output.stderr);
    assert!(
        output
            .to_lowercase()
            .contains("no such image: voting-app/vote:not-built"),
        "{output}"
    );
    assert!(!output.to_lowercase().contains("pull"), "{output}");
}

/// Asserts that the worker's permissions suffice for all `admin` commands. In the end one vote for b is left.
async fn assert_admin_commands_work(stack: &Stack) {
    let admin = |arguments: &[&str]| {
        let worker = ["exec", "-T", "worker", "worker", "admin"];
        stack.compose(&[&worker, arguments].concat())
    };
    assert_eq!(admin(&["dead-letters"]), "no dead letters\n");
    assert_eq!(admin(&["replay", "--all"]), "0 dead letters replayed\n");
    assert_eq!(admin(&["export"]).lines().count(), 1 + 3001);
    let output = admin(&["reset", "--confirm", "Cats or Dogs?"]);
    assert!(
        output.ends_with("deleted 3001 votes and 0 dead letters\n"),
        "{output}"
    );
    wait_for_votes(&stack.result, &[0, 0]).await;
    Voter::new(&stack.vote).must_vote_for("b").await;
    wait_for_votes(&stack.result, &[0, 1]).await;
}

fn assert_confined(service: &str, container: &Value) {
    let host = &container["HostConfig"];
    assert_eq!(host["CapDrop"], serde_json::json!(["ALL"]), "{service}");
    assert_eq!(host["ReadonlyRootfs"], true, "{service}");
    assert_eq!(
        host["SecurityOpt"],
        serde_json::json!(["no-new-privileges:true"]),
        "{service}"
    );
    assert!(host["Memory"].as_u64() > Some(0), "{service}");
    assert_eq!(host["RestartPolicy"]["Name"], "unless-stopped", "{service}");
    assert_eq!(host["LogConfig"]["Config"]["max-size"], "10m", "{service}");
    assert_eq!(
        container["State"]["Health"]["Status"], "healthy",
        "{service}"
    );
    // The kernel's view, if the engine is local.
    if let Ok(status) =
        std::fs::read_to_string(format!("/proc/{}/status", container["State"]["Pid"]))
    {
        assert!(status.contains("NoNewPrivs:\t1"), "{service}: {status}");
        assert!(
            !status.contains("Uid:\t0"),
            "{service} runs as root: {status}"
        );
        if ["vote", "worker", "result"].contains(&service) {
            assert!(
                status.contains("CapEff:\t0000000000000000") && status.contains("Uid:\t65532"),
                "{service}: {status}"
            );
        }
    }
}

/// Asserts that `docker inspect` shows no password.
fn assert_no_secret_is_shown(stack: &Stack) {
    let printed = stack.run(
        "back-tier",
        "passwords",
        "redis:8.2",
        &[
            "sh",
            "-c",
            "cd /volume && for one in *-*; do cat $one; echo; done",
        ],
    );
    let passwords = text(&printed.stdout);
    assert!(passwords.contains("another-password"), "{passwords}");
    let containers = stack.compose(&["ps", "--all", "--quiet"]);
    for id in containers.lines() {
        let shown = docker(&["inspect", id]);
        for password in passwords.lines() {
            assert!(!shown.contains(password), "{password} in {shown}");
        }
    }
}

fn assert_only_the_pages_are_published(stack: &Stack) {
    for (service, published) in [
        ("vote", true),
        ("result", true),
        ("worker", false),
        ("redis", false),
        ("db", false),
    ] {
        let ports = inspect(&stack.containers(service)[0])["NetworkSettings"]["Ports"].clone();
        let any = ports
            .as_object()
            .is_some_and(|ports| ports.values().any(|bound| !bound.is_null()));
        assert_eq!(any, published, "{service}: {ports}");
    }
    // The servers are not resolvable in the front tier; in the back tier they reply.
    let ping = [
        "redis-cli",
        "-h",
        "redis",
        "--no-auth-warning",
        "--user",
        "health",
        "--pass",
        "none",
        "ping",
    ];
    let outside = stack.run("front-tier", "secrets-vote", "redis:8.2", &ping);
    assert!(!text(&outside.stdout).contains("PONG"));
    let inside = stack.run_in_back_tier("secrets-vote", "redis:8.2", &ping);
    assert!(inside.contains("PONG"), "{inside}");
}

fn assert_least_privileges(stack: &Stack) {
    let redis = |volume: &str, command: &str| {
        let script = format!("redis-cli -u \"$(cat /volume/queue-url)\" {command} 2>&1");
        stack.run_in_back_tier(volume, "redis:8.2", &["sh", "-c", &script])
    };
    for forbidden in [
        "XRANGE ballots - +",
        "DEL ballots",
        "FLUSHALL",
        "CONFIG SET appendonly no",
        "SET other 1",
        "KEYS '*'",
    ] {
        assert!(
            redis("secrets-vote", forbidden).contains("NOPERM"),
            "vote may {forbidden}"
        );
    }
    for forbidden in [
        "XADD ballots '*' voter x",
        "DEL ballots",
        "FLUSHALL",
        "CONFIG GET dir",
        "EVAL 'return 1' 0",
        "EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0",
    ] {
        assert!(
            redis("secrets-worker", forbidden).contains("NOPERM"),
            "worker may {forbidden}"
        );
    }
    let postgres = |volume: &str, statement: &str| {
        let script = format!("psql \"$(cat /volume/database-url)\" --command \"{statement}\" 2>&1");
        stack.run_in_back_tier(volume, "postgres:18", &["sh", "-c", &script])
    };
    assert!(
        postgres(
            "secrets-result",
            "SELECT votes FROM tally WHERE option = 'a'"
        )
        .contains("2001")
    );
    for forbidden in [
        "SELECT * FROM votes",
        "SELECT * FROM dead_letters",
        "SELECT FROM tally_lock FOR UPDATE",
        "DELETE FROM votes",
        "UPDATE tally SET votes = 0",
        "CREATE TABLE mine ()",
        "DROP TABLE votes",
    ] {
        let output = postgres("secrets-result", forbidden);
        assert!(
            output.contains("permission denied") || output.contains("must be owner"),
            "result may {forbidden}: {output}"
        );
    }
    for forbidden in [
        "CREATE ROLE other",
        "CREATE DATABASE other",
        "COPY votes TO PROGRAM 'true'",
    ] {
        assert!(
            postgres("secrets-worker", forbidden).contains("permission denied"),
            "worker may {forbidden}"
        );
    }
}

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
        let voters = (0..4).map(|_| {
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_any_container_under_load_loses_no_accepted_vote() {
    let stack = or_skip!(Stack::new());
    stack.up(&[]);
    let load = Load::start(&stack.vote);
    for service in ["redis", "db", "worker", "vote", "result"] {
        load.wait_for_accepted().await;
        stack.compose(&["kill", service]);
        thread::sleep(Duration::from_millis(500)); // clients attempt votes meanwhile
        stack.up(&[]);
    }
    load.wait_for_accepted().await;
    assert_all_is_counted(&stack, load).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_share_the_work() {
    let mut stack = or_skip!(Stack::new());
    stack.set("VOTE_PORT", "31000-31099");
    stack.set("RESULT_PORT", "31100-31199");
    stack.up(&[
        "--scale", "vote=3", "--scale", "worker=2", "--scale", "result=2",
    ]);
    let (vote, result) = (
        stack.addresses("vote", 8080),
        stack.addresses("result", 8081),
    );
    assert_eq!(
        (vote.len(), result.len(), stack.containers("worker").len()),
        (3, 2, 2)
    );
    // Links use the first port of a range.
    for (page, link) in [
        (&vote[0], "<a href=\"http://localhost:31100/\">"),
        (&result[0], "<a href=\"http://localhost:31000/\">"),
    ] {
        let page = get(page).await.text().await.unwrap();
        assert!(page.contains(link), "{page}");
    }
    for round in 0..30 {
        Voter::new(&vote[round % 3])
            .must_vote_for(if round % 2 == 0 { "a" } else { "b" })
            .await;
    }
    for result in &result {
        wait_for_votes(result, &[15, 15]).await;
    }
    let pages = [
        get(&vote[0]).await.text().await.unwrap(),
        get(&vote[1]).await.text().await.unwrap(),
    ];
    let served_by = |page: &String| {
        page.split("container ID ")
            .nth(1)
            .map(|rest| rest[..12].to_owned())
    };
    assert_ne!(
        served_by(&pages[0]),
        served_by(&pages[1]),
        "each replica shows its container id"
    );
}
