//! Where browsers find the pages: for links between them.

use std::sync::Arc;

use clap::Args;
use url::Url;

use crate::BasePath;

/// Where browsers find the pages.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Network")]
pub struct PublicUrlSettings {
    /// The voting page as browsers reach it, with https:// or http://; the result page links to it, with a QR code. If
    /// not set, there is no such link
    #[arg(long, env = "VOTE_URL", value_parser = page_url)]
    pub vote_url: Option<Arc<str>>,

    /// The result page as browsers reach it; the voting page links to it. If not set, there is no such link
    #[arg(long, env = "RESULT_URL", value_parser = page_url)]
    pub result_url: Option<Arc<str>>,

    /// The path of the voting page where a proxy serves it below one and passes paths on as they are, such as /vote. If
    /// not set, the root; a proxy that removes the path needs no setting
    #[arg(long, env = "VOTE_BASE_PATH")]
    pub vote_base_path: Option<BasePath>,

    /// The same for the result page, such as /result
    #[arg(long, env = "RESULT_BASE_PATH")]
    pub result_base_path: Option<BasePath>,
}

/// An address that browsers can open. In the place of a port there may be what compose publishes: an address before it,
/// or a range of ports, of which the first is taken.
fn page_url(raw: &str) -> Result<Arc<str>, String> {
    let is_page = |url: &Url| matches!(url.scheme(), "http" | "https");
    let url = Url::parse(raw).ok().or_else(|| published(raw));
    url.filter(is_page)
        .map(|url| url.as_str().into())
        .ok_or_else(|| "write the address of a page, such as https://vote.example.org/".into())
}

/// `http://localhost:127.0.0.1:8080-8089/` as `http://localhost:8080/`.
fn published(raw: &str) -> Option<Url> {
    let local = "http://localhost:";
    let (ports, path) = raw.strip_prefix(local)?.split_once('/')?;
    let ports = ports.rsplit(':').next()?;
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let first: u16 = first.parse().ok()?;
    last.parse::<u16>().ok().filter(|last| *last >= first)?;
    Url::parse(&format!("{local}{first}/{path}")).ok()
}

/// Origins, such as `https://example.org`, separated by commas.
///
/// # Errors
/// One of them is none: an origin is a scheme, a host and perhaps a port, with nothing behind.
pub fn origin(raw: &str) -> Result<String, String> {
    let raw = raw.trim();
    let origin = Url::parse(raw)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"));
    match origin.map(|url| url.origin().ascii_serialization()) {
        Some(origin) if origin == raw => Ok(origin),
        _ => Err(
            "write origins, such as https://example.org or http://localhost:3000, without a path"
                .into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_pages_are_links() {
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
