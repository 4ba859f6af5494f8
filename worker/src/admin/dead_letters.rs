//! Lists the dead letters.

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use cli::{escape_control, escape_control_json};
use serde_json::{Value, json};
use store::{DeadLetter, Store};

use super::output::ignore_broken_pipe;

/// Maximum number of characters of a payload in the text format.
const MAX_PAYLOAD_CHARS: usize = 1000;

/// The arguments of `admin dead-letters`.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    /// Text for people
    #[default]
    Text,
    /// One JSON object per line, for programs
    Json,
}

impl Settings {
    pub(super) async fn run(&self, store: &Store) -> anyhow::Result<()> {
        let letters = store.dead_letters().await?;
        ignore_broken_pipe(self.write(&letters, &mut io::stdout().lock()))?;
        Ok(())
    }

    fn write(&self, letters: &[DeadLetter], out: &mut impl Write) -> io::Result<()> {
        for letter in letters {
            match self.format {
                Format::Text => write_text(letter, out)?,
                Format::Json => {
                    writeln!(out, "{}", escape_control_json(&as_json(letter).to_string()))?;
                }
            }
        }
        if letters.is_empty() && matches!(self.format, Format::Text) {
            writeln!(out, "no dead letters")?;
        }
        out.flush()
    }
}

fn write_text(letter: &DeadLetter, out: &mut impl Write) -> io::Result<()> {
    let DeadLetter {
        id,
        poll,
        reason,
        waits_for_poll: _,
        payload,
        received_at,
    } = letter;
    let poll = poll.as_ref().map(|poll| format!("  poll {poll}"));
    let poll = poll.unwrap_or_default();
    writeln!(out, "{id}  received {received_at:.3}{poll}")?;
    writeln!(out, "  reason   {}", escape_control(reason))?;
    writeln!(out, "  payload  {}", truncate(&escape_control(payload)))
}

/// Truncates a long text and appends its length.
fn truncate(text: &str) -> String {
    match text.char_indices().nth(MAX_PAYLOAD_CHARS) {
        Some((end, _)) => {
            let bytes = text.len();
            format!(
                "{} … ({bytes} bytes in total; --format json shows all)",
                &text[..end]
            )
        }
        None => text.to_owned(),
    }
}

fn as_json(letter: &DeadLetter) -> Value {
    // A payload that was changed by hand may not be JSON.
    let payload = serde_json::from_str(&letter.payload)
        .unwrap_or_else(|_| Value::from(letter.payload.as_str()));
    json!({
        "ballot": letter.id.to_string(),
        "received_at": format!("{:.3}", letter.received_at),
        "poll": letter.poll,
        "reason": letter.reason,
        "waits_for_poll": letter.waits_for_poll,
        "payload": payload,
    })
}
