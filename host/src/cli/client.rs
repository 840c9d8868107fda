//! The client of a host's API. It knows addresses and errors, not what is
//! shown.

use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::fault::{Exit, Fault};
use super::sse::Events;

/// How long a host may take to answer anything but an upload or a stream.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// The most pages of a list that are read.
const MAX_PAGES: usize = 1_000;

/// A host and how to talk to it.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<SecretString>,
}

/// A problem document, as far as it is shown.
#[derive(Debug, Deserialize)]
struct Problem {
    code: String,
    #[serde(default)]
    detail: String,
    turn: Option<String>,
}

impl Client {
    pub(super) fn new(base: Url, token: Option<SecretString>) -> Result<Self> {
        Ok(Self {
            http: crate::net::api_client()?,
            base,
            token,
        })
    }

    /// Where the host is, for people.
    pub(super) fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    pub(super) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Reads something of the API.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T> {
        let request = self
            .request(Method::GET, path, query)
            .timeout(ANSWER_TIMEOUT);
        decode(self.send(request).await?).await
    }

    /// Reads what is not JSON.
    pub(super) async fn text(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        kind: &'static str,
    ) -> Result<String> {
        let request = self
            .request(Method::GET, path, query)
            .header(ACCEPT, kind)
            .timeout(ANSWER_TIMEOUT);
        Ok(self.send(request).await?.text().await?)
    }

    /// Reads a list to its end, page by page.
    pub(super) async fn all(&self, path: &[&str]) -> Result<Value> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let mut query = Vec::new();
            if let Some(cursor) = &cursor {
                query.push(("cursor", cursor.as_str()));
            }
            let mut page: Value = self.get(path, &query).await?;
            if let Some(Value::Array(more)) = page.get_mut("items").map(Value::take) {
                items.extend(more);
            }
            cursor = page.get("next").and_then(Value::as_str).map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        Ok(json!({ "items": items, "next": cursor }))
    }

    /// Sends a body, or none, and reads the answer; `null` if there is none.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
    ) -> Result<T> {
        self.call_within(ANSWER_TIMEOUT, method, path, body).await
    }

    /// The same for what may take longer.
    pub(super) async fn call_within<T: DeserializeOwned>(
        &self,
        timeout: Duration,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
    ) -> Result<T> {
        let mut request = self.request(method, path, &[]).timeout(timeout);
        if let Some(body) = body {
            request = request.json(body);
        }
        decode(self.send(request).await?).await
    }

    /// Uploads a component.
    pub(super) async fn upload(&self, body: reqwest::Body) -> Result<Value> {
        let request = self
            .request(Method::POST, &["components"], &[])
            .header(CONTENT_TYPE, "application/wasm")
            .body(body);
        decode(self.send(request).await?).await
    }

    /// Says something to an agent; the answer comes as events.
    pub(super) async fn say(&self, agent: &str, key: &str, body: &Value) -> Result<Events> {
        let request = self
            .request(Method::POST, &["agents", agent, "messages"], &[])
            .header(ACCEPT, "text/event-stream")
            .header("idempotency-key", key)
            .json(body);
        Ok(Events::new(self.send(request).await?))
    }

    /// The events of a turn, from after the event `last`.
    pub(super) async fn resume(&self, turn: &str, last: &str) -> Result<Events> {
        let request = self
            .request(Method::GET, &["turns", turn, "events"], &[])
            .header(ACCEPT, "text/event-stream")
            .header("last-event-id", last);
        Ok(Events::new(self.send(request).await?))
    }

    /// Events as they are published, from after the position `last`.
    pub(super) async fn follow(&self, query: &[(&str, &str)], last: &str) -> Result<Events> {
        let mut request = self
            .request(Method::GET, &["events", "stream"], query)
            .header(ACCEPT, "text/event-stream");
        if !last.is_empty() {
            request = request.header("last-event-id", last);
        }
        Ok(Events::new(self.send(request).await?))
    }

    /// Asks for something that needs no body, with a query.
    pub(super) async fn call_with<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T> {
        let request = self.request(method, path, query).timeout(ANSWER_TIMEOUT);
        decode(self.send(request).await?).await
    }

    /// What `/health/live` or `/health/ready` says, and the host's `date`.
    pub(super) async fn health(&self, kind: &str) -> Result<Response> {
        let url = self.address(&["health", kind], &[]);
        self.send(self.http.get(url).timeout(Duration::from_secs(5)))
            .await
    }

    fn request(&self, method: Method, path: &[&str], query: &[(&str, &str)]) -> RequestBuilder {
        let path: Vec<&str> = ["api", "v1"].iter().chain(path).copied().collect();
        let request = self.http.request(method, self.address(&path, query));
        match &self.token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        }
    }

    fn address(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        // Only a URL without a host has no path, and there is always a host.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let response = request
            .send()
            .await
            .map_err(|error| self.unreachable(error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = response.bytes().await.unwrap_or_default();
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => Err(self.refusal(status, problem).into()),
            Err(_) => Err(
                Fault::new(Exit::Failure, format!("{} answered {status}", self.url()))
                    .hint("is this the URL of an anchorhold, and of the same version?")
                    .into(),
            ),
        }
    }

    fn unreachable(&self, error: reqwest::Error) -> anyhow::Error {
        let cause = innermost(&error);
        let said = match (error.is_connect(), error.is_timeout()) {
            (true, _) => format!("no host answers on {}", self.url()),
            (_, true) => format!("the host on {} took too long to answer", self.url()),
            _ => format!("the connection to {} broke", self.url()),
        };
        Fault::new(Exit::Unreachable, format!("{said}: {cause}"))
            .hint("start one with: anchorhold serve; or name another with --url or ANCHORHOLD_URL")
            .into()
    }

    fn refusal(&self, status: StatusCode, problem: Problem) -> Fault {
        let exit = match (problem.turn.is_some(), status) {
            (true, _) => Exit::TurnFailed,
            (_, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Exit::Refused,
            _ => Exit::Failure,
        };
        let said = if problem.detail.is_empty() {
            status.to_string()
        } else {
            problem.detail
        };
        let fault = Fault::new(
            exit,
            format!("{} ({})", super::output::plain(&said), problem.code),
        );
        match (problem.turn, status) {
            (Some(turn), _) => fault.hint(format!("anchorhold turns explain {turn}")),
            (_, StatusCode::UNAUTHORIZED) if !self.has_token() => fault.hint(
                "set ANCHORHOLD_TOKEN; on the host's own machine, run this where its configuration is",
            ),
            (_, StatusCode::UNAUTHORIZED) => {
                fault.hint("is ANCHORHOLD_TOKEN, or cli.token in the data folder, of this host?")
            }
            _ => fault,
        }
    }
}

/// The cause of all causes; those in between name layers of the client.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

async fn decode<T: DeserializeOwned>(response: Response) -> Result<T> {
    let body = response
        .bytes()
        .await
        .context("reading the host's answer")?;
    let body: &[u8] = if body.is_empty() { b"null" } else { &body };
    serde_json::from_slice(body)
        .context("the host's answer is not what this version expects; are both the same version?")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(url: &str) -> Client {
        Client::new(Url::parse(url).unwrap(), None).unwrap()
    }

    #[test]
    fn names_are_escaped_in_addresses() {
        let url = client("http://h:1/base/").address(&["agents", "a/b c"], &[("q", "x&y")]);
        assert_eq!(url.as_str(), "http://h:1/base/agents/a%2Fb%20c?q=x%26y");
    }

    #[test]
    fn a_failed_turn_is_no_refusal() {
        let problem = |turn: Option<&str>| Problem {
            code: "denied".into(),
            detail: "No.".into(),
            turn: turn.map(str::to_owned),
        };
        let client = client("http://h:1");
        let exit = |turn| client.refusal(StatusCode::FORBIDDEN, problem(turn)).exit();
        assert_eq!(exit(Some("t")), Exit::TurnFailed);
        assert_eq!(exit(None), Exit::Refused);
    }
}
