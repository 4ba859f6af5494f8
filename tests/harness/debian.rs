//! Servers of Debian 13, in an image that is built once: other versions than the local ones.

use std::{
    io::Write,
    process::{Command, Stdio},
    sync::OnceLock,
};

use testcontainers::{GenericImage, ImageExt};

use super::{container, server::Server};

/// Debian 13.
const BASE: &str = "debian:13-slim";
/// A larger Debian 13 image, in which the project's own images are built: it may already be present.
const BUILDER: &str = "rust:1.95-slim-trixie";
const NAME: &str = "voting-app-test-servers";
const TAG: &str = "debian13";

/// Builds the image if it is missing. Fails with the reason if that is impossible.
fn image() -> Result<(), String> {
    static BUILT: OnceLock<Result<(), String>> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            if let Some(why) = container::engine_error() {
                return Err(why);
            }
            let image = format!("{NAME}:{TAG}");
            let base = if is_present(BUILDER) { BUILDER } else { BASE };
            let dockerfile = format!(
                "FROM {base}\nRUN apt-get -qq update \\
                 && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends pgbouncer valkey-server \\
                 && rm -rf /var/lib/apt/lists/*\nENTRYPOINT []\n"
            );
            let mut build = Command::new("docker")
                .args(["build", "--quiet", "--tag", &image, "-"])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .map_err(|error| format!("docker cannot be run: {error}"))?;
            let mut input = build.stdin.take().expect("stdin is piped");
            input
                .write_all(dockerfile.as_bytes())
                .map_err(|error| error.to_string())?;
            drop(input);
            let ended = build.wait_with_output().map_err(|error| error.to_string())?;
            let stderr = String::from_utf8_lossy(&ended.stderr).into_owned();
            ended
                .status
                .success()
                .then_some(())
                .ok_or_else(|| format!("the image with the servers of Debian 13 cannot be built: {stderr}"))
        })
        .clone()
}

fn is_present(image: &str) -> bool {
    let inspected = Command::new("docker")
        .args(["image", "inspect", image])
        .output();
    inspected.is_ok_and(|output| output.status.success())
}

/// Starts a program in the host's network, with files in `/tmp`.
pub fn start(
    what: &str,
    files: &[(&str, String)],
    command: &str,
    user: &str,
) -> Result<Server, String> {
    image()?;
    container::run(|| {
        let request = GenericImage::new(NAME, TAG)
            .with_network("host")
            .with_user(user)
            .with_cmd(command.split(' '))
            .with_container_name(super::unique(&format!("voting-{what}")));
        files.iter().fold(request, |request, (name, content)| {
            request.with_copy_to(format!("/tmp/{name}"), content.clone().into_bytes())
        })
    })
}

/// Runs a program of the image and returns its output.
pub fn output(command: &[&str]) -> Result<String, String> {
    image()?;
    let image = format!("{NAME}:{TAG}");
    let output = Command::new("docker")
        .args(["run", "--rm", &image])
        .args(command)
        .output()
        .map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
