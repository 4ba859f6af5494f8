//! Telemetry of the services: logs, traces and metrics.

mod logs;
pub mod metrics;
pub mod traces;

use clap::Args;

pub use logs::{LogFormat, LogSettings};
use traces::{InvalidExporter, TraceSettings};

/// The settings of logs and traces.
#[derive(Args, Clone, Debug)]
pub struct TelemetrySettings {
    /// The settings of logs.
    #[command(flatten)]
    pub logs: LogSettings,
    /// The settings of traces.
    #[command(flatten)]
    pub traces: TraceSettings,
}

/// Starts logging, and tracing if it is configured. A second call in one process has no effect.
///
/// # Errors
/// The trace exporter cannot be created.
pub fn init(settings: &TelemetrySettings, service: &'static str) -> Result<(), InvalidExporter> {
    logs::start(&settings.logs);
    traces::start(&settings.traces, service)
}

/// Returns the host name of this machine or container, which identifies the replica.
#[must_use]
pub fn instance_name() -> String {
    gethostname::gethostname().to_string_lossy().into_owned()
}
