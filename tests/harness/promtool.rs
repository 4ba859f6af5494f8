//! Prometheus' linter of metrics: the local `promtool`, or the one in Prometheus' image.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

use super::{container, find_program};

const IMAGE: &str = "prom/prometheus:v3.13.3";

/// The command that starts `promtool`.
pub struct Promtool(Vec<String>);

impl Promtool {
    /// Finds the local `promtool` or the image. Fails with the reason if there is neither.
    pub fn find() -> Result<Self, String> {
        if let Some(program) = find_program("promtool", &[]) {
            return Ok(Self(vec![program.display().to_string()]));
        }
        let missing = "promtool is not installed (Debian: prometheus)";
        if let Some(why) = container::engine_error() {
            return Err(format!("{missing}, and {why}"));
        }
        let command = format!("docker run --rm --interactive --entrypoint promtool {IMAGE}");
        Ok(Self(command.split(' ').map(str::to_owned).collect()))
    }

    /// The problems of these metrics; empty if there are none.
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
        let mut problems = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
        if !status.success() && problems.is_empty() {
            problems = format!("promtool ended with {status}");
        }
        problems
    }
}
