//! Determines the source revision of the build, for `--version` and the metric `build_info`.

use std::{env, path::Path, process::Command};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=REVISION");
    // Only release builds are rebuilt after each commit. In development this would rebuild all crates each time.
    let head = Path::new("../../.git/logs/HEAD");
    if env::var("PROFILE").is_ok_and(|profile| profile == "release") && head.exists() {
        println!("cargo:rerun-if-changed={}", head.display());
    }
    let revision = env::var("REVISION")
        .ok()
        .filter(|revision| !revision.is_empty());
    println!(
        "cargo:rustc-env=REVISION={}",
        revision
            .or_else(git_revision)
            .unwrap_or_else(|| "unknown".into())
    );
}

/// Returns the revision of the checkout; `None` outside one, such as in an image build.
fn git_revision() -> Option<String> {
    let output = Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .output()
        .ok()?;
    let revision = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !revision.is_empty()).then_some(revision)
}
