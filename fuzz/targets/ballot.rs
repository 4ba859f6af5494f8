//! An entry of the queue, which others may have written, and a dead letter's payload, which may have been changed by hand.
#![no_main]

use libfuzzer_sys::fuzz_target;
use poll::{KnownPolls, Poll, Schedule, ballot::BallotId};
use queue::StreamEntry;

fuzz_target!(|payload: &str| {
    let id = BallotId { ms: 1, seq: 0 };
    let Ok(entry) = StreamEntry::from_payload(id, payload) else {
        return;
    };
    let payload = entry.payload();
    let again = StreamEntry::from_payload(id, &payload).map(|again| again.payload());
    assert_eq!(again.ok(), Some(payload), "the payload round-trips");
    let poll = Poll {
        id: "pets".parse().expect("the id is valid"),
        question: String::new(),
        options: "a=Cats,b=Dogs".parse().expect("the options are valid"),
        schedule: Schedule::always(),
    };
    if let Ok(cast) = entry.parse(&KnownPolls::new(&poll)) {
        assert!(["a", "b"].contains(&cast.ballot.choice.as_str()));
    }
});
