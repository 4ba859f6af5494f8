//! Votes over time as a picture and as a table: the votes counted up to each moment.

use jiff::Timestamp;
use poll::Poll;

use crate::timeline::{Step, TimelineDocument};

/// The picture's width and height, in its own units; it is stretched to the room there is.
pub const WIDTH: u32 = 1000;
/// See [`WIDTH`].
pub const HEIGHT: u32 = 300;

/// Votes over time, as drawn.
#[derive(Clone, Debug)]
pub struct Chart {
    /// When the picture begins.
    pub begins: Timestamp,
    /// When it ends.
    pub ends: Timestamp,
    /// A line for each option, in the poll's order: the points of a polyline.
    pub lines: Vec<String>,
    /// The votes at the upper edge.
    pub highest: u64,
    /// What stands in the table, oldest first.
    pub rows: Vec<Row>,
}

/// The votes counted up to the end of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// When the step ends.
    pub until: Timestamp,
    /// Where the step begins in the picture.
    pub from_x: u32,
    /// Where it ends.
    pub x: u32,
    /// The votes, in the poll's order of options.
    pub votes: Vec<u64>,
}

impl Chart {
    /// The chart of a timeline; `None`: nobody has voted yet.
    #[must_use]
    pub fn new(timeline: &TimelineDocument, poll: &Poll) -> Option<Self> {
        let rows = rows(timeline, poll)?;
        let highest = round_up(rows.last()?.votes.iter().copied().max()?);
        let lines = (0..poll.options.iter().len()).map(|option| line(&rows, option, highest));
        Some(Self {
            begins: timeline.steps.first()?.start,
            ends: rows.last()?.until,
            lines: lines.collect(),
            highest,
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

/// Level while nobody votes, rising through the steps in which somebody does.
fn line(rows: &[Row], option: usize, highest: u64) -> String {
    let mut level = HEIGHT;
    let mut points = vec![(0, level)];
    for row in rows {
        let height = row.votes[option] * u64::from(HEIGHT) / highest;
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

/// 1, 2, 5, 10, 20, 50, …: the least that is not less than this.
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
        assert_eq!(chart.highest, 10);
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
    fn without_votes_there_is_nothing_to_draw() {
        let timeline = TimelineDocument {
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
