//! What a process costs.

use std::{fs, time::Duration};

use anyhow::Context;

/// Linux counts in hundredths of a second for programs, whatever the kernel does inside.
const TICK: Duration = Duration::from_millis(10);

/// The time that its threads have spent on a core so far.
pub fn cpu(process: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name in parentheses may hold spaces.
    let fields = stat.rsplit_once(')').context("no stat")?.1;
    let ticks = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u32>().ok())
        .sum::<u32>();
    Ok(TICK * ticks)
}

/// Its resident memory, in bytes.
pub fn memory(process: u32) -> anyhow::Result<f64> {
    status(process, "VmRSS:")
}

/// The most resident memory it ever had, in bytes.
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
