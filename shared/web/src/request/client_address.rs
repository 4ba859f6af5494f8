//! The client address of requests behind proxies.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use axum::http::HeaderMap;
use ipnet::{IpNet, Ipv4Net};

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The networks of proxies whose `X-Forwarded-For` is trusted. Empty by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Returns true if no proxy is trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the address of the client of a connection from `peer`.
    ///
    /// Each proxy appends the address of its peer to `X-Forwarded-For`. So the list is read from its end, and the first address
    /// that is not a trusted proxy is the client. The client may have forged the addresses before it. If the list ends or an
    /// address is malformed, the result is the last trusted proxy.
    #[must_use]
    pub fn client_address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let lines = headers.get_all(FORWARDED_FOR).into_iter();
        let lines: Vec<_> = lines
            .map(|line| line.to_str().unwrap_or_default())
            .collect();
        for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
            if !self.trusts(client) {
                break;
            }
            match address(hop.trim()) {
                Some(hop) => client = hop,
                None => break,
            }
        }
        client
    }

    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// Parses an address. Some proxies add the port of the client; then an IPv6 address is in brackets.
fn address(hop: &str) -> Option<IpAddr> {
    let with_port = || hop.parse().ok().map(|address: SocketAddr| address.ip());
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']'));
    let address = bare.unwrap_or(hop).parse().ok().or_else(with_port)?;
    Some(IpAddr::to_canonical(&address))
}

impl FromStr for TrustedProxies {
    type Err = InvalidProxies;

    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        let network = |part: &str| {
            let address = || part.parse().ok().map(|address: IpAddr| address.into());
            let network = part.parse().ok().or_else(address);
            network
                .map(canonical)
                .ok_or_else(|| InvalidProxies(part.to_owned()))
        };
        let parts = raw.split(',').map(str::trim);
        parts.map(network).collect::<Result<_, _>>().map(Self)
    }
}

/// Converts a network of IPv4-mapped IPv6 addresses to one of IPv4 addresses.
fn canonical(network: IpNet) -> IpNet {
    let mapped = match network {
        IpNet::V6(v6) => v6.addr().to_ipv4_mapped().and_then(|address| {
            let prefix = v6.prefix_len().checked_sub(96)?;
            Ipv4Net::new(address, prefix).ok()
        }),
        IpNet::V4(_) => None,
    };
    mapped.map_or(network, IpNet::V4)
}

/// The text is not a list of proxies.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a network; write addresses or networks separated by commas, such as 10.0.0.0/16,2001:db8::/56"
)]
pub struct InvalidProxies(String);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PROXY: &str = "10.0.0.9";

    fn trusted() -> TrustedProxies {
        "10.0.0.0/16, 2001:db8::/32,192.0.2.1".parse().unwrap()
    }

    /// Returns the client address of a request from this peer with these `X-Forwarded-For` headers.
    fn client(peer: &str, lines: &[&str]) -> String {
        let lines = lines
            .iter()
            .map(|line| (FORWARDED_FOR.parse().unwrap(), line.parse().unwrap()));
        let headers = lines.collect();
        let peer = peer.parse().unwrap();
        trusted().client_address(peer, &headers).to_string()
    }

    #[test]
    fn the_header_of_an_untrusted_peer_is_ignored() {
        assert_eq!(client("203.0.113.7", &["198.51.100.1"]), "203.0.113.7");
        let none = TrustedProxies::default();
        let headers =
            HeaderMap::from_iter([(FORWARDED_FOR.parse().unwrap(), PROXY.parse().unwrap())]);
        let peer = IpAddr::from([203, 0, 113, 7]);
        assert_eq!(none.client_address(peer, &headers), peer);
    }

    #[test]
    fn the_last_hop_that_is_not_a_trusted_proxy_is_the_client() {
        assert_eq!(client(PROXY, &[]), PROXY);
        assert_eq!(client(PROXY, &["203.0.113.7"]), "203.0.113.7");
        assert_eq!(client(PROXY, &["1.1.1.1, 203.0.113.7"]), "203.0.113.7");
        assert_eq!(
            client(PROXY, &["1.1.1.1, 203.0.113.7,192.0.2.1 , 10.0.3.4"]),
            "203.0.113.7"
        );
        assert_eq!(client(PROXY, &["10.0.0.1,10.0.0.2"]), "10.0.0.1");
    }

    #[test]
    fn several_headers_are_one_list() {
        assert_eq!(
            client(PROXY, &["1.1.1.1", "203.0.113.7", "10.0.0.2"]),
            "203.0.113.7"
        );
    }

    #[test]
    fn a_malformed_address_ends_the_list() {
        for garbage in [
            "unknown",
            "",
            "203.0.113.7.9",
            "_hidden",
            "::g",
            "[2001:db8::1",
        ] {
            let list = format!("1.1.1.1, {garbage}, 10.0.0.2");
            assert_eq!(client(PROXY, &[&list]), "10.0.0.2", "{garbage}");
        }
        assert_eq!(client(PROXY, &["1.1.1.1", "\u{e4}"]), PROXY);
    }

    #[test]
    fn ports_are_removed_and_mapped_addresses_are_ipv4_addresses() {
        assert_eq!(client(PROXY, &["203.0.113.7:4711"]), "203.0.113.7");
        assert_eq!(client(PROXY, &["[2a00::1]:4711"]), "2a00::1");
        assert_eq!(client(PROXY, &["[2a00::1]"]), "2a00::1");
        assert_eq!(
            client("::ffff:10.0.0.9", &["::ffff:203.0.113.7"]),
            "203.0.113.7"
        );
    }

    #[test]
    fn networks_are_parsed_or_rejected() {
        assert_eq!(
            "::ffff:10.0.0.0/104".parse::<TrustedProxies>(),
            "10.0.0.0/8".parse()
        );
        for bad in [
            "",
            "10.0.0.0/33",
            "10.0.0.0/16,",
            "example.org",
            "10.0.0.0/16 10.1.0.0/16",
        ] {
            let error = bad.parse::<TrustedProxies>().unwrap_err().to_string();
            assert!(error.contains("such as 10.0.0.0/16"), "{bad}: {error}");
        }
    }

    proptest! {
        #[test]
        fn a_client_cannot_forge_its_address(forged in "[ -~]{0,200}", client: [u8; 4]) {
            let client = IpAddr::from(client);
            prop_assume!(!trusted().trusts(client));
            let list = format!("{forged},{client}").parse().unwrap();
            let headers = HeaderMap::from_iter([(FORWARDED_FOR.parse().unwrap(), list)]);
            prop_assert_eq!(trusted().client_address(PROXY.parse().unwrap(), &headers), client);
            // The same without the proxy.
            prop_assert_eq!(trusted().client_address(client, &headers), client);
        }

        #[test]
        fn parsing_never_panics(list: Vec<u8>) {
            if let Ok(list) = axum::http::HeaderValue::from_bytes(&list) {
                let headers = HeaderMap::from_iter([(FORWARDED_FOR.parse().unwrap(), list)]);
                let _ = trusted().client_address(PROXY.parse().unwrap(), &headers);
            }
        }
    }
}
