//! What goes to standard output.

use std::io::{self, ErrorKind};

/// Whoever reads the output may have seen enough, such as `head`: that is no failure.
pub fn unless_closed(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// The text without what could steer a terminal: anybody may have written it.
pub fn printable(text: &str) -> String {
    let safe = |character: char| match character {
        control if control.is_control() => control.escape_default().collect(),
        other => String::from(other),
    };
    text.chars().map(safe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_shown_steers_the_terminal() {
        assert_eq!(
            printable("Zoë\n\u{1b}[2J\u{9b}2J"),
            r"Zoë\n\u{1b}[2J\u{9b}2J"
        );
    }

    #[test]
    fn only_a_reader_who_has_gone_is_no_failure() {
        assert!(unless_closed(Err(ErrorKind::BrokenPipe.into())).is_ok());
        assert!(unless_closed(Err(ErrorKind::StorageFull.into())).is_err());
    }
}
