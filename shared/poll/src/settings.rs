//! The settings of the poll.

use std::str::FromStr;

use clap::Args;

use crate::{
    InvalidOptions, InvalidSchedule, Moment, Options, Poll, PollId, ResultsMode, Schedule,
};

/// The settings of the poll. All services need the same values.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Poll")]
pub struct PollSettings {
    /// Id of the poll, 1 to 32 characters of a-z, 0-9 and hyphen. Votes are counted by it: with another id the poll is another one, without
    /// votes. If not set, it is computed from the question and the keys of the options
    #[arg(long, env = "POLL_ID", value_parser = PollId::from_str)]
    pub poll_id: Option<PollId>,

    /// Question of the poll; if not set, the labels of two options, such as Cats or Dogs?
    #[arg(long, env = "POLL_QUESTION", value_parser = parse_question)]
    pub poll_question: Option<String>,

    /// Options, 2 to 20 pairs of key=label, such as a=Cats,b=Dogs. A key has 1 to 32 characters of a-z, 0-9 and hyphen. Labels without
    /// keys, such as Cats,Dogs, get the keys a, b, …. In a label, write a comma as \, and an equals sign as \=
    #[arg(long, env = "POLL_OPTIONS", default_value = "a=Cats,b=Dogs", value_parser = Options::from_str)]
    pub poll_options: Options,

    /// Label of option a, as in the original app
    #[arg(long, env = "OPTION_A")]
    pub option_a: Option<String>,

    /// Label of option b, as in the original app
    #[arg(long, env = "OPTION_B")]
    pub option_b: Option<String>,

    /// Start of voting, such as 2027-03-01T09:00:00+01:00 or 2027-03-01T09:00[Europe/Berlin]; if not set, voting is open at once
    #[arg(long, env = "POLL_OPENS_AT", value_parser = Moment::from_str)]
    pub poll_opens_at: Option<Moment>,

    /// End of voting; if not set, voting never ends
    #[arg(long, env = "POLL_CLOSES_AT", value_parser = Moment::from_str)]
    pub poll_closes_at: Option<Moment>,

    /// Time from which the result is visible
    #[arg(long, env = "POLL_RESULTS", value_enum, default_value_t)]
    pub poll_results: ResultsMode,
}

impl PollSettings {
    /// Returns the poll of these settings.
    ///
    /// # Errors
    /// The poll would be invalid.
    pub fn poll(&self) -> Result<Poll, InvalidPoll> {
        let mut options = self.poll_options.clone();
        for (variable, key, label) in [
            ("OPTION_A", "a", &self.option_a),
            ("OPTION_B", "b", &self.option_b),
        ] {
            if let Some(label) = label
                && !options
                    .relabel(key, label)
                    .map_err(|source| InvalidPoll::Label { variable, source })?
            {
                return Err(InvalidPoll::NoSuchOption { variable, key });
            }
        }
        options.check_labels().map_err(InvalidPoll::SameLabel)?;
        let question = self
            .poll_question
            .clone()
            .unwrap_or_else(|| default_question(&options));
        let schedule = self.schedule()?;
        let computed = || PollId::compute(&question, &options);
        Ok(Poll {
            id: self.poll_id.clone().unwrap_or_else(computed),
            question,
            options,
            schedule,
        })
    }

    fn schedule(&self) -> Result<Schedule, InvalidPoll> {
        let (opens_at, closes_at) = (&self.poll_opens_at, &self.poll_closes_at);
        let [opens, closes] = [opens_at, closes_at].map(|at| at.as_ref().map(Moment::timestamp));
        let schedule = Schedule::new(opens, closes, self.poll_results);
        schedule.map_err(|error| match (error, opens_at, closes_at) {
            // The times as configured, not in UTC.
            (InvalidSchedule::ClosesBeforeItOpens { .. }, Some(opens_at), Some(closes_at)) => {
                InvalidPoll::ClosesBeforeItOpens {
                    opens_at: opens_at.clone(),
                    closes_at: closes_at.clone(),
                }
            }
            (error, ..) => error.into(),
        })
    }
}

/// Returns the question for two labels, such as "Cats or Dogs?", like the title of the original app, or a general one.
fn default_question(options: &Options) -> String {
    let labels: Vec<_> = options.iter().map(|option| option.label.as_str()).collect();
    match &labels[..] {
        [first, second] => format!("{first} or {second}?"),
        _ => "What do you choose?".to_owned(),
    }
}

fn parse_question(raw: &str) -> Result<String, String> {
    const MAX_LENGTH: usize = 300;
    let question = raw.trim();
    if question.is_empty()
        || question.chars().count() > MAX_LENGTH
        || question.chars().any(char::is_control)
    {
        return Err(format!(
            "a question has 1 to {MAX_LENGTH} characters and no control characters"
        ));
    }
    Ok(question.to_owned())
}

/// The settings of the poll are invalid.
#[derive(Debug, thiserror::Error)]
pub enum InvalidPoll {
    /// The schedule is invalid.
    #[error(transparent)]
    Schedule(#[from] InvalidSchedule),
    /// The poll would never be open.
    #[error("POLL_CLOSES_AT ({closes_at}) must be later than POLL_OPENS_AT ({opens_at})")]
    ClosesBeforeItOpens {
        /// The start of voting as configured.
        opens_at: Moment,
        /// The end of voting as configured.
        closes_at: Moment,
    },
    /// A label in a variable of the original app is invalid. The source has the reason.
    #[error("{variable}")]
    Label {
        /// The name of the variable.
        variable: &'static str,
        /// The reason.
        source: InvalidOptions,
    },
    /// Two labels are equal, one of them in a variable of the original app.
    #[error("OPTION_A or OPTION_B")]
    SameLabel(#[source] InvalidOptions),
    /// A variable of the original app sets the label of an option that does not exist.
    #[error(
        "{variable} sets the label of option {key:?}, which POLL_OPTIONS does not have; remove {variable}"
    )]
    NoSuchOption {
        /// The name of the variable.
        variable: &'static str,
        /// The key of the option.
        key: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        poll: PollSettings,
    }

    fn poll(flags: &[&str]) -> Result<Poll, String> {
        let cli =
            Cli::try_parse_from([&["test"], flags].concat()).map_err(|error| error.to_string())?;
        cli.poll.poll().map_err(|error| error.to_string())
    }

    #[test]
    fn the_default_is_cats_or_dogs() {
        let poll = poll(&[]).unwrap();
        assert_eq!(
            (poll.question.as_str(), poll.options.to_string().as_str()),
            ("Cats or Dogs?", "a=Cats,b=Dogs")
        );
    }

    #[test]
    fn an_id_keeps_the_poll_while_its_wording_changes() {
        let id = |flags: &[&str]| poll(flags).unwrap().id;
        assert_eq!(id(&[]).as_str(), "6998f771");
        assert_ne!(id(&["--poll-question", "Which?"]), id(&[]));
        let given = id(&["--poll-id", "pets", "--poll-question", "Which?"]);
        assert_eq!(given.as_str(), "pets");
        assert!(
            poll(&["--poll-id", "Pets"])
                .unwrap_err()
                .contains("1 to 32 characters of a-z, 0-9 and hyphen")
        );
    }

    #[test]
    fn variables_of_the_original_app_set_labels() {
        let poll = poll(&["--option-a", "Tea", "--option-b", "Coffee"]).unwrap();
        assert_eq!(
            (poll.question.as_str(), poll.options.to_string().as_str()),
            ("Tea or Coffee?", "a=Tea,b=Coffee")
        );
    }

    #[test]
    fn a_label_for_a_missing_option_is_rejected() {
        let message = poll(&["--poll-options", "x=X,y=Y", "--option-a", "Tea"]).unwrap_err();
        assert!(
            message.starts_with("OPTION_A sets the label of option \"a\""),
            "{message}"
        );
    }

    #[test]
    fn invalid_times_are_rejected() {
        let closes_first = [
            "--poll-opens-at",
            "2027-01-02T00:00:00Z",
            "--poll-closes-at",
            "2027-01-01T00:00:00+01:00",
        ];
        assert!(
            poll(&closes_first)
                .unwrap_err()
                .contains("must be later than POLL_OPENS_AT")
        );
        assert!(
            poll(&["--poll-results", "after-close"])
                .unwrap_err()
                .contains("needs POLL_CLOSES_AT")
        );
        assert!(
            poll(&["--poll-opens-at", "tomorrow"])
                .unwrap_err()
                .contains("write a date and a time")
        );
    }

    #[test]
    fn error_messages_show_times_as_configured() {
        let closes_first = [
            "--poll-opens-at",
            "2026-12-01T18:00[Europe/Berlin]",
            "--poll-closes-at",
            "2026-12-01T18:00:00+02:00",
        ];
        assert_eq!(
            poll(&closes_first).unwrap_err(),
            "POLL_CLOSES_AT (2026-12-01T18:00:00+02:00) must be later than POLL_OPENS_AT \
             (2026-12-01T18:00:00+01:00[Europe/Berlin])"
        );
    }

    #[test]
    fn labels_may_be_swapped_but_not_equal() {
        let swapped = poll(&["--option-a", "Dogs", "--option-b", "Cats"]).unwrap();
        assert_eq!(swapped.options.to_string(), "a=Dogs,b=Cats");
        assert!(
            poll(&["--option-a", "Dogs"])
                .unwrap_err()
                .starts_with("OPTION_A or OPTION_B")
        );
    }
}
