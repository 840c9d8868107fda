//! Signed requests to the host.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use form_urlencoded::Serializer;
use hmac::{Hmac, Mac};
use serde_json::json;
use sha2::Sha256;

use super::super::sim::Sim;
use super::super::world::{Delivery, Transport};
use super::{Outcome, Try};
use crate::clock::now_ms;

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// How old a request is that is signed too long ago, in seconds.
const TOO_OLD: i64 = 600;

/// Path, type and body of what is posted.
fn request(delivery: &Delivery) -> (&'static str, &'static str, String) {
    let payload = &delivery.payload;
    match delivery.transport {
        Transport::EventsApi => ("/slack/events", JSON, payload.to_string()),
        Transport::Interactive => {
            let pairs = [("payload", payload.to_string())];
            let body = Serializer::new(String::new()).extend_pairs(pairs).finish();
            ("/slack/interactivity", FORM, body)
        }
        Transport::SlashCommands => {
            let fields = payload.as_object().into_iter().flatten();
            let pairs = fields.map(|(key, value)| (key, value.as_str().unwrap_or_default()));
            let body = Serializer::new(String::new()).extend_pairs(pairs).finish();
            ("/slack/commands", FORM, body)
        }
    }
}

/// `v0=` and the HMAC of time and body, as Slack signs.
pub(super) fn signature(secret: &str, seconds: i64, body: &str) -> Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())?;
    mac.update(format!("v0:{seconds}:{body}").as_bytes());
    Ok(format!("v0={}", hex::encode(mac.finalize().into_bytes())))
}

pub(super) async fn post(
    sim: &Arc<Sim>,
    delivery: &Delivery,
    how: &Try,
    patience: Duration,
) -> Outcome {
    let (path, kind, body) = request(delivery);
    match tokio::time::timeout(patience, exchange(sim, path, kind, body, how)).await {
        Err(_) => failed("http_timeout"),
        Ok(Err(_)) => failed("connection_failed"),
        Ok(Ok(outcome)) => outcome,
    }
}

fn failed(word: &'static str) -> Outcome {
    Outcome {
        failure: Some(word),
        ..Outcome::default()
    }
}

async fn exchange(
    sim: &Arc<Sim>,
    path: &str,
    kind: &str,
    body: String,
    how: &Try,
) -> Result<Outcome> {
    let url = format!("{}{path}", sim.options.host_url);
    let mut request = sim.client.post(url).header("content-type", kind);
    let mut seconds = now_ms() / 1_000;
    if how.old_timestamp {
        seconds -= TOO_OLD;
    }
    let mut secret = sim.options.signing_secret.clone();
    if how.wrong_signature {
        secret.push_str("-wrong");
    }
    request = request
        .header("user-agent", "Slackbot 1.0 (+https://api.slack.com/robots)")
        .header("x-slack-request-timestamp", seconds)
        .header("x-slack-signature", signature(&secret, seconds, &body)?);
    if let Some((number, reason)) = &how.retry {
        request = request
            .header("x-slack-retry-num", *number)
            .header("x-slack-retry-reason", reason);
    }
    let response = request.body(body).send().await?;
    let status = response.status();
    let no_retry = response
        .headers()
        .get("x-slack-no-retry")
        .is_some_and(|it| it == "1");
    let text = response.text().await?;
    let answer = match serde_json::from_str(&text) {
        Ok(answer) => Some(answer),
        Err(_) if text.is_empty() => None,
        Err(_) => Some(json!(text)),
    };
    Ok(Outcome {
        failure: (!status.is_success()).then_some("http_error"),
        status: Some(status.as_u16()),
        answer,
        no_retry,
    })
}

/// Asks the host whether events may be posted to it, as Slack does when the address is set.
pub(in crate::dev::slack) async fn verify_url(sim: &Arc<Sim>) -> Result<()> {
    let challenge = sim.with(|world| world.id("challenge-"));
    let body = json!({"token": "sim-verification-token", "challenge": challenge, "type": "url_verification"});
    let how = Try::default();
    let outcome = exchange(sim, "/slack/events", JSON, body.to_string(), &how);
    let outcome = outcome.await.context("the host cannot be reached")?;
    let answer = outcome.answer.unwrap_or_default();
    let echoed = answer.as_str() == Some(&challenge) || answer["challenge"] == challenge.as_str();
    if outcome.failure.is_some() || !echoed {
        bail!("the host answered {:?} with {answer}", outcome.status);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_signs_as_slack_documents() {
        let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow\
            &channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner\
            &command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands\
            %2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121\
            .803a0bc887a14d10d2c447fce8b6703c";
        let signed = signature("8f742231b10e8888abcd99yyyzzz85a5", 1_531_420_618, body).unwrap();
        assert_eq!(
            signed,
            "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
        );
    }
}
