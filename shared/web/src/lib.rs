//! What every service does over HTTP.

mod answers;
mod assets;
mod base_path;
mod cached;
mod client_address;
mod connection;
mod cors;
mod encoding;
mod framing;
mod headers;
mod host;
mod html;
pub mod language;
pub mod links;
mod management;
mod measured;
mod openapi;
mod options;
mod origin;
mod pages;
mod per_address;
mod probes;
mod problem;
mod problem_page;
mod room;
mod server;
pub mod settings;
mod site;
mod socket;
mod traced;

pub use answers::Answers;
pub use assets::{Asset, SharedAssets, asset_routes};
pub use base_path::{BasePath, InvalidBasePath};
pub use cached::{Known, NotModified, unless_known};
pub use client_address::{InvalidProxies, TrustedProxies};
pub use cors::{AllowedOrigins, InvalidOrigin};
pub use headers::content_security_policy;
pub use html::{TimeText, html, html_uncompressed};
pub use management::{Listeners, manage};
pub use measured::HttpMetrics;
pub use openapi::{Api, documented_routes, page_responses, problem_responses, undocumented_routes};
pub use origin::{InvalidPublicOrigin, Origin, PublicOrigins, forwarded_hosts, forwarded_scheme};
pub use pages::Pages;
pub use per_address::{AddressLimit, ClientAddress, OverLimit, Share};
pub use probes::{Probes, probe_routes};
pub use problem::{PROBLEM_JSON, Problem, ProblemKind};
pub use room::Refused;
pub use server::{ConnectionSettings, serve};
pub use site::{Hsts, InvalidHsts, Site};

/// Whether the path is that of a probe, which is nobody's request.
fn is_probe(path: &str) -> bool {
    matches!(path, "/health" | "/ready" | "/metrics")
}
