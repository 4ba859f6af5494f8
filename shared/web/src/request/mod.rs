//! Checks and origin of a request: client address, host, base path, scheme and methods.

mod base_path;
mod client_address;
mod cors;
pub mod csrf;
pub(crate) mod host;
pub(crate) mod options_method;
mod origin;
mod site;

pub use base_path::{BasePath, InvalidBasePath};
pub use client_address::{InvalidProxies, TrustedProxies};
pub use cors::{AllowedOrigins, InvalidOrigin};
pub use origin::{InvalidPublicOrigin, Origin, PublicOrigins, forwarded_hosts, forwarded_scheme};
pub use site::{Hsts, InvalidHsts, Site};
