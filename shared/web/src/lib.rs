//! The web server of all services, and the common parts of their responses.

mod app_service;
pub mod language;
mod metrics;
mod openapi;
mod probes;
pub mod public_urls;
mod request;
mod response;
mod server;
pub mod settings;

pub use app_service::AppService;
pub use metrics::{GaugeGuard, HttpMetrics};
pub use openapi::{Api, documented_routes, page_responses, problem_responses, undocumented_routes};
pub use probes::{Listeners, Probes, probe_routes, serve_management};
pub use request::{
    AllowedOrigins, BasePath, Hsts, InvalidBasePath, InvalidHsts, InvalidOrigin, InvalidProxies,
    InvalidPublicOrigin, Origin, PublicOrigins, Site, TrustedProxies, csrf, forwarded_scheme,
};
pub use response::{
    Asset, NotModified, PROBLEM_JSON, PageCache, Problem, ProblemKind, RequestConditions,
    SharedAssets, TimeText, asset_routes, conditional_response, content_security_policy,
    fingerprint, html, html_uncompressed,
};
pub use server::{
    AddressLimit, AddressPermit, ClientAddress, ConnectionSettings, OverLimit, Rejection, serve,
};
