//! Servers of Debian 13, in an image that is made once: other versions than those of this machine.

use std::{
    io::Write,
    process::{Command, Stdio},
    sync::OnceLock,
};

use testcontainers::{GenericImage, ImageExt};

use super::server::{self, Server};

/// Debian 13.
const BASE: &str = "debian:13-slim";
/// The same with more, in which the project's own images are built: it may be here already.
const BUILDER: &str = "rust:1.95-slim-trixie";
const NAME: &str = "voting-app-test-servers";
const TAG: &str = "debian13";

/// The image, built if it is not there; or why it cannot be.
fn image() -> Result<(), String> {
    static BUILT: OnceLock<Result<(), String>> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            if let Some(why) = server::no_container_engine() {
                return Err(why);
            }
            let image = format!("{NAME}:{TAG}");
            let base = if is_here(BUILDER) { BUILDER } else { BASE };
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
            let said = String::from_utf8_lossy(&ended.stderr).into_owned();
            ended
                .status
                .success()
                .then_some(())
                .ok_or_else(|| format!("the image of Debian 13's servers cannot be built: {said}"))
        })
        .clone()
}

fn is_here(image: &str) -> bool {
    let inspected = Command::new("docker")
        .args(["image", "inspect", image])
        .output();
    inspected.is_ok_and(|output| output.status.success())
}

/// Starts a program in this machine's network, with files in `/tmp`.
pub fn start(
    what: &str,
    files: &[(&str, String)],
    command: &str,
    user: &str,
) -> Result<Server, String> {
    image()?;
    server::run(|| {
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

/// What a program of it prints.
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
