//! The way to the collector: OTLP over HTTP.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use opentelemetry_http::{HttpClient, HttpError, Request, Response, hyper::HyperClient};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithHttpConfig};
use tokio::runtime::Handle;
use url::Url;

pub fn exporter(endpoint: &Url, timeout: Duration) -> Result<SpanExporter, InvalidExporter> {
    // A machine without certificates will do where none is wanted.
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
        .with_http_client(OnRuntime { client, runtime });
    Ok(exporter.build()?)
}

/// Sends on the runtime: spans are collected on a thread outside of it, on which hyper cannot work.
#[derive(Debug)]
struct OnRuntime {
    client: Arc<dyn HttpClient>,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for OnRuntime {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let sent = self
            .runtime
            .spawn(async move { client.send_bytes(request).await });
        sent.await?
    }
}

/// Traces cannot be sent the way that the settings say.
#[derive(Debug, thiserror::Error)]
pub enum InvalidExporter {
    /// There are no certificates on this machine to trust.
    #[error(
        "OTEL_EXPORTER_OTLP_ENDPOINT begins with https, and no certificates can be loaded here"
    )]
    Certificates(#[from] std::io::Error),
    /// Another of the variables that OpenTelemetry reads by itself.
    #[error("traces cannot be sent")]
    Exporter(#[from] ExporterBuildError),
}
