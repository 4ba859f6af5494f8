//! A date and time as an operator writes it: with its offset from UTC, or with the name of its time zone.

use std::{fmt, str::FromStr};

use jiff::{
    Timestamp, ZonedDateTime,
    fmt::temporal::Pieces,
    tz::{AmbiguousOffset, TimeZone},
};

/// A moment, in the time zone in which it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment(ZonedDateTime);

impl Moment {
    /// The moment itself.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        self.0.timestamp()
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.time_zone().iana_name() {
            Some(_) => self.0.fmt(f),
            // An offset says it all, and would otherwise be there twice.
            None => self.timestamp().display_with_offset(self.0.offset()).fmt(f),
        }
    }
}

impl FromStr for Moment {
    type Err = InvalidMoment;

    /// Source: <https://www.rfc-editor.org/rfc/rfc9557>, with a time zone that must be there.
    fn from_str(raw: &str) -> Result<Self, InvalidMoment> {
        let pieces = Pieces::parse(raw).map_err(|_| InvalidMoment::Unreadable)?;
        let time = pieces.time().ok_or(InvalidMoment::NoTime)?;
        let zone = pieces.to_time_zone();
        let zone = zone.map_err(|_| InvalidMoment::UnknownTimeZone(zone_name(raw)))?;
        let Some(zone) = zone else {
            let offset = pieces
                .to_numeric_offset()
                .ok_or(InvalidMoment::NoTimeZone)?;
            let moment: Timestamp = raw.parse().map_err(|_| InvalidMoment::Unreadable)?;
            return Ok(Self(moment.to_zoned_datetime(TimeZone::fixed(offset))));
        };
        if pieces.offset().is_some() {
            let moment = raw.parse().map_err(|_| InvalidMoment::OtherOffset);
            return moment.map(Self);
        }
        let moment = zone.to_ambiguous_zoned_datetime(pieces.date().to_datetime(time));
        match moment.offset() {
            AmbiguousOffset::Unambiguous { .. } => {}
            AmbiguousOffset::Gap { .. } => return Err(InvalidMoment::Skipped(zone_name(raw))),
            AmbiguousOffset::Fold { .. } => return Err(InvalidMoment::Twice(zone_name(raw))),
        }
        let moment = moment.unambiguous().map_err(|_| InvalidMoment::Unreadable);
        moment.map(Self)
    }
}

/// The text in the first brackets.
fn zone_name(raw: &str) -> String {
    let behind = raw.split('[').nth(1).unwrap_or_default();
    behind.split(']').next().unwrap_or_default().to_owned()
}

const FORM: &str = "write a date and a time with the offset from UTC, such as 2027-03-01T09:00:00+01:00 or \
     2027-03-01T08:00:00Z, or with the name of a time zone, such as 2027-03-01T09:00[Europe/Berlin]";

/// The text names no moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMoment {
    /// Something else.
    #[error("this is not a date and time; {FORM}")]
    Unreadable,
    /// A day.
    #[error("the time of day is missing; {FORM}")]
    NoTime,
    /// A time that is another moment in each time zone.
    #[error("the time zone is missing; {FORM}")]
    NoTimeZone,
    /// A time zone that nobody has defined.
    #[error(
        "there is no time zone {0:?}; write a name from the IANA time zone database, such as Europe/Berlin"
    )]
    UnknownTimeZone(String),
    /// An offset that is not in use in the time zone at that time.
    #[error(
        "the offset is not that of the time zone at this time; leave out the offset or the time zone"
    )]
    OtherOffset,
    /// A time at which clocks are set forward.
    #[error(
        "this time does not exist in {0}, where clocks are set forward then; write another one"
    )]
    Skipped(String),
    /// A time at which clocks are set back.
    #[error(
        "this time exists twice in {0}, where clocks are set back then; write the offset too, such as \
         2027-10-31T02:30+02:00[Europe/Berlin]"
    )]
    Twice(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_an_offset_or_a_time_zone() {
        for (raw, moment, shown) in [
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
            let read: Moment = raw.parse().unwrap_or_else(|error| panic!("{raw}: {error}"));
            assert_eq!(read.timestamp(), moment.parse().unwrap(), "{raw}");
            assert_eq!(read.to_string(), shown);
        }
    }

    #[test]
    fn a_moment_that_is_not_certain_is_refused_with_the_reason() {
        use InvalidMoment as No;
        let berlin = || "Europe/Berlin".to_owned();
        for (raw, why) in [
            ("", No::Unreadable),
            ("tomorrow", No::Unreadable),
            ("18:00", No::Unreadable),
            ("2027-02-30T09:00Z", No::Unreadable),
            ("2027-03-01T25:00Z", No::Unreadable),
            ("2027-03-01T09:00 Europe/Berlin", No::Unreadable),
            ("2027-03-01", No::NoTime),
            ("2027-03-01[Europe/Berlin]", No::NoTime),
            ("2027-03-01T09:00", No::NoTimeZone),
            ("2027-03-01 09:00:00", No::NoTimeZone),
            (
                "2027-03-01T09:00[Europe/Berln]",
                No::UnknownTimeZone("Europe/Berln".into()),
            ),
            (
                "2027-03-01T09:00[CET+1]",
                No::UnknownTimeZone("CET+1".into()),
            ),
            ("2027-03-01T09:00+05:00[Europe/Berlin]", No::OtherOffset),
            ("2027-03-28T02:30[Europe/Berlin]", No::Skipped(berlin())),
            ("2027-10-31T02:30[Europe/Berlin]", No::Twice(berlin())),
        ] {
            assert_eq!(raw.parse::<Moment>(), Err(why), "{raw}");
        }
    }
}
