//! Mutation tests of the random faults: workers with one deliberately broken line each, which a run must detect.

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

/// A replaced line of the sources.
struct Mutant {
    name: &'static str,
    file: &'static str,
    is: &'static str,
    becomes: &'static str,
}

const MUTANTS: [Mutant; 3] = [
    Mutant {
        name: "acknowledged before it is stored",
        file: "worker/src/processor.rs",
        is: "self.store_all(entries).await?;",
        becomes: "let ids = self.in_flight(); self.consumer.acknowledge(&ids).await?; self.store_all(entries).await?;",
    },
    Mutant {
        name: "the last stored ballot wins",
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

/// The number of seeds to try: a fault must hit the one moment that matters.
const SEEDS: u64 = 10;
const LENGTH: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "builds three workers and takes some minutes; run it with --ignored"]
async fn broken_workers_are_detected() {
    for mutant in MUTANTS {
        let worker = block_in_place(|| mutant.build());
        let mut detected = None;
        for seed in 1..=SEEDS {
            let programs = Programs {
                worker: worker.clone(),
            };
            let rig = or_skip!(Rig::new(seed, &programs).await);
            let schedule = Schedule::of(seed, LENGTH);
            let (_, outcome) = run(rig, seed, schedule, Duration::from_secs(5)).await;
            if let Some(first) = outcome.report.violations.first() {
                let found = outcome.report.violations.len();
                detected = Some(format!(
                    "by seed {seed}: {found} violations, first {}",
                    first.text
                ));
                break;
            }
        }
        let detected = detected.unwrap_or_else(|| panic!("not detected: {}", mutant.name));
        println!("{} was detected {detected}", mutant.name);
    }
}

#[test]
fn each_line_to_be_broken_occurs_once() {
    for mutant in MUTANTS {
        mutant.mutated_source();
    }
}

impl Mutant {
    /// Returns the source of the file with the replaced line.
    fn mutated_source(&self) -> String {
        let file = folders::root().join(self.file);
        let source = fs::read_to_string(file).expect("the file exists");
        let matches = source.matches(self.is).count();
        assert_eq!(matches, 1, "{:?} in {}", self.is, self.file);
        source.replace(self.is, self.becomes)
    }

    /// Builds the worker from a copy of the sources with the replaced line, and returns the program.
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
        fs::write(copy.join(self.file), self.mutated_source()).expect("the copy is ours");
        // It is built in the same target folder, to share the dependencies. Cargo does not distinguish packages with the same
        // version and the same path within their workspaces, and would overwrite the programs of the others.
        let workspace = copy.join("Cargo.toml");
        let version = concat!("version = \"", env!("CARGO_PKG_VERSION"), "\"");
        let manifest = fs::read_to_string(&workspace).expect("the file exists");
        assert_eq!(manifest.matches(version).count(), 1, "{version}");
        let broken = manifest.replace(version, "version = \"0.0.0-broken\"");
        fs::write(&workspace, broken).expect("the copy is ours");
        let program = format!("worker-{}", self.name.replace(' ', "-"));
        let manifest = copy.join("worker/Cargo.toml");
        let renamed = fs::read_to_string(&manifest)
            .expect("the file exists")
            .replace(
                "[[bin]]\nname = \"worker\"",
                &format!("[[bin]]\nname = \"{program}\""),
            );
        fs::write(&manifest, renamed).expect("the copy is ours");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--offline", "--bin", &program]);
        // Cargo's variables for this package must not reach the inner Cargo, or it recompiles the crates that read them: ring,
        // and everything that depends on it.
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
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {stderr}", self.name);
        folders::programs().join(program)
    }
}

/// Removes files of an older copy that no longer exist in the sources.
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

/// Copies only changed files, so that unchanged ones are not rebuilt.
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
