//! Tests of the rules against a model of the queue and the store. Every state that the model can reach is legal, with any
//! timeouts and delays, and every other state is a violation.

use std::collections::BTreeMap;

use poll::ballot::VoterId;
use proptest::prelude::*;

use super::*;
use crate::history::{AmbiguityReason, Attempt, Outcome};

const OPTIONS: [&str; 3] = ["a", "b", "c"];
const VOTERS: u8 = 4;

/// Effect of an attempt on the model's queue.
#[derive(Clone, Copy, Debug)]
enum Effect {
    Accepted,
    Rejected,
    NotSent,
    /// The request timed out, and the ballot never enters the queue.
    Lost,
    /// The ballot is in the queue, but the response was lost.
    LostResponse,
    /// The request timed out, and the ballot enters the queue after this many more attempts of any voters.
    Delayed(usize),
}

#[derive(Clone, Copy, Debug)]
struct Event {
    voter: u8,
    choice: u8,
    effect: Effect,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let effect = prop_oneof![
        6 => Just(Effect::Accepted),
        1 => Just(Effect::Rejected),
        1 => Just(Effect::NotSent),
        1 => Just(Effect::Lost),
        1 => Just(Effect::LostResponse),
        2 => (0..8_usize).prop_map(Effect::Delayed),
    ];
    let event = (0..VOTERS, 0..3_u8, effect).prop_map(|(voter, choice, effect)| Event {
        voter,
        choice,
        effect,
    });
    prop::collection::vec(event, 1..40)
}

fn voter(number: u8) -> VoterId {
    format!("{number:032x}").parse().unwrap()
}

/// Queue and store in the quiescent state, and the history of the voters.
#[derive(Clone, Debug, Default)]
struct Model {
    next: u64,
    /// Stored vote of each voter: the ballot with the greatest id.
    stored: BTreeMap<u8, (BallotId, u8)>,
    /// Delayed ballots: due time, voter, choice.
    delayed: Vec<(usize, u8, u8)>,
    history: History,
    /// All attempts of each voter.
    attempts: BTreeMap<u8, Vec<Attempt>>,
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
            model.deliver_delayed(now);
            model.apply(now, *event);
        }
        model.deliver_delayed(usize::MAX);
        model
    }

    /// Adds a ballot with the next id.
    fn enqueue(&mut self, voter: u8, choice: u8) -> BallotId {
        self.next += 1;
        let id = BallotId {
            ms: 1000 + self.next / 3,
            seq: self.next % 3,
        };
        self.stored.insert(voter, (id, choice));
        id
    }

    fn deliver_delayed(&mut self, now: usize) {
        let (due, later) = self.delayed.drain(..).partition(|(at, ..)| *at <= now);
        self.delayed = later;
        let due: Vec<(usize, u8, u8)> = due;
        for (_, voter, choice) in due {
            self.enqueue(voter, choice);
        }
    }

    fn apply(&mut self, now: usize, event: Event) {
        let Event {
            voter,
            choice,
            effect,
        } = event;
        let outcome = match effect {
            Effect::Accepted => Outcome::Accepted(self.enqueue(voter, choice)),
            Effect::Rejected => Outcome::Rejected(409),
            Effect::NotSent => Outcome::NotSent,
            Effect::Lost => Outcome::Ambiguous(AmbiguityReason::Timeout),
            Effect::LostResponse => {
                self.enqueue(voter, choice);
                Outcome::Ambiguous(AmbiguityReason::BrokenConnection)
            }
            Effect::Delayed(after) => {
                self.delayed.push((now + after, voter, choice));
                Outcome::Ambiguous(AmbiguityReason::Status(503))
            }
        };
        let attempt = Attempt {
            choice,
            replica: 0,
            sent_ms: 0,
            completed_ms: 0,
            outcome,
        };
        self.history.voters[usize::from(voter)].add(attempt);
        self.attempts.entry(voter).or_default().push(attempt);
    }

    fn snapshot(&self) -> StoreSnapshot {
        let votes = self
            .stored
            .iter()
            .map(|(number, (id, choice))| (voter(*number).to_string(), stored(*choice, *id)));
        let mut snapshot = StoreSnapshot {
            votes: votes.collect(),
            ..StoreSnapshot::default()
        };
        snapshot.tally = snapshot.count_votes();
        snapshot
    }

    fn observation(&self) -> Observation {
        observation(self.snapshot())
    }
}

fn stored(choice: u8, ballot: BallotId) -> StoredVote {
    StoredVote {
        choice: OPTIONS[usize::from(choice)].to_owned(),
        ballot: Some(ballot),
    }
}

/// Creates an observation in which the result page shows the tally of the store.
fn observation(store: StoreSnapshot) -> Observation {
    let count = |option| store.tally.get(option).copied().unwrap_or_default();
    let reported = ReportedTally {
        total: OPTIONS.into_iter().map(count).sum(),
        options: OPTIONS
            .into_iter()
            .map(|option| (option.to_owned(), Some(count(option))))
            .collect(),
        stale: false,
    };
    Observation {
        store: Some(store),
        reported,
    }
}

fn empty() -> Observation {
    observation(StoreSnapshot::default())
}

/// Returns the observation without the store.
fn without_store(mut observation: Observation) -> Observation {
    observation.store = None;
    observation
}

fn rules(violations: &[Violation]) -> Vec<&'static str> {
    let mut rules: Vec<_> = violations.iter().map(Violation::rule).collect();
    rules.sort_unstable();
    rules
}

/// Second implementation of the rule for one voter, over all its attempts.
fn is_legal(attempts: &[Attempt], stored: Option<(BallotId, u8)>) -> bool {
    let accepted = |attempt: &Attempt| match attempt.outcome {
        Outcome::Accepted(id) => Some((id, attempt.choice)),
        _ => None,
    };
    let newest = attempts.iter().rev().find_map(accepted);
    let is_ambiguous = |choice| {
        attempts.iter().any(|attempt| {
            matches!(attempt.outcome, Outcome::Ambiguous(_)) && attempt.choice == choice
        })
    };
    match (newest, stored) {
        (None, None) => true,
        (Some(_), None) => false,
        (None, Some((_, choice))) => is_ambiguous(choice),
        (Some((newest_id, newest_choice)), Some((id, choice))) => {
            (id == newest_id && choice == newest_choice) || (id > newest_id && is_ambiguous(choice))
        }
    }
}

proptest! {
    #[test]
    fn every_reachable_state_is_legal(events in events()) {
        let model = Model::of(&events);
        prop_assert_eq!(check(&model.history, &empty(), &model.observation()), []);
        prop_assert_eq!(check(&model.history, &without_store(empty()), &without_store(model.observation())), []);
    }

    #[test]
    fn a_stored_vote_is_a_violation_exactly_when_the_rule_forbids_it(
        events in events(),
        number in 0..VOTERS,
        vote in prop::option::of((0..60_u64, 0..3_u8)),
    ) {
        let model = Model::of(&events);
        let vote = vote.map(|(index, choice)| {
            (BallotId { ms: 1000 + index / 3, seq: index % 3 }, choice)
        });
        let mut snapshot = model.snapshot();
        let key = voter(number).to_string();
        snapshot.votes.remove(&key);
        if let Some((id, choice)) = vote {
            snapshot.votes.insert(key, stored(choice, id));
        }
        snapshot.tally = snapshot.count_votes();
        let attempts = model.attempts.get(&number).map_or(&[][..], Vec::as_slice);
        let violations = check_store(&model.history, &StoreSnapshot::default(), &snapshot);
        prop_assert_eq!(violations.is_empty(), is_legal(attempts, vote), "{:?}", violations);
    }

    #[test]
    fn a_lost_vote_is_found_with_the_store_and_without(events in events(), number in 0..VOTERS) {
        let mut model = Model::of(&events);
        prop_assume!(model.history.voters[usize::from(number)].accepted.is_some());
        model.stored.remove(&number);
        let violations = check_store(&model.history, &StoreSnapshot::default(), &model.snapshot());
        prop_assert_eq!(rules(&violations), ["lost"]);
        // Without the store only sums are known, which are exact if no attempt is ambiguous.
        let is_ambiguous = model.history.voters.iter().any(|record| !record.ambiguous.is_empty());
        let violations = check(&model.history, &without_store(empty()), &without_store(model.observation()));
        prop_assert!(is_ambiguous || violations.len() == 2, "the total and the option: {:?}", violations);
    }

    #[test]
    fn votes_from_before_the_run_must_be_unchanged(events in events(), case in 0..4_u8) {
        let model = Model::of(&events);
        let other = || (voter(100).to_string(), stored(0, BallotId { ms: 1, seq: 0 }));
        let mut before = StoreSnapshot { votes: [other()].into(), ..StoreSnapshot::default() };
        before.tally = before.count_votes();
        let mut after = model.snapshot();
        match case {
            0 => after.votes.extend([other()]),
            1 => {}
            2 => after.votes.extend([(other().0, stored(1, BallotId { ms: 1, seq: 0 }))]),
            _ => after.votes.extend([other(), (voter(101).to_string(), other().1)]),
        }
        after.tally = after.count_votes();
        let expected: &[_] = match case {
            0 => &[],
            1 | 2 => &["changed"],
            _ => &["unknown"],
        };
        prop_assert_eq!(rules(&check_store(&model.history, &before, &after)), expected);
    }

    #[test]
    fn a_wrong_tally_is_found(events in events(), option in 0..3_usize, excess in 1..3_u64) {
        let model = Model::of(&events);
        let mut snapshot = model.snapshot();
        *snapshot.tally.entry(OPTIONS[option].to_owned()).or_default() += excess;
        prop_assert_eq!(rules(&check_store(&model.history, &StoreSnapshot::default(), &snapshot)), ["tally"]);
        let mut wrong = model.observation();
        wrong.reported.total += excess;
        let found = check(&model.history, &empty(), &wrong);
        prop_assert!(rules(&found).contains(&"reported-tally"), "{:?}", found);
    }
}

fn accepted(ms: u64, choice: u8) -> Attempt {
    let outcome = Outcome::Accepted(BallotId { ms, seq: 0 });
    Attempt {
        choice,
        replica: 0,
        sent_ms: 3,
        completed_ms: 5,
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

fn one_vote(choice: u8, ms: u64) -> StoreSnapshot {
    let vote = (
        voter(1).to_string(),
        stored(choice, BallotId { ms, seq: 0 }),
    );
    let mut snapshot = StoreSnapshot {
        votes: [vote].into(),
        ..StoreSnapshot::default()
    };
    snapshot.tally = snapshot.count_votes();
    snapshot
}

#[test]
fn an_outdated_vote_is_reported_with_voter_and_attempts() {
    let history = one_voter(&[accepted(10, 0), accepted(20, 1)]);
    let violations = check_store(&history, &StoreSnapshot::default(), &one_vote(0, 10));
    let lines: Vec<_> = violations.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "outdated: a vote for \"a\" by ballot 10-0 is stored, but the newer ballot 20-0 was accepted; voter \
             00000000000000000000000000000001, attempts 2: a accepted as 10-0 (3–5 ms, URL 0), b accepted as 20-0 (3–5 \
             ms, URL 0)"
        ]
    );
}

#[test]
fn an_older_ambiguous_vote_is_legal_only_with_a_newer_id() {
    let ambiguous = Attempt {
        outcome: Outcome::Ambiguous(AmbiguityReason::Timeout),
        ..accepted(0, 0)
    };
    let history = one_voter(&[ambiguous, accepted(20, 1)]);
    let found = |store| rules(&check_store(&history, &StoreSnapshot::default(), &store));
    assert_eq!(found(one_vote(0, 21)), [""; 0], "the ballot was delayed");
    assert_eq!(found(one_vote(0, 19)), ["outdated"]);
    assert_eq!(found(one_vote(0, 20)), ["phantom"]);
    assert_eq!(found(one_vote(2, 21)), ["phantom"]);
    assert_eq!(
        found(one_vote(1, 21)),
        ["phantom"],
        "the ballot was queued twice"
    );
}

#[test]
fn an_older_accepted_vote_with_a_newer_id_is_a_violation() {
    let history = one_voter(&[accepted(10, 0), accepted(20, 1)]);
    let violations = check_store(&history, &StoreSnapshot::default(), &one_vote(0, 21));
    assert_eq!(rules(&violations), ["phantom"]);
}

#[test]
fn id_order_and_voter_mismatch_are_found_without_the_store() {
    let history = one_voter(&[accepted(20, 0), accepted(10, 0)]);
    let after = without_store(observation(one_vote(0, 20)));
    let found = check(&history, &without_store(empty()), &after);
    assert_eq!(rules(&found), ["id-order"]);

    let mismatch = Attempt {
        outcome: Outcome::VoterMismatch(BallotId { ms: 30, seq: 0 }),
        ..accepted(0, 0)
    };
    let history = one_voter(&[accepted(20, 0), mismatch]);
    let found = check(&history, &without_store(empty()), &after);
    assert_eq!(rules(&found), ["voter-mismatch"]);
}

#[test]
fn hidden_votes_are_checked_by_their_sum() {
    let history = one_voter(&[accepted(20, 0)]);
    let hidden = |mut observation: Observation| {
        observation.store = None;
        observation
            .reported
            .options
            .values_mut()
            .for_each(|votes| *votes = None);
        observation
    };
    let found = |after| rules(&check(&history, &hidden(empty()), &hidden(after)));
    assert_eq!(found(observation(one_vote(1, 20))), [""; 0]);
    assert_eq!(found(empty()), ["reported-tally"]);
}
