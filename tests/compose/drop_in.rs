//! The stack as a replacement of the original app, with the existing votes.

use std::process::Command;

use crate::harness::{
    container::docker,
    eventually, folders,
    skip::or_skip,
    stack::{Stack, text},
    viewer::wait_for_votes,
    voter::Voter,
};

/// A database of the original app, in a container that is removed at the end.
struct Original(String);

impl Original {
    /// Starts it and adds 70 votes for a and 30 for b.
    async fn start(name: String, image: &str, mounts: &[&str]) -> Self {
        let run = [
            "run",
            "--detach",
            "--env=POSTGRES_PASSWORD=postgres",
            "--name",
            &name,
        ];
        docker(&[&run, mounts, &[image]].concat());
        let original = Self(name);
        // The table as the original's worker creates it.
        let statements = "CREATE TABLE IF NOT EXISTS votes (id VARCHAR(255) NOT NULL UNIQUE, vote VARCHAR(255) NOT NULL);
            INSERT INTO votes SELECT md5(n::text), CASE WHEN n <= 70 THEN 'a' ELSE 'b' END FROM generate_series(1, 100) n";
        let psql = [
            "psql",
            "--host=127.0.0.1",
            "--username=postgres",
            "--command",
            statements,
        ];
        let fill = async || {
            let mut exec = Command::new("docker");
            exec.args(["exec", &original.0]).args(psql);
            exec.output().unwrap().status.success()
        };
        eventually("the original's votes", |filled| *filled, fill).await;
        original
    }
}

impl Drop for Original {
    fn drop(&mut self) {
        docker(&["rm", "--force", "--volumes", &self.0]);
    }
}

/// The database image of the original app, or of this stack if the former is unavailable.
fn original_image() -> &'static str {
    const IMAGE: &str = "postgres:15-alpine";
    let succeeds = |arguments: &[&str]| {
        let output = Command::new("docker").args(arguments).arg(IMAGE).output();
        output.is_ok_and(|output| output.status.success())
    };
    if succeeds(&["image", "inspect"]) || succeeds(&["pull", "--quiet"]) {
        IMAGE
    } else {
        println!("{IMAGE} is unavailable; the dump is made by postgres:18");
        "postgres:18"
    }
}

/// The commands of the guide for operators that migrate from the original app.
fn commands() -> String {
    let guide = std::fs::read_to_string(folders::root().join("docs/operations.md")).unwrap();
    let part = guide.split("\n## Migrate from the original app\n").nth(1);
    let block = part.and_then(|part| part.split("```sh\n").nth(1));
    let block = block.and_then(|block| block.split("```").next());
    block.expect("the guide has the commands").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_of_the_original_app_restores_its_votes() {
    let stack = or_skip!(Stack::new());
    let original = Original::start(stack.name_of("original"), original_image(), &[]).await;
    let dump = tempfile::NamedTempFile::new().unwrap();
    let commands = commands()
        .replace("example-voting-app-db-1", &original.0)
        .replace("votes.sql", &dump.path().display().to_string());
    stack.shell(&commands);
    drop(original);
    stack.up(&[]);
    wait_for_votes(&stack.result, &[70, 30]).await;
    Voter::new(&stack.vote).must_vote_for("b").await;
    wait_for_votes(&stack.result, &[70, 31]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_of_the_same_postgres_keeps_its_votes() {
    let stack = or_skip!(Stack::new());
    let mount = format!("{}:/var/lib/postgresql", stack.name_of("db-data"));
    let name = stack.name_of("original");
    let original = Original::start(name, "postgres:18", &["--volume", &mount]).await;
    docker(&["stop", &original.0]);
    drop(original);
    stack.up(&[]);
    wait_for_votes(&stack.result, &[70, 30]).await;
}

#[test]
fn a_volume_of_an_older_postgres_is_rejected() {
    let stack = or_skip!(Stack::new());
    let volume = format!("{}:/volume", stack.name_of("db-data"));
    let write = ["-c", "echo 15 >/volume/PG_VERSION && chmod 700 /volume"];
    let run = [
        "run",
        "--rm",
        "--volume",
        &volume,
        "--entrypoint=sh",
        "postgres:18",
    ];
    docker(&[&run[..], &write].concat());
    let up = stack.try_compose(&["up", "--detach", "--wait", "--no-build"]);
    assert!(!up.status.success(), "the volume is accepted");
    let logs = ["logs", "--no-color", "--no-log-prefix", "database-version"];
    let output = text(&stack.try_compose(&logs).stdout);
    let wanted =
        "has the files of a Postgres 15 (PG_VERSION), and this stack's Postgres is 18: remove";
    assert!(output.contains(wanted), "{output}");
}
