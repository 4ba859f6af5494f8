//! Whether what is counted is what the voters were promised.
//!
//! A voter's attempts are in order: none is sent before the outcome of the last is known, or given up. The queue gives
//! each ballot its id when it takes it in, and of a voter's ballots the one with the greatest id stands. So with `m` the
//! ballot of the newest accepted attempt and `k` that of the standing vote, after everything has come to rest:
//!
//! - **There is an accepted attempt.** Then there is a vote, and it stands on `m` or on something newer:
//!   - `k < m`: illegal. The newest accepted vote is lost, or an older one stands in its place.
//!   - `k = m`: the choice is that of the newest accepted attempt.
//!   - `k > m`: something entered the queue after the newest accepted attempt had. That is an ambiguous attempt, **made
//!     later or earlier**: one that timed out may be on its way for as long as some server or network holds it up, and
//!     overtakes the accepted one that another replica, or another connection to the queue, has taken in meanwhile. So
//!     the choice is that of any ambiguous attempt. It is not that of an accepted one: a ballot enters the queue once.
//! - **There is none.** Then there may be no vote; if there is one, its choice is that of an ambiguous attempt.
//! - What was refused, or never sent, counts nowhere. The ballots of a voter's accepted attempts rise.
//!
//! An ambiguous attempt older than the newest accepted one may therefore stand, and the ids decide: with `k > m` only.
//! Without the store the ids of the standing votes are not known, only sums, and the choice alone is judged: that of the
//! newest accepted attempt or of any ambiguous one. Where nothing is ambiguous this leaves one sum for each option.
//!
//! Votes that stood before must stand unchanged: the rules hold while nobody but the recorded voters votes.

mod bounds;
#[cfg(test)]
mod model;
mod violation;

use std::collections::HashMap;

pub use bounds::{Bounds, Range};
use poll::ballot::BallotId;
pub use violation::{Violation, Who};

use crate::{
    deployment::Shown,
    history::{History, VoterRecord},
    votes::{Standing, Votes},
};

/// What there was to see at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What the store held; `None`: it is not looked into.
    pub votes: Option<Votes>,
    /// What the result page showed.
    pub shown: Shown,
}

/// All rules: `before` was seen before the first attempt, `after` when all had come to rest.
#[must_use]
pub fn check(history: &History, before: &Seen, after: &Seen) -> Vec<Violation> {
    let mut violations = match (&before.votes, &after.votes) {
        (Some(before), Some(after)) => check_votes(history, before, after),
        _ => check_promises(history),
    };
    if let Some(votes) = &after.votes {
        violations.extend(check_agreement(votes, &after.shown));
    }
    violations.extend(check_shown(history, &before.shown, &after.shown));
    violations
}

/// What can be seen from the answers alone.
fn check_promises(history: &History) -> Vec<Violation> {
    let of_voter = |record: &VoterRecord| {
        let who = || Who::of(record, &history.options);
        let reversed = record.reversed.map(|(older, newer)| Violation::Reversed {
            who: who(),
            older,
            newer,
        });
        let estranged = record
            .estranged
            .map(|ballot| Violation::Estranged { who: who(), ballot });
        [reversed, estranged].into_iter().flatten()
    };
    history.voters.iter().flat_map(of_voter).collect()
}

/// The rules for what is in the store.
#[must_use]
pub fn check_votes(history: &History, before: &Votes, after: &Votes) -> Vec<Violation> {
    let mut violations = check_promises(history);
    let mut others: HashMap<&str, &Standing> = after
        .standing
        .iter()
        .map(|(voter, standing)| (voter.as_str(), standing))
        .collect();
    for record in &history.voters {
        let standing = others.remove(record.voter.to_string().as_str());
        violations.extend(check_voter(record, standing, &history.options));
    }
    for (voter, before) in &before.standing {
        let after = others.remove(voter.as_str());
        if after != Some(before) {
            violations.push(Violation::Changed {
                voter: voter.clone(),
                before: before.clone(),
                after: after.cloned(),
            });
        }
    }
    violations.extend(
        others
            .into_iter()
            .map(|(voter, standing)| Violation::Unknown {
                voter: voter.to_owned(),
                standing: standing.clone(),
            }),
    );
    violations.extend(check_tally(after));
    violations
}

/// The rule for one voter, as it stands at the head of this module.
fn check_voter(
    record: &VoterRecord,
    standing: Option<&Standing>,
    options: &[String],
) -> Option<Violation> {
    let who = || Who::of(record, options);
    let Some(standing) = standing else {
        let accepted = record.accepted?;
        return Some(Violation::Lost {
            who: who(),
            ballot: accepted.ballot,
            choice: options[usize::from(accepted.choice)].clone(),
        });
    };
    let choice = options
        .iter()
        .position(|option| *option == standing.choice)
        .and_then(|place| u8::try_from(place).ok());
    let is = |legal: bool| {
        (!legal).then(|| Violation::NeverCast {
            who: who(),
            standing: standing.clone(),
        })
    };
    let Some(newest) = record.accepted else {
        return is(choice.is_some_and(|choice| record.ambiguous.has(choice)));
    };
    // No ballot of a vote that came through the queue is unknown: it is older than any.
    let ballot = standing.ballot.unwrap_or(BallotId { ms: 0, seq: 0 });
    if ballot < newest.ballot {
        return Some(Violation::Outdated {
            who: who(),
            standing: standing.clone(),
            newest: newest.ballot,
        });
    }
    if ballot == newest.ballot {
        return is(choice == Some(newest.choice));
    }
    is(choice.is_some_and(|choice| record.ambiguous.has(choice)))
}

/// The running tally is the votes counted.
fn check_tally(votes: &Votes) -> Vec<Violation> {
    let counted = votes.counted();
    let count = |counts: &std::collections::BTreeMap<String, u64>, option: &String| {
        counts.get(option).copied().unwrap_or_default()
    };
    let options: std::collections::BTreeSet<_> = counted.keys().chain(votes.tally.keys()).collect();
    options
        .into_iter()
        .filter(|option| count(&counted, option) != count(&votes.tally, option))
        .map(|option| Violation::Tally {
            option: option.clone(),
            tally: count(&votes.tally, option),
            counted: count(&counted, option),
        })
        .collect()
}

/// What is shown is the running tally.
fn check_agreement(votes: &Votes, shown: &Shown) -> Vec<Violation> {
    let tally = |option: &String| votes.tally.get(option).copied().unwrap_or_default();
    let total = shown.options.keys().map(tally).sum();
    let totals = Violation::shown_outside(None, shown.total, Range::exactly(total));
    let each = shown.options.iter().filter_map(|(option, votes)| {
        Violation::shown_outside(Some(option), (*votes)?, Range::exactly(tally(option)))
    });
    totals.into_iter().chain(each).collect()
}

/// What is shown can have come from what the voters did.
fn check_shown(history: &History, before: &Shown, after: &Shown) -> Vec<Violation> {
    let bounds = Bounds::of(history);
    let total = bounds.total.after(before.total);
    let totals = Violation::shown_outside(None, after.total, total);
    let each = after.options.iter().filter_map(|(option, votes)| {
        let before = before.options.get(option).copied().flatten();
        let range = bounds.options.get(option).copied().unwrap_or_default();
        // Hidden now, or at the beginning: there is nothing to compare.
        Violation::shown_outside(Some(option), (*votes)?, range.after(before?))
    });
    totals.into_iter().chain(each).collect()
}
