//! Settings of the rate limits.

use std::num::NonZeroU32;

use clap::Args;
use cli::whole_number;
use governor::Quota;
use web::TrustedProxies;

/// Default burst, in minutes' worth of the rate.
const BURST_MINUTES: u32 = 10;

/// Settings of the limits per client address.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits per address")]
pub struct RateSettings {
    /// Votes per minute from one address, in the long run; if not set, unlimited. IPv6 addresses with the same first 64 bits
    /// count as one address, and all with the same first 48 bits may send four times as many
    #[arg(long, env = "VOTES_PER_MINUTE", value_parser = number())]
    pub votes_per_minute: Option<u32>,

    /// Votes that one address may send at once; if not set, ten minutes' worth
    #[arg(long, env = "VOTES_BURST", value_parser = number())]
    pub votes_burst: Option<u32>,

    /// New voters per minute from one address, in the long run; if not set, unlimited. A voter is new at the first vote since
    /// this service started
    #[arg(long, env = "NEW_VOTERS_PER_MINUTE", value_parser = number())]
    pub new_voters_per_minute: Option<u32>,

    /// New voters that may vote from one address at once; if not set, ten minutes' worth
    #[arg(long, env = "NEW_VOTERS_BURST", value_parser = number())]
    pub new_voters_burst: Option<u32>,
}

fn number() -> impl Fn(&str) -> Result<u32, String> + Clone + Send + Sync {
    whole_number(1..=1_000_000)
}

/// Validated settings.
#[derive(Clone, Debug, Default)]
pub struct RateConfig {
    /// Quota of votes from one address.
    pub(crate) votes: Option<Quota>,
    /// Quota of new voters from one address.
    pub(crate) new_voters: Option<Quota>,
    /// Proxies whose `X-Forwarded-For` is trusted.
    pub(crate) trusted_proxies: TrustedProxies,
}

impl RateSettings {
    /// Validates the settings.
    ///
    /// # Errors
    /// A burst is set without its rate.
    pub fn config(&self, trusted_proxies: TrustedProxies) -> Result<RateConfig, BurstWithoutRate> {
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
    name: &'static str,
    per_minute: Option<u32>,
    burst: Option<u32>,
) -> Result<Option<Quota>, BurstWithoutRate> {
    let Some(per_minute) = per_minute.and_then(NonZeroU32::new) else {
        return burst.map_or(Ok(None), |_| Err(BurstWithoutRate(name)));
    };
    let worth = per_minute.saturating_mul(NonZeroU32::MIN.saturating_add(BURST_MINUTES - 1));
    let burst = burst.and_then(NonZeroU32::new).unwrap_or(worth);
    Ok(Some(Quota::per_minute(per_minute).allow_burst(burst)))
}

/// A burst is set without its rate.
#[derive(Debug, thiserror::Error)]
#[error("{0}_BURST is set, but {0}_PER_MINUTE is not; set both, or leave {0}_BURST out")]
pub struct BurstWithoutRate(&'static str);

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        rates: RateSettings,
    }

    /// Parses and validates these flags.
    pub fn config(flags: &[&str]) -> Result<RateConfig, String> {
        let cli =
            Cli::try_parse_from([&["test"], flags].concat()).map_err(|error| error.to_string())?;
        cli.rates
            .config(TrustedProxies::default())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn errors_about_settings_name_the_allowed_values() {
        for (flags, allowed) in [
            (&["--votes-per-minute", "0"][..], "from 1 to 1000000"),
            (&["--new-voters-burst", "lots"], "from 1 to 1000000"),
            (&["--votes-burst", "5"], "VOTES_PER_MINUTE is not; set both"),
            (&["--new-voters-burst", "5"], "NEW_VOTERS_PER_MINUTE is not"),
        ] {
            let error = config(flags).unwrap_err();
            assert!(error.contains(allowed), "{flags:?}: {error}");
        }
    }
}
