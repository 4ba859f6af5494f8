//! Responses: pages, static files, problems, and the headers of all of them.

mod assets;
mod conditional;
pub(crate) mod encoding;
mod fingerprint;
mod html;
mod page_cache;
mod problem;
pub(crate) mod problem_page;
mod rendered_page;
pub(crate) mod security_headers;

pub use assets::{Asset, SharedAssets, asset_routes};
pub(crate) use assets::{PREFIX, ROUTE};
pub use conditional::{NotModified, RequestConditions, conditional_response};
pub use fingerprint::fingerprint;
pub use html::{TimeText, html, html_uncompressed};
pub use page_cache::PageCache;
pub use problem::{PROBLEM_JSON, Problem, ProblemKind};
pub use security_headers::content_security_policy;
