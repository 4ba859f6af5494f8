//! OpenTelemetry traces: one trace covers a vote from the request through the queue to the commit.
//!
//! Traces are off by default, and then no spans are created. Spans start and end at the boundaries of a service: `web` creates spans for
//! requests, `queue` for ballots.

mod export;
mod sampler;
mod settings;

use std::{sync::OnceLock, thread};

use futures_util::future::Either;
use opentelemetry::{
    Context, KeyValue,
    context::FutureExt,
    trace::{Status, TraceContextExt, TracerProvider},
};
use opentelemetry_sdk::{
    Resource,
    trace::{SdkTracer, SdkTracerProvider},
};
use tokio::sync::oneshot;

pub use export::InvalidExporter;
pub use settings::TraceSettings;

static TRACING: OnceLock<Tracing> = OnceLock::new();

struct Tracing {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// Starts traces if an endpoint is configured. They are sent on the current runtime.
///
/// # Errors
/// The trace exporter cannot be created.
pub fn start(settings: &TraceSettings, service: &'static str) -> Result<(), InvalidExporter> {
    let Some(endpoint) = settings.endpoint() else {
        return Ok(());
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
    let _ = TRACING.set(Tracing { provider, tracer });
    tracing::info!(%endpoint, "traces enabled");
    Ok(())
}

/// Returns the tracer; `None` if traces are off.
#[must_use]
pub fn tracer() -> Option<&'static SdkTracer> {
    TRACING.get().map(|tracing| &tracing.tracer)
}

/// Runs `work` in this context, if there is one, so that its logs and spans belong to the span of the context.
pub fn in_context<T>(
    context: Option<&Context>,
    work: impl Future<Output = T>,
) -> impl Future<Output = T> {
    match context {
        None => Either::Left(work),
        Some(context) => Either::Right(work.with_context(context.clone())),
    }
}

/// Ends the span of this context. A failure is recorded with the type and the description of its error.
pub fn end(context: &Context, failure: Option<(&'static str, String)>) {
    let span = context.span();
    if let Some((kind, description)) = failure {
        span.set_attribute(KeyValue::new("error.type", kind));
        span.set_status(Status::error(description));
    }
    span.end();
}

/// Sends the remaining spans. The caller may drop the future to stop waiting for a collector that hangs.
pub async fn flush() {
    let Some(tracing) = TRACING.get() else {
        return;
    };
    let (sender, flushed) = oneshot::channel();
    // A separate thread, because the shutdown of the runtime would wait for a blocking task of the runtime.
    thread::spawn(move || sender.send(tracing.provider.force_flush()));
    if let Ok(Err(error)) = flushed.await {
        tracing::warn!(%error, "sending the last traces failed");
    }
}
