//! Logs on standard error: messages with fields, as text or as JSON.

mod with_trace;

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use tracing_subscriber::{EnvFilter, Layer, filter::Directive};

use crate::{BoxedLayer, traces};
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

/// Creates the layer that writes log lines.
pub(crate) fn layer(settings: &LogSettings) -> BoxedLayer {
    let filter = EnvFilter::new(&settings.log_filter).add_directive(traces_off());
    let is_terminal = std::io::stderr().is_terminal();
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(is_terminal);
    let layer = match settings.log_format {
        LogFormat::Text => layer
            .map_event_format(|format| WithTrace::text(format.with_ansi(is_terminal)))
            .boxed(),
        LogFormat::Json => layer
            .json()
            .flatten_event(true)
            .map_event_format(WithTrace::json)
            .boxed(),
    };
    layer.with_filter(filter).boxed()
}

/// Returns the directive that leaves out the spans of traces. Log lines have the ids of their span instead.
fn traces_off() -> Directive {
    let directive = format!("{}=off", traces::TARGET).parse();
    directive.expect("the directive is well formed")
}
