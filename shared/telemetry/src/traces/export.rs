//! Export of spans to a collector, by OTLP over HTTP.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use opentelemetry_http::{HttpClient, HttpError, Request, Response, hyper::HyperClient};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithHttpConfig};
use tokio::runtime::Handle;
use url::Url;

/// Creates an exporter that sends spans on the current runtime.
///
/// # Errors
/// The root certificates cannot be loaded, or a variable of the exporter is invalid.
pub fn build_exporter(endpoint: &Url, timeout: Duration) -> Result<SpanExporter, InvalidExporter> {
    // Root certificates are loaded only for HTTPS.
    let client: Arc<dyn HttpClient> = if endpoint.scheme() == "https" {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        let tls = HttpsConnectorBuilder::new().with_native_roots()?;
        let connector = tls.https_only().enable_http1().wrap_connector(tcp);
        Arc::new(HyperClient::new(connector, timeout, None))
    } else {
        Arc::new(HyperClient::with_default_connector(timeout, None))
    };
    let runtime = Handle::current();
    let exporter = SpanExporter::builder()
        .with_http()
        .with_endpoint(endpoint.as_str())
        .with_timeout(timeout)
        .with_http_client(RuntimeHttpClient { client, runtime });
    Ok(exporter.build()?)
}

/// Runs the HTTP client on the runtime: hyper needs one, and the batch exporter runs on a thread outside of it.
#[derive(Debug)]
struct RuntimeHttpClient {
    client: Arc<dyn HttpClient>,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for RuntimeHttpClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let sent = self
            .runtime
            .spawn(async move { client.send_bytes(request).await });
        sent.await?
    }
}

/// The trace exporter cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum InvalidExporter {
    /// The root certificates of the machine cannot be loaded.
    #[error(
        "OTEL_EXPORTER_OTLP_ENDPOINT begins with https, but the root certificates of this machine cannot be loaded"
    )]
    Certificates(#[from] std::io::Error),
    /// A variable that the OpenTelemetry library reads is invalid.
    #[error("cannot create the trace exporter")]
    Exporter(#[from] ExporterBuildError),
}
