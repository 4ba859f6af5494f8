//! The settings of the web server.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use anyhow::Context;
use clap::Args;
use cli::{Addresses, socket_address, whole_number};
use service::lifecycle::DrainSettings;

use crate::{
    AllowedOrigins, ConnectionSettings, Hsts, Listeners, PublicOrigins, Site, TrustedProxies,
    public_urls::PublicUrlSettings,
};

/// Where a service that runs alone listens.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Network")]
pub struct ListenSettings {
    /// The address to listen on, such as 127.0.0.1:8080; if not set, all addresses, of IPv6 and IPv4, and the service's own
    /// port
    #[arg(long, env = "LISTEN_ADDR", value_parser = socket_address)]
    pub listen_addr: Option<SocketAddr>,

    /// The port to listen on, on all addresses, as in the original app
    #[arg(long, env = "PORT", conflicts_with = "listen_addr", value_parser = whole_number(0_u16..=u16::MAX))]
    pub port: Option<u16>,

    /// The address for operators and Prometheus, such as 127.0.0.1:8090: then it alone serves /metrics and says in /ready
    /// what is wrong; if not set, the other address does
    #[arg(long, env = "MANAGEMENT_LISTEN_ADDR", value_parser = socket_address)]
    pub management_listen_addr: Option<SocketAddr>,
}

impl ListenSettings {
    /// The addresses to listen on.
    #[must_use]
    pub fn addresses(&self, default_port: u16) -> Addresses {
        let everywhere = || {
            let port = self.port.unwrap_or(default_port);
            SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)
        };
        Addresses {
            public: self.listen_addr.unwrap_or_else(everywhere),
            management: self.management_listen_addr,
        }
    }

    /// Listens, and says where.
    ///
    /// # Errors
    /// An address cannot be used; the message names its variable.
    pub async fn bind(&self, name: &str, default_port: u16) -> anyhow::Result<Listeners> {
        let variable = match self.port {
            Some(_) => "PORT",
            None => "LISTEN_ADDR",
        };
        let public = service::listen(self.addresses(default_port).public)
            .await
            .context(variable)?;
        tracing::info!(address = %public.local_addr()?, "{name} listens");
        let management =
            service::listen_for_management("MANAGEMENT_LISTEN_ADDR", self.management_listen_addr)
                .await?;
        Ok(Listeners { public, management })
    }
}

/// How browsers reach the pages.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Network")]
pub struct HttpsSettings {
    /// Whether browsers come over HTTPS, through a proxy that ends it: cookies are then sent over HTTPS only, and
    /// browsers told to come over nothing else
    #[arg(long, env = "PUBLIC_HTTPS", default_value_t = false, action = clap::ArgAction::Set)]
    pub public_https: bool,

    /// The value of Strict-Transport-Security where browsers come over HTTPS, such as "max-age=31536000;
    /// includeSubDomains", or off: it is not sent
    #[arg(long, env = "HSTS", default_value = "max-age=31536000", value_parser = Hsts::from_str)]
    pub hsts: Hsts,
}

/// The proxies between browsers and the pages, and the names under which those are reached.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Network")]
pub struct ProxySettings {
    /// The origins at which browsers reach the pages, separated by commas, such as
    /// https://poll.example.org,http://10.0.0.5:8088. Votes from pages at these are accepted whatever a proxy makes of the
    /// header Host; requests for other hosts are refused, but for addresses, localhost and probes. If not set, any host
    #[expect(rustdoc::bare_urls, reason = "it is the text of --help")]
    #[arg(long, env = "PUBLIC_ORIGINS")]
    pub public_origins: Option<PublicOrigins>,

    /// The proxies whose X-Forwarded-For is believed, as addresses or networks such as 10.0.0.0/16,2001:db8::/56; if not
    /// set, none: the address is that of whoever connects
    #[arg(long, env = "TRUSTED_PROXIES")]
    pub trusted_proxies: Option<TrustedProxies>,
}

/// Who may read the API besides our own pages.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Network")]
pub struct CorsSettings {
    /// The origins of other sites whose scripts may read the API, separated by commas, or * for all; if not set, none.
    /// They can never vote
    #[arg(long, env = "CORS_ALLOWED_ORIGINS", value_parser = AllowedOrigins::from_str)]
    pub cors_allowed_origins: Option<AllowedOrigins>,
}

/// How browsers find and reach the pages.
#[derive(Args, Clone, Debug)]
pub struct BrowserSettings {
    /// Whether they come over HTTPS.
    #[command(flatten)]
    pub https: HttpsSettings,
    /// The proxies in between, and the names.
    #[command(flatten)]
    pub proxies: ProxySettings,
    /// Where they find the pages.
    #[command(flatten)]
    pub links: PublicUrlSettings,
    /// Who else may read the API.
    #[command(flatten)]
    pub cors: CorsSettings,
}

impl BrowserSettings {
    /// The outside of the installation.
    #[must_use]
    pub fn site(&self) -> Site {
        let Self { https, proxies, .. } = self;
        Site {
            hsts: https.public_https.then(|| https.hsts.clone()),
            public_origins: proxies.public_origins.clone().unwrap_or_default(),
            trusted_proxies: proxies.trusted_proxies.clone().unwrap_or_default(),
        }
    }
}

/// How every service serves and ends.
#[derive(Args, Clone, Copy, Debug)]
pub struct ServerSettings {
    /// How many connections it holds.
    #[command(flatten)]
    pub connections: ConnectionSettings,
    /// How to end.
    #[command(flatten)]
    pub drain: DrainSettings,
}
