//! Signatures of what Slack sends over HTTP: version `v0`, HMAC-SHA-256 (RFC
//! 2104) over the time and the body as it came
//! (docs.slack.dev/authentication/verifying-requests-from-slack).

use axum::http::HeaderMap;
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// How old a request may be, in seconds: an older one may be a replayed one.
const MAX_AGE: u64 = 300;

const TIMESTAMP: &str = "x-slack-request-timestamp";
const SIGNATURE: &str = "x-slack-signature";

/// Whether one of the secrets signed this body, at about `now` (seconds since
/// 1970).
pub(super) fn is_signed<'a>(
    headers: &HeaderMap,
    body: &[u8],
    secrets: impl IntoIterator<Item = &'a SecretString>,
    now: u64,
) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(timestamp), Some(signature)) = (text(TIMESTAMP), text(SIGNATURE)) else {
        return false;
    };
    let Ok(at) = timestamp.parse::<u64>() else {
        return false;
    };
    let signature = signature.strip_prefix("v0=").map(hex::decode);
    let Some(Ok(signature)) = signature else {
        return false;
    };
    now.abs_diff(at) <= MAX_AGE
        && secrets
            .into_iter()
            .any(|secret| fits(secret, timestamp, body, &signature))
}

/// In constant time.
fn fits(secret: &SecretString, timestamp: &str, body: &[u8], signature: &[u8]) -> bool {
    let secret = secret.expose_secret().as_bytes();
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else {
        return false;
    };
    mac.update(b"v0:");
    mac.update(timestamp.as_bytes());
    mac.update(b":");
    mac.update(body);
    mac.verify_slice(signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Slack's documentation.
    const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
    const AT: u64 = 1_531_420_618;
    const SIGNED: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
    const BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";

    fn headers(timestamp: &str, signature: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(TIMESTAMP, timestamp.parse().unwrap());
        headers.insert(SIGNATURE, signature.parse().unwrap());
        headers
    }

    fn is_signed_at(timestamp: &str, signature: &str, body: &str, now: u64) -> bool {
        let (old, new) = (SecretString::from("another"), SecretString::from(SECRET));
        let headers = headers(timestamp, signature);
        is_signed(&headers, body.as_bytes(), [&old, &new], now)
    }

    #[test]
    fn slacks_own_example_is_signed() {
        assert!(is_signed_at("1531420618", SIGNED, BODY, AT));
        assert!(is_signed_at("1531420618", SIGNED, BODY, AT + MAX_AGE));
    }

    #[test]
    fn what_is_changed_old_or_missing_is_not() {
        let timestamp = "1531420618";
        assert!(!is_signed_at(
            timestamp,
            SIGNED,
            &BODY.replace("G8", "G9"),
            AT
        ));
        assert!(!is_signed_at("1531420619", SIGNED, BODY, AT));
        assert!(!is_signed_at(timestamp, SIGNED, BODY, AT + MAX_AGE + 1));
        assert!(!is_signed_at(timestamp, SIGNED, BODY, AT - MAX_AGE - 1));
        for (timestamp, signature) in [
            ("soon", SIGNED),
            ("", SIGNED),
            (timestamp, ""),
            (timestamp, "v0="),
            (timestamp, "v1=a2114d57"),
            (timestamp, "v0=zz"),
        ] {
            assert!(
                !is_signed_at(timestamp, signature, BODY, AT),
                "{timestamp} {signature}"
            );
        }
        let other = SecretString::from("another");
        let nothing = HeaderMap::new();
        assert!(!is_signed(&nothing, BODY.as_bytes(), [&other], AT));
        let signed = headers(timestamp, SIGNED);
        assert!(!is_signed(&signed, BODY.as_bytes(), [&other], AT));
    }
}
