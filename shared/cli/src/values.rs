//! Parsers of setting values.

use std::{fmt::Display, net::SocketAddr, ops::RangeInclusive, str::FromStr, time::Duration};

use jiff::SignedDuration;

/// Parses a duration, such as `400ms`, `5s` or `1m 30s`.
///
/// # Errors
/// The text is not a duration, or the duration is negative.
pub fn duration(raw: &str) -> Result<Duration, String> {
    let parsed = raw
        .parse::<SignedDuration>()
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok());
    parsed.ok_or_else(|| "write a duration, such as 400ms, 5s or 2m".into())
}

/// Returns a parser of whole numbers in this range.
pub fn whole_number<T>(
    allowed: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync
where
    T: FromStr + PartialOrd + Display + Clone + Send + Sync,
{
    move |raw| {
        let number = raw.parse().ok().filter(|number| allowed.contains(number));
        number.ok_or_else(|| {
            let (min, max) = (allowed.start(), allowed.end());
            format!("write a whole number from {min} to {max}")
        })
    }
}

/// Parses an address to listen on.
///
/// # Errors
/// The address or the port is missing or malformed. Host names are not resolved.
pub fn socket_address(raw: &str) -> Result<SocketAddr, String> {
    raw.parse().map_err(|_| {
        "write an IP address and a port from 0 to 65535, such as 127.0.0.1:8080 for this machine only, 0.0.0.0:8080 for \
         all networks, or [::1]:8080"
            .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_rejected_with_the_range() {
        let number = whole_number(3_u32..=100);
        assert_eq!((number("3"), number("100")), (Ok(3), Ok(100)));
        for bad in ["", "2", "101", "-4", "4.5", "many", "99999999999"] {
            let allowed = "write a whole number from 3 to 100".to_owned();
            assert_eq!(number(bad), Err(allowed), "{bad}");
        }
    }

    #[test]
    fn addresses_without_a_port_are_rejected() {
        assert!(socket_address("127.0.0.1:0").is_ok() && socket_address("[::]:8080").is_ok());
        for bad in [
            "8080",
            ":8080",
            "127.0.0.1",
            "localhost:8080",
            "127.0.0.1:80808",
        ] {
            assert!(
                socket_address(bad).unwrap_err().contains("127.0.0.1:8080"),
                "{bad}"
            );
        }
    }

    #[test]
    fn durations_are_parsed() {
        assert_eq!(duration("400ms"), Ok(Duration::from_millis(400)));
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        for bad in ["", "5", "-1s", "soon"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
