//! Personal data and secrets by their form, checked by more than that where they have a check.
//!
//! A form is not proof: numbers that look like one of these are taken for it, and what is written
//! in another way is not found.

use crate::config::Detector;

/// A pattern, and how much of what it finds is really one.
type Form = (&'static str, fn(&str) -> Option<usize>);

pub(super) fn name(detector: Detector) -> &'static str {
    match detector {
        Detector::Email => "email",
        Detector::Phone => "phone",
        Detector::CreditCard => "credit-card",
        Detector::Iban => "iban",
        Detector::Ipv4 => "ipv4",
        Detector::UsSsn => "us-ssn",
        Detector::ApiKey => "api-key",
        Detector::PrivateKey => "private-key",
    }
}

pub(super) fn forms(detector: Detector) -> &'static [Form] {
    match detector {
        Detector::Email => &[(
            r"(?i-u)[a-z0-9_][a-z0-9._%+'-]{0,63}@(?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24}",
            all,
        )],
        Detector::Phone => &[
            (r"\+[0-9]{1,3}(?:[ ./-]{0,2}\(?[0-9]{1,5}\)?){2,6}", phone),
            (r"(?-u:\b)[0-9]{3}[ .-][0-9]{3}[ .-][0-9]{4}(?-u:\b)", all),
            (r"\([0-9]{3}\) ?[0-9]{3}[ .-][0-9]{4}(?-u:\b)", all),
        ],
        Detector::CreditCard => &[(
            r"(?-u:\b)[2-6][0-9]{3}(?:[ -]?[0-9]){8,15}(?-u:\b)",
            credit_card,
        )],
        Detector::Iban => &[(
            r"(?-u:\b)[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}(?-u:\b)",
            iban,
        )],
        Detector::Ipv4 => &[(
            r"(?-u:\b)(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(?-u:\b)",
            all,
        )],
        Detector::UsSsn => &[(r"(?-u:\b)[0-9]{3}-[0-9]{2}-[0-9]{4}(?-u:\b)", us_ssn)],
        Detector::ApiKey => API_KEYS,
        Detector::PrivateKey => &[(
            r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[A-Za-z0-9+/=\r\n]{0,6000}(?:-----END [A-Z ]{0,30}PRIVATE KEY-----)?",
            all,
        )],
    }
}

/// As their makers give them out: OpenAI and Anthropic, Stripe, GitHub, GitLab, AWS, Slack, Google,
/// npm, and signed tokens (JWT).
const API_KEYS: &[Form] = &[
    (r"(?-u:\b)sk-[A-Za-z0-9_-]{20,250}", all),
    (r"(?-u:\b)[rs]k_(?:live|test)_[A-Za-z0-9]{16,250}", all),
    (r"(?-u:\b)gh[opsur]_[A-Za-z0-9]{36,255}", all),
    (r"(?-u:\b)github_pat_[A-Za-z0-9_]{22,255}", all),
    (r"(?-u:\b)glpat-[A-Za-z0-9_-]{20,100}", all),
    (r"(?-u:\b)(?:AKIA|ASIA)[0-9A-Z]{16}(?-u:\b)", all),
    (r"(?-u:\b)xox[abeprs]-[A-Za-z0-9-]{10,250}", all),
    (r"(?-u:\b)AIza[0-9A-Za-z_-]{35}", all),
    (r"(?-u:\b)npm_[A-Za-z0-9]{36}", all),
    (
        r"(?-u:\b)eyJ[A-Za-z0-9_-]{10,1000}\.eyJ[A-Za-z0-9_-]{10,2000}\.[A-Za-z0-9_-]{10,700}",
        all,
    ),
];

fn all(found: &str) -> Option<usize> {
    Some(found.len())
}

/// With its country 8 to 15 digits (E.164).
fn phone(found: &str) -> Option<usize> {
    (8..=15)
        .contains(&digits(found).count())
        .then_some(found.len())
}

/// 12 to 19 digits whose last is right (Luhn).
fn credit_card(found: &str) -> Option<usize> {
    longest_piece(found, |piece| {
        (12..=19).contains(&digits(piece).count()) && luhn(piece)
    })
}

/// Its check digits are right (ISO 7064, mod 97).
fn iban(found: &str) -> Option<usize> {
    longest_piece(found, |piece| {
        let plain: String = piece.chars().filter(|c| *c != ' ').collect();
        (15..=34).contains(&plain.len()) && mod_97(&plain) == 1
    })
}

/// Numbers that were never given out are none.
fn us_ssn(found: &str) -> Option<usize> {
    let is_real = !found.starts_with("000")
        && !found.starts_with("666")
        && !found.starts_with('9')
        && &found[4..6] != "00"
        && &found[7..] != "0000";
    is_real.then_some(found.len())
}

/// The longest beginning that ends with a group and is one.
fn longest_piece(found: &str, is_one: impl Fn(&str) -> bool) -> Option<usize> {
    let ends = found.char_indices().rev();
    let ends = ends.filter(|(_, c)| matches!(c, ' ' | '-'));
    let mut ends = std::iter::once(found.len()).chain(ends.map(|(at, _)| at));
    ends.find(|end| is_one(&found[..*end]))
}

fn digits(text: &str) -> impl DoubleEndedIterator<Item = u32> + '_ {
    text.chars().filter_map(|c| c.to_digit(10))
}

fn luhn(number: &str) -> bool {
    let sum: u32 = digits(number)
        .rev()
        .enumerate()
        .map(|(at, digit)| match digit * 2 {
            _ if at % 2 == 0 => digit,
            double if double > 9 => double - 9,
            double => double,
        })
        .sum();
    sum.is_multiple_of(10)
}

fn mod_97(iban: &str) -> u32 {
    let (head, tail) = iban.split_at(4);
    let characters = tail.chars().chain(head.chars());
    characters
        .filter_map(|c| c.to_digit(36))
        .fold(0, |rest, value| {
            let shift = if value > 9 { 100 } else { 10 };
            (rest * shift + value) % 97
        })
}
