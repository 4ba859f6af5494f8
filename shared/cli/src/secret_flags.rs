//! Rejection of secrets on the command line.

use clap::{ArgMatches, error::ErrorKind, parser::ValueSource};

/// Ids of flags whose value is a secret.
const SECRET_FLAGS: [&str; 2] = ["cookie_key", "cookie_key_previous"];
/// Ids of flags whose value is a list of URLs that may contain passwords.
const URL_FLAGS: [&str; 2] = ["queue_url", "database_url"];

/// Rejects secrets on the command line, because all users of the machine can read them in the process list.
pub(crate) fn reject_secrets(
    command: &clap::Command,
    matches: &ArgMatches,
) -> Result<(), clap::Error> {
    let flag_value = |name: &str| {
        let is_flag = matches.try_contains_id(name).is_ok()
            && matches.value_source(name) == Some(ValueSource::CommandLine);
        is_flag.then(|| matches.get_one::<String>(name)).flatten()
    };
    let is_secret = |name: &&&str| match flag_value(name) {
        Some(value) => SECRET_FLAGS.contains(name) || has_password(value),
        None => false,
    };
    let Some(name) = SECRET_FLAGS.iter().chain(&URL_FLAGS).find(is_secret) else {
        return Ok(());
    };
    let (flag, variable) = (name.replace('_', "-"), name.to_uppercase());
    let message = format!(
        "--{flag}: all users of this machine can read a secret on the command line; set {variable} in the environment, or use a file\n"
    );
    Err(clap::Error::raw(ErrorKind::ArgumentConflict, message).with_cmd(command))
}

/// Returns true if one of these comma-separated URLs contains a password.
fn has_password(urls: &str) -> bool {
    let credentials = urls.split(',').filter_map(|url| {
        let (_, rest) = url.split_once("://")?;
        let authority = rest.split(['/', '?']).next()?;
        Some(authority.rsplit_once('@')?.0)
    });
    urls.contains("password=") || credentials.into_iter().any(|user| user.contains(':'))
}
