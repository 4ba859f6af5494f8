//! Confinement of the containers: capabilities, networks, permissions, secrets.

use serde_json::Value;

use super::inspect;
use crate::harness::{
    container::docker,
    stack::{Stack, text},
};

pub fn assert_confined(service: &str, container: &Value) {
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
pub fn assert_no_secret_is_shown(stack: &Stack) {
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

pub fn assert_only_the_pages_are_published(stack: &Stack) {
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

pub fn assert_least_privileges(stack: &Stack) {
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
