//! Callbacks: answers that are sent to an address which the message named.
//!
//! The body is the turn as the API shows it. `Idempotency-Key` is the turn's id,
//! so that an answer which comes twice can be told from two answers, and
//! `Anchorhold-Signature` is the hexadecimal HMAC-SHA-256 (RFC 2104) of the body
//! with `[outbox] signing_secret`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use super::views::TurnView;
use crate::app::Host;
use crate::clock::now_ms;
use crate::config::HttpLimits;
use crate::outbox::{Courier, Outbox, Undelivered};
use crate::runtime::bindings::http;
use crate::runtime::bindings::types::{Error, ErrorKind};
use crate::store::Outgoing;

/// The channel whose answers can be sent to callbacks.
const CHANNEL: &str = "http";

/// The longest that the other side can ask us to wait.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3_600);

/// Brings answers to callbacks.
struct Callbacks {
    host: Arc<Host>,
    limits: HttpLimits,
    secret: Option<SecretString>,
}

/// Delivers answers to callbacks until the host stops.
pub(super) fn start(host: &Arc<Host>) {
    let config = &host.config;
    let courier = Callbacks {
        host: Arc::clone(host),
        limits: HttpLimits {
            // What an answer may be is limited elsewhere.
            request_bytes: u64::MAX,
            ..config.limits.http.clone()
        },
        secret: config.outbox.signing_secret.clone(),
    };
    let (store, bell) = (Arc::clone(&host.store), &host.services.doorbell);
    let outbox = Outbox::new(store, courier, config.outbox.clone(), bell, now_ms);
    tokio::spawn(outbox.run(host.stopping()));
}

impl Courier for Callbacks {
    fn channel(&self) -> &'static str {
        CHANNEL
    }

    fn deliver<'a>(&'a self, outgoing: &'a Outgoing) -> BoxFuture<'a, Result<(), Undelivered>> {
        async move {
            let request = self.request(outgoing).await.map_err(later)?;
            let any = |_: &str| Ok(());
            let no_secret = |_: &str| Err("callbacks carry no secrets".to_owned());
            let outbound = &self.host.services.outbound;
            let sent = outbound.send(request, &self.limits, &any, &no_secret).await;
            judge(sent)
        }
        .boxed()
    }
}

impl Callbacks {
    async fn request(&self, outgoing: &Outgoing) -> Result<http::Request> {
        let store = &self.host.store;
        let turn = store.turn_summary(&outgoing.tenant_id, &outgoing.turn);
        let turn = turn.await?.context("the turn of an answer is gone")?;
        let body = body(&TurnView::of_row(turn))?;
        let mut headers = vec![
            ("content-type".to_owned(), "application/json".to_owned()),
            ("idempotency-key".to_owned(), outgoing.turn.clone()),
            ("anchorhold-turn".to_owned(), outgoing.turn.clone()),
        ];
        if let Some(secret) = &self.secret {
            let signature = signature(secret, &body)?;
            headers.push(("anchorhold-signature".to_owned(), signature));
        }
        Ok(http::Request {
            method: "POST".to_owned(),
            url: outgoing.target.clone(),
            headers,
            body: Some(body),
            timeout_ms: None,
        })
    }
}

/// The turn as JSON. What looks like the placeholder of a secret is text here:
/// two braces are next to each other within strings only, where one can be
/// escaped.
fn body(view: &TurnView) -> Result<Vec<u8>> {
    let json = serde_json::to_string(view)?;
    Ok(json.replace("{{", "\\u007b{").into_bytes())
}

fn signature(secret: &SecretString, body: &[u8]) -> Result<String> {
    let key = secret.expose_secret().as_bytes();
    let mut mac = Hmac::<Sha256>::new_from_slice(key)?;
    mac.update(body);
    Ok(hex::encode(mac.finalize().into_bytes()))
}

fn judge(sent: Result<http::Response, Error>) -> Result<(), Undelivered> {
    let response = match sent {
        Ok(response) => response,
        Err(error) => return Err(unsent(error)),
    };
    let error = format!("the other side answered {}", response.status);
    match response.status {
        200..=299 => Ok(()),
        408 | 425 | 429 | 500..=599 => Err(Undelivered::Later {
            error,
            after: retry_after(&response),
        }),
        _ => Err(Undelivered::Never(error)),
    }
}

fn unsent(error: Error) -> Undelivered {
    match error.kind {
        ErrorKind::InvalidInput | ErrorKind::Denied | ErrorKind::LimitExceeded => {
            Undelivered::Never(error.message)
        }
        _ => Undelivered::Later {
            error: error.message,
            after: None,
        },
    }
}

fn later(error: anyhow::Error) -> Undelivered {
    Undelivered::Later {
        error: format!("{error:#}"),
        after: None,
    }
}

/// How long the other side wants us to wait, in whole seconds (RFC 9110,
/// 10.2.3); a date is not looked at.
fn retry_after(response: &http::Response) -> Option<Duration> {
    let header = response
        .headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("retry-after"));
    let seconds = header?.1.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER))
}

/// Checks the address of a callback, before a message is taken in that names it.
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn check(url: &str, limits: &HttpLimits) -> Result<(), String> {
    crate::net::check_address(url, limits).map_err(|error| error.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, retry_after: Option<&str>) -> Result<http::Response, Error> {
        let header = |value: &str| ("Retry-After".to_owned(), value.to_owned());
        Ok(http::Response {
            status,
            headers: retry_after.map(header).into_iter().collect(),
            body: Vec::new(),
            url: String::new(),
        })
    }

    #[test]
    fn only_what_may_change_is_tried_again() {
        assert_eq!(judge(response(204, None)), Ok(()));
        let after = |status, header| match judge(response(status, header)) {
            Err(Undelivered::Later { after, .. }) => Some(after),
            _ => None,
        };
        assert_eq!(after(503, Some("7")), Some(Some(Duration::from_secs(7))));
        assert_eq!(after(429, Some("99999")), Some(Some(LONGEST_RETRY_AFTER)));
        assert_eq!(
            after(500, Some("Sun, 06 Nov 1994 08:49:37 GMT")),
            Some(None)
        );
        assert_eq!(after(404, None), None);
        assert_eq!(after(302, None), None);
    }

    #[test]
    fn a_signature_is_that_of_rfc_4231() {
        let signed = signature(&"Jefe".into(), b"what do ya want for nothing?").unwrap();
        assert_eq!(
            signed,
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
