//! How many votes there can be, after what the voters did.

use std::collections::BTreeMap;

use crate::history::History;

/// The least and the most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// The least.
    pub low: u64,
    /// The most.
    pub high: u64,
}

impl Range {
    /// One number only.
    #[must_use]
    pub fn exactly(count: u64) -> Self {
        Self {
            low: count,
            high: count,
        }
    }

    /// The range where there were so many before.
    #[must_use]
    pub fn after(self, before: u64) -> Self {
        Self {
            low: before + self.low,
            high: before + self.high,
        }
    }

    /// Whether the number is in it.
    #[must_use]
    pub fn holds(self, count: u64) -> bool {
        (self.low..=self.high).contains(&count)
    }
}

/// The votes that the recorded voters may have in the end. Where nothing is ambiguous, each range is one number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// All votes.
    pub total: Range,
    /// The votes for each option.
    pub options: BTreeMap<String, Range>,
}

impl Bounds {
    /// The bounds after this history.
    #[must_use]
    pub fn of(history: &History) -> Self {
        let mut total = Range::default();
        let mut options = vec![Range::default(); history.options.len()];
        for record in &history.voters {
            let legal = record.legal();
            total.low += u64::from(record.accepted.is_some());
            total.high += u64::from(!legal.is_empty());
            for (choice, range) in (0..).zip(&mut options) {
                let only = legal == crate::history::Choices::default().with(choice);
                range.low += u64::from(only && record.accepted.is_some());
                range.high += u64::from(legal.has(choice));
            }
        }
        let options = history.options.iter().cloned().zip(options).collect();
        Self { total, options }
    }
}
