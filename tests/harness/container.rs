//! Containers, by the command `docker`.

use std::{process::Command, time::Instant};

use local_servers::Guard;
use testcontainers::{
    ContainerRequest, GenericImage, ImageExt, core::IntoContainerPort, runners::AsyncRunner,
};

use super::{TIMEOUT, block_on_thread, free_port, server::Server};

/// Starts a container and publishes its port on a free local port, which is returned. The server may not be ready yet.
pub fn start(
    name: &str,
    tag: &str,
    port: u16,
    configure: impl FnOnce(GenericImage) -> ContainerRequest<GenericImage>,
) -> Result<(Server, u16), String> {
    let host_port = free_port();
    let image = GenericImage::new(name, tag);
    let server = run(|| configure(image).with_mapped_port(host_port, port.tcp()))?;
    Ok((server, host_port))
}

/// Starts a container without published ports.
pub fn run(request: impl FnOnce() -> ContainerRequest<GenericImage>) -> Result<Server, String> {
    if let Some(why) = engine_error() {
        return Err(why);
    }
    let request = request();
    let container =
        block_on_thread(async move { request.start().await.map_err(|error| error.to_string()) })?;
    let id = container.id().to_owned();
    let guard = Guard::new("read -r _; docker rm --force --volumes \"$1\"", [&id], None)?;
    // The guard removes the container: no destructor runs at the end of the program.
    std::mem::forget(container);
    Ok(Server::Container { id, _guard: guard })
}

/// The reason why containers cannot be used, if there is one.
pub fn engine_error() -> Option<String> {
    match Command::new("docker")
        .args(["version", "--format", "{{.Server.Version}}"])
        .output()
    {
        Ok(output) if output.status.success() => None,
        Ok(_) => Some("no container engine responds".into()),
        Err(error) => Some(format!("docker cannot be run: {error}")),
    }
}

/// Runs `docker …`, which must succeed, and returns its output.
pub fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker")
        .args(arguments)
        .output()
        .expect("docker can be run");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "docker {arguments:?} failed: {stderr}"
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Pauses a container, and retries if the container runtime gave up: on a busy machine the kernel may need longer to
/// freeze all processes than the runtime waits.
pub fn pause(id: &str) {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let output = Command::new("docker").args(["pause", id]).output();
        let output = output.expect("docker can be run");
        if output.status.success() {
            return;
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            stderr.contains("unable to freeze") && Instant::now() < deadline,
            "docker pause {id}: {stderr}"
        );
    }
}
