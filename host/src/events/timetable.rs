//! When a schedule publishes: cron expressions in time zones.

use anyhow::{Context, Result, anyhow, bail};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The longest cron expression and the longest name of a time zone, in bytes.
const MAX_BYTES: usize = 100;

/// The times of a schedule that publishes again and again.
#[derive(Debug)]
pub(super) struct Timetable {
    cron: Cron,
    zone: TimeZone,
}

impl Timetable {
    /// The times of a cron expression in a time zone.
    pub(super) fn cron(expression: &str, zone: &str) -> Result<Self> {
        if expression.len().max(zone.len()) > MAX_BYTES {
            bail!("a cron expression and a time zone have at most {MAX_BYTES} bytes each");
        }
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let cron = parser.parse(expression).map_err(|error| {
            anyhow!("{expression:?} is not a cron expression of five fields (minute, hour, day of the month, month, day of the week): {error}")
        })?;
        let zone = TimeZone::get(zone).map_err(|_| {
            anyhow!("{zone:?} is not a time zone; name one such as UTC or Europe/Berlin")
        })?;
        Ok(Self { cron, zone })
    }

    /// The first time after `after_ms`.
    pub(super) fn next_after(&self, after_ms: i64) -> Result<i64> {
        let after = Timestamp::from_millisecond(after_ms).context("a time out of range")?;
        let next = self
            .cron
            .find_next_occurrence(&after.to_zoned(self.zone.clone()), false)
            .map_err(|error| anyhow!("the cron expression has no next time: {error}"))?;
        Ok(next.timestamp().as_second() * 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn next(expression: &str, zone: &str, after: &str) -> i64 {
        let times = Timetable::cron(expression, zone).unwrap();
        times.next_after(ms(after)).unwrap()
    }

    #[test]
    fn the_next_time_is_after_the_last_and_in_its_zone() {
        let hourly = |after| next("0 * * * *", "UTC", after);
        assert_eq!(hourly("2026-01-01T10:00:00Z"), ms("2026-01-01T11:00:00Z"));
        assert_eq!(
            hourly("2026-01-01T10:59:59.999Z"),
            ms("2026-01-01T11:00:00Z")
        );
        let berlin = |after| next("30 9 * * 1-5", "Europe/Berlin", after);
        assert_eq!(berlin("2026-03-27T12:00:00Z"), ms("2026-03-30T07:30:00Z"));
        assert_eq!(berlin("2026-10-23T12:00:00Z"), ms("2026-10-26T08:30:00Z"));
        assert_eq!(
            next("@daily", "UTC", "2026-01-01T10:00:00Z"),
            ms("2026-01-02T00:00:00Z")
        );
    }

    #[test]
    fn an_hour_that_is_left_out_or_comes_twice_counts_once() {
        let night = |after| next("30 2 * * *", "Europe/Berlin", after);
        let spring = night("2026-03-28T12:00:00Z");
        assert!(spring <= ms("2026-03-29T01:30:00Z"), "{spring}");
        let autumn = night("2026-10-24T12:00:00Z");
        let after = Timetable::cron("30 2 * * *", "Europe/Berlin").unwrap();
        let second = after.next_after(autumn).unwrap();
        assert_eq!(second, ms("2026-10-26T01:30:00Z"));
    }

    #[test]
    fn what_is_no_time_is_refused_with_a_sentence() {
        for (expression, zone, part) in [
            ("", "UTC", "not a cron expression"),
            ("* * * *", "UTC", "five fields"),
            ("0 0 * * * *", "UTC", "five fields"),
            ("61 * * * *", "UTC", "not a cron expression"),
            ("tomorrow", "UTC", "not a cron expression"),
            ("* * * * *", "Mars/Olympus", "not a time zone"),
        ] {
            let error = Timetable::cron(expression, zone).unwrap_err().to_string();
            assert!(error.contains(part), "{expression}: {error}");
        }
        let never = Timetable::cron("0 0 31 2 *", "UTC").unwrap();
        assert!(never.next_after(0).is_err());
    }
}
