//! Where browsers find the pages: for links between them.

use std::sync::Arc;

use clap::Args;
use url::Url;

/// Where browsers find the pages.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Network")]
pub struct LinkSettings {
    /// The voting page as browsers reach it, with https:// or http://; the result page links to it, with a QR code. If
    /// not set, there is no such link
    #[arg(long, env = "VOTE_URL", value_parser = page_url)]
    pub vote_url: Option<Arc<str>>,

    /// The result page as browsers reach it; the voting page links to it. If not set, there is no such link
    #[arg(long, env = "RESULT_URL", value_parser = page_url)]
    pub result_url: Option<Arc<str>>,
}

fn page_url(raw: &str) -> Result<Arc<str>, String> {
    match Url::parse(raw) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url.as_str().into()),
        _ => Err("write the address of a page, such as https://vote.example.org/".into()),
    }
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
        for bad in [
            "",
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
