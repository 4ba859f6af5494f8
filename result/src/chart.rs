//! The votes over time as a chart and as a table, both cumulative.

use jiff::Timestamp;
use poll::Poll;

use crate::timeline_document::{Step, TimelineDocument};

/// Width of the chart in SVG units. The page scales the chart to the available space.
pub const WIDTH: u32 = 1000;
/// Height of the chart in SVG units.
pub const HEIGHT: u32 = 300;

/// A chart of the votes over time.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Start of the time axis.
    pub begins: Timestamp,
    /// End of the time axis.
    pub ends: Timestamp,
    /// The points of a polyline for each option, in the poll's order.
    pub lines: Vec<String>,
    /// Number of votes at the upper edge.
    pub max_votes: u64,
    /// The rows of the table, oldest first.
    pub rows: Vec<Row>,
}

/// The votes cast up to the end of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// End of the step.
    pub until: Timestamp,
    /// Horizontal position of the start of the step.
    pub from_x: u32,
    /// Horizontal position of the end of the step.
    pub x: u32,
    /// Number of votes for each option, in the poll's order.
    pub votes: Vec<u64>,
}

impl Chart {
    /// Draws a timeline; `None` without votes.
    #[must_use]
    pub fn new(timeline: &TimelineDocument, poll: &Poll) -> Option<Self> {
        let rows = rows(timeline, poll)?;
        let max_votes = round_up(rows.last()?.votes.iter().copied().max()?);
        let lines = (0..poll.options.iter().len()).map(|option| line(&rows, option, max_votes));
        Some(Self {
            begins: timeline.steps.first()?.start,
            ends: rows.last()?.until,
            lines: lines.collect(),
            max_votes,
            rows,
        })
    }
}

fn rows(timeline: &TimelineDocument, poll: &Poll) -> Option<Vec<Row>> {
    let begins = timeline.steps.first()?.start.as_second();
    let ends = timeline.steps.last()?.start.as_second() + timeline.step_seconds;
    let x = |second: i64| {
        let x = (second - begins) * i64::from(WIDTH) / (ends - begins).max(1);
        u32::try_from(x).unwrap_or_default()
    };
    let mut votes = vec![0; poll.options.iter().len()];
    let row = |step: &Step| {
        for (count, option) in votes.iter_mut().zip(&poll.options) {
            *count += step.votes.get(option.key.as_str()).copied().unwrap_or(0);
        }
        let until = step.start.as_second() + timeline.step_seconds;
        Some(Row {
            until: Timestamp::from_second(until).ok()?,
            from_x: x(step.start.as_second()),
            x: x(until),
            votes: votes.clone(),
        })
    };
    timeline.steps.iter().map(row).collect()
}

/// The points of an option's line: level between votes, rising during the steps with votes.
fn line(rows: &[Row], option: usize, max_votes: u64) -> String {
    let mut level = HEIGHT;
    let mut points = vec![(0, level)];
    for row in rows {
        let height = row.votes[option] * u64::from(HEIGHT) / max_votes;
        let y = HEIGHT - u32::try_from(height).unwrap_or(HEIGHT);
        if y != level {
            points.extend([(row.from_x, level), (row.x, y)]);
            level = y;
        }
    }
    points.push((WIDTH, level));
    let points: Vec<_> = points.iter().map(|(x, y)| format!("{x},{y}")).collect();
    points.join(" ")
}

/// Rounds up to the next of 1, 2, 5, 10, 20, 50, …
fn round_up(votes: u64) -> u64 {
    let mut power = 1_u64;
    loop {
        for factor in [1, 2, 5] {
            let round = power.saturating_mul(factor);
            if round >= votes {
                return round;
            }
        }
        power = power.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use poll::Schedule;

    fn poll() -> Poll {
        Poll {
            id: "pets".parse().unwrap(),
            question: "Cats or Dogs?".into(),
            options: "a=Cats,b=Dogs".parse().unwrap(),
            schedule: Schedule::always(),
        }
    }

    fn step(second: i64, votes: &[(&str, u64)]) -> Step {
        Step {
            start: Timestamp::from_second(second).unwrap(),
            votes: votes
                .iter()
                .map(|(key, count)| ((*key).to_owned(), *count))
                .collect(),
        }
    }

    #[test]
    fn the_lines_end_at_the_tally() {
        let timeline = TimelineDocument {
            poll: poll().id,
            step_seconds: 10,
            steps: vec![
                step(100, &[("a", 3)]),
                step(110, &[("a", 1), ("b", 2)]),
                step(190, &[("b", 8)]),
            ],
        };
        let chart = Chart::new(&timeline, &poll()).unwrap();
        assert_eq!(
            (chart.begins.as_second(), chart.ends.as_second()),
            (100, 200)
        );
        assert_eq!(chart.max_votes, 10);
        let votes: Vec<_> = chart
            .rows
            .iter()
            .map(|row| (row.x, row.votes.clone()))
            .collect();
        assert_eq!(
            votes,
            [(100, vec![3, 0]), (200, vec![4, 2]), (1000, vec![4, 10])]
        );
        assert_eq!(
            chart.lines[0],
            "0,300 0,300 100,210 100,210 200,180 1000,180"
        );
        assert_eq!(
            chart.lines[1],
            "0,300 100,300 200,240 900,240 1000,0 1000,0"
        );
    }

    #[test]
    fn a_timeline_without_votes_has_no_chart() {
        let timeline = TimelineDocument {
            poll: poll().id,
            step_seconds: 10,
            steps: Vec::new(),
        };
        assert!(Chart::new(&timeline, &poll()).is_none());
    }

    #[test]
    fn the_upper_edge_is_a_round_number() {
        assert_eq!([1, 2, 3, 9, 11, 51].map(round_up), [1, 2, 5, 10, 20, 100]);
        assert!(round_up(u64::MAX) == u64::MAX);
    }
}
