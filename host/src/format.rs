//! Numbers, times and texts as people read them.

/// How long ago a time in milliseconds since 1970 was.
pub(super) fn ago(at_ms: i64, now_ms: i64) -> String {
    let seconds = now_ms.saturating_sub(at_ms) / 1_000;
    match seconds {
        i64::MIN..=-1 => "in the future".to_owned(),
        0 => "now".to_owned(),
        1..60 => format!("{seconds} s ago"),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

/// A time in milliseconds since 1970 as date and time in UTC.
pub(super) fn utc(at_ms: i64) -> String {
    let (days, ms) = (at_ms.div_euclid(86_400_000), at_ms.rem_euclid(86_400_000));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// A time as people write it, in milliseconds since 1970: `2026-01-31T12:00Z`, a
/// span before now such as `24h`, or the milliseconds themselves.
pub(super) fn parse_time(text: &str, now_ms: i64) -> Result<i64, String> {
    if let Ok(ms) = text.parse() {
        return Ok(ms);
    }
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(at.as_millisecond());
    }
    let span = parse_span(text);
    span.map(|span| now_ms.saturating_sub(span))
        .map_err(|_| "a time such as 2026-01-31T12:00:00Z, or how long ago, such as 24h".to_owned())
}

/// A time span such as `24h`, in milliseconds.
pub(super) fn parse_span(text: &str) -> Result<i64, String> {
    let unit_at = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit = match unit {
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("a number and s, m, h or d, such as 24h".to_owned()),
    };
    let number: i64 = number
        .parse()
        .map_err(|_| "begins with a number".to_owned())?;
    number
        .checked_mul(unit)
        .ok_or_else(|| "too long".to_owned())
}

/// The date of a day since 1970, by Howard Hinnant's `civil_from_days`.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// A time span in microseconds.
pub(super) fn span(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        1_000_000..120_000_000 => format!("{:.2} s", us as f64 / 1e6),
        _ => format!("{:.1} min", us as f64 / 6e7),
    }
}

/// A size in bytes.
pub(super) fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1_024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", bytes as f64 / 1_073_741_824.0),
    }
}

/// A number with its thousands apart.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things.
pub(super) fn things(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", count(number))
}

/// Money in millionths of a US dollar.
pub(super) fn money(micro_usd: u64) -> String {
    let (dollars, rest) = (micro_usd / 1_000_000, micro_usd % 1_000_000);
    let rest = format!("{rest:06}");
    let decimals = rest.trim_end_matches('0');
    format!("${}.{decimals:0<2}", count(dollars))
}

/// Dollars, in millionths.
pub(super) fn parse_dollars(text: &str) -> Result<u64, String> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || part.len() > 6 || !digits(whole) || !digits(part) {
        return Err("an amount of dollars, such as 0.50".to_owned());
    }
    format!("{whole}{part:0<6}")
        .parse()
        .map_err(|_| "too much".to_owned())
}

/// A share of a whole in percent.
pub(super) fn percent(part: u64, whole: u64) -> String {
    match whole {
        0 => "-".to_owned(),
        _ => format!("{:.0} %", part as f64 * 100.0 / whole as f64),
    }
}

/// A share of a whole as a bar of at most `width` characters.
pub(super) fn bar(part: u64, whole: u64, width: u64) -> String {
    let filled = part.saturating_mul(width).checked_div(whole).unwrap_or(0);
    "#".repeat(usize::try_from(filled.min(width)).unwrap_or(0))
}

/// The beginning of a text, on one line.
pub(super) fn short(text: &str, most: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(most) {
        None => line,
        Some(_) => line
            .chars()
            .take(most.saturating_sub(3))
            .chain("...".chars())
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_say_them() {
        assert_eq!(ago(0, 59_999), "59 s ago");
        assert_eq!(ago(0, 7_200_000), "2 h ago");
        assert_eq!(ago(0, 864_000_000), "10 d ago");
        assert_eq!(ago(5_000, 0), "in the future");
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(951_782_400_000), "2000-02-29 00:00:00 UTC");
        assert_eq!(utc(1_798_761_599_000), "2026-12-31 23:59:59 UTC");
        assert_eq!(
            (span(999), span(1_500), span(2_000_000)),
            ("999 us".into(), "1.5 ms".into(), "2.00 s".into())
        );
    }

    #[test]
    fn numbers_are_read_as_people_write_them() {
        assert_eq!(
            (count(0), count(999), count(1_234_567)),
            ("0".into(), "999".into(), "1,234,567".into())
        );
        assert_eq!(
            (money(0), money(1_200), money(1_500_000)),
            ("$0.00".into(), "$0.0012".into(), "$1.50".into())
        );
        assert_eq!((bytes(10), bytes(1_536)), ("10 B".into(), "1.5 KiB".into()));
        assert_eq!((percent(1, 4), percent(1, 0)), ("25 %".into(), "-".into()));
        assert_eq!(
            (bar(1, 2, 10), bar(9, 3, 10), bar(1, 0, 10)),
            ("#####".into(), "##########".into(), String::new())
        );
    }

    #[test]
    fn dollars_are_counted_in_millionths() {
        assert_eq!(parse_dollars("0.50"), Ok(500_000));
        assert_eq!(parse_dollars("2"), Ok(2_000_000));
        assert_eq!(parse_dollars("0.000001"), Ok(1));
        for bad in ["", ".5", "-1", "1e3", "0.0000001", "1.2.3"] {
            assert!(parse_dollars(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(short("a\n  b", 10), "a b");
        assert_eq!(short("ääääääääää", 10), "ääääääääää");
        assert_eq!(short("äääääääääää", 10), "äääääää...");
    }
}
