//! Traces, by OpenTelemetry: the way of a vote from the request through the queue to the commit, as one picture.
//!
//! Off unless configured, and then nothing is made and nothing asked but whether it is on. Spans begin and end where work
//! enters or leaves a service: [`http`](web) makes those of requests, [`queue`](queue) those of ballots.

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

/// Switches traces on, if the settings say so. Called within the runtime, which then sends them.
///
/// # Errors
/// They cannot be sent the way that the settings say.
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
        .with_batch_exporter(export::exporter(&endpoint, settings.timeout())?)
        .with_sampler(settings.sampler())
        // As many as a batch may have ballots.
        .with_max_links_per_span(u16::MAX.into())
        .with_resource(resource.build())
        .build();
    let tracer = provider.tracer(env!("CARGO_PKG_NAME"));
    // Only a second call in one process fails: the first one's settings stand.
    let _ = TRACING.set(Tracing { provider, tracer });
    tracing::info!(%endpoint, "traces are sent");
    Ok(())
}

/// What makes spans; `None`: traces are off.
#[must_use]
pub fn tracer() -> Option<&'static SdkTracer> {
    TRACING.get().map(|tracing| &tracing.tracer)
}

/// Runs work within this context, if there is one, so that what it logs and traces belongs to the context's span.
pub fn in_context<T>(
    context: Option<&Context>,
    work: impl Future<Output = T>,
) -> impl Future<Output = T> {
    match context {
        None => Either::Left(work),
        Some(context) => Either::Right(work.with_context(context.clone())),
    }
}

/// Ends the span of this context; of what failed, with the kind of the error and its description.
pub fn end(context: &Context, failure: Option<(&'static str, String)>) {
    let span = context.span();
    if let Some((kind, description)) = failure {
        span.set_attribute(KeyValue::new("error.type", kind));
        span.set_status(Status::error(description));
    }
    span.end();
}

/// Sends what has not been sent yet. Whoever does not want to wait for a collector that hangs may drop the future.
pub async fn flush() {
    let Some(tracing) = TRACING.get() else {
        return;
    };
    let (ended, end) = oneshot::channel();
    // On a thread of its own: the end of the runtime waits for those that are its own.
    thread::spawn(move || ended.send(tracing.provider.force_flush()));
    if let Ok(Err(error)) = end.await {
        tracing::warn!(%error, "the last traces were not sent");
    }
}
