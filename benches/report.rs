//! The measured figures, as a table and as JSON.

use std::{fmt, fs};

use anyhow::Context;
use local_servers::folders;
use serde::Serialize;

use crate::{rounds::Spread, scenarios::Scale};

/// The figures of one scenario.
#[derive(Debug, Serialize)]
pub struct Report {
    scenario: &'static str,
    quick: bool,
    machine: String,
    rows: Vec<Row>,
}

/// The target of a figure.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// At most this value.
    AtMost(f64),
    /// At least this value.
    AtLeast(f64),
    /// At least this fraction of the limit.
    OfLimit(f64),
    /// No target, for information only.
    None,
}

/// One figure.
#[derive(Debug, Serialize)]
struct Row {
    what: String,
    unit: &'static str,
    measured: Spread,
    limit: Option<Spread>,
    /// The ratio per round: a disturbance affects both measurements of a round.
    ratio: Option<Spread>,
    target: Target,
    met: Option<bool>,
    rounds: usize,
}

impl Report {
    pub fn new(scenario: &'static str, scale: Scale) -> Self {
        Self {
            scenario,
            quick: scale.quick,
            machine: machine(),
            rows: Vec::new(),
        }
    }

    /// Adds a figure without a limit.
    pub fn value(
        &mut self,
        what: impl Into<String>,
        unit: &'static str,
        values: &[f64],
        target: Target,
    ) {
        self.add(what.into(), unit, values, &[], target);
    }

    /// Adds a figure and its limit, compared round by round.
    pub fn compare(
        &mut self,
        what: impl Into<String>,
        unit: &'static str,
        values: &[f64],
        limits: &[f64],
        target: Target,
    ) {
        self.add(what.into(), unit, values, limits, target);
    }

    fn add(
        &mut self,
        what: String,
        unit: &'static str,
        values: &[f64],
        limits: &[f64],
        target: Target,
    ) {
        let some = |values: &[f64]| (!values.is_empty()).then(|| Spread::of(values));
        let ratios: Vec<_> = values
            .iter()
            .zip(limits)
            .map(|(value, limit)| value / limit)
            .collect();
        let (measured, ratio) = (Spread::of(values), some(&ratios));
        let met = match target {
            Target::AtMost(bound) => Some(measured.median <= bound),
            Target::AtLeast(bound) => Some(measured.median >= bound),
            Target::OfLimit(bound) => ratio.map(|ratio| ratio.median >= bound),
            Target::None => None,
        };
        self.rows.push(Row {
            what,
            unit,
            measured,
            limit: some(limits),
            ratio,
            target,
            met,
            rounds: values.len(),
        });
        if let Some(row) = self.rows.last() {
            eprintln!("  {row}");
        }
    }

    /// Writes `target/bench/SCENARIO.json`.
    pub fn save(&self) -> anyhow::Result<()> {
        let folder = folders::target().join("bench");
        let file = folder.join(format!("{}.json", self.scenario));
        let json = serde_json::to_vec_pretty(self)?;
        fs::create_dir_all(&folder)
            .and_then(|()| fs::write(&file, json))
            .with_context(|| format!("{} cannot be written", file.display()))
    }
}

/// The machine of the measurement.
fn machine() -> String {
    let about = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = about
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split(": ").nth(1))
        .unwrap_or("unknown");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} cores of {model}")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quick = if self.quick { ", quick" } else { "" };
        writeln!(f, "\n{}{quick}, {}\n", self.scenario, self.machine)?;
        writeln!(
            f,
            "| what | median (least to most) | limit | of the limit | target |"
        )?;
        writeln!(f, "|---|---|---|---|---|")?;
        for row in &self.rows {
            writeln!(f, "{row}")?;
        }
        writeln!(f)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spread {
            median,
            least,
            most,
        } = self.measured;
        let measured = format!("{} {}", number(median), self.unit);
        let spread = if self.rounds > 1 {
            format!(" ({} to {})", number(least), number(most))
        } else {
            String::new()
        };
        let limit = self.limit.map(|limit| number(limit.median));
        let ratio = self.ratio.map(|ratio| {
            format!(
                "{:.2} ({:.2} to {:.2})",
                ratio.median, ratio.least, ratio.most
            )
        });
        let target = match self.target {
            Target::AtMost(bound) => format!("≤ {}", number(bound)),
            Target::AtLeast(bound) => format!("≥ {}", number(bound)),
            Target::OfLimit(bound) => format!("≥ {bound} of the limit"),
            Target::None => String::new(),
        };
        let met = match self.met {
            Some(true) => ": met",
            Some(false) => ": missed",
            None => "",
        };
        write!(
            f,
            "| {} | {measured}{spread} | {} | {} | {target}{met} |",
            self.what,
            limit.unwrap_or_default(),
            ratio.unwrap_or_default(),
        )
    }
}

/// The number with its significant digits only.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 1.0 => 1,
        size if size >= 0.01 => 3,
        _ => 5,
    };
    let plain = format!("{value:.digits$}");
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    match fraction.trim_end_matches('0') {
        "" => grouped,
        fraction => format!("{grouped}.{fraction}"),
    }
}
