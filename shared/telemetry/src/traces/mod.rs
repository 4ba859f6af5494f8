//! OpenTelemetry traces: one trace covers a vote from the request through the queue to the commit.
//!
//! A trace consists of `tracing` spans with the target [`TARGET`], which a layer of the subscriber exports. Their fields are the
//! attributes, except `otel.name`, `otel.kind`, `otel.status_code` and `otel.status_description`.
//!
//! Traces are off by default. Then the target is disabled, and creating a span costs one check: its fields are not evaluated. Spans are
//! created at the boundaries of a service: in `web` for requests, in `queue` for ballots, in `store` for transactions.

mod export;
mod sampler;
mod settings;

use std::{fmt::Display, sync::OnceLock, thread};

use opentelemetry::{
    Context, KeyValue,
    trace::{TraceContextExt, TracerProvider},
};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tokio::sync::oneshot;
use tracing::{Span, field::display, level_filters::LevelFilter};
use tracing_subscriber::{Layer, filter::Targets};

use crate::BoxedLayer;

pub use export::InvalidExporter;
pub use settings::TraceSettings;

/// Target of the spans that are exported. The filter of the logs does not affect it.
pub const TARGET: &str = "otel";

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// Creates the layer that exports spans on the current runtime; `None` if no endpoint is configured.
///
/// # Errors
/// The trace exporter cannot be created.
pub(crate) fn start(
    settings: &TraceSettings,
    service: &'static str,
) -> Result<Option<BoxedLayer>, InvalidExporter> {
    let Some(endpoint) = settings.endpoint() else {
        return Ok(None);
    };
    let resource = Resource::builder()
        .with_service_name(settings.service_name(service))
        .with_attributes([
            KeyValue::new("service.version", cli::build::VERSION),
            KeyValue::new("service.instance.id", crate::instance_name()),
        ]);
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(export::build_exporter(&endpoint, settings.timeout())?)
        .with_sampler(settings.sampler())
        // A batch has one link per ballot.
        .with_max_links_per_span(u16::MAX.into())
        .with_resource(resource.build())
        .build();
    let tracer = provider.tracer(env!("CARGO_PKG_NAME"));
    // Only a second call in one process fails. The settings of the first call remain in effect.
    let _ = PROVIDER.set(provider);
    tracing::info!(%endpoint, "traces enabled");
    let layer = tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_target(false)
        .with_threads(false)
        .with_tracked_inactivity(false);
    let spans = Targets::new().with_target(TARGET, LevelFilter::INFO);
    Ok(Some(layer.with_filter(spans).boxed()))
}

/// Returns true if traces are enabled.
#[must_use]
pub fn are_enabled() -> bool {
    PROVIDER.get().is_some()
}

/// Returns true if the current span is recorded. If not, a span in it would not be recorded either, and need not be created.
#[must_use]
pub fn is_recording() -> bool {
    Context::map_current(|context| context.span().is_recording())
}

/// Records a failure in a span with the fields `error.type` and `otel.status_description`.
pub fn record_error(span: &Span, kind: &str, description: &dyn Display) {
    span.record("error.type", kind);
    span.record("otel.status_description", display(description));
}

/// Sends the remaining spans. The caller may drop the future to stop waiting for a collector that hangs.
pub async fn flush() {
    let Some(provider) = PROVIDER.get() else {
        return;
    };
    let (sender, flushed) = oneshot::channel();
    // A separate thread, because the shutdown of the runtime would wait for a blocking task of the runtime.
    thread::spawn(move || sender.send(provider.force_flush()));
    if let Ok(Err(error)) = flushed.await {
        tracing::warn!(%error, "sending the last traces failed");
    }
}
