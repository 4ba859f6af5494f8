//! The command line that all services share.

pub mod build;
mod secret;
pub mod secret_url;
pub mod spreadsheet;
mod values;

use std::{
    ffi::OsStr,
    fmt::Write as _,
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, bail};
use clap::{
    Arg, ArgAction, ArgMatches, Parser, Subcommand,
    error::{ContextKind, ContextValue, ErrorKind},
    parser::ValueSource,
};

pub use secret::{InvalidSecret, secret};
pub use values::{duration, socket_address, whole_number};

/// The licences of the crates in the programs, written by `just licenses`.
const LICENSES: &str = include_str!("../third-party-licenses.txt");

const HEALTHCHECK_TIMEOUT: Duration = Duration::from_secs(3);

/// What a service can do besides serving.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Ask the running service whether it is healthy; the exit code tells. For containers without a shell
    Healthcheck {
        /// Ask whether it is ready to serve, not only whether it is alive
        #[arg(long)]
        ready: bool,
    },
}

impl Command {
    /// Carries the command out against the services that listen on these addresses.
    ///
    /// # Errors
    /// A service does not answer, or says no.
    pub fn run(&self, addresses: &[Addresses]) -> anyhow::Result<()> {
        let Self::Healthcheck { ready } = self;
        let path = if *ready { "/ready" } else { "/health" };
        let ask = |address: SocketAddr| {
            healthcheck(local(address), path).with_context(|| format!("http://{address}{path}"))
        };
        addresses.iter().try_for_each(|addresses| {
            // Load balancers ask the public address, so that is what counts; only the other one gives reasons.
            ask(addresses.public).or_else(|refused| addresses.management.map_or(Err(refused), &ask))
        })
    }
}

/// The addresses that a service listens on.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// For everybody.
    pub public: SocketAddr,
    /// For operators and Prometheus, where they have an address of their own.
    pub management: Option<SocketAddr>,
}

fn healthcheck(address: SocketAddr, path: &str) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, HEALTHCHECK_TIMEOUT)?;
    stream.set_read_timeout(Some(HEALTHCHECK_TIMEOUT))?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_ascii_whitespace().nth(1) {
        Some("200") => Ok(()),
        _ => bail!("{}", answer.lines().next_back().unwrap_or("no answer")),
    }
}

/// A service that listens everywhere is asked on the loopback address of IPv4, which it has even where there is no IPv6.
fn local(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

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

const LICENSES_FLAG: &str = "licenses";

fn licenses_flag() -> Arg {
    Arg::new(LICENSES_FLAG)
        .long(LICENSES_FLAG)
        .action(ArgAction::SetTrue)
        .exclusive(true)
        .help("Print the licences of this program and of all that is compiled into it")
}

fn print_licenses() -> ! {
    // Whoever reads only the beginning, as `head` does, has seen enough.
    let _ = std::io::stdout().write_all(LICENSES.as_bytes());
    std::process::exit(0)
}

/// Flags that hold a secret.
const SECRETS: [&str; 2] = ["cookie_key", "cookie_key_previous"];
/// Flags that may hold one, as a part of a URL.
const URLS: [&str; 2] = ["queue_url", "database_url"];

/// Refuses secrets that everybody on the machine can read, in the list of its processes.
fn refuse_open_secrets(command: &clap::Command, matches: &ArgMatches) -> Result<(), clap::Error> {
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

/// An empty variable means that it is not set: compose files write `VARIABLE: ${VARIABLE:-}`.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    command.mut_args(|arg| match arg.get_env() {
        Some(variable) if std::env::var_os(variable).is_some_and(|value| value.is_empty()) => {
            arg.env(None::<&str>)
        }
        _ => arg,
    })
}

/// clap names the flag; whoever set the variable looks for the variable.
fn refused_value(command: &clap::Command, error: &clap::Error) -> Option<String> {
    let (ErrorKind::ValueValidation | ErrorKind::InvalidValue) = error.kind() else {
        return None;
    };
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => Some(texts.join(", ")),
        _ => None,
    };
    let flag = text(ContextKind::InvalidArg)?;
    let value = text(ContextKind::InvalidValue)?;
    let why = std::error::Error::source(error).map(ToString::to_string);
    let why =
        why.or_else(|| text(ContextKind::ValidValue).map(|valid| format!("allowed are: {valid}")))?;
    let is_it = |arg: &&clap::Arg| {
        arg.get_long()
            .is_some_and(|long| flag.split_whitespace().next() == Some(&format!("--{long}")))
    };
    let variable = command
        .get_arguments()
        .find(is_it)
        .and_then(|arg| arg.get_env())
        .map(|name| name.to_string_lossy());
    let name = variable.map_or_else(
        || flag.clone(),
        |variable| {
            format!(
                "{variable} ({})",
                flag.split_whitespace().next().unwrap_or(&flag)
            )
        },
    );
    Some(format!("{name} is \"{}\": {why}", escape_control(&value)))
}

/// The text without what could steer a terminal or change the order in which it is shown: anybody may have written it.
#[must_use]
pub fn escape_control(text: &str) -> String {
    let safe = |character: char| match character {
        hidden if is_hidden(hidden) => hidden.escape_default().collect(),
        other => String::from(other),
    };
    text.chars().map(safe).collect()
}

/// JSON with such characters written as escapes, which programs read as the same text. They are nowhere but in strings.
#[must_use]
pub fn escape_control_json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for character in json.chars() {
        if is_hidden(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // A string takes it all.
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(character);
        }
    }
    safe
}

/// Controls, and those that change the direction of text or break lines: Unicode's `Bidi_Control`, and its separators.
/// Source: <https://www.unicode.org/reports/tr9/#Directional_Formatting_Characters>.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// clap does not say which argument is not text.
fn not_text(command: &clap::Command, error: &clap::Error) -> Option<String> {
    if error.kind() != ErrorKind::InvalidUtf8 {
        return None;
    }
    let is_text =
        |name: &OsStr| std::env::var_os(name).is_none_or(|value| value.to_str().is_some());
    let variables = command.get_arguments().filter_map(clap::Arg::get_env);
    let names: Vec<_> = variables
        .filter(|name| !is_text(name))
        .map(OsStr::to_string_lossy)
        .collect();
    (!names.is_empty()).then(|| format!("{} must be text in UTF-8", names.join(", ")))
}

/// The end of `main`: an error is one sentence and a failing exit code.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_shown_steers_the_terminal() {
        assert_eq!(
            escape_control("Zoë\n\u{1b}[2J\u{9b}2J"),
            r"Zoë\n\u{1b}[2J\u{9b}2J"
        );
    }
}
