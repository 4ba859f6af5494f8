//! Escapes of control characters in text that is shown on a terminal.

use std::fmt::Write;

/// Escapes the characters of untrusted text that could control a terminal or change the display order of the text.
#[must_use]
pub fn escape_control(text: &str) -> String {
    let escape = |character: char| match character {
        control if is_control(control) => control.escape_default().collect(),
        plain => String::from(plain),
    };
    text.chars().map(escape).collect()
}

/// Escapes these characters in JSON. They occur only in strings, so the parsed JSON is the same.
#[must_use]
pub fn escape_control_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if is_control(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a string does not fail.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// Returns true for control characters, and for characters that change the direction of text or break lines: Unicode's `Bidi_Control`
/// and its line and paragraph separators.
/// Source: <https://www.unicode.org/reports/tr9/#Directional_Formatting_Characters>.
fn is_control(character: char) -> bool {
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
    fn control_characters_are_escaped() {
        assert_eq!(
            escape_control("Zoë\n\u{1b}[2J\u{9b}2J"),
            r"Zoë\n\u{1b}[2J\u{9b}2J"
        );
    }
}
