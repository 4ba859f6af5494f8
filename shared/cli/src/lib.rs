//! The command line that all services share.

pub mod build;
mod escape;
mod healthcheck;
mod licenses;
mod parse;
mod secret;
mod secret_flags;
pub mod secret_url;
pub mod spreadsheet;
mod value_errors;
mod values;

use std::process::ExitCode;

pub use escape::{escape_control, escape_control_json};
pub use healthcheck::{Addresses, Command};
pub use parse::parse;
pub use secret::{InvalidSecret, secret};
pub use values::{duration, socket_address, whole_number};

/// Returns the exit code of `main`. Prints an error with its causes as one line.
#[must_use]
pub fn exit_code(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
