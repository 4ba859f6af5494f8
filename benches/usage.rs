//! CPU and memory usage of a process.

use std::{fs, time::Duration};

use anyhow::Context;

/// The unit of CPU times in `/proc`: a hundredth of a second (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// Returns the CPU time of a process so far.
pub fn cpu(process: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name in parentheses may contain spaces.
    let fields = stat.rsplit_once(')').context("no stat")?.1;
    let ticks = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u32>().ok())
        .sum::<u32>();
    Ok(TICK * ticks)
}

/// Returns the resident memory of a process, in bytes.
pub fn memory(process: u32) -> anyhow::Result<f64> {
    status(process, "VmRSS:")
}

/// Returns the peak resident memory of a process, in bytes.
pub fn peak_memory(process: u32) -> anyhow::Result<f64> {
    status(process, "VmHWM:")
}

fn status(process: u32, name: &str) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes: f64 = line
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .context("no such line")?
        .parse()?;
    Ok(kilobytes * 1024.0)
}
