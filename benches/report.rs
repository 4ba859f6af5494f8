//! What was measured, as a table for people and as JSON.

use std::{fmt, fs};

use anyhow::Context;
use serde::Serialize;

use crate::{rounds::Spread, scenarios::Scale, service};

/// The figures of one scenario.
#[derive(Debug, Serialize)]
pub struct Report {
    scenario: &'static str,
    quick: bool,
    machine: String,
    rows: Vec<Row>,
}

/// What we want.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Aim {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
    /// No less than this part of the limit.
    OfLimit(f64),
    /// It is only good to know.
    None,
}

/// One figure.
#[derive(Debug, Serialize)]
struct Row {
    what: String,
    unit: &'static str,
    measured: Spread,
    limit: Option<Spread>,
    /// Of each round by itself: what disturbs one disturbs both.
    ratio: Option<Spread>,
    aim: Aim,
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

    /// A figure by itself.
    pub fn value(&mut self, what: impl Into<String>, unit: &'static str, values: &[f64], aim: Aim) {
        self.add(what.into(), unit, values, &[], aim);
    }

    /// A figure beside its limit, round by round.
    pub fn beside(
        &mut self,
        what: impl Into<String>,
        unit: &'static str,
        values: &[f64],
        limits: &[f64],
        aim: Aim,
    ) {
        self.add(what.into(), unit, values, limits, aim);
    }

    fn add(&mut self, what: String, unit: &'static str, values: &[f64], limits: &[f64], aim: Aim) {
        let some = |values: &[f64]| (!values.is_empty()).then(|| Spread::of(values));
        let ratios: Vec<_> = values
            .iter()
            .zip(limits)
            .map(|(value, limit)| value / limit)
            .collect();
        let (measured, ratio) = (Spread::of(values), some(&ratios));
        let met = match aim {
            Aim::AtMost(bound) => Some(measured.median <= bound),
            Aim::AtLeast(bound) => Some(measured.median >= bound),
            Aim::OfLimit(bound) => ratio.map(|ratio| ratio.median >= bound),
            Aim::None => None,
        };
        self.rows.push(Row {
            what,
            unit,
            measured,
            limit: some(limits),
            ratio,
            aim,
            met,
            rounds: values.len(),
        });
        if let Some(row) = self.rows.last() {
            eprintln!("  {row}");
        }
    }

    /// Writes `target/bench/SCENARIO.json`.
    pub fn save(&self) -> anyhow::Result<()> {
        let folder = service::target()?.join("bench");
        let file = folder.join(format!("{}.json", self.scenario));
        let json = serde_json::to_vec_pretty(self)?;
        fs::create_dir_all(&folder)
            .and_then(|()| fs::write(&file, json))
            .with_context(|| format!("{} cannot be written", file.display()))
    }
}

/// What it was measured on.
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
            "| what | median (least to most) | limit | of the limit | aim |"
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
        let aim = match self.aim {
            Aim::AtMost(bound) => format!("≤ {}", number(bound)),
            Aim::AtLeast(bound) => format!("≥ {}", number(bound)),
            Aim::OfLimit(bound) => format!("≥ {bound} of the limit"),
            Aim::None => String::new(),
        };
        let met = match self.met {
            Some(true) => ": met",
            Some(false) => ": missed",
            None => "",
        };
        write!(
            f,
            "| {} | {measured}{spread} | {} | {} | {aim}{met} |",
            self.what,
            limit.unwrap_or_default(),
            ratio.unwrap_or_default(),
        )
    }
}

/// As many digits as say something.
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
