//! The text with the outcome of a closed poll. The page's script creates the same text.

use poll::Phase;

use crate::{snapshot::TallyDocument, texts::Texts};

/// Returns the winner, or all options that share the first place. Empty until the outcome is known: while the poll is open, the
/// result is hidden, or votes are still being counted.
pub fn outcome_text(tally: &TallyDocument, texts: &Texts) -> String {
    if tally.phase != Phase::Closed || !tally.visible || tally.counting.is_behind() {
        return String::new();
    }
    let most = tally.options.iter().filter_map(|option| option.votes).max();
    if most == Some(0) {
        return texts.no_votes_cast.clone();
    }
    let first = || tally.options.iter().filter(|option| option.votes == most);
    let labels: Vec<_> = first().map(|option| &*option.label).collect();
    if let ([label], Some(winner)) = (&labels[..], first().next()) {
        let percent = texts.percent(winner.percent);
        let text = texts.winner.replace("{percent}", &percent);
        return text.replace("{option}", label);
    }
    texts.tie.replace("{options}", &labels.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{counting::CountingDocument, snapshot::Snapshot, texts};
    use jiff::Timestamp;
    use poll::{Poll, ResultsMode, Schedule};
    use store::{OptionCount, Tally};
    use web::language::Language;

    const CLOSES: Timestamp = Timestamp::UNIX_EPOCH;

    fn outcome(votes: [i64; 3], now: Timestamp, behind_seconds: u64) -> String {
        let poll = Poll {
            id: "pets".parse().unwrap(),
            question: "Which?".into(),
            options: "a=Cats,b=Dogs,c={percent}".parse().unwrap(),
            schedule: Schedule::new(None, Some(CLOSES), ResultsMode::AfterClose).unwrap(),
        };
        let count = |(option, votes): (&str, i64)| OptionCount {
            option: option.into(),
            votes,
            last_cast_ms: 0,
        };
        let tally = Tally(["a", "b", "c"].into_iter().zip(votes).map(count).collect());
        let counting = CountingDocument {
            behind_seconds,
            reported_at: None,
        };
        let document = Snapshot::new(&poll, &tally, now, false, counting, now).document;
        outcome_text(&document, &texts::load()[Language::English])
    }

    #[test]
    fn a_closed_poll_has_a_winner_a_tie_or_no_votes() {
        assert_eq!(outcome([1, 3, 0], CLOSES, 0), "Dogs wins with 75.0%.");
        assert_eq!(outcome([0, 0, 1], CLOSES, 0), "{percent} wins with 100.0%.");
        assert_eq!(outcome([2, 2, 1], CLOSES, 0), "A tie: Cats, Dogs.");
        assert_eq!(outcome([0, 0, 0], CLOSES, 0), "No votes were cast.");
    }

    #[test]
    fn before_all_votes_are_counted_there_is_no_winner() {
        let before = CLOSES - jiff::SignedDuration::from_secs(1);
        assert_eq!(outcome([1, 3, 0], before, 0), "");
        assert_eq!(outcome([1, 3, 0], CLOSES, 5), "");
    }
}
