//! The outcome of a poll that is closed, in words. The page's script says the same.

use poll::Phase;

use crate::{snapshot::TallyDocument, texts::Texts};

/// Names the winner, or all who share the first place; empty before that is known: while the poll is open, the result
/// hidden, or votes are still being counted.
pub fn text(tally: &TallyDocument, texts: &Texts) -> String {
    if tally.phase != Phase::Closed || !tally.visible || tally.counting.is_behind() {
        return String::new();
    }
    let most = tally.options.iter().filter_map(|option| option.votes).max();
    if most == Some(0) {
        return texts.nobody.clone();
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
        text(&document, &texts::all()[Language::English])
    }

    #[test]
    fn a_closed_poll_has_a_winner_a_tie_or_no_votes() {
        assert_eq!(outcome([1, 3, 0], CLOSES, 0), "Dogs wins with 75.0%.");
        assert_eq!(outcome([0, 0, 1], CLOSES, 0), "{percent} wins with 100.0%.");
        assert_eq!(outcome([2, 2, 1], CLOSES, 0), "A tie: Cats, Dogs.");
        assert_eq!(outcome([0, 0, 0], CLOSES, 0), "No votes were cast.");
    }

    #[test]
    fn before_all_is_counted_nobody_has_won() {
        let before = CLOSES - jiff::SignedDuration::from_secs(1);
        assert_eq!(outcome([1, 3, 0], before, 0), "");
        assert_eq!(outcome([1, 3, 0], CLOSES, 5), "");
    }
}
