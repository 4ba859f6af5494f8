//! Bounds of the number of votes after a history.

use std::collections::BTreeMap;

use crate::history::{ChoiceSet, History};

/// Inclusive range of a number of votes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CountRange {
    /// Minimum.
    pub low: u64,
    /// Maximum.
    pub high: u64,
}

impl CountRange {
    /// Creates a range of one number.
    #[must_use]
    pub fn exactly(count: u64) -> Self {
        Self {
            low: count,
            high: count,
        }
    }

    /// Returns the range with the votes from before the run added.
    #[must_use]
    pub fn plus(self, before: u64) -> Self {
        Self {
            low: before + self.low,
            high: before + self.high,
        }
    }

    /// Returns true if the number is in the range.
    #[must_use]
    pub fn contains(self, count: u64) -> bool {
        (self.low..=self.high).contains(&count)
    }
}

/// Possible numbers of stored votes of the recorded voters. Without ambiguous attempts each range is one number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Range of all votes.
    pub total: CountRange,
    /// Range for each option, by key.
    pub options: BTreeMap<String, CountRange>,
}

impl Bounds {
    /// Computes the bounds after this history.
    #[must_use]
    pub fn of(history: &History) -> Self {
        let mut total = CountRange::default();
        let mut options = vec![CountRange::default(); history.options.len()];
        for record in &history.voters {
            let legal = record.legal_choices();
            total.low += u64::from(record.accepted.is_some());
            total.high += u64::from(!legal.is_empty());
            for (choice, range) in (0..).zip(&mut options) {
                let is_only = legal == ChoiceSet::default().with(choice);
                range.low += u64::from(is_only && record.accepted.is_some());
                range.high += u64::from(legal.contains(choice));
            }
        }
        let options = history.options.iter().cloned().zip(options).collect();
        Self { total, options }
    }
}
