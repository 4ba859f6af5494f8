//! Parsing of the command line and the environment.

use clap::Parser;

use crate::{
    licenses::{LICENSES_FLAG, licenses_flag, print_licenses},
    secret_flags::reject_secrets,
    value_errors::{invalid_utf8, invalid_value},
};

/// Parses the command line and the environment. Exits after `--help`, `--version` and `--licenses`. If a value is invalid, prints an error
/// message of one line and exits with code 2.
#[must_use]
pub fn parse<T: Parser>() -> T {
    let command = ignore_empty_variables(T::command()).arg(licenses_flag());
    let parsed = command.clone().try_get_matches().and_then(|matches| {
        if matches.get_flag(LICENSES_FLAG) {
            print_licenses();
        }
        reject_secrets(&command, &matches)?;
        T::from_arg_matches(&matches)
    });
    let message =
        |error: &_| invalid_value(&command, error).or_else(|| invalid_utf8(&command, error));
    parsed.unwrap_or_else(|error| match message(&error) {
        Some(message) => {
            eprintln!("error: {message}");
            std::process::exit(2)
        }
        None => error.exit(),
    })
}

/// Treats an empty variable as not set: compose files write `VARIABLE: ${VARIABLE:-}`.
fn ignore_empty_variables(command: clap::Command) -> clap::Command {
    command.mut_args(|arg| match arg.get_env() {
        Some(variable) if std::env::var_os(variable).is_some_and(|value| value.is_empty()) => {
            arg.env(None::<&str>)
        }
        _ => arg,
    })
}
