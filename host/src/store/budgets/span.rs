//! Windows of time, by the calendar, in UTC.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

/// How long a budget counts before it begins again.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Span {
    Minute,
    Hour,
    Day,
    Month,
    /// It never begins again.
    Total,
}

const MINUTE: i64 = 60_000;

impl Span {
    /// The name in the database and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
            Self::Total => "total",
        }
    }

    /// The window that has this time: from the first millisecond to the one
    /// behind the last.
    pub fn around(self, now: i64) -> (i64, i64) {
        let of = |length: i64| {
            let since = now - now.rem_euclid(length);
            (since, since.saturating_add(length))
        };
        match self {
            Self::Minute => of(MINUTE),
            Self::Hour => of(60 * MINUTE),
            Self::Day => of(24 * 60 * MINUTE),
            // Out of the calendar's reach only for a clock that is broken.
            Self::Month => month(now).unwrap_or_else(|| of(30 * 24 * 60 * MINUTE)),
            Self::Total => (i64::MIN, i64::MAX),
        }
    }
}

fn month(now: i64) -> Option<(i64, i64)> {
    let now = Timestamp::from_millisecond(now)
        .ok()?
        .to_zoned(TimeZone::UTC);
    let first = now.first_of_month().ok()?.start_of_day().ok()?;
    let next = first.checked_add(1.month()).ok()?;
    Some((
        first.timestamp().as_millisecond(),
        next.timestamp().as_millisecond(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn windows_are_those_of_the_calendar() {
        let now = at("2026-11-23T02:30:15.250Z");
        let window = |span: Span| span.around(now);
        let bounds = |since: &str, until: &str| (at(since), at(until));
        assert_eq!(
            window(Span::Minute),
            bounds("2026-11-23T02:30:00Z", "2026-11-23T02:31:00Z")
        );
        assert_eq!(
            window(Span::Hour),
            bounds("2026-11-23T02:00:00Z", "2026-11-23T03:00:00Z")
        );
        assert_eq!(
            window(Span::Day),
            bounds("2026-11-23T00:00:00Z", "2026-11-24T00:00:00Z")
        );
        assert_eq!(
            window(Span::Month),
            bounds("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z")
        );
    }

    #[test]
    fn a_window_has_its_first_millisecond_and_not_the_next_ones_first() {
        for span in [Span::Minute, Span::Hour, Span::Day, Span::Month] {
            let (since, until) = span.around(at("2028-02-29T23:59:59.999Z"));
            assert_eq!(span.around(since), (since, until));
            assert_eq!(span.around(until - 1), (since, until));
            assert_eq!(span.around(until).0, until);
        }
    }
}
