//! Lists what could not be counted.

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use cli::{escape_control, escape_control_json};
use serde_json::{Value, json};
use store::{DeadLetter, Store};

use super::output::unless_closed;

/// The number of characters of a payload that are shown.
const SHOWN: usize = 1000;

/// How to list them.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// The form of the list
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    /// For people
    #[default]
    Text,
    /// One JSON object a line, for programs
    Json,
}

impl Settings {
    pub(super) async fn run(&self, store: &Store) -> anyhow::Result<()> {
        let letters = store.dead_letters().await?;
        unless_closed(self.write(&letters, &mut io::stdout().lock()))?;
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
        reason,
        payload,
        received_at,
    } = letter;
    writeln!(out, "{id}  received {received_at:.3}")?;
    writeln!(out, "  reason   {}", escape_control(reason))?;
    writeln!(out, "  payload  {}", shortened(&escape_control(payload)))
}

/// The beginning of what is too long to be read.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => {
            let bytes = text.len();
            format!(
                "{} … ({bytes} bytes in all; --format json has them)",
                &text[..end]
            )
        }
        None => text.to_owned(),
    }
}

fn as_json(letter: &DeadLetter) -> Value {
    // A payload that somebody changed by hand may be anything.
    let payload = serde_json::from_str(&letter.payload)
        .unwrap_or_else(|_| Value::from(letter.payload.as_str()));
    json!({
        "ballot": letter.id.to_string(),
        "received_at": format!("{:.3}", letter.received_at),
        "reason": letter.reason,
        "payload": payload,
    })
}
