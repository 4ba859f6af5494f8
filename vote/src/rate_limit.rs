//! Rate limits per client address, as token buckets, so that one machine cannot cast any number of votes. Off by default.
//!
//! Many voters share an address, at work or in a café. So a bucket starts full, and by default its capacity is ten
//! minutes' worth.

use std::{
    net::IpAddr,
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use hashlink::LruCache;
use poll::ballot::VoterId;
use web::ClientAddress;

use crate::{rate_settings::RateConfig, vote_error::VoteError};

/// Capacity of each LRU cache of buckets or voters, in entries; each takes about 10 MB. A new entry replaces the one that was
/// used least recently.
const MAX_TRACKED: usize = 100_000;
/// Prefix lengths of the IPv6 networks of one subscriber and of one site, such as a school with many networks.
/// Source: <https://www.rfc-editor.org/rfc/rfc6177>.
const SUBSCRIBER_BITS: u32 = 64;
const SITE_BITS: u32 = 48;
/// Quota of an IPv6 site, as a multiple of the quota of a subscriber.
const SITE_QUOTAS: NonZeroU32 = NonZeroU32::new(4).unwrap();

/// Rate limits of this process.
pub struct RateLimits {
    votes: Option<Buckets>,
    new_voters: Option<NewVoters>,
}

impl RateLimits {
    /// Creates full buckets.
    pub(crate) fn new(config: &RateConfig) -> Self {
        let limited = config.votes.is_some() || config.new_voters.is_some();
        if limited && config.trusted_proxies.is_empty() {
            tracing::warn!(
                "votes are limited by the address of the connection: behind a proxy all voters share one limit; \
                 list proxies in TRUSTED_PROXIES to use their X-Forwarded-For"
            );
        }
        Self {
            votes: config.votes.map(Buckets::new),
            new_voters: config.new_voters.map(NewVoters::new),
        }
    }

    /// Takes a token for a vote from this address, and another one for a new voter if this is the voter's first vote.
    ///
    /// # Errors
    /// No token is left.
    pub(crate) fn check(&self, address: ClientAddress, voter: VoterId) -> Result<(), VoteError> {
        if let Some(votes) = &self.votes {
            votes.take(address)?;
        }
        match &self.new_voters {
            Some(new_voters) => new_voters.check(address, voter),
            None => Ok(()),
        }
    }
}

/// Limits of new voters: the known voters, which need no token, and the buckets. The last choice in a cookie does not make a
/// voter known: the cookie may be from before all votes were removed.
struct NewVoters {
    known: Mutex<LruCache<VoterId, ()>>,
    buckets: Buckets,
}

impl NewVoters {
    fn new(quota: Quota) -> Self {
        Self {
            known: Mutex::new(LruCache::new(MAX_TRACKED)),
            buckets: Buckets::new(quota),
        }
    }

    fn check(&self, address: ClientAddress, voter: VoterId) -> Result<(), VoteError> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known().get(&voter).is_none() {
            self.buckets.take(address)?;
            known().insert(voter, ());
        }
        Ok(())
    }
}

/// Buckets for each subscriber, and for each IPv6 site.
struct Buckets {
    subscribers: KeyedBuckets,
    sites: KeyedBuckets,
}

impl Buckets {
    fn new(quota: Quota) -> Self {
        let multiple = |number: NonZeroU32| number.saturating_mul(SITE_QUOTAS);
        // A quota has no rate, but the interval after which one token is replenished.
        let site_quota = Quota::with_period(quota.replenish_interval() / SITE_QUOTAS.get())
            .map_or(quota, |faster| {
                faster.allow_burst(multiple(quota.burst_size()))
            });
        Self {
            subscribers: KeyedBuckets::new(quota),
            sites: KeyedBuckets::new(site_quota),
        }
    }

    fn take(&self, address: ClientAddress) -> Result<(), VoteError> {
        self.subscribers.take(address.network(SUBSCRIBER_BITS))?;
        match address.0 {
            IpAddr::V4(_) => Ok(()),
            IpAddr::V6(_) => self.sites.take(address.network(SITE_BITS)),
        }
    }
}

/// Buckets for the networks with the most recent votes.
struct KeyedBuckets {
    quota: Quota,
    buckets: Mutex<LruCache<IpAddr, DefaultDirectRateLimiter>>,
}

impl KeyedBuckets {
    fn new(quota: Quota) -> Self {
        Self {
            quota,
            buckets: Mutex::new(LruCache::new(MAX_TRACKED)),
        }
    }

    fn take(&self, network: IpAddr) -> Result<(), VoteError> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.get(&network).is_none() {
            buckets.insert(network, RateLimiter::direct(self.quota));
        }
        let bucket = buckets.get(&network).expect("it was inserted above");
        bucket.check().map_err(|not_until| {
            let wait = not_until.wait_time_from(DefaultClock::default().now());
            VoteError::RateLimited(whole_seconds(wait))
        })
    }
}

/// Rounds a wait up to whole seconds, at least one.
fn whole_seconds(wait: Duration) -> u32 {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    u32::try_from(seconds.max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate_settings::tests::config;

    fn limits(flags: &[&str]) -> RateLimits {
        RateLimits::new(&config(flags).unwrap())
    }

    fn from(address: &str) -> ClientAddress {
        ClientAddress(address.parse().unwrap())
    }

    /// Sends votes, each by a new voter, and returns the number of accepted ones.
    fn count_accepted(limits: &RateLimits, votes: usize, address: &str) -> usize {
        (0..votes)
            .filter(|_| limits.check(from(address), VoterId::random()).is_ok())
            .count()
    }

    #[test]
    fn nothing_is_limited_by_default() {
        assert_eq!(count_accepted(&limits(&[]), 5000, "192.0.2.1"), 5000);
    }

    #[test]
    fn votes_over_the_burst_are_rejected_with_a_retry_after() {
        let limits = limits(&["--votes-per-minute", "1", "--votes-burst", "3"]);
        assert_eq!(count_accepted(&limits, 5, "192.0.2.1"), 3);
        let Err(VoteError::RateLimited(seconds)) =
            limits.check(from("192.0.2.1"), VoterId::random())
        else {
            panic!("there is no token left");
        };
        assert!((55..=60).contains(&seconds), "{seconds}");
        assert_eq!(
            count_accepted(&limits, 5, "192.0.2.2"),
            3,
            "others are not affected"
        );
    }

    #[test]
    fn the_default_burst_is_ten_minutes_worth() {
        let limits = limits(&["--votes-per-minute", "2"]);
        assert_eq!(count_accepted(&limits, 50, "192.0.2.1"), 20);
    }

    #[test]
    fn a_voter_takes_one_token_for_new_voters() {
        let limits = limits(&["--new-voters-per-minute", "1", "--new-voters-burst", "2"]);
        let voter = VoterId::random();
        let accepted = (0..50).filter(|_| limits.check(from("192.0.2.1"), voter).is_ok());
        assert_eq!(accepted.count(), 50);
        assert_eq!(count_accepted(&limits, 50, "192.0.2.1"), 1);
        let again = limits.check(from("192.0.2.1"), voter);
        assert!(again.is_ok(), "a known voter may change the vote");
    }

    #[test]
    fn an_ipv6_site_has_the_quota_of_four_subscribers() {
        let limits = limits(&["--votes-per-minute", "1", "--votes-burst", "1"]);
        assert_eq!(count_accepted(&limits, 1, "2001:db8:0:1::1"), 1);
        assert_eq!(count_accepted(&limits, 1, "2001:db8:0:1:ffff::2"), 0);
        let networks = (2..4000).map(|network| format!("2001:db8:0:{network:x}::1"));
        let accepted = networks.map(|network| count_accepted(&limits, 1, &network));
        assert_eq!(accepted.sum::<usize>(), 3);
        assert_eq!(count_accepted(&limits, 1, "2001:db8:1:1::1"), 1);
    }

    #[test]
    fn tokens_are_replenished() {
        // One every 60 µs.
        let limits = limits(&["--votes-per-minute", "1000000", "--votes-burst", "1"]);
        let start = std::time::Instant::now();
        let mut accepted = 0;
        while accepted < 10 {
            accepted += count_accepted(&limits, 1, "192.0.2.1");
            assert!(start.elapsed() < Duration::from_mins(1));
        }
    }

    #[test]
    fn many_addresses_are_bounded_and_do_not_reset_an_active_bucket() {
        let limits = limits(&["--votes-per-minute", "1", "--votes-burst", "1"]);
        let buckets = &limits.votes.as_ref().unwrap().subscribers.buckets;
        let busy = "192.0.2.1";
        assert_eq!(count_accepted(&limits, 1, busy), 1);
        for number in 0..250_000 {
            let address = ClientAddress(IpAddr::from(u32::to_be_bytes(number)));
            limits.check(address, VoterId::random()).unwrap();
            if number % 1000 == 0 {
                assert_eq!(count_accepted(&limits, 1, busy), 0, "after {number} others");
            }
        }
        assert_eq!(buckets.lock().unwrap().len(), MAX_TRACKED);
    }

    #[test]
    fn waits_are_rounded_up_to_whole_seconds() {
        for (wait, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (59_999, 60)] {
            assert_eq!(
                whole_seconds(Duration::from_millis(wait)),
                seconds,
                "{wait} ms"
            );
        }
    }
}
