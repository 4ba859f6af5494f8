//! Escapes of control characters in text that is shown on a terminal.

use std::fmt::Write;

/// The text without what could steer a terminal or change the order in which it is shown: anybody may have written it.
#[must_use]
pub fn escape_control(text: &str) -> String {
    let safe = |character: char| match character {
        hidden if is_hidden(hidden) => hidden.escape_default().collect(),
        other => String::from(other),
    };
    text.chars().map(safe).collect()
}

/// JSON with such characters written as escapes, which programs read as the same text. They are nowhere but in strings.
#[must_use]
pub fn escape_control_json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for character in json.chars() {
        if is_hidden(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // A string takes it all.
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(character);
        }
    }
    safe
}

/// Controls, and those that change the direction of text or break lines: Unicode's `Bidi_Control`, and its separators.
/// Source: <https://www.unicode.org/reports/tr9/#Directional_Formatting_Characters>.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_shown_steers_the_terminal() {
        assert_eq!(
            escape_control("Zoë\n\u{1b}[2J\u{9b}2J"),
            r"Zoë\n\u{1b}[2J\u{9b}2J"
        );
    }
}
