//! The public URLs of the pages, for links between them.

use std::sync::Arc;

use clap::Args;
use url::Url;

use crate::BasePath;

/// The public URLs and base paths of the pages.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Network")]
pub struct PublicUrlSettings {
    /// Public URL of the voting page, with https:// or http://; the result page links to it, with a QR code. If not set, there
    /// is no such link
    #[arg(long, env = "VOTE_URL", value_parser = page_url)]
    pub vote_url: Option<Arc<str>>,

    /// Public URL of the result page; the voting page links to it. If not set, there is no such link
    #[arg(long, env = "RESULT_URL", value_parser = page_url)]
    pub result_url: Option<Arc<str>>,

    /// Path of the voting page, such as /vote, behind a proxy that serves it below this path and does not remove the path. If not
    /// set, the root
    #[arg(long, env = "VOTE_BASE_PATH")]
    pub vote_base_path: Option<BasePath>,

    /// Path of the result page, such as /result, like VOTE_BASE_PATH
    #[arg(long, env = "RESULT_BASE_PATH")]
    pub result_base_path: Option<BasePath>,
}

/// Parses the URL of a page. The port may have the form of a published port of compose: with an address before it, or a range of
/// ports, of which the first is used.
fn page_url(raw: &str) -> Result<Arc<str>, String> {
    let is_page = |url: &Url| matches!(url.scheme(), "http" | "https");
    let url = Url::parse(raw).ok().or_else(|| parse_published_port(raw));
    url.filter(is_page)
        .map(|url| url.as_str().into())
        .ok_or_else(|| "write the URL of a page, such as https://vote.example.org/".into())
}

/// Parses `http://localhost:127.0.0.1:8080-8089/` as `http://localhost:8080/`.
fn parse_published_port(raw: &str) -> Option<Url> {
    let prefix = "http://localhost:";
    let (ports, path) = raw.strip_prefix(prefix)?.split_once('/')?;
    let ports = ports.rsplit(':').next()?;
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let first: u16 = first.parse().ok()?;
    last.parse::<u16>().ok().filter(|last| *last >= first)?;
    Url::parse(&format!("{prefix}{first}/{path}")).ok()
}

/// Parses an origin, such as `https://example.org`.
///
/// # Errors
/// The text is not an origin: a scheme, a host and an optional port.
pub fn origin(raw: &str) -> Result<String, String> {
    let raw = raw.trim();
    let origin = Url::parse(raw)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"));
    match origin.map(|url| url.origin().ascii_serialization()) {
        Some(origin) if origin == raw => Ok(origin),
        _ => Err(
            "write an origin, such as https://example.org or http://localhost:3000, without a path"
                .into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_of_pages_are_links() {
        assert_eq!(
            &*page_url("http://localhost:8080").unwrap(),
            "http://localhost:8080/"
        );
        for published in ["8080", "8080-8089", "127.0.0.1:8080", "[::1]:8080-8081"] {
            let url = page_url(&format!("http://localhost:{published}/")).unwrap();
            assert_eq!(&*url, "http://localhost:8080/", "{published}");
        }
        for bad in [
            "",
            "http://localhost:8089-8080/",
            "http://localhost:8080-/",
            "http://vote.example.org:8080-8089/",
            "localhost:8080",
            "javascript:alert(1)",
            "/result",
            "ftp://x/",
        ] {
            assert!(page_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_origin_has_no_path() {
        assert_eq!(
            origin(" https://example.org").unwrap(),
            "https://example.org"
        );
        for bad in [
            "https://example.org/",
            "example.org",
            "*",
            "null",
            "https://a b",
        ] {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }
}
