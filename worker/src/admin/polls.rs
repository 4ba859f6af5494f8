//! Lists the polls.

use std::io::{self, Write};

use cli::escape_control;
use poll::Poll;
use store::{RecordedPoll, Store};

use super::{output::ignore_broken_pipe, pluralize};

/// Prints one line for each poll: id, number of votes, question.
///
/// # Errors
/// The store failed.
pub async fn list(store: &Store, settings_poll: &Poll) -> anyhow::Result<()> {
    let mut lines = Vec::new();
    for RecordedPoll { poll, votes } in store.polls().await? {
        let votes = pluralize(votes, "vote");
        let question = escape_control(&poll.question);
        let mark = if poll.id == settings_poll.id {
            "  (of the settings)"
        } else {
            ""
        };
        lines.push(format!("{}  {votes}  {question}{mark}", poll.id));
    }
    if lines.is_empty() {
        lines.push("no polls".to_owned());
    }
    ignore_broken_pipe(writeln!(io::stdout(), "{}", lines.join("\n")))?;
    Ok(())
}
