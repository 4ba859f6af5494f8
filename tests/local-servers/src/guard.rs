//! A cleanup that runs even if the program is killed.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
};

/// A shell that cleans up when its standard input closes: when this value is dropped, or when the program ends, even by
/// SIGKILL.
#[derive(Debug)]
pub struct Guard(Child);

impl Guard {
    /// Runs a script with these arguments, which waits for its standard input and then cleans up.
    pub fn new(
        script: &str,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        user: Option<u32>,
    ) -> Result<Self, String> {
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).args(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        // Ctrl-C must reach only the test program; the guard waits for its end.
        command.process_group(0);
        if let Some(user) = user {
            command.uid(user);
        }
        command
            .spawn()
            .map(Self)
            .map_err(|error| format!("sh cannot be started: {error}"))
    }

    /// The first line that the script prints.
    pub(crate) fn first_line(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.0.stdout.as_mut().expect("stdout is piped"))
            .read_line(&mut line)
            .expect("the guard prints a line");
        line.trim().to_owned()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
