//! Which headers pass between clients and agents.

use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// Of one connection, not of the message (RFC 9110, 7.6.1), and framing, which
/// is the host's business on both sides.
const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "proxy-connection",
];

/// What clients show to the host and not to agents.
const CREDENTIALS: [&str; 3] = ["authorization", "cookie", "cookie2"];

/// What would speak for the whole origin, of which an agent is only a part:
/// cookies, passwords asked for in the host's name, and settings that browsers
/// keep for the host.
const OF_THE_ORIGIN: [&str; 11] = [
    "alt-svc",
    "clear-site-data",
    "content-security-policy-report-only",
    "nel",
    "public-key-pins",
    "report-to",
    "reporting-endpoints",
    "service-worker-allowed",
    "set-cookie",
    "strict-transport-security",
    "www-authenticate",
];

/// A page of an agent is in a sandbox of the browser: no scripts, and an origin
/// that is not the host's.
const SANDBOX: HeaderValue = HeaderValue::from_static("sandbox");

/// The headers of a request that an agent sees. Values that are not text stay
/// behind.
pub(super) fn for_agents(headers: &HeaderMap) -> Vec<(String, String)> {
    let named = named_by_connection(headers);
    headers
        .iter()
        .filter(|(name, _)| {
            passes(name, &CREDENTIALS) && !named.iter().any(|named| named == name.as_str())
        })
        .filter_map(|(name, value)| {
            let value = std::str::from_utf8(value.as_bytes()).ok()?;
            Some((name.as_str().to_owned(), value.to_owned()))
        })
        .collect()
}

/// The headers of an agent's response that a client sees.
///
/// # Errors
///
/// The name of a header that is none or has a value that cannot be.
pub(super) fn for_browsers(given: &[(String, String)]) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let malformed = || name.clone();
        let known = HeaderName::try_from(name.as_str()).map_err(|_| malformed())?;
        let value = HeaderValue::try_from(value.as_str()).map_err(|_| malformed())?;
        headers.try_append(known, value).map_err(|_| malformed())?;
    }
    let named = named_by_connection(&headers);
    let mut passing = HeaderMap::new();
    for (name, value) in &headers {
        if passes(name, &OF_THE_ORIGIN) && !named.iter().any(|named| named == name.as_str()) {
            passing.append(name, value.clone());
        }
    }
    passing.insert(header::CONTENT_SECURITY_POLICY, SANDBOX);
    Ok(passing)
}

fn passes(name: &HeaderName, but: &[&str]) -> bool {
    let name = name.as_str();
    !HOP_BY_HOP.contains(&name) && !name.starts_with("proxy-") && !but.contains(&name)
}

/// Headers that `connection` makes those of one connection.
fn named_by_connection(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(header::CONNECTION).iter();
    let lists = values.filter_map(|value| value.to_str().ok());
    lists
        .flat_map(|list| list.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect()
}

/// What must hold whatever an agent answers with.
#[cfg(fuzzing)]
pub(crate) fn fuzz_headers<'a>(lines: impl Iterator<Item = (&'a str, &'a str)>) {
    let given: Vec<_> = lines
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let Ok(passing) = for_browsers(&given) else {
        return;
    };
    for name in OF_THE_ORIGIN.iter().chain(&HOP_BY_HOP) {
        assert!(!passing.contains_key(*name), "{name} passes");
    }
    let policies = passing.get_all(header::CONTENT_SECURITY_POLICY);
    assert!(policies.iter().eq([&SANDBOX]));
    for (name, _) in for_agents(&passing) {
        assert!(!CREDENTIALS.contains(&name.as_str()), "{name} passes");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn agents_see_no_credentials_and_nothing_of_the_connection() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer secret"),
            ("cookie", "session=secret"),
            ("proxy-authorization", "Basic secret"),
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("content-type", "text/plain"),
            ("x-hub-signature", "abc"),
        ] {
            headers.insert(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        headers.insert("x-bytes", HeaderValue::from_bytes(b"\xff").unwrap());
        let mut seen = for_agents(&headers);
        seen.sort();
        let expected = [("content-type", "text/plain"), ("x-hub-signature", "abc")];
        assert_eq!(seen, owned(&expected));
    }

    #[test]
    fn browsers_see_nothing_that_is_for_the_whole_origin() {
        let given = owned(&[
            ("Content-Type", "text/html"),
            ("Set-Cookie", "session=stolen"),
            ("Content-Length", "999"),
            ("Transfer-Encoding", "chunked"),
            ("Connection", "X-Hop"),
            ("X-Hop", "1"),
            ("Content-Security-Policy", "default-src *"),
            ("Clear-Site-Data", "\"*\""),
            ("X-Own", "a"),
            ("X-Own", "b"),
        ]);
        let headers = for_browsers(&given).unwrap();
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-security-policy", "content-type", "x-own"]);
        assert_eq!(headers["content-security-policy"], "sandbox");
        assert_eq!(headers.get_all("x-own").iter().count(), 2);
    }

    #[test]
    fn what_is_no_header_is_named() {
        for (name, value) in [
            ("a b", "x"),
            ("", "x"),
            ("a", "x\r\nset-cookie: y"),
            ("a", "\0"),
        ] {
            assert_eq!(for_browsers(&owned(&[(name, value)])), Err(name.to_owned()));
        }
    }
}
