//! The HTML of the voting page.

use std::mem::discriminant;

use askama::Template;
use jiff::Timestamp;
use poll::{Phase, Poll};
use web::{TimeText, language::Language};

use crate::{page_cache::NoticeKind, state::AppState, texts::Texts, vote_error::VoteError};

/// Template of the voting page.
#[derive(Template)]
#[template(path = "vote.html")]
pub struct VotePage<'a> {
    state: &'a AppState,
    poll: &'a Poll,
    language: Language,
    texts: &'a Texts,
    phase: Phase,
    /// Time at which the poll opens, closes or closed, as a sentence.
    phase_text: Option<TimeText<'a>>,
    /// Time until the poll opens or closes, in milliseconds.
    next_change_ms: Option<i64>,
    /// Index of the option this voter last voted for.
    last_choice: Option<usize>,
    notice: Notice<'a>,
    /// Token of the form, for a browser that does not send where its requests come from.
    token: Option<String>,
}

/// Notice at the top of the page.
pub enum Notice<'a> {
    /// Asks the voter to choose.
    Hint,
    /// Says that voting has not begun.
    NotOpenYet,
    /// Says that voting is over.
    Over,
    /// Says that voting is over, and for which option the voter voted.
    OverWithChoice,
    /// Says that the voter's last vote was accepted.
    Accepted,
    /// Says that the vote was accepted, but the browser does not keep our cookie.
    CookieNotKept,
    /// Says why the vote was not accepted.
    Rejected(&'a VoteError),
}

impl Notice<'_> {
    /// Returns the kind of the notice if several voters may get the same page.
    pub fn kind(&self) -> Option<NoticeKind> {
        match self {
            Self::Hint | Self::NotOpenYet | Self::Over | Self::OverWithChoice => {
                Some(NoticeKind::Hint)
            }
            Self::Accepted => Some(NoticeKind::Accepted),
            Self::CookieNotKept => Some(NoticeKind::CookieNotKept),
            Self::Rejected(error) => error
                .is_service_fault()
                .then(|| NoticeKind::Rejected(discriminant(error))),
        }
    }

    /// Replaces a hint by the one for this phase.
    fn in_phase(self, phase: Phase, has_voted: bool) -> Self {
        match (&self, phase, has_voted) {
            (Self::Hint, Phase::NotOpenYet, _) => Self::NotOpenYet,
            (Self::Hint, Phase::Closed, false) => Self::Over,
            (Self::Hint, Phase::Closed, true) => Self::OverWithChoice,
            _ => self,
        }
    }

    fn class(&self) -> &'static str {
        match self {
            Self::Accepted => " good",
            Self::CookieNotKept | Self::Rejected(_) => " bad",
            _ => "",
        }
    }

    fn role(&self) -> &'static str {
        match self {
            Self::Rejected(_) => "alert",
            _ => "status",
        }
    }
}

impl<'a> VotePage<'a> {
    /// Creates the page for a voter who last voted for the option at this index.
    pub fn new(
        state: &'a AppState,
        language: Language,
        now: Timestamp,
        last_choice: Option<usize>,
        notice: Notice<'a>,
        token: Option<String>,
    ) -> Self {
        let texts = &state.texts[language];
        let schedule = &state.poll.schedule;
        let phase = schedule.phase(now);
        let (text, moment) = match phase {
            Phase::NotOpenYet => (&texts.opens, schedule.opens_at()),
            Phase::Open => (&texts.closes, schedule.closes_at()),
            Phase::Closed => (&texts.closed, schedule.closes_at()),
        };
        Self {
            state,
            poll: &state.poll,
            language,
            texts,
            phase,
            phase_text: moment.map(|moment| TimeText::new(text, moment)),
            next_change_ms: schedule
                .next_change(now)
                .map(|moment| moment.as_millisecond() - now.as_millisecond()),
            last_choice,
            notice: notice.in_phase(phase, last_choice.is_some()),
            token,
        }
    }

    /// Returns true if the browser was given a cookie.
    fn has_cookie(&self) -> bool {
        let has_voted = matches!(self.notice, Notice::Accepted | Notice::CookieNotKept);
        has_voted || self.token.is_some()
    }

    /// Returns the label of the option this voter last voted for.
    fn choice(&self) -> &str {
        let option = self
            .last_choice
            .and_then(|index| self.poll.options.iter().nth(index));
        option.map_or("", |option| &option.label)
    }
}
