//! Rules that compare the stored votes and the result with the history of the voters.
//!
//! The attempts of a voter are sequential: none is sent before the outcome of the previous one is known or its timeout has
//! passed. The queue assigns an id to each ballot when it accepts it, and the stored vote of a voter is the ballot with the
//! greatest id. Let `m` be the ballot of the newest accepted attempt and `k` the ballot of the stored vote in the quiescent
//! state:
//!
//! - **There is an accepted attempt.** Then a vote is stored, and `k ≥ m`:
//!   - `k < m`: illegal. The newest accepted vote is lost, or an older one is stored instead.
//!   - `k = m`: the choice is that of the newest accepted attempt.
//!   - `k > m`: a ballot entered the queue after that of the newest accepted attempt. It belongs to an ambiguous attempt,
//!     **sent later or earlier**: a request that timed out may be delayed by a server or network and enter the queue after
//!     the accepted one, which took another replica or another connection to the queue. So the choice is that of any
//!     ambiguous attempt. It is not that of an accepted attempt, because a ballot enters the queue once.
//! - **There is no accepted attempt.** Then there may be no vote. A stored vote has the choice of an ambiguous attempt.
//! - Rejected and unsent votes are never counted. The ballot ids of a voter's accepted attempts increase.
//!
//! An ambiguous attempt older than the newest accepted one may therefore be the stored vote, but only with `k > m`.
//! Without the store, only sums are known and no ids. Then only the choice is checked: it is that of the newest accepted
//! attempt or of any ambiguous one. Without ambiguous attempts this allows exactly one sum for each option.
//!
//! Votes stored before the run must be unchanged, so the rules hold only if all votes during the run are recorded.

mod bounds;
#[cfg(test)]
mod model;
mod violation;

use std::collections::{BTreeMap, BTreeSet, HashMap};

pub use bounds::{Bounds, CountRange};
use poll::ballot::BallotId;
pub use violation::{Violation, VoterSummary};

use crate::{
    api::ReportedTally,
    history::{History, VoterRecord},
    store_snapshot::{StoreSnapshot, StoredVote},
};

/// State of the store and the result page at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Contents of the store; `None`: the store is not checked.
    pub store: Option<StoreSnapshot>,
    /// Tally on the result page.
    pub reported: ReportedTally,
}

/// Checks all rules. `before` was observed before the first attempt, `after` in the quiescent state after the last.
#[must_use]
pub fn check(history: &History, before: &Observation, after: &Observation) -> Vec<Violation> {
    let mut violations = match (&before.store, &after.store) {
        (Some(before), Some(after)) => check_store(history, before, after),
        _ => check_responses(history),
    };
    if let Some(store) = &after.store {
        violations.extend(check_reported_equals_stored(store, &after.reported));
    }
    violations.extend(check_reported_bounds(
        history,
        &before.reported,
        &after.reported,
    ));
    violations
}

/// Checks the rules that need only the responses.
fn check_responses(history: &History) -> Vec<Violation> {
    let check_record = |record: &VoterRecord| {
        let voter = || VoterSummary::of(record, &history.options);
        let id_order = record
            .out_of_order
            .map(|(older, newer)| Violation::IdOrder {
                voter: voter(),
                older,
                newer,
            });
        let mismatch = record.mismatched.map(|ballot| Violation::VoterMismatch {
            voter: voter(),
            ballot,
        });
        [id_order, mismatch].into_iter().flatten()
    };
    history.voters.iter().flat_map(check_record).collect()
}

/// Checks the contents of the store, and the rules that need only the responses.
#[must_use]
pub fn check_store(
    history: &History,
    before: &StoreSnapshot,
    after: &StoreSnapshot,
) -> Vec<Violation> {
    let mut violations = check_responses(history);
    let mut unchecked: HashMap<&str, &StoredVote> = after
        .votes
        .iter()
        .map(|(voter, stored)| (voter.as_str(), stored))
        .collect();
    for record in &history.voters {
        let stored = unchecked.remove(record.voter.to_string().as_str());
        violations.extend(check_voter(record, stored, &history.options));
    }
    for (voter, before) in &before.votes {
        let after = unchecked.remove(voter.as_str());
        if after != Some(before) {
            violations.push(Violation::Changed {
                voter: voter.clone(),
                before: before.clone(),
                after: after.cloned(),
            });
        }
    }
    violations.extend(
        unchecked
            .into_iter()
            .map(|(voter, stored)| Violation::Unknown {
                voter: voter.to_owned(),
                stored: stored.clone(),
            }),
    );
    violations.extend(check_tally(after));
    violations
}

/// Checks the rule for one voter, as in the documentation of this module.
fn check_voter(
    record: &VoterRecord,
    stored: Option<&StoredVote>,
    options: &[String],
) -> Option<Violation> {
    let voter = || VoterSummary::of(record, options);
    let Some(stored) = stored else {
        let accepted = record.accepted?;
        return Some(Violation::Lost {
            voter: voter(),
            ballot: accepted.ballot,
            choice: options[usize::from(accepted.choice)].clone(),
        });
    };
    let choice = options
        .iter()
        .position(|option| *option == stored.choice)
        .and_then(|index| u8::try_from(index).ok());
    let phantom_unless = |legal: bool| {
        (!legal).then(|| Violation::Phantom {
            voter: voter(),
            stored: stored.clone(),
        })
    };
    let is_ambiguous = || choice.is_some_and(|choice| record.ambiguous.contains(choice));
    let Some(newest) = record.accepted else {
        return phantom_unless(is_ambiguous());
    };
    // A vote with an unknown ballot did not come through the queue: it is older than any ballot.
    let ballot = stored.ballot.unwrap_or(BallotId { ms: 0, seq: 0 });
    if ballot < newest.ballot {
        return Some(Violation::Outdated {
            voter: voter(),
            stored: stored.clone(),
            newest: newest.ballot,
        });
    }
    if ballot == newest.ballot {
        return phantom_unless(choice == Some(newest.choice));
    }
    phantom_unless(is_ambiguous())
}

/// Checks that the stored tally equals the stored votes.
fn check_tally(store: &StoreSnapshot) -> Vec<Violation> {
    let counted = store.count_votes();
    let count = |counts: &BTreeMap<String, u64>, option: &String| {
        counts.get(option).copied().unwrap_or_default()
    };
    let options: BTreeSet<_> = counted.keys().chain(store.tally.keys()).collect();
    options
        .into_iter()
        .filter(|option| count(&counted, option) != count(&store.tally, option))
        .map(|option| Violation::Tally {
            option: option.clone(),
            tally: count(&store.tally, option),
            counted: count(&counted, option),
        })
        .collect()
}

/// Checks that the result page shows the stored tally.
fn check_reported_equals_stored(store: &StoreSnapshot, reported: &ReportedTally) -> Vec<Violation> {
    let tally = |option: &String| store.tally.get(option).copied().unwrap_or_default();
    let total = reported.options.keys().map(tally).sum();
    let total = Violation::check_reported(None, reported.total, CountRange::exactly(total));
    let options = reported.options.iter().filter_map(|(option, votes)| {
        let expected = CountRange::exactly(tally(option));
        Violation::check_reported(Some(option), (*votes)?, expected)
    });
    total.into_iter().chain(options).collect()
}

/// Checks that the result page shows a tally that is possible after the history.
fn check_reported_bounds(
    history: &History,
    before: &ReportedTally,
    after: &ReportedTally,
) -> Vec<Violation> {
    let bounds = Bounds::of(history);
    let total = bounds.total.plus(before.total);
    let total = Violation::check_reported(None, after.total, total);
    let options = after.options.iter().filter_map(|(option, votes)| {
        let before = before.options.get(option).copied().flatten();
        let range = bounds.options.get(option).copied().unwrap_or_default();
        // An option that is hidden now or was hidden before the run cannot be compared.
        Violation::check_reported(Some(option), (*votes)?, range.plus(before?))
    });
    total.into_iter().chain(options).collect()
}
