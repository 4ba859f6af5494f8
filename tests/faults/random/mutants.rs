//! A test of the test: workers that are broken on purpose, each in one line, which the run must find out.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tokio::task::block_in_place;

use super::{
    rig::{Programs, Rig},
    run,
    schedule::Schedule,
};
use crate::harness::{folders, skip::or_skip};

/// A line that is another.
struct Mutant {
    name: &'static str,
    file: &'static str,
    is: &'static str,
    becomes: &'static str,
}

const MUTANTS: [Mutant; 3] = [
    Mutant {
        name: "acknowledged before it is stored",
        file: "worker/src/mover.rs",
        is: "self.store_all(deliveries, *since).await?;",
        becomes: "let ids = self.in_hand(); self.consumer.acknowledge(&ids).await?; self.store_all(deliveries, *since).await?;",
    },
    Mutant {
        name: "whatever is stored last stands",
        file: "shared/store/src/postgres/mod.rs",
        is: "WHERE (excluded.cast_ms, excluded.cast_seq) > (votes.cast_ms, votes.cast_seq)",
        becomes: "",
    },
    Mutant {
        name: "ids are compared as text",
        file: "shared/store/src/postgres/mod.rs",
        is: "WHERE (excluded.cast_ms, excluded.cast_seq) > (votes.cast_ms, votes.cast_seq)",
        becomes: "WHERE (excluded.cast_ms || '-' || excluded.cast_seq) > (votes.cast_ms || '-' || votes.cast_seq)",
    },
];

/// Chance decides whether a fault hits the one moment that matters: so many seeds are tried.
const SEEDS: u64 = 10;
const LENGTH: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "builds three workers and takes some minutes; run it with --ignored"]
async fn broken_workers_are_found_out() {
    for mutant in MUTANTS {
        let worker = block_in_place(|| mutant.build());
        let mut caught = None;
        for seed in 1..=SEEDS {
            let programs = Programs {
                worker: worker.clone(),
            };
            let rig = or_skip!(Rig::new(seed, &programs).await);
            let schedule = Schedule::of(seed, LENGTH);
            let (_, outcome) = run(rig, seed, schedule, Duration::from_secs(5)).await;
            if let Some(first) = outcome.report.violations.first() {
                let found = outcome.report.violations.len();
                caught = Some(format!(
                    "by seed {seed}: {found} violations, first {}",
                    first.text
                ));
                break;
            }
        }
        let caught = caught.unwrap_or_else(|| panic!("nobody noticed: {}", mutant.name));
        println!("{} was caught {caught}", mutant.name);
    }
}

impl Mutant {
    /// Builds the worker from a copy of the sources with that line changed, and returns the program.
    fn build(&self) -> PathBuf {
        let (folder, target) = (folders::root(), folders::target());
        let copy = target.join("mutants");
        fs::create_dir_all(&copy).expect("the folder is ours");
        for part in [
            "Cargo.toml",
            "Cargo.lock",
            "src",
            "tests",
            "shared",
            "vote",
            "worker",
            "result",
            "load",
            "benches",
        ] {
            remove_others(&folder.join(part), &copy.join(part));
            copy_changed(&folder.join(part), &copy.join(part));
        }
        let file = copy.join(self.file);
        let source = fs::read_to_string(&file).expect("there is such a file");
        let places = source.matches(self.is).count();
        assert_eq!(places, 1, "{:?} in {}", self.is, self.file);
        let mutated = source.replace(self.is, self.becomes);
        fs::write(&file, mutated).expect("the copy is ours");
        // It is built where the others are, so that their dependencies serve it, too. Cargo tells packages of the same version
        // and the same path in a workspace apart by nothing, and would put the broken ones in the place of the others.
        let workspace = copy.join("Cargo.toml");
        let version = concat!("version = \"", env!("CARGO_PKG_VERSION"), "\"");
        let manifest = fs::read_to_string(&workspace).expect("there is such a file");
        assert_eq!(manifest.matches(version).count(), 1, "{version}");
        let broken = manifest.replace(version, "version = \"0.0.0-broken\"");
        fs::write(&workspace, broken).expect("the copy is ours");
        let program = format!("worker-{}", self.name.replace(' ', "-"));
        let manifest = copy.join("worker/Cargo.toml");
        let renamed = fs::read_to_string(&manifest)
            .expect("there is such a file")
            .replace(
                "[[bin]]\nname = \"worker\"",
                &format!("[[bin]]\nname = \"{program}\""),
            );
        fs::write(&manifest, renamed).expect("the copy is ours");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--offline", "--bin", &program]);
        // Cargo has told this test about its package. A Cargo that hears it too compiles what asks for that once more: ring,
        // and all that depends on it.
        for (name, _) in env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("CARGO_") && name != "CARGO_HOME" {
                cargo.env_remove(&*name);
            }
        }
        let output = cargo
            .current_dir(&copy)
            .env("CARGO_TARGET_DIR", &target)
            .output()
            .expect("cargo can be run");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", self.name);
        folders::programs().join(program)
    }
}

/// Removes what an older copy has and the sources have no more.
fn remove_others(from: &Path, to: &Path) {
    if to.is_dir() && from.is_dir() {
        for entry in fs::read_dir(to).expect("the copy is ours") {
            let name = entry.expect("the copy is ours").file_name();
            remove_others(&from.join(&name), &to.join(&name));
        }
    } else if to.is_dir() {
        fs::remove_dir_all(to).expect("the copy is ours");
    } else if to.exists() && !from.is_file() {
        fs::remove_file(to).expect("the copy is ours");
    }
}

/// What has not changed is not written again, and so not built again.
fn copy_changed(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).expect("the copy is ours");
        for entry in fs::read_dir(from).expect("the sources can be read") {
            let name = entry.expect("the sources can be read").file_name();
            copy_changed(&from.join(&name), &to.join(&name));
        }
    } else {
        let content = fs::read(from).expect("the sources can be read");
        if fs::read(to).ok().as_ref() != Some(&content) {
            fs::write(to, content).expect("the copy is ours");
        }
    }
}
