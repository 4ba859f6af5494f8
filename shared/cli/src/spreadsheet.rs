//! Text in tables that people open with a spreadsheet.

use std::borrow::Cow;

use crate::escape_control;

/// The byte order mark in UTF-8, by which spreadsheets know the encoding.
pub const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A text for a cell of a CSV table, without what could steer a terminal. What a spreadsheet would take for a formula gets a single quote in front, which makes
/// it a text. Source: <https://owasp.org/www-community/attacks/CSV_Injection>.
#[must_use]
pub fn text_cell(text: &str) -> Cow<'_, str> {
    const BEGINNINGS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];
    let is_formula = text.starts_with(BEGINNINGS);
    let escaped = escape_control(text);
    match (is_formula, escaped == text) {
        (false, true) => text.into(),
        (false, false) => escaped.into(),
        (true, _) => format!("'{escaped}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_formula_becomes_a_text_and_a_text_stays() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "＝1"] {
            assert_eq!(text_cell(formula), format!("'{formula}"));
        }
        assert_eq!(text_cell("\t=1"), "'\\t=1");
        assert_eq!(text_cell("a\u{202e}b\u{1b}[2J"), "a\\u{202e}b\\u{1b}[2J");
        for text in ["", "Cats", "1-2", "a=b", "'tis", " =1"] {
            assert_eq!(text_cell(text), text);
        }
    }
}
