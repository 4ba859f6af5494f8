//! Parsing of the command line and the environment.

use clap::Parser;

use crate::{
    licenses::{LICENSES_FLAG, licenses_flag, print_licenses},
    secret_flags::refuse_open_secrets,
    value_errors::{not_text, refused_value},
};

/// Reads the command line and the environment. Ends the process after `--help`, `--version` and `--licenses`, and, with one
/// sentence, where a value cannot be used.
#[must_use]
pub fn parse<T: Parser>() -> T {
    let command = without_empty_variables(T::command()).arg(licenses_flag());
    let parsed = command.clone().try_get_matches().and_then(|matches| {
        if matches.get_flag(LICENSES_FLAG) {
            print_licenses();
        }
        refuse_open_secrets(&command, &matches)?;
        T::from_arg_matches(&matches)
    });
    let sentence = |error: &_| refused_value(&command, error).or_else(|| not_text(&command, error));
    parsed.unwrap_or_else(|error| match sentence(&error) {
        Some(sentence) => {
            eprintln!("error: {sentence}");
            std::process::exit(2)
        }
        None => error.exit(),
    })
}

/// An empty variable means that it is not set: compose files write `VARIABLE: ${VARIABLE:-}`.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    command.mut_args(|arg| match arg.get_env() {
        Some(variable) if std::env::var_os(variable).is_some_and(|value| value.is_empty()) => {
            arg.env(None::<&str>)
        }
        _ => arg,
    })
}
