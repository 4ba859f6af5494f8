//! Text cells of CSV files for spreadsheets.

use std::borrow::Cow;

use crate::escape_control;

/// The UTF-8 byte order mark, by which spreadsheets detect the encoding.
pub const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Returns text for a cell of a CSV file, with control characters escaped. Text that a spreadsheet would interpret as a formula is prefixed
/// with a single quote. Source: <https://owasp.org/www-community/attacks/CSV_Injection>.
#[must_use]
pub fn text_cell(text: &str) -> Cow<'_, str> {
    const FORMULA_PREFIXES: [char; 11] =
        ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];
    let is_formula = text.starts_with(FORMULA_PREFIXES);
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
    fn formulas_are_quoted_and_other_text_is_unchanged() {
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
