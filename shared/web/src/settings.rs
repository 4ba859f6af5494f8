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

/// The addresses that a service listens on.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Network")]
pub struct ListenSettings {
    /// Address to listen on, such as 127.0.0.1:8080; if not set, all IPv6 and IPv4 addresses, and the default port of the service
    #[arg(long, env = "LISTEN_ADDR", value_parser = socket_address)]
    pub listen_addr: Option<SocketAddr>,

    /// Port to listen on, on all addresses, as in the original app
    #[arg(long, env = "PORT", conflicts_with = "listen_addr", value_parser = whole_number(0_u16..=u16::MAX))]
    pub port: Option<u16>,

    /// Address for operators and Prometheus, such as 127.0.0.1:8090. If set, only this address serves /metrics and the errors in
    /// /ready; if not set, the public address does
    #[arg(long, env = "MANAGEMENT_LISTEN_ADDR", value_parser = socket_address)]
    pub management_listen_addr: Option<SocketAddr>,
}

impl ListenSettings {
    /// Returns the addresses to listen on.
    #[must_use]
    pub fn addresses(&self, default_port: u16) -> Addresses {
        let all_addresses = || {
            let port = self.port.unwrap_or(default_port);
            SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)
        };
        Addresses {
            public: self.listen_addr.unwrap_or_else(all_addresses),
            management: self.management_listen_addr,
        }
    }

    /// Binds the listeners, and logs their addresses.
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
        tracing::info!(address = %public.local_addr()?, service = name, "listening");
        let management =
            service::listen_for_management("MANAGEMENT_LISTEN_ADDR", self.management_listen_addr)
                .await?;
        Ok(Listeners { public, management })
    }
}

/// HTTPS between browsers and the pages.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Network")]
pub struct HttpsSettings {
    /// True if browsers use HTTPS, through a proxy that terminates TLS: cookies are then marked Secure, and
    /// Strict-Transport-Security is sent
    #[arg(long, env = "PUBLIC_HTTPS", default_value_t = false, action = clap::ArgAction::Set)]
    pub public_https: bool,

    /// Value of Strict-Transport-Security if PUBLIC_HTTPS is true, such as "max-age=31536000; includeSubDomains", or off to not
    /// send it
    #[arg(long, env = "HSTS", default_value = "max-age=31536000", value_parser = Hsts::from_str)]
    pub hsts: Hsts,
}

/// The proxies between browsers and the pages, and the public origins.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Network")]
pub struct ProxySettings {
    /// Origins at which browsers reach the pages, separated by commas, such as
    /// https://poll.example.org,http://10.0.0.5:8088. Votes from pages at these origins are accepted even if a proxy changes the
    /// header Host. Requests for other hosts are rejected, except for addresses, localhost and probes. If not set, any host is
    /// accepted
    #[expect(rustdoc::bare_urls, reason = "it is the text of --help")]
    #[arg(long, env = "PUBLIC_ORIGINS")]
    pub public_origins: Option<PublicOrigins>,

    /// Proxies whose X-Forwarded-For is trusted, as addresses or networks such as 10.0.0.0/16,2001:db8::/56; if not set, none:
    /// the client address is that of the connection
    #[arg(long, env = "TRUSTED_PROXIES")]
    pub trusted_proxies: Option<TrustedProxies>,
}

/// The other sites that may read the API.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Network")]
pub struct CorsSettings {
    /// Origins of other sites whose scripts may read the API, separated by commas, or * for all; if not set, none. They can never
    /// vote
    #[arg(long, env = "CORS_ALLOWED_ORIGINS", value_parser = AllowedOrigins::from_str)]
    pub cors_allowed_origins: Option<AllowedOrigins>,
}

/// The settings of the public side of the pages.
#[derive(Args, Clone, Debug)]
pub struct BrowserSettings {
    /// HTTPS.
    #[command(flatten)]
    pub https: HttpsSettings,
    /// Proxies and public origins.
    #[command(flatten)]
    pub proxies: ProxySettings,
    /// Public URLs.
    #[command(flatten)]
    pub public_urls: PublicUrlSettings,
    /// Other sites.
    #[command(flatten)]
    pub cors: CorsSettings,
}

impl BrowserSettings {
    /// Returns the public side of the deployment.
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

/// The settings of connections and shutdown of every service.
#[derive(Args, Clone, Copy, Debug)]
pub struct ServerSettings {
    /// Connections.
    #[command(flatten)]
    pub connections: ConnectionSettings,
    /// Shutdown.
    #[command(flatten)]
    pub drain: DrainSettings,
}
