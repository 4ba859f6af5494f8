//! Logs on standard error: messages with fields, as text or as JSON.

mod with_trace;

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

use with_trace::WithTrace;

/// The settings of logs.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logs")]
pub struct LogSettings {
    /// Format of the logs
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,

    /// Log level: error, warn, info, debug or trace, also per module, such as info,vote=debug
    #[arg(long, env = "RUST_LOG", default_value = "info", value_parser = parse_filter)]
    pub log_filter: String,
}

/// The format of the logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text for people.
    #[default]
    Text,
    /// One JSON object per line, for programs.
    Json,
}

fn parse_filter(raw: &str) -> Result<String, String> {
    EnvFilter::try_new(raw)
        .map(|_| raw.to_owned())
        .map_err(|error| {
            format!("{error}; write a level, or MODULE=LEVEL pairs separated by commas")
        })
}

/// Starts logging. A second call in one process has no effect.
pub fn start(settings: &LogSettings) {
    let filter = EnvFilter::new(&settings.log_filter);
    let registry = tracing_subscriber::registry().with(filter);
    let is_terminal = std::io::stderr().is_terminal();
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(is_terminal);
    let started = match settings.log_format {
        LogFormat::Text => {
            let layer =
                layer.map_event_format(|format| WithTrace::text(format.with_ansi(is_terminal)));
            registry.with(layer).try_init()
        }
        LogFormat::Json => {
            let layer = layer.json().flatten_event(true);
            registry
                .with(layer.map_event_format(WithTrace::json))
                .try_init()
        }
    };
    // Only a second call in one process fails. The settings of the first call remain in effect.
    drop(started);
}
