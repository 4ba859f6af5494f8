//! Prometheus' own judge of metrics: `promtool` of this machine, or of Prometheus' image.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

use super::server::{find_program, no_container_engine};

const IMAGE: &str = "prom/prometheus:v3.13.3";

/// How `promtool` is started.
pub struct Promtool(Vec<String>);

impl Promtool {
    /// That of this machine if there is one; or why there is none.
    pub fn find() -> Result<Self, String> {
        if let Some(program) = find_program("promtool", &[]) {
            return Ok(Self(vec![program.display().to_string()]));
        }
        let missing = "promtool is not on this machine (Debian: prometheus)";
        if let Some(why) = no_container_engine() {
            return Err(format!("{missing}, and {why}"));
        }
        let command = format!("docker run --rm --interactive --entrypoint promtool {IMAGE}");
        Ok(Self(command.split(' ').map(str::to_owned).collect()))
    }

    /// What is wrong with these metrics; empty: nothing.
    pub fn check_metrics(&self, metrics: &str) -> String {
        let mut promtool = Command::new(&self.0[0])
            .args(&self.0[1..])
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool can be run");
        let mut stdin = promtool.stdin.take().expect("stdin is piped");
        stdin
            .write_all(metrics.as_bytes())
            .expect("promtool reads to the end");
        drop(stdin);
        let Output {
            status,
            stdout,
            stderr,
        } = promtool.wait_with_output().expect("promtool ends");
        let mut said = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
        if !status.success() && said.is_empty() {
            said = format!("promtool ended with {status}");
        }
        said
    }
}
