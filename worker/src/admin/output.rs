//! Writing to standard output.

use std::io::{self, ErrorKind};

/// Treats a broken pipe as success: a reader such as `head` may stop early.
pub fn ignore_broken_pipe(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_broken_pipe_is_no_failure() {
        assert!(ignore_broken_pipe(Err(ErrorKind::BrokenPipe.into())).is_ok());
        assert!(ignore_broken_pipe(Err(ErrorKind::StorageFull.into())).is_err());
    }
}
