//! The images: their files, size and labels.

use std::collections::BTreeSet;

use serde_json::Value;

use super::inspect;
use crate::harness::{
    container::docker,
    skip::or_skip,
    stack::{REVISION, Stack, dockerfile_images, images, text, uses_dockerfile_images},
};

const BASE: &str = "gcr.io/distroless/cc-debian13:nonroot";

const MEBIBYTE: u64 = 1 << 20;

fn is_optimised() -> bool {
    uses_dockerfile_images() && std::env::var_os("TEST_IMAGES_OPT_LEVEL").is_none()
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
