//! Telemetry of the services: logs, traces and metrics.

mod logs;
pub mod metrics;
pub mod traces;

use std::iter;

use clap::Args;
use tracing_subscriber::{Layer, Registry, layer::SubscriberExt, util::SubscriberInitExt};

pub use logs::{LogFormat, LogSettings};
use traces::{InvalidExporter, TraceSettings};

/// A layer of the subscriber.
type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

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
    let logs = || logs::layer(&settings.logs);
    let subscriber = Registry::default().with(logs());
    // Problems of the exporter are logged while there is no other subscriber yet.
    let traces =
        tracing::subscriber::with_default(subscriber, || traces::start(&settings.traces, service))?;
    // A list, because an absent layer (`None`) next to a filtered one would make each disabled span and log line cost a check.
    let layers: Vec<_> = iter::once(logs()).chain(traces).collect();
    // Only a second call in one process fails. The settings of the first call remain in effect.
    drop(Registry::default().with(layers).try_init());
    Ok(())
}

/// Returns the host name of this machine or container, which identifies the replica.
#[must_use]
pub fn instance_name() -> String {
    gethostname::gethostname().to_string_lossy().into_owned()
}
