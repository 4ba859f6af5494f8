//! How much one address may vote: a bucket of tokens for each, so that one machine cannot stuff the ballot box. Off
//! unless set.
//!
//! Many voters share an address, at work or in a café, so a bucket starts full and holds much more than a minute's worth.

use std::{
    net::IpAddr,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use clap::Args;
use cli::whole_number;
use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use hashlink::LruCache;
use poll::ballot::VoterId;
use web::{ClientAddress, TrustedProxies};

use crate::refusal::Refusal;

/// The burst in minutes' worth, unless set otherwise.
const BURST_MINUTES: u32 = 10;
/// The number of buckets and of voters that are remembered, in about 10 MB each. The one that was longest without a vote is
/// forgotten for a new one.
const MAX_REMEMBERED: usize = 100_000;
/// The first bits of IPv6 addresses that are one subscriber's, and those that are one site's, such as a school's or a whole
/// provider's customer with many networks. Source: <https://www.rfc-editor.org/rfc/rfc6177>.
const SUBSCRIBER_BITS: u32 = 64;
const SITE_BITS: u32 = 48;
/// The number of subscribers' quotas that a site of IPv6 has.
const SITE_QUOTAS: NonZeroU32 = NonZeroU32::new(4).unwrap();

/// How much one address may vote.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits per address")]
pub struct RateSettings {
    /// How many votes a minute one address may send, in the long run; if not set, any number. IPv6 addresses with the
    /// same first 64 bits are one, and all with the same first 48 bits may send four times as many
    #[arg(long, env = "VOTES_PER_MINUTE", value_parser = number())]
    pub votes_per_minute: Option<u32>,

    /// How many votes one address may send at once; if not set, ten minutes' worth
    #[arg(long, env = "VOTES_BURST", value_parser = number())]
    pub votes_burst: Option<u32>,

    /// The number of voters a minute that may vote from one address for the first time since this service started, in the
    /// long run; if not set, any number
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

/// The buckets of this process. Cloning is cheap; clones share them.
#[derive(Clone)]
pub struct RateLimits(Arc<Inner>);

struct Inner {
    votes: Option<Buckets>,
    new_voters: Option<NewVoters>,
}

impl RateLimits {
    pub(crate) fn new(config: &RateConfig) -> Self {
        let limited = config.votes.is_some() || config.new_voters.is_some();
        if limited && config.trusted_proxies.is_empty() {
            tracing::warn!(
                "votes are limited by the address of whoever connects: if that is a proxy, all its voters share one limit; \
                 TRUSTED_PROXIES names those whose X-Forwarded-For is believed"
            );
        }
        Self(Arc::new(Inner {
            votes: config.votes.map(Buckets::new),
            new_voters: config.new_voters.map(NewVoters::new),
        }))
    }

    /// Takes a token for a vote from this address, and one for a new voter where it is this voter's first one.
    ///
    /// # Errors
    /// There is none left.
    pub(crate) fn check(&self, address: ClientAddress, voter: VoterId) -> Result<(), Refusal> {
        if let Some(votes) = &self.0.votes {
            votes.take(address)?;
        }
        match &self.0.new_voters {
            Some(new_voters) => new_voters.check(address, voter),
            None => Ok(()),
        }
    }
}

/// The voters that have taken a token, and the buckets of those that have not. A cookie that says that its voter has voted
/// does not count: it may have been kept for the moment when all votes are removed.
struct NewVoters {
    known: Mutex<LruCache<VoterId, ()>>,
    buckets: Buckets,
}

impl NewVoters {
    fn new(quota: Quota) -> Self {
        Self {
            known: Mutex::new(LruCache::new(MAX_REMEMBERED)),
            buckets: Buckets::new(quota),
        }
    }

    fn check(&self, address: ClientAddress, voter: VoterId) -> Result<(), Refusal> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known().get(&voter).is_none() {
            self.buckets.take(address)?;
            known().insert(voter, ());
        }
        Ok(())
    }
}

/// A bucket for each address, and for each site of IPv6.
struct Buckets {
    subscribers: KeyedBuckets,
    sites: KeyedBuckets,
}

impl Buckets {
    fn new(quota: Quota) -> Self {
        let several = |number: NonZeroU32| number.saturating_mul(SITE_QUOTAS);
        // A quota does not tell its rate, but the time that one token takes to come back.
        let of_site = Quota::with_period(quota.replenish_interval() / SITE_QUOTAS.get())
            .map_or(quota, |faster| {
                faster.allow_burst(several(quota.burst_size()))
            });
        Self {
            subscribers: KeyedBuckets::new(quota),
            sites: KeyedBuckets::new(of_site),
        }
    }

    fn take(&self, address: ClientAddress) -> Result<(), Refusal> {
        self.subscribers.take(address.network(SUBSCRIBER_BITS))?;
        match address.0 {
            IpAddr::V4(_) => Ok(()),
            IpAddr::V6(_) => self.sites.take(address.network(SITE_BITS)),
        }
    }
}

/// A bucket for each network that has voted lately.
struct KeyedBuckets {
    quota: Quota,
    buckets: Mutex<LruCache<IpAddr, DefaultDirectRateLimiter>>,
}

impl KeyedBuckets {
    fn new(quota: Quota) -> Self {
        Self {
            quota,
            buckets: Mutex::new(LruCache::new(MAX_REMEMBERED)),
        }
    }

    fn take(&self, network: IpAddr) -> Result<(), Refusal> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.get(&network).is_none() {
            buckets.insert(network, RateLimiter::direct(self.quota));
        }
        let bucket = buckets.get(&network).expect("it was made above");
        bucket.check().map_err(|not_until| {
            let wait = not_until.wait_time_from(DefaultClock::default().now());
            Refusal::RateLimited(whole_seconds(wait))
        })
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
        RateLimits::new(&config(flags).unwrap())
    }

    fn from(address: &str) -> ClientAddress {
        ClientAddress(address.parse().unwrap())
    }

    /// The number of votes, each of a voter of its own, that are let through of so many.
    fn let_through(limits: &RateLimits, votes: usize, address: &str) -> usize {
        (0..votes)
            .filter(|_| limits.check(from(address), VoterId::random()).is_ok())
            .count()
    }

    #[test]
    fn nothing_is_limited_unless_set() {
        assert_eq!(let_through(&limits(&[]), 5000, "192.0.2.1"), 5000);
    }

    #[test]
    fn a_burst_is_let_through_and_then_the_rest_is_told_when_to_come_back() {
        let limits = limits(&["--votes-per-minute", "1", "--votes-burst", "3"]);
        assert_eq!(let_through(&limits, 5, "192.0.2.1"), 3);
        let Err(Refusal::RateLimited(seconds)) = limits.check(from("192.0.2.1"), VoterId::random())
        else {
            panic!("there is no token left");
        };
        assert!((55..=60).contains(&seconds), "{seconds}");
        assert_eq!(
            let_through(&limits, 5, "192.0.2.2"),
            3,
            "others are not affected"
        );
    }

    #[test]
    fn a_burst_is_ten_minutes_worth_unless_set() {
        let limits = limits(&["--votes-per-minute", "2"]);
        assert_eq!(let_through(&limits, 50, "192.0.2.1"), 20);
    }

    #[test]
    fn a_voter_takes_one_new_voters_token_whatever_the_cookie_says() {
        let limits = limits(&["--new-voters-per-minute", "1", "--new-voters-burst", "2"]);
        let voter = VoterId::random();
        let accepted = (0..50).filter(|_| limits.check(from("192.0.2.1"), voter).is_ok());
        assert_eq!(accepted.count(), 50);
        assert_eq!(let_through(&limits, 50, "192.0.2.1"), 1);
        let elsewhere = limits.check(from("192.0.2.1"), voter);
        assert!(elsewhere.is_ok(), "it may change its mind");
    }

    #[test]
    fn a_network_of_ipv6_addresses_is_one_sender_and_a_site_is_four() {
        let limits = limits(&["--votes-per-minute", "1", "--votes-burst", "1"]);
        assert_eq!(let_through(&limits, 1, "2001:db8:0:1::1"), 1);
        assert_eq!(let_through(&limits, 1, "2001:db8:0:1:ffff::2"), 0);
        let networks = (2..4000).map(|network| format!("2001:db8:0:{network:x}::1"));
        let through = networks.map(|network| let_through(&limits, 1, &network));
        assert_eq!(through.sum::<usize>(), 3);
        assert_eq!(let_through(&limits, 1, "2001:db8:1:1::1"), 1);
    }

    #[test]
    fn tokens_come_back() {
        // One every 60 µs.
        let limits = limits(&["--votes-per-minute", "1000000", "--votes-burst", "1"]);
        let began = std::time::Instant::now();
        let mut through = 0;
        while through < 10 {
            through += let_through(&limits, 1, "192.0.2.1");
            assert!(began.elapsed() < Duration::from_mins(1));
        }
    }

    #[test]
    fn a_flood_of_addresses_is_bounded_and_gives_no_limit_back() {
        let limits = limits(&["--votes-per-minute", "1", "--votes-burst", "1"]);
        let buckets = &limits.0.votes.as_ref().unwrap().subscribers.buckets;
        let busy = "192.0.2.1";
        assert_eq!(let_through(&limits, 1, busy), 1);
        for number in 0..250_000 {
            let address = ClientAddress(IpAddr::from(u32::to_be_bytes(number)));
            limits.check(address, VoterId::random()).unwrap();
            if number % 1000 == 0 {
                assert_eq!(let_through(&limits, 1, busy), 0, "after {number} others");
            }
        }
        assert_eq!(buckets.lock().unwrap().len(), MAX_REMEMBERED);
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
