//! Dates and times in settings, with an offset from UTC or a time zone.

use std::{fmt, str::FromStr};

use jiff::{
    Timestamp, ZonedDateTime,
    fmt::temporal::Pieces,
    tz::{AmbiguousOffset, TimeZone},
};

/// A date and time, displayed in the time zone or with the offset in which it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment(ZonedDateTime);

impl Moment {
    /// Returns the timestamp.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        self.0.timestamp()
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.time_zone().iana_name() {
            Some(_) => self.0.fmt(f),
            // A fixed offset has no time zone name, and `ZonedDateTime` would write the offset twice.
            None => self.timestamp().display_with_offset(self.0.offset()).fmt(f),
        }
    }
}

impl FromStr for Moment {
    type Err = InvalidMoment;

    /// Parses the format of RFC 9557, <https://www.rfc-editor.org/rfc/rfc9557>. An offset or a time zone is required.
    fn from_str(raw: &str) -> Result<Self, InvalidMoment> {
        let pieces = Pieces::parse(raw).map_err(|_| InvalidMoment::Malformed)?;
        let time = pieces.time().ok_or(InvalidMoment::NoTime)?;
        let zone = pieces.to_time_zone();
        let zone = zone.map_err(|_| InvalidMoment::UnknownTimeZone(zone_name(raw)))?;
        let Some(zone) = zone else {
            let offset = pieces
                .to_numeric_offset()
                .ok_or(InvalidMoment::NoTimeZone)?;
            let moment: Timestamp = raw.parse().map_err(|_| InvalidMoment::Malformed)?;
            return Ok(Self(moment.to_zoned_datetime(TimeZone::fixed(offset))));
        };
        if pieces.offset().is_some() {
            let moment = raw.parse().map_err(|_| InvalidMoment::OtherOffset);
            return moment.map(Self);
        }
        let moment = zone.to_ambiguous_zoned_datetime(pieces.date().to_datetime(time));
        match moment.offset() {
            AmbiguousOffset::Unambiguous { .. } => {}
            AmbiguousOffset::Gap { .. } => return Err(InvalidMoment::Nonexistent(zone_name(raw))),
            AmbiguousOffset::Fold { .. } => return Err(InvalidMoment::Ambiguous(zone_name(raw))),
        }
        let moment = moment.unambiguous().map_err(|_| InvalidMoment::Malformed);
        moment.map(Self)
    }
}

/// Returns the text in the first pair of brackets.
fn zone_name(raw: &str) -> String {
    let after_bracket = raw.split('[').nth(1).unwrap_or_default();
    after_bracket
        .split(']')
        .next()
        .unwrap_or_default()
        .to_owned()
}

const FORMAT_HINT: &str = "write a date and a time with the offset from UTC, such as 2027-03-01T09:00:00+01:00 or \
     2027-03-01T08:00:00Z, or with the name of a time zone, such as 2027-03-01T09:00[Europe/Berlin]";

/// The text is not a date and time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMoment {
    /// The text does not have this format.
    #[error("this is not a date and time; {FORMAT_HINT}")]
    Malformed,
    /// There is no time of day.
    #[error("the time of day is missing; {FORMAT_HINT}")]
    NoTime,
    /// There is neither an offset nor a time zone.
    #[error("the time zone is missing; {FORMAT_HINT}")]
    NoTimeZone,
    /// The time zone does not exist.
    #[error(
        "there is no time zone {0:?}; write a name from the IANA time zone database, such as Europe/Berlin"
    )]
    UnknownTimeZone(String),
    /// The offset is not that of the time zone at this time.
    #[error(
        "the offset is not that of the time zone at this time; remove the offset or the time zone"
    )]
    OtherOffset,
    /// The time does not exist, because clocks are set forward.
    #[error("this time does not exist in {0}, because clocks are set forward; write another time")]
    Nonexistent(String),
    /// The time exists twice, because clocks are set back.
    #[error(
        "this time exists twice in {0}, because clocks are set back; add the offset, such as \
         2027-10-31T02:30+02:00[Europe/Berlin]"
    )]
    Ambiguous(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_an_offset_or_a_time_zone_are_accepted() {
        for (raw, timestamp, displayed) in [
            (
                "2027-03-01T09:00:00+01:00",
                "2027-03-01T08:00:00Z",
                "2027-03-01T09:00:00+01:00",
            ),
            (
                "2027-03-01 08:00Z",
                "2027-03-01T08:00:00Z",
                "2027-03-01T08:00:00+00:00[UTC]",
            ),
            (
                "2026-12-01T18:00[Europe/Berlin]",
                "2026-12-01T17:00:00Z",
                "2026-12-01T18:00:00+01:00[Europe/Berlin]",
            ),
            (
                "2027-07-01T18:00:30.5[asia/seoul]",
                "2027-07-01T09:00:30.5Z",
                "2027-07-01T18:00:30.5+09:00[Asia/Seoul]",
            ),
            (
                "2027-10-31T02:30+01:00[Europe/Berlin]",
                "2027-10-31T01:30:00Z",
                "2027-10-31T02:30:00+01:00[Europe/Berlin]",
            ),
            (
                "2027-03-01T09:00[+01:00]",
                "2027-03-01T08:00:00Z",
                "2027-03-01T09:00:00+01:00",
            ),
        ] {
            let parsed: Moment = raw.parse().unwrap_or_else(|error| panic!("{raw}: {error}"));
            assert_eq!(parsed.timestamp(), timestamp.parse().unwrap(), "{raw}");
            assert_eq!(parsed.to_string(), displayed);
        }
    }

    #[test]
    fn ambiguous_and_malformed_times_are_rejected_with_the_reason() {
        use InvalidMoment as Error;
        let berlin = || "Europe/Berlin".to_owned();
        for (raw, reason) in [
            ("", Error::Malformed),
            ("tomorrow", Error::Malformed),
            ("18:00", Error::Malformed),
            ("2027-02-30T09:00Z", Error::Malformed),
            ("2027-03-01T25:00Z", Error::Malformed),
            ("2027-03-01T09:00 Europe/Berlin", Error::Malformed),
            ("2027-03-01", Error::NoTime),
            ("2027-03-01[Europe/Berlin]", Error::NoTime),
            ("2027-03-01T09:00", Error::NoTimeZone),
            ("2027-03-01 09:00:00", Error::NoTimeZone),
            (
                "2027-03-01T09:00[Europe/Berln]",
                Error::UnknownTimeZone("Europe/Berln".into()),
            ),
            (
                "2027-03-01T09:00[CET+1]",
                Error::UnknownTimeZone("CET+1".into()),
            ),
            ("2027-03-01T09:00+05:00[Europe/Berlin]", Error::OtherOffset),
            (
                "2027-03-28T02:30[Europe/Berlin]",
                Error::Nonexistent(berlin()),
            ),
            (
                "2027-10-31T02:30[Europe/Berlin]",
                Error::Ambiguous(berlin()),
            ),
        ] {
            assert_eq!(raw.parse::<Moment>(), Err(reason), "{raw}");
        }
    }
}
