//! The HTML of the voting page.

use askama::Template;
use jiff::Timestamp;
use poll::{Phase, Poll};
use web::{TimeText, language::Language};

use crate::{state::AppState, texts::Texts, vote_error::VoteError};

/// Template of the voting page.
#[derive(Template)]
#[template(path = "vote.html")]
pub struct VotePage<'a> {
    state: &'a AppState,
    poll: &'a Poll,
    language: Language,
    texts: &'a Texts,
    content: &'a PageContent,
    /// Time at which the poll opens, closes or closed, as a sentence.
    phase_text: Option<TimeText<'a>>,
    /// Time at which the poll opens or closes.
    next_change: Option<Timestamp>,
    /// Token of the form, for a browser that sends no fetch metadata.
    token: Option<String>,
}

/// Content of the page that differs between voters, except for a token. It contains no current time, so the page stays the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PageContent {
    phase: Phase,
    /// Index of the option this voter last voted for.
    last_choice: Option<usize>,
    notice: Notice,
    voter_id: VoterIdText,
}

/// The part of the page about the voter's id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum VoterIdText {
    /// A link to the page that shows the id.
    #[default]
    Link,
    /// The id.
    Id(String),
    /// Says that the browser has no cookie and so no id.
    NoCookie,
}

/// Notice at the top of the page.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Notice {
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
    Rejected(VoteError),
}

impl PageContent {
    /// Returns the content for a voter who last voted for the option at this index.
    pub fn new(phase: Phase, last_choice: Option<usize>, notice: Notice) -> Self {
        Self {
            phase,
            last_choice,
            notice: notice.in_phase(phase, last_choice.is_some()),
            voter_id: VoterIdText::default(),
        }
    }

    /// Returns the same content with another text about the voter's id.
    pub fn with_voter_id(self, voter_id: VoterIdText) -> Self {
        Self { voter_id, ..self }
    }

    /// Returns true if several voters get the same page.
    pub fn is_shared(&self) -> bool {
        let is_shared_notice = match &self.notice {
            Notice::Rejected(error) => error.is_service_fault(),
            _ => true,
        };
        is_shared_notice && !matches!(self.voter_id, VoterIdText::Id(_))
    }
}

impl Notice {
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
    /// Creates the page.
    pub fn new(
        state: &'a AppState,
        language: Language,
        content: &'a PageContent,
        token: Option<String>,
    ) -> Self {
        let texts = &state.texts[language];
        let schedule = &state.poll.schedule;
        let (text, moment) = match content.phase {
            Phase::NotOpenYet => (&texts.opens, schedule.opens_at()),
            Phase::Open => (&texts.closes, schedule.closes_at()),
            Phase::Closed => (&texts.closed, schedule.closes_at()),
        };
        Self {
            state,
            poll: &state.poll,
            language,
            texts,
            content,
            phase_text: moment.map(|moment| TimeText::new(text, moment)),
            next_change: moment.filter(|_| content.phase != Phase::Closed),
            token,
        }
    }

    /// Returns true if the browser was given a cookie.
    fn has_cookie(&self) -> bool {
        let has_voted = matches!(
            self.content.notice,
            Notice::Accepted | Notice::CookieNotKept
        );
        has_voted || self.token.is_some()
    }

    /// Returns the label of the option this voter last voted for.
    fn choice(&self) -> &str {
        let option = self
            .content
            .last_choice
            .and_then(|index| self.poll.options.iter().nth(index));
        option.map_or("", |option| &option.label)
    }
}
