//! The command line that all services share.

use std::{
    ffi::OsStr,
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, bail};
use clap::{
    Parser, Subcommand,
    error::{ContextKind, ContextValue, ErrorKind},
};

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
    /// Carries the command out against the service that listens on these addresses.
    ///
    /// # Errors
    /// The service does not answer, or says no.
    pub fn run(&self, addresses: &[SocketAddr]) -> anyhow::Result<()> {
        let Self::Healthcheck { ready } = self;
        let path = if *ready { "/ready" } else { "/health" };
        for address in addresses {
            healthcheck(local(*address), path)
                .with_context(|| format!("http://{address}{path}"))?;
        }
        Ok(())
    }
}

fn healthcheck(address: SocketAddr, path: &str) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, HEALTHCHECK_TIMEOUT)?;
    stream.set_read_timeout(Some(HEALTHCHECK_TIMEOUT))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )?;
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

/// Reads the command line and the environment. Ends the process after `--help` and `--version`, and, with one sentence,
/// where a value cannot be used.
#[must_use]
pub fn parse<T: Parser>() -> T {
    let command = without_empty_variables(T::command());
    let parsed = command
        .clone()
        .try_get_matches()
        .and_then(|matches| T::from_arg_matches(&matches));
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
    Some(format!("{name} is \"{}\": {why}", printable(&value)))
}

/// The text without what could steer a terminal: anybody may have written it.
#[must_use]
pub fn printable(text: &str) -> String {
    let safe = |character: char| match character {
        control if control.is_control() => control.escape_default().collect(),
        other => String::from(other),
    };
    text.chars().map(safe).collect()
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
            printable("Zoë\n\u{1b}[2J\u{9b}2J"),
            r"Zoë\n\u{1b}[2J\u{9b}2J"
        );
    }
}
