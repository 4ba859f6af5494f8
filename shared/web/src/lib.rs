//! What every service does over HTTP.

mod app_service;
mod assets;
mod base_path;
mod client_address;
mod conditional;
mod connection;
mod connection_limit;
mod cors;
mod encoding;
mod framing;
mod headers;
mod host;
mod html;
pub mod language;
mod management;
mod openapi;
mod options;
mod origin;
mod page_cache;
mod per_address;
mod probes;
mod problem;
mod problem_page;
pub mod public_urls;
mod request_metrics;
mod server;
mod server_span;
pub mod settings;
mod site;
mod socket;

pub use app_service::AppService;
pub use assets::{Asset, SharedAssets, asset_routes};
pub use base_path::{BasePath, InvalidBasePath};
pub use client_address::{InvalidProxies, TrustedProxies};
pub use conditional::{NotModified, RequestConditions, conditional_response};
pub use connection_limit::Refused;
pub use cors::{AllowedOrigins, InvalidOrigin};
pub use headers::content_security_policy;
pub use html::{TimeText, html, html_uncompressed};
pub use management::{Listeners, manage};
pub use openapi::{Api, documented_routes, page_responses, problem_responses, undocumented_routes};
pub use origin::{InvalidPublicOrigin, Origin, PublicOrigins, forwarded_hosts, forwarded_scheme};
pub use page_cache::PageCache;
pub use per_address::{AddressLimit, ClientAddress, OverLimit, Share};
pub use probes::{Probes, probe_routes};
pub use problem::{PROBLEM_JSON, Problem, ProblemKind};
pub use request_metrics::HttpMetrics;
pub use server::{ConnectionSettings, serve};
pub use site::{Hsts, InvalidHsts, Site};

/// Whether the path is that of a probe, which is nobody's request.
fn is_probe(path: &str) -> bool {
    matches!(path, "/health" | "/ready" | "/metrics")
}
