//! Slack's Web API: one call at a time, its refusals told apart by what may be
//! done about them (docs.slack.dev/apis/web-api).

mod transfer;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use thiserror::Error;

use crate::config;
use crate::net;

pub(super) use transfer::{Bytes, Unread};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What Slack means where it says that there is too much, and not for how long.
const DEFAULT_RETRY: Duration = Duration::from_secs(30);

/// One message a second and channel (docs.slack.dev/apis/web-api/rate-limits).
const BETWEEN_MESSAGES: Duration = Duration::from_secs(1);

/// A call waits so long for its place at most; else it is refused, so that who
/// asks can do something else meanwhile.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Refused {
    /// Nothing happened, and may after so long.
    #[error("Slack wants fewer calls of this kind")]
    Limited(Duration),
    /// Slack was not reached, so nothing happened.
    #[error("Slack cannot be reached: {0}")]
    Unreachable(String),
    /// It may have happened.
    #[error("Slack did not answer: {0}")]
    Unsure(String),
    /// Slack's word for why not, with what would help.
    #[error("Slack refused: {error}{help}")]
    Failed { error: String, help: String },
}

impl Refused {
    /// Whether Slack said this word.
    pub(super) fn is(&self, word: &str) -> bool {
        matches!(self, Self::Failed { error, .. } if error == word)
    }

    /// Whether nobody can use this token any more.
    pub(crate) fn is_of_the_token(&self) -> bool {
        const WORDS: [&str; 6] = [
            "invalid_auth",
            "not_authed",
            "token_revoked",
            "token_expired",
            "account_inactive",
            "user_removed_from_team",
        ];
        WORDS.iter().any(|word| self.is(word))
    }
}

/// What waits for each other: a method, and for messages the channel.
type Bucket = (&'static str, String);

/// Calls with one token.
pub(crate) struct Web {
    http: reqwest::Client,
    base: String,
    timeout: Duration,
    token: SecretString,
    /// When the next call may be.
    parked: Mutex<HashMap<Bucket, Instant>>,
}

impl Web {
    pub(crate) fn new(config: &config::Slack, token: SecretString) -> Result<Self> {
        Ok(Self {
            http: net::provider_client(CONNECT_TIMEOUT)?,
            base: config.api_base_url.clone(),
            timeout: Duration::from_millis(config.timeout_ms),
            token,
            parked: Mutex::default(),
        })
    }

    /// Calls a method; what it answers, with the scopes of the token under
    /// `scopes` and the time there under `date`, where Slack says them.
    ///
    /// # Errors
    ///
    /// Why there is no answer. What is parked is not sent.
    pub(crate) async fn call(
        &self,
        method: &'static str,
        arguments: &Value,
    ) -> Result<Value, Refused> {
        let channel = arguments["channel"].as_str().unwrap_or_default();
        let bucket = (method, channel.to_owned());
        let wait = self.admit(&bucket)?;
        tokio::time::sleep(wait).await;
        let (kind, body) = encode(arguments);
        let sent = self
            .http
            .post(format!("{}/{method}", self.base))
            .timeout(self.timeout)
            .bearer_auth(self.token.expose_secret())
            .header(CONTENT_TYPE, kind)
            .body(body)
            .send()
            .await;
        let read = match sent {
            Ok(response) => read(response).await,
            Err(error) => Err(unsent(&error)),
        };
        count(method, &read);
        if let Err(Refused::Limited(wait)) = read {
            // Others of this kind have no better luck.
            self.parked().insert(bucket, Instant::now() + wait);
        }
        read
    }

    /// The messages of a thread; `arguments` are those of the method.
    ///
    /// # Errors
    ///
    /// As `call`.
    pub(super) async fn replies(&self, arguments: &Value) -> Result<Vec<Value>, Refused> {
        let mut answer = self.call("conversations.replies", arguments).await?;
        match answer["messages"].take() {
            Value::Array(messages) => Ok(messages),
            _ => Ok(Vec::new()),
        }
    }

    /// Whether a socket may be opened there: its address is a secret.
    pub(super) fn may_open(&self, url: &str) -> bool {
        url.starts_with("wss://") || (self.base.starts_with("http://") && url.starts_with("ws://"))
    }

    /// Takes the next place of a bucket; answers how long to wait for it.
    fn admit(&self, bucket: &Bucket) -> Result<Duration, Refused> {
        let now = Instant::now();
        let mut parked = self.parked();
        let at = parked.get(bucket).copied().unwrap_or(now).max(now);
        let wait = at - now;
        if wait > LONGEST_WAIT {
            return Err(Refused::Limited(wait));
        }
        if bucket.0 == "chat.postMessage" {
            parked.insert(bucket.clone(), at + BETWEEN_MESSAGES);
        }
        if parked.len() > 10_000 {
            parked.retain(|_, at| *at > now);
        }
        Ok(wait)
    }

    fn parked(&self) -> MutexGuard<'_, HashMap<Bucket, Instant>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body and its type. Methods that only read take forms and no JSON; what has
/// parts of its own goes as JSON.
fn encode(arguments: &Value) -> (&'static str, String) {
    let fields = arguments.as_object().into_iter().flatten();
    let fields: Vec<_> = fields.filter(|(_, value)| !value.is_null()).collect();
    if fields
        .iter()
        .any(|(_, value)| value.is_object() || value.is_array())
    {
        return ("application/json; charset=utf-8", arguments.to_string());
    }
    let mut form = form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        match value.as_str() {
            Some(text) => form.append_pair(name, text),
            None => form.append_pair(name, &value.to_string()),
        };
    }
    ("application/x-www-form-urlencoded", form.finish())
}

fn unsent(error: &reqwest::Error) -> Refused {
    // The address may have a token in it.
    let why = if error.is_timeout() {
        "time-out"
    } else {
        "connection lost"
    };
    if error.is_connect() {
        Refused::Unreachable(why.to_owned())
    } else {
        Refused::Unsure(why.to_owned())
    }
}

async fn read(response: Response) -> Result<Value, Refused> {
    let (status, headers) = (response.status(), response.headers().clone());
    if status == StatusCode::TOO_MANY_REQUESTS {
        return Err(Refused::Limited(retry_after(&headers)));
    }
    if status.is_server_error() {
        return Err(Refused::Unsure(format!("status {status}")));
    }
    let body = response.bytes().await.map_err(|error| unsent(&error))?;
    let Ok(mut answer) = serde_json::from_slice::<Value>(&body) else {
        return Err(Refused::Unsure(format!("status {status}, and no JSON")));
    };
    if answer["ok"] == true {
        if let Some(scopes) = headers
            .get("x-oauth-scopes")
            .and_then(|scopes| scopes.to_str().ok())
        {
            answer["scopes"] = scopes.into();
        }
        if let Some(date) = headers.get(DATE).and_then(|date| date.to_str().ok()) {
            answer["date"] = date.into();
        }
        return Ok(answer);
    }
    Err(refusal(&answer, &headers))
}

/// What an answer says that is not `ok`.
fn refusal(answer: &Value, headers: &HeaderMap) -> Refused {
    /// Slack failed by itself, before or after it did what was asked for.
    const FAULTS: [&str; 4] = [
        "fatal_error",
        "internal_error",
        "request_timeout",
        "service_unavailable",
    ];
    let error = answer["error"].as_str().unwrap_or("no reason").to_owned();
    if error == "ratelimited" {
        return Refused::Limited(retry_after(headers));
    }
    if FAULTS.contains(&error.as_str()) {
        return Refused::Unsure(error);
    }
    Refused::Failed {
        help: help(answer),
        error,
    }
}

/// What Slack says besides: the scope that is missing, what is wrong with blocks.
fn help(answer: &Value) -> String {
    if let Some(needed) = answer["needed"].as_str() {
        return format!(
            "; the app needs the scope {needed}: add it on its page OAuth & Permissions, and install it again"
        );
    }
    let messages = answer["response_metadata"]["messages"].as_array();
    let messages = messages.into_iter().flatten().filter_map(Value::as_str);
    let messages: Vec<_> = messages.take(3).collect();
    if messages.is_empty() {
        String::new()
    } else {
        format!(" ({})", messages.join("; "))
    }
}

fn retry_after(headers: &HeaderMap) -> Duration {
    let seconds = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok());
    let seconds = seconds.and_then(|value| value.trim().parse().ok());
    seconds.map_or(DEFAULT_RETRY, Duration::from_secs)
}

fn count(method: &'static str, answer: &Result<Value, Refused>) {
    let outcome = match answer {
        Ok(_) => "ok",
        Err(Refused::Limited(_)) => "limited",
        Err(Refused::Unreachable(_) | Refused::Unsure(_)) => "unanswered",
        Err(Refused::Failed { .. }) => "refused",
    };
    metrics::counter!("anchorhold_slack_calls_total", "method" => method, "outcome" => outcome)
        .increment(1);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_has_parts_is_json() {
        let (kind, body) =
            encode(&json!({"ts": "1.0", "limit": 50, "inclusive": false, "none": null}));
        assert_eq!(kind, "application/x-www-form-urlencoded");
        let mut fields: Vec<_> = body.split('&').collect();
        fields.sort_unstable();
        assert_eq!(fields, ["inclusive=false", "limit=50", "ts=1.0"]);
        let (kind, body) = encode(&json!({"text": "a", "blocks": []}));
        assert!(kind.starts_with("application/json") && body.contains("blocks"));
        assert_eq!(encode(&json!({})).1, "");
    }

    #[test]
    fn what_slack_failed_at_may_have_happened() {
        let of = |error: &str| refusal(&json!({"ok": false, "error": error}), &HeaderMap::new());
        assert!(matches!(of("internal_error"), Refused::Unsure(_)));
        assert!(matches!(of("ratelimited"), Refused::Limited(DEFAULT_RETRY)));
        assert!(of("is_archived").is("is_archived"));
        assert!(of("token_revoked").is_of_the_token());
    }

    #[test]
    fn a_missing_scope_is_named() {
        let help = help(&json!({"error": "missing_scope", "needed": "chat:write"}));
        assert!(help.contains("chat:write"), "{help}");
        let invalid = json!({"response_metadata": {"messages": ["[ERROR] too long"]}});
        assert!(super::help(&invalid).contains("too long"));
    }
}
