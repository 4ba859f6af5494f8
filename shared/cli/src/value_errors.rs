//! Error messages that name the environment variable of a setting. Those of clap name only the flag, or nothing.

use std::ffi::OsStr;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::escape_control;

/// Returns an error message for an invalid value, with the name of the variable; `None` for other errors.
pub(crate) fn invalid_value(command: &clap::Command, error: &clap::Error) -> Option<String> {
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
    let reason = std::error::Error::source(error).map(ToString::to_string);
    let reason = reason.or_else(|| {
        text(ContextKind::ValidValue).map(|valid| format!("allowed values: {valid}"))
    })?;
    let is_flag = |arg: &&clap::Arg| {
        arg.get_long()
            .is_some_and(|long| flag.split_whitespace().next() == Some(&format!("--{long}")))
    };
    let variable = command
        .get_arguments()
        .find(is_flag)
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
    Some(format!(
        "{name} is \"{}\": {reason}",
        escape_control(&value)
    ))
}

/// Returns an error message with the names of the variables that are not UTF-8; `None` for other errors.
pub(crate) fn invalid_utf8(command: &clap::Command, error: &clap::Error) -> Option<String> {
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
