//! Finds out which revision of the source is being built, for `--version` and the metric `build_info`.

use std::{env, path::Path, process::Command};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=REVISION");
    // A commit rebuilds release builds only: while developing, that would be everything, every time.
    let head = Path::new("../../.git/logs/HEAD");
    if env::var("PROFILE").is_ok_and(|profile| profile == "release") && head.exists() {
        println!("cargo:rerun-if-changed={}", head.display());
    }
    let given = env::var("REVISION")
        .ok()
        .filter(|revision| !revision.is_empty());
    println!(
        "cargo:rustc-env=REVISION={}",
        given.or_else(from_git).unwrap_or_else(|| "unknown".into())
    );
}

/// Outside a checkout, such as in an image build, there is none.
fn from_git() -> Option<String> {
    let output = Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .output()
        .ok()?;
    let revision = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !revision.is_empty()).then_some(revision)
}
