//! Rejection of secrets on the command line.

use clap::{ArgMatches, error::ErrorKind, parser::ValueSource};

/// Flags that hold a secret.
const SECRETS: [&str; 2] = ["cookie_key", "cookie_key_previous"];
/// Flags that may hold one, as a part of a URL.
const URLS: [&str; 2] = ["queue_url", "database_url"];

/// Refuses secrets that everybody on the machine can read, in the list of its processes.
pub(crate) fn refuse_open_secrets(
    command: &clap::Command,
    matches: &ArgMatches,
) -> Result<(), clap::Error> {
    let given = |name: &str| {
        let is_flag = matches.try_contains_id(name).is_ok()
            && matches.value_source(name) == Some(ValueSource::CommandLine);
        is_flag.then(|| matches.get_one::<String>(name)).flatten()
    };
    let is_open = |name: &&&str| match given(name) {
        Some(value) => SECRETS.contains(name) || has_password(value),
        None => false,
    };
    let Some(name) = SECRETS.iter().chain(&URLS).find(is_open) else {
        return Ok(());
    };
    let (flag, variable) = (name.replace('_', "-"), name.to_uppercase());
    let message = format!(
        "--{flag}: everybody on this machine can read a secret in a command line; set {variable} in the environment, or name a file, instead\n"
    );
    Err(clap::Error::raw(ErrorKind::ArgumentConflict, message).with_cmd(command))
}

/// Returns true if one of these URLs has a password.
fn has_password(urls: &str) -> bool {
    let credentials = urls.split(',').filter_map(|url| {
        let (_, rest) = url.split_once("://")?;
        let authority = rest.split(['/', '?']).next()?;
        Some(authority.rsplit_once('@')?.0)
    });
    urls.contains("password=") || credentials.into_iter().any(|user| user.contains(':'))
}
