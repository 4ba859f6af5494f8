//! The rules against a model of the queue and the store: what these can do is legal, whatever is timed out or
//! delayed, and what they cannot do is found.

use std::collections::BTreeMap;

use poll::ballot::VoterId;
use proptest::prelude::*;

use super::*;
use crate::history::{Attempt, Doubt, Outcome};

const OPTIONS: [&str; 3] = ["a", "b", "c"];
const VOTERS: u8 = 4;

/// What becomes of an attempt, in the model's queue.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Accepted,
    Refused,
    NotSent,
    /// It timed out, and the queue never gets it.
    Vanished,
    /// The queue has it, the answer was lost.
    Unanswered,
    /// It timed out, and the queue gets it after so many more attempts by anybody.
    Late(usize),
}

#[derive(Clone, Copy, Debug)]
struct Event {
    voter: u8,
    choice: u8,
    fate: Fate,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let fate = prop_oneof![
        6 => Just(Fate::Accepted),
        1 => Just(Fate::Refused),
        1 => Just(Fate::NotSent),
        1 => Just(Fate::Vanished),
        1 => Just(Fate::Unanswered),
        2 => (0..8_usize).prop_map(Fate::Late),
    ];
    let event = (0..VOTERS, 0..3_u8, fate).prop_map(|(voter, choice, fate)| Event {
        voter,
        choice,
        fate,
    });
    prop::collection::vec(event, 1..40)
}

fn voter(number: u8) -> VoterId {
    format!("{number:032x}").parse().unwrap()
}

/// The queue and the store, after everything has come to rest, and what the voters know.
#[derive(Clone, Debug, Default)]
struct Model {
    next: u64,
    /// Each voter's choice with the greatest id.
    standing: BTreeMap<u8, (BallotId, u8)>,
    /// When, by whom, what.
    late: Vec<(usize, u8, u8)>,
    history: History,
    /// Each voter's attempts, all of them.
    all: BTreeMap<u8, Vec<Attempt>>,
}

impl Model {
    fn of(events: &[Event]) -> Self {
        let mut model = Self {
            history: History {
                options: OPTIONS.map(str::to_owned).into(),
                voters: (0..VOTERS)
                    .map(|number| VoterRecord::new(voter(number)))
                    .collect(),
            },
            ..Self::default()
        };
        for (now, event) in events.iter().enumerate() {
            model.arrive(now);
            model.happen(now, *event);
        }
        model.arrive(usize::MAX);
        model
    }

    /// The queue gives ids that rise.
    fn enqueue(&mut self, voter: u8, choice: u8) -> BallotId {
        self.next += 1;
        let id = BallotId {
            ms: 1000 + self.next / 3,
            seq: self.next % 3,
        };
        self.standing.insert(voter, (id, choice));
        id
    }

    fn arrive(&mut self, now: usize) {
        let (due, later) = self.late.drain(..).partition(|(when, ..)| *when <= now);
        self.late = later;
        let due: Vec<(usize, u8, u8)> = due;
        for (_, voter, choice) in due {
            self.enqueue(voter, choice);
        }
    }

    fn happen(&mut self, now: usize, event: Event) {
        let Event {
            voter,
            choice,
            fate,
        } = event;
        let outcome = match fate {
            Fate::Accepted => Outcome::Accepted(self.enqueue(voter, choice)),
            Fate::Refused => Outcome::Refused(409),
            Fate::NotSent => Outcome::NotSent,
            Fate::Vanished => Outcome::Ambiguous(Doubt::Timeout),
            Fate::Unanswered => {
                self.enqueue(voter, choice);
                Outcome::Ambiguous(Doubt::Broken)
            }
            Fate::Late(after) => {
                self.late.push((now + after, voter, choice));
                Outcome::Ambiguous(Doubt::Status(503))
            }
        };
        let attempt = Attempt {
            choice,
            replica: 0,
            sent_ms: 0,
            known_ms: 0,
            outcome,
        };
        self.history.voters[usize::from(voter)].add(attempt);
        self.all.entry(voter).or_default().push(attempt);
    }

    fn votes(&self) -> Votes {
        let standing = self
            .standing
            .iter()
            .map(|(number, (id, choice))| (voter(*number).to_string(), standing(*choice, *id)));
        let mut votes = Votes {
            standing: standing.collect(),
            ..Votes::default()
        };
        votes.tally = votes.counted();
        votes
    }

    fn seen(&self) -> Seen {
        seen(self.votes())
    }
}

fn standing(choice: u8, ballot: BallotId) -> Standing {
    Standing {
        choice: OPTIONS[usize::from(choice)].to_owned(),
        ballot: Some(ballot),
    }
}

/// A result page that shows the tally.
fn seen(votes: Votes) -> Seen {
    let count = |option| votes.tally.get(option).copied().unwrap_or_default();
    let shown = Shown {
        total: OPTIONS.into_iter().map(count).sum(),
        options: OPTIONS
            .into_iter()
            .map(|option| (option.to_owned(), Some(count(option))))
            .collect(),
        stale: false,
    };
    Seen {
        votes: Some(votes),
        shown,
    }
}

fn nothing() -> Seen {
    seen(Votes::default())
}

/// The same, for those who do not look into the store.
fn outside(mut seen: Seen) -> Seen {
    seen.votes = None;
    seen
}

fn rules(violations: &[Violation]) -> Vec<&'static str> {
    let mut rules: Vec<_> = violations.iter().map(Violation::rule).collect();
    rules.sort_unstable();
    rules
}

/// The rule of this module's parent said once more, over all attempts.
fn is_legal(attempts: &[Attempt], standing: Option<(BallotId, u8)>) -> bool {
    let accepted = |attempt: &Attempt| match attempt.outcome {
        Outcome::Accepted(id) => Some((id, attempt.choice)),
        _ => None,
    };
    let newest = attempts.iter().rev().find_map(accepted);
    let doubtful = |choice| {
        attempts
            .iter()
            .any(|it| matches!(it.outcome, Outcome::Ambiguous(_)) && it.choice == choice)
    };
    match (newest, standing) {
        (None, None) => true,
        (Some(_), None) => false,
        (None, Some((_, choice))) => doubtful(choice),
        (Some((id, of)), Some((stands, choice))) => {
            (stands == id && choice == of) || (stands > id && doubtful(choice))
        }
    }
}

proptest! {
    #[test]
    fn nothing_that_the_queue_and_the_store_can_do_is_complained_of(events in events()) {
        let model = Model::of(&events);
        prop_assert_eq!(check(&model.history, &nothing(), &model.seen()), []);
        prop_assert_eq!(check(&model.history, &outside(nothing()), &outside(model.seen())), []);
    }

    #[test]
    fn a_vote_may_stand_where_the_rule_says_so_and_nowhere_else(
        events in events(),
        number in 0..VOTERS,
        vote in prop::option::of((0..60_u64, 0..3_u8)),
    ) {
        let model = Model::of(&events);
        let vote = vote.map(|(place, choice)| {
            (BallotId { ms: 1000 + place / 3, seq: place % 3 }, choice)
        });
        let mut votes = model.votes();
        let key = voter(number).to_string();
        votes.standing.remove(&key);
        if let Some((id, choice)) = vote {
            votes.standing.insert(key, standing(choice, id));
        }
        votes.tally = votes.counted();
        let attempts = model.all.get(&number).map_or(&[][..], Vec::as_slice);
        let violations = check_votes(&model.history, &Votes::default(), &votes);
        prop_assert_eq!(violations.is_empty(), is_legal(attempts, vote), "{:?}", violations);
    }

    #[test]
    fn a_lost_vote_is_found_with_the_store_and_without(events in events(), number in 0..VOTERS) {
        let mut model = Model::of(&events);
        prop_assume!(model.history.voters[usize::from(number)].accepted.is_some());
        model.standing.remove(&number);
        let violations = check_votes(&model.history, &Votes::default(), &model.votes());
        prop_assert_eq!(rules(&violations), ["lost"]);
        // From outside sums are all there is: they tell where no doubt is left.
        let doubt = model.history.voters.iter().any(|record| !record.ambiguous.is_empty());
        let violations = check(&model.history, &outside(nothing()), &outside(model.seen()));
        prop_assert!(doubt || violations.len() == 2, "the total and the option: {:?}", violations);
    }

    #[test]
    fn votes_of_others_must_stay_as_they_were(events in events(), what in 0..4_u8) {
        let model = Model::of(&events);
        let other = || (voter(100).to_string(), standing(0, BallotId { ms: 1, seq: 0 }));
        let mut before = Votes { standing: [other()].into(), ..Votes::default() };
        before.tally = before.counted();
        let mut after = model.votes();
        match what {
            0 => after.standing.extend([other()]),
            1 => {}
            2 => after.standing.extend([(other().0, standing(1, BallotId { ms: 1, seq: 0 }))]),
            _ => after.standing.extend([other(), (voter(101).to_string(), other().1)]),
        }
        after.tally = after.counted();
        let expected: &[_] = match what {
            0 => &[],
            1 | 2 => &["changed"],
            _ => &["unknown"],
        };
        prop_assert_eq!(rules(&check_votes(&model.history, &before, &after)), expected);
    }

    #[test]
    fn a_wrong_tally_is_found(events in events(), option in 0..3_usize, off in 1..3_u64) {
        let model = Model::of(&events);
        let mut votes = model.votes();
        *votes.tally.entry(OPTIONS[option].to_owned()).or_default() += off;
        prop_assert_eq!(rules(&check_votes(&model.history, &Votes::default(), &votes)), ["tally"]);
        let mut wrong = model.seen();
        wrong.shown.total += off;
        let found = check(&model.history, &nothing(), &wrong);
        prop_assert!(rules(&found).contains(&"shown"), "{:?}", found);
    }
}

fn accepted(ms: u64, choice: u8) -> Attempt {
    let outcome = Outcome::Accepted(BallotId { ms, seq: 0 });
    Attempt {
        choice,
        replica: 0,
        sent_ms: 3,
        known_ms: 5,
        outcome,
    }
}

fn one_voter(attempts: &[Attempt]) -> History {
    let mut record = VoterRecord::new(voter(1));
    for attempt in attempts {
        record.add(*attempt);
    }
    History {
        options: OPTIONS.map(str::to_owned).into(),
        voters: vec![record],
    }
}

fn one_vote(choice: u8, ms: u64) -> Votes {
    let vote = (
        voter(1).to_string(),
        standing(choice, BallotId { ms, seq: 0 }),
    );
    let mut votes = Votes {
        standing: [vote].into(),
        ..Votes::default()
    };
    votes.tally = votes.counted();
    votes
}

#[test]
fn an_older_vote_that_stands_is_named_with_voter_and_attempts() {
    let history = one_voter(&[accepted(10, 0), accepted(20, 1)]);
    let violations = check_votes(&history, &Votes::default(), &one_vote(0, 10));
    let lines: Vec<_> = violations.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "outdated: a vote for \"a\" by ballot 10-0 stands, and the newer ballot 20-0 was accepted; voter \
             00000000000000000000000000000001, attempts 2: a accepted as 10-0 (3–5 ms, URL 0), b accepted as 20-0 (3–5 \
             ms, URL 0)"
        ]
    );
}

#[test]
fn an_older_ambiguous_vote_may_stand_with_a_newer_id_only() {
    let ambiguous = Attempt {
        outcome: Outcome::Ambiguous(Doubt::Timeout),
        ..accepted(0, 0)
    };
    let history = one_voter(&[ambiguous, accepted(20, 1)]);
    let found = |votes| rules(&check_votes(&history, &Votes::default(), &votes));
    assert_eq!(found(one_vote(0, 21)), [""; 0], "it came late");
    assert_eq!(found(one_vote(0, 19)), ["outdated"]);
    assert_eq!(found(one_vote(0, 20)), ["never cast"]);
    assert_eq!(found(one_vote(2, 21)), ["never cast"]);
    assert_eq!(
        found(one_vote(1, 21)),
        ["never cast"],
        "it was queued twice"
    );
}

#[test]
fn an_older_accepted_vote_may_not_come_back_with_a_newer_id() {
    let history = one_voter(&[accepted(10, 0), accepted(20, 1)]);
    let violations = check_votes(&history, &Votes::default(), &one_vote(0, 21));
    assert_eq!(rules(&violations), ["never cast"]);
}

#[test]
fn ids_that_go_back_and_voters_who_are_not_recognised_are_found_without_the_store() {
    let history = one_voter(&[accepted(20, 0), accepted(10, 0)]);
    let mut shown = one_vote(0, 20);
    let after = outside(seen(std::mem::take(&mut shown)));
    let found = check(&history, &outside(nothing()), &after);
    assert_eq!(rules(&found), ["reversed"]);

    let estranged = Attempt {
        outcome: Outcome::Estranged(BallotId { ms: 30, seq: 0 }),
        ..accepted(0, 0)
    };
    let history = one_voter(&[accepted(20, 0), estranged]);
    let found = check(&history, &outside(nothing()), &after);
    assert_eq!(rules(&found), ["estranged"]);
}

#[test]
fn hidden_votes_are_judged_by_their_sum() {
    let history = one_voter(&[accepted(20, 0)]);
    let hidden = |mut seen: Seen| {
        seen.votes = None;
        seen.shown
            .options
            .values_mut()
            .for_each(|votes| *votes = None);
        seen
    };
    let found = |after| rules(&check(&history, &hidden(nothing()), &hidden(after)));
    assert_eq!(found(seen(one_vote(1, 20))), [""; 0]);
    assert_eq!(found(nothing()), ["shown"]);
}
