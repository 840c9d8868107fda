//! A real number as SQLite 3.54 writes it: the fewest digits that are read back
//! as the same number, at most 17, and always a point (`%!.17g` in SQLite's
//! printf).

/// From so many digits before the point on there is an exponent.
const DIGITS: i32 = 17;

pub(super) fn of(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "Inf" } else { "-Inf" }.to_owned();
    }
    if number == 0.0 {
        return "0.0".to_owned();
    }
    let scientific = format!("{:e}", number.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if number < 0.0 { "-" } else { "" };
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_end_matches('0');
    if (-4..DIGITS).contains(&exponent) {
        format!("{sign}{}", fixed(digits, exponent))
    } else {
        let (first, rest) = digits.split_at(digits.len().min(1));
        let rest = if rest.is_empty() { "0" } else { rest };
        let direction = if exponent < 0 { '-' } else { '+' };
        format!(
            "{sign}{first}.{rest}e{direction}{:02}",
            exponent.unsigned_abs()
        )
    }
}

/// Digits with the point after the first `exponent + 1` of them.
fn fixed(digits: &str, exponent: i32) -> String {
    let whole = exponent + 1;
    if whole <= 0 {
        return format!("0.{}{digits}", "0".repeat(whole.unsigned_abs() as usize));
    }
    let whole = whole as usize;
    if digits.len() <= whole {
        format!("{digits}{}.0", "0".repeat(whole - digits.len()))
    } else {
        let (before, after) = digits.split_at(whole);
        format!("{before}.{after}")
    }
}
