//! How much one address may vote: a bucket of tokens for each, so that one machine cannot stuff the ballot box. Off
//! unless set.
//!
//! Many voters share an address, at work or in a café, so a bucket starts full and holds much more than a minute's worth.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    num::NonZeroU32,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::request::Parts,
};
use clap::Args;
use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use shared::{http::TrustedProxies, settings::whole_number};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{refusal::Refusal, routes::App};

/// So many minutes' worth may come at once, unless set otherwise.
const BURST_MINUTES: u32 = 10;
/// How many addresses are remembered at most, in about 10 MB. Whoever has more is not stopped by a limit for each.
const MOST_ADDRESSES: usize = 100_000;
/// How often those are forgotten that have not voted for a while.
const FORGET_EVERY: Duration = Duration::from_mins(1);

/// How much one address may vote.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits per address")]
pub struct RateSettings {
    /// How many votes a minute one address may send, in the long run; if not set, any number. IPv6 addresses with the
    /// same first 64 bits are one
    #[arg(long, env = "VOTES_PER_MINUTE", value_parser = number())]
    pub votes_per_minute: Option<u32>,

    /// How many votes one address may send at once; if not set, ten minutes' worth
    #[arg(long, env = "VOTES_BURST", value_parser = number())]
    pub votes_burst: Option<u32>,

    /// How many voters a minute may vote from one address for the first time, in the long run; if not set, any number
    #[arg(long, env = "NEW_VOTERS_PER_MINUTE", value_parser = number())]
    pub new_voters_per_minute: Option<u32>,

    /// How many voters may vote from one address for the first time at once; if not set, ten minutes' worth
    #[arg(long, env = "NEW_VOTERS_BURST", value_parser = number())]
    pub new_voters_burst: Option<u32>,
}

fn number() -> impl Fn(&str) -> Result<u32, String> + Clone + Send + Sync {
    whole_number(1..=1_000_000)
}

/// The settings, checked.
#[derive(Clone, Debug, Default)]
pub struct RateConfig {
    votes: Option<Quota>,
    new_voters: Option<Quota>,
    trusted_proxies: TrustedProxies,
}

impl RateSettings {
    /// Checks the settings.
    ///
    /// # Errors
    /// A burst is set where nothing is limited.
    pub fn config(&self, trusted_proxies: TrustedProxies) -> Result<RateConfig, RateWithoutNumber> {
        Ok(RateConfig {
            votes: quota("VOTES", self.votes_per_minute, self.votes_burst)?,
            new_voters: quota(
                "NEW_VOTERS",
                self.new_voters_per_minute,
                self.new_voters_burst,
            )?,
            trusted_proxies,
        })
    }
}

fn quota(
    what: &'static str,
    per_minute: Option<u32>,
    burst: Option<u32>,
) -> Result<Option<Quota>, RateWithoutNumber> {
    let Some(per_minute) = per_minute.and_then(NonZeroU32::new) else {
        return burst.map_or(Ok(None), |_| Err(RateWithoutNumber(what)));
    };
    let worth = per_minute.saturating_mul(NonZeroU32::MIN.saturating_add(BURST_MINUTES - 1));
    let burst = burst.and_then(NonZeroU32::new).unwrap_or(worth);
    Ok(Some(Quota::per_minute(per_minute).allow_burst(burst)))
}

/// A burst of something that is not limited.
#[derive(Debug, thiserror::Error)]
#[error("{0}_BURST is set, but {0}_PER_MINUTE is not; set both, or leave {0}_BURST out")]
pub struct RateWithoutNumber(&'static str);

/// Where a request comes from, as far as that can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddress(pub IpAddr);

impl FromRequestParts<App> for ClientAddress {
    type Rejection = <ConnectInfo<SocketAddr> as FromRequestParts<App>>::Rejection;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        let ConnectInfo(peer) = ConnectInfo::<SocketAddr>::from_request_parts(parts, app).await?;
        let proxies = &app.intake.rates.0.trusted_proxies;
        Ok(Self(proxies.client_address(peer.ip(), &parts.headers)))
    }
}

impl ClientAddress {
    /// What shares a bucket: an IPv6 subscriber has a network of at least 2^64 addresses.
    fn bucket(self) -> IpAddr {
        match self.0 {
            IpAddr::V4(_) => self.0,
            IpAddr::V6(address) => {
                Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
            }
        }
    }
}

/// The buckets of this process. Cloning is cheap.
#[derive(Clone)]
pub struct RateLimits(Arc<Inner>);

struct Inner {
    votes: Option<Buckets>,
    new_voters: Option<Buckets>,
    trusted_proxies: TrustedProxies,
}

impl RateLimits {
    pub(crate) fn new(config: RateConfig) -> Self {
        let limited = config.votes.is_some() || config.new_voters.is_some();
        if limited && config.trusted_proxies.is_empty() {
            tracing::warn!(
                "votes are limited by the address of whoever connects: if that is a proxy, all its voters share one limit; \
                 TRUSTED_PROXIES names those whose X-Forwarded-For is believed"
            );
        }
        Self(Arc::new(Inner {
            votes: config.votes.map(Buckets::new),
            new_voters: config.new_voters.map(Buckets::new),
            trusted_proxies: config.trusted_proxies,
        }))
    }

    /// Takes a token for a vote from this address, and one for a new voter where it is the first one.
    ///
    /// # Errors
    /// There is none left.
    pub(crate) fn check(&self, address: ClientAddress, has_voted: bool) -> Result<(), Refusal> {
        let new_voters = self.0.new_voters.as_ref().filter(|_| !has_voted);
        for buckets in self.0.votes.iter().chain(new_voters) {
            buckets.take(address.bucket())?;
        }
        Ok(())
    }

    /// Forgets old addresses until the service closes.
    pub(crate) async fn keep_small(&self, closing: &CancellationToken) {
        while closing
            .run_until_cancelled(sleep(FORGET_EVERY))
            .await
            .is_some()
        {
            for buckets in self.0.votes.iter().chain(&self.0.new_voters) {
                buckets.forget_old();
            }
        }
    }
}

/// A bucket for each address.
struct Buckets {
    quota: Quota,
    limiter: RwLock<DefaultKeyedRateLimiter<IpAddr>>,
}

impl Buckets {
    fn new(quota: Quota) -> Self {
        Self {
            quota,
            limiter: RwLock::new(RateLimiter::keyed(quota)),
        }
    }

    fn take(&self, bucket: IpAddr) -> Result<(), Refusal> {
        let limiter = self.limiter.read().unwrap_or_else(PoisonError::into_inner);
        let taken = limiter.check_key(&bucket);
        let remembered = limiter.len();
        drop(limiter);
        if remembered >= MOST_ADDRESSES {
            self.make_room();
        }
        taken.map_err(|not_until| {
            let wait = not_until.wait_time_from(DefaultClock::default().now());
            Refusal::RateLimited(whole_seconds(wait))
        })
    }

    fn forget_old(&self) {
        let limiter = self.limiter.read().unwrap_or_else(PoisonError::into_inner);
        limiter.retain_recent();
        limiter.shrink_to_fit();
    }

    /// Refusing everybody whose address is not known yet would do an attacker's work: all start anew instead.
    fn make_room(&self) {
        let mut limiter = self.limiter.write().unwrap_or_else(PoisonError::into_inner);
        if limiter.len() < MOST_ADDRESSES {
            // Somebody else was faster.
            return;
        }
        limiter.retain_recent();
        // Few free places would be gone at once, and looking for old ones costs more than a fresh start.
        if limiter.len() > MOST_ADDRESSES / 2 {
            *limiter = RateLimiter::keyed(self.quota);
            tracing::warn!(
                MOST_ADDRESSES,
                "votes come from more addresses than can be remembered; all limits start anew"
            );
        }
    }
}

/// At least one, and never too early.
fn whole_seconds(wait: Duration) -> u32 {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    u32::try_from(seconds.max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        rates: RateSettings,
    }

    fn config(flags: &[&str]) -> Result<RateConfig, String> {
        let cli =
            Cli::try_parse_from([&["test"], flags].concat()).map_err(|error| error.to_string())?;
        cli.rates
            .config(TrustedProxies::default())
            .map_err(|error| error.to_string())
    }

    fn limits(flags: &[&str]) -> RateLimits {
        RateLimits::new(config(flags).unwrap())
    }

    fn from(address: &str) -> ClientAddress {
        ClientAddress(address.parse().unwrap())
    }

    /// How many of so many votes are let through.
    fn let_through(limits: &RateLimits, votes: usize, address: &str, has_voted: bool) -> usize {
        (0..votes)
            .filter(|_| limits.check(from(address), has_voted).is_ok())
            .count()
    }

    #[test]
    fn nothing_is_limited_unless_set() {
        assert_eq!(let_through(&limits(&[]), 5000, "192.0.2.1", false), 5000);
    }

    #[test]
    fn a_burst_is_let_through_and_then_the_rest_is_told_when_to_come_back() {
        let limits = limits(&["--votes-per-minute", "1", "--votes-burst", "3"]);
        assert_eq!(let_through(&limits, 5, "192.0.2.1", false), 3);
        let Err(Refusal::RateLimited(seconds)) = limits.check(from("192.0.2.1"), false) else {
            panic!("there is no token left");
        };
        assert!((55..=60).contains(&seconds), "{seconds}");
        assert_eq!(
            let_through(&limits, 5, "192.0.2.2", false),
            3,
            "others are not affected"
        );
    }

    #[test]
    fn a_burst_is_ten_minutes_worth_unless_set() {
        let limits = limits(&["--votes-per-minute", "2"]);
        assert_eq!(let_through(&limits, 50, "192.0.2.1", false), 20);
    }

    #[test]
    fn only_new_voters_need_a_new_voters_token() {
        let limits = limits(&["--new-voters-per-minute", "1", "--new-voters-burst", "2"]);
        assert_eq!(let_through(&limits, 50, "192.0.2.1", true), 50);
        assert_eq!(let_through(&limits, 50, "192.0.2.1", false), 2);
    }

    #[test]
    fn a_network_of_ipv6_addresses_is_one_sender() {
        let limits = limits(&["--votes-per-minute", "1", "--votes-burst", "1"]);
        assert_eq!(let_through(&limits, 1, "2001:db8:0:1::1", false), 1);
        assert_eq!(let_through(&limits, 1, "2001:db8:0:1:ffff::2", false), 0);
        assert_eq!(let_through(&limits, 1, "2001:db8:0:2::1", false), 1);
    }

    #[test]
    fn tokens_come_back() {
        // One every 60 µs.
        let limits = limits(&["--votes-per-minute", "1000000", "--votes-burst", "1"]);
        let began = std::time::Instant::now();
        let mut through = 0;
        while through < 10 {
            through += let_through(&limits, 1, "192.0.2.1", false);
            assert!(began.elapsed() < Duration::from_mins(1));
        }
    }

    #[test]
    fn a_flood_of_addresses_is_bounded_and_refuses_nobody() {
        let limits = limits(&["--votes-per-minute", "1", "--votes-burst", "1"]);
        let buckets = limits.0.votes.as_ref().unwrap();
        let remembered = || buckets.limiter.read().unwrap().len();
        for number in 0..250_000 {
            let address = ClientAddress(IpAddr::from(u32::to_be_bytes(number)));
            limits.check(address, false).unwrap();
            assert!(remembered() <= MOST_ADDRESSES);
        }
    }

    #[test]
    fn addresses_that_have_their_tokens_back_are_forgotten() {
        let limits = limits(&["--votes-per-minute", "1000000"]);
        for number in 0..100 {
            limits
                .check(ClientAddress(IpAddr::from([192, 0, 2, number])), false)
                .unwrap();
        }
        let buckets = limits.0.votes.as_ref().unwrap();
        let began = std::time::Instant::now();
        while !buckets.limiter.read().unwrap().is_empty() {
            buckets.forget_old();
            assert!(began.elapsed() < Duration::from_mins(1));
        }
    }

    #[test]
    fn waits_are_told_in_whole_seconds() {
        for (wait, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (59_999, 60)] {
            assert_eq!(
                whole_seconds(Duration::from_millis(wait)),
                seconds,
                "{wait} ms"
            );
        }
    }

    #[test]
    fn bad_settings_are_refused_with_what_is_allowed() {
        for (flags, allowed) in [
            (&["--votes-per-minute", "0"][..], "from 1 to 1000000"),
            (&["--new-voters-burst", "lots"], "from 1 to 1000000"),
            (&["--votes-burst", "5"], "VOTES_PER_MINUTE is not; set both"),
            (&["--new-voters-burst", "5"], "NEW_VOTERS_PER_MINUTE is not"),
        ] {
            let said = config(flags).unwrap_err();
            assert!(said.contains(allowed), "{flags:?}: {said}");
        }
    }
}
