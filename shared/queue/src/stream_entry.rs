//! An entry of the queue: fields that are not yet validated as a ballot.

use std::borrow::Cow;

use super::payload::{self, UnreadablePayload};
use poll::{
    InvalidPollId, KnownPolls, PollId, UnknownChoice,
    ballot::{Ballot, BallotId, CastBallot, InvalidVoterId, Traceparent, VoterId},
};

/// Names of an entry's fields.
pub(super) const POLL: &str = "poll";
pub(super) const VOTER: &str = "voter";
pub(super) const CHOICE: &str = "choice";
pub(super) const TRACEPARENT: &str = "traceparent";

/// Returns the fields of a ballot's entry.
pub(super) fn fields_of(ballot: &Ballot) -> impl Iterator<Item = (&'static str, Cow<'_, str>)> {
    let required = [
        (POLL, ballot.poll.as_str().into()),
        (VOTER, ballot.voter.to_string().into()),
        (CHOICE, ballot.choice.as_str().into()),
    ];
    let traceparent = ballot.traceparent.iter();
    required
        .into_iter()
        .chain(traceparent.map(|context| (TRACEPARENT, context.as_str().into())))
}

/// Entry of the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamEntry {
    /// Global id.
    pub id: BallotId,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
}

impl StreamEntry {
    pub(super) fn new(id: BallotId, fields: Vec<(Vec<u8>, Vec<u8>)>) -> Self {
        Self { id, fields }
    }

    /// Parses the ballot in this entry. An entry without a poll's id is a ballot for the poll of the settings.
    ///
    /// # Errors
    /// The entry is no valid ballot of a known poll. This is permanent, except for [`InvalidBallot::UnknownPoll`].
    pub fn parse(&self, polls: &KnownPolls) -> Result<CastBallot, InvalidBallot> {
        // The store has both numbers as signed 64-bit integers.
        if i64::try_from(self.id.ms).is_err() || i64::try_from(self.id.seq).is_err() {
            return Err(InvalidBallot::IdTooGreat);
        }
        let voter: VoterId = self.required(VOTER)?.parse()?;
        let id = self.text(POLL)?.unwrap_or(polls.settings_poll().as_str());
        let Some((poll, options)) = polls.find(id) else {
            let unknown = id.parse()?;
            self.required(CHOICE)?;
            return Err(InvalidBallot::UnknownPoll(unknown));
        };
        let choice = options.choice(self.required(CHOICE)?)?;
        let traceparent = self.traceparent();
        Ok(CastBallot {
            id: self.id,
            ballot: Ballot {
                poll: poll.clone(),
                voter,
                choice,
                traceparent,
            },
        })
    }

    /// Returns the id of the entry's poll; `None` if the entry has none, or an invalid one.
    #[must_use]
    pub fn poll(&self) -> Option<PollId> {
        self.text(POLL).ok().flatten()?.parse().ok()
    }

    /// Returns true if the entry names a poll that is not among these.
    #[must_use]
    pub fn has_unknown_poll(&self, polls: &KnownPolls) -> bool {
        let id = self.text(POLL).ok().flatten();
        id.is_some_and(|id| polls.find(id).is_none()) && self.poll().is_some()
    }

    /// Returns the fields as JSON, for dead letters and for [`Self::from_payload`].
    #[must_use]
    pub fn payload(&self) -> String {
        payload::write(&self.fields)
    }

    /// Returns the entry with this payload.
    ///
    /// # Errors
    /// The text is no payload, for example after an edit by hand.
    pub fn from_payload(id: BallotId, payload: &str) -> Result<Self, UnreadablePayload> {
        Ok(Self::new(id, payload::read(payload)?))
    }

    /// Returns the trace context. An invalid one is ignored: the vote still counts.
    pub(super) fn traceparent(&self) -> Option<Traceparent> {
        self.text(TRACEPARENT)
            .ok()
            .flatten()
            .and_then(Traceparent::parse)
    }

    fn required(&self, name: &'static str) -> Result<&str, InvalidBallot> {
        self.text(name)?.ok_or(InvalidBallot::Missing(name))
    }

    fn text(&self, name: &'static str) -> Result<Option<&str>, InvalidBallot> {
        let value = self
            .fields
            .iter()
            .find(|(field, _)| field == name.as_bytes())
            .map(|(_, value)| value);
        value
            .map(|bytes| std::str::from_utf8(bytes).map_err(|_| InvalidBallot::NotText(name)))
            .transpose()
    }
}

/// Reason why an entry cannot be stored.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum InvalidBallot {
    /// A field is missing.
    #[error("the entry has no field {0:?}")]
    Missing(&'static str),
    /// A field is not text.
    #[error("the field {0:?} is not UTF-8")]
    NotText(&'static str),
    /// The id does not come from the queue's clock.
    #[error("the id's numbers must be below 2^63")]
    IdTooGreat,
    /// The voter's id is invalid.
    #[error(transparent)]
    Voter(#[from] InvalidVoterId),
    /// The poll's id is invalid.
    #[error(transparent)]
    PollId(#[from] InvalidPollId),
    /// The poll is unknown. It may become known later.
    #[error(
        "the poll {0} is unknown; the ballot is counted when a worker with this poll has started"
    )]
    UnknownPoll(PollId),
    /// The choice is no option of this poll.
    #[error(transparent)]
    Choice(#[from] UnknownChoice),
}

#[cfg(test)]
mod tests {
    use super::*;
    use poll::{Poll, Schedule};
    use proptest::prelude::*;

    const VOTER_A: &str = "00112233445566778899aabbccddeeff";

    fn poll() -> Poll {
        Poll {
            id: "pets".parse().unwrap(),
            question: "?".into(),
            options: "a=Cats,b=Dogs".parse().unwrap(),
            schedule: Schedule::always(),
        }
    }

    fn polls() -> KnownPolls {
        KnownPolls::new(&poll())
    }

    type Fields<'a> = &'a [(&'a str, &'a [u8])];

    fn entry(fields: Fields<'_>) -> StreamEntry {
        let fields = fields
            .iter()
            .map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec()))
            .collect();
        StreamEntry::new(BallotId { ms: 1, seq: 0 }, fields)
    }

    #[test]
    fn a_written_ballot_is_read_back() {
        let ballot = Ballot {
            poll: poll().id,
            voter: VoterId::random(),
            choice: poll().choice("b").unwrap(),
            traceparent: Traceparent::parse(
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            ),
        };
        let fields = fields_of(&ballot)
            .map(|(name, value)| (name.into(), value.into_owned().into_bytes()))
            .collect();
        let id = BallotId { ms: 5, seq: 7 };
        assert_eq!(
            StreamEntry::new(id, fields).parse(&polls()),
            Ok(CastBallot { id, ballot })
        );
    }

    #[test]
    fn an_invalid_entry_is_rejected_with_the_reason() {
        let voter = (VOTER, VOTER_A.as_bytes());
        let cases: [(Fields<'_>, &str); 9] = [
            (&[], "no field \"voter\""),
            (&[voter], "no field \"choice\""),
            (&[voter, (CHOICE, b"c")], "choices are: a, b"),
            (&[voter, (CHOICE, b"a\0")], "choices are: a, b"),
            (&[voter, (CHOICE, b"\xff")], "not UTF-8"),
            (&[(VOTER, b"x"), (CHOICE, b"a")], "32 lowercase hexadecimal"),
            (
                &[(VOTER, &[b'a'; 300]), (CHOICE, b"a")],
                "32 lowercase hexadecimal",
            ),
            (
                &[voter, (CHOICE, b"a"), (POLL, b"Pets")],
                "a poll id has 1 to 32",
            ),
            (
                &[voter, (CHOICE, b"a"), (POLL, b"tea")],
                "the poll tea is unknown",
            ),
        ];
        for (fields, reason) in cases {
            let message = entry(fields).parse(&polls()).unwrap_err().to_string();
            assert!(message.contains(reason), "{message}");
        }
        let mut far = entry(&[voter, (CHOICE, b"a")]);
        far.id.ms = u64::MAX;
        assert_eq!(far.parse(&polls()), Err(InvalidBallot::IdTooGreat));
    }

    #[test]
    fn a_ballot_is_one_of_its_own_poll() {
        let in_poll = |poll: &str, choice: &str| {
            let fields = [
                (VOTER, VOTER_A.as_bytes()),
                (POLL, poll.as_bytes()),
                (CHOICE, choice.as_bytes()),
            ];
            entry(&fields)
        };
        let tea: PollId = "tea".parse().unwrap();
        let mut polls = polls();
        polls.add(tea.clone(), "x=Tea,y=Coffee".parse().unwrap());
        let ballot = in_poll("tea", "y").parse(&polls).unwrap().ballot;
        assert_eq!((ballot.poll, ballot.choice.as_str()), (tea, "y"));
        for (poll, choice) in [("pets", "y"), ("tea", "a")] {
            let error = in_poll(poll, choice).parse(&polls).unwrap_err();
            assert!(matches!(error, InvalidBallot::Choice(_)), "{error}");
        }
        let without = entry(&[(VOTER, VOTER_A.as_bytes()), (CHOICE, b"a")]);
        assert_eq!(without.parse(&polls).unwrap().ballot.poll, poll().id);
    }

    #[test]
    fn an_invalid_trace_context_is_ignored() {
        let entry = entry(&[
            (VOTER, VOTER_A.as_bytes()),
            (CHOICE, b"a"),
            (TRACEPARENT, b"nonsense"),
        ]);
        assert_eq!(entry.parse(&polls()).unwrap().ballot.traceparent, None);
    }

    proptest! {
        #[test]
        fn parsing_never_panics(ms: u64, seq: u64, fields: Vec<(Vec<u8>, Vec<u8>)>) {
            let entry = StreamEntry::new(BallotId { ms, seq }, fields);
            let _ = (entry.parse(&polls()), entry.payload());
        }

        #[test]
        fn an_entry_read_from_its_payload_parses_to_the_same_ballot(
            fields in proptest::collection::vec(
                (
                    prop_oneof![Just(VOTER), Just(CHOICE), Just(TRACEPARENT), Just("more")],
                    prop_oneof![
                        Just(VOTER_A.as_bytes().to_vec()),
                        Just(b"a".to_vec()),
                        Just(b"c".to_vec()),
                        any::<Vec<u8>>(),
                    ],
                ),
                0..6,
            ),
        ) {
            let fields = fields.into_iter().map(|(name, value)| (name.as_bytes().to_vec(), value));
            let entry = StreamEntry::new(BallotId { ms: 1, seq: 0 }, fields.collect());
            let replayed = StreamEntry::from_payload(entry.id, &entry.payload()).unwrap();
            prop_assert_eq!(replayed.parse(&polls()), entry.parse(&polls()));
        }
    }
}
