//! Whose request it is, where proxies stand between.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use axum::http::HeaderMap;
use ipnet::{IpNet, Ipv4Net};

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The networks of the proxies whose word is taken for where a request comes from. None unless set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Whether nobody is trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The address of the client behind a connection from `peer`.
    ///
    /// Each proxy appends to `X-Forwarded-For` who connected to it. So the list is read from its end, and the first
    /// address that is no trusted proxy's is the client's; what stands before it, the client may have made up. Where the
    /// list ends or cannot be read, the last trusted proxy is the best that is known.
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

/// Some proxies add the client's port; those that do put an IPv6 address into brackets.
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

/// A network of IPv4 addresses that are written as IPv6 ones is one of IPv4 addresses.
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

/// A list of proxies that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no network; write addresses or networks with commas between them, such as 10.0.0.0/16,2001:db8::/56"
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

    /// The client, where these lines of `X-Forwarded-For` came from this peer.
    fn client(peer: &str, lines: &[&str]) -> String {
        let lines = lines
            .iter()
            .map(|line| (FORWARDED_FOR.parse().unwrap(), line.parse().unwrap()));
        let headers = lines.collect();
        let peer = peer.parse().unwrap();
        trusted().client_address(peer, &headers).to_string()
    }

    #[test]
    fn strangers_are_not_believed() {
        assert_eq!(client("203.0.113.7", &["198.51.100.1"]), "203.0.113.7");
        let nobody = TrustedProxies::default();
        let headers =
            HeaderMap::from_iter([(FORWARDED_FOR.parse().unwrap(), PROXY.parse().unwrap())]);
        let peer = IpAddr::from([203, 0, 113, 7]);
        assert_eq!(nobody.client_address(peer, &headers), peer);
    }

    #[test]
    fn the_last_hop_that_is_no_trusted_proxy_is_the_client() {
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
    fn several_lines_are_one_list() {
        assert_eq!(
            client(PROXY, &["1.1.1.1", "203.0.113.7", "10.0.0.2"]),
            "203.0.113.7"
        );
    }

    #[test]
    fn what_cannot_be_read_ends_the_list() {
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
    fn ports_are_left_out_and_mapped_addresses_are_plain_ones() {
        assert_eq!(client(PROXY, &["203.0.113.7:4711"]), "203.0.113.7");
        assert_eq!(client(PROXY, &["[2a00::1]:4711"]), "2a00::1");
        assert_eq!(client(PROXY, &["[2a00::1]"]), "2a00::1");
        assert_eq!(
            client("::ffff:10.0.0.9", &["::ffff:203.0.113.7"]),
            "203.0.113.7"
        );
    }

    #[test]
    fn networks_are_read_or_refused() {
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
            let said = bad.parse::<TrustedProxies>().unwrap_err().to_string();
            assert!(said.contains("such as 10.0.0.0/16"), "{bad}: {said}");
        }
    }

    proptest! {
        #[test]
        fn nothing_a_client_sends_makes_it_somebody_else(made_up in "[ -~]{0,200}", client: [u8; 4]) {
            let client = IpAddr::from(client);
            prop_assume!(!trusted().trusts(client));
            let list = format!("{made_up},{client}").parse().unwrap();
            let headers = HeaderMap::from_iter([(FORWARDED_FOR.parse().unwrap(), list)]);
            prop_assert_eq!(trusted().client_address(PROXY.parse().unwrap(), &headers), client);
            // Past the proxy, the client is nobody but itself either.
            prop_assert_eq!(trusted().client_address(client, &headers), client);
        }

        #[test]
        fn no_header_makes_reading_panic(list: Vec<u8>) {
            if let Ok(list) = axum::http::HeaderValue::from_bytes(&list) {
                let headers = HeaderMap::from_iter([(FORWARDED_FOR.parse().unwrap(), list)]);
                let _ = trusted().client_address(PROXY.parse().unwrap(), &headers);
            }
        }
    }
}
