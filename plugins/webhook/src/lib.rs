//! Receives web hooks: `POST /NAME` keeps the JSON body and publishes it as `webhook.NAME`,
//! `GET /NAME` answers the latest body, `GET /` says what there is.

use std::collections::BTreeMap;

use anchorhold_agent::serde_json::{Value, json};
use anchorhold_agent::state::{self, Scope};
use anchorhold_agent::web::{Request, Response};
use anchorhold_agent::{Result, Web, config, events};
use subtle::ConstantTimeEq;

anchorhold_agent::manifest!("webhook.toml");
anchorhold_agent::export!(Webhook: Web);

struct Webhook;

/// The key of how often each hook was called, in the state of the agent.
const COUNTS: &str = "counts";

/// What an event may carry; see the contract.
const LARGEST_BODY: usize = 256 * 1024;

const USAGE: &str = "POST /NAME with a JSON body keeps it and publishes webhook.NAME; \
                     GET /NAME answers the latest body";

impl Web for Webhook {
    fn serve(request: Request) -> Result<Response> {
        match (request.method.as_str(), request.segments().as_slice()) {
            ("GET", []) => overview(),
            (_, []) => Ok(not_allowed("GET")),
            (_, [name]) if is_word(name) => hook(&request, name),
            _ => Ok(Response::text(
                404,
                "a hook is one word of a-z, 0-9, - and _",
            )),
        }
    }
}

fn hook(request: &Request, name: &str) -> Result<Response> {
    match request.method.as_str() {
        "GET" | "POST" if !is_trusted(request)? => Ok(Response::text(
            401,
            "the header x-webhook-token is missing or wrong",
        )),
        "GET" => latest(name),
        "POST" => take(request, name),
        _ => Ok(not_allowed("GET, POST")),
    }
}

fn overview() -> Result<Response> {
    let counts: BTreeMap<String, u64> = state::get(Scope::Agent, COUNTS)?.unwrap_or_default();
    Response::json(200, &json!({"usage": USAGE, "received": counts}))
}

fn latest(name: &str) -> Result<Response> {
    match state::get::<Value>(Scope::Agent, &body_key(name))? {
        Some(body) => Response::json(200, &body),
        None => Ok(Response::text(404, "nothing came in yet")),
    }
}

fn take(request: &Request, name: &str) -> Result<Response> {
    if request.body.len() > LARGEST_BODY {
        return Ok(Response::text(413, "the body is larger than 256 KiB"));
    }
    let body: Value = match request.json() {
        Ok(body) => body,
        Err(error) => return Ok(Response::text(400, error.message)),
    };
    state::set(Scope::Agent, &body_key(name), &body)?;
    state::update(
        Scope::Agent,
        COUNTS,
        |counts: &mut BTreeMap<String, u64>| {
            *counts.entry(name.into()).or_default() += 1;
        },
    )?;
    let event = events::publish(&format!("webhook.{name}"), &body)?;
    Response::json(202, &json!({"event": event}))
}

/// Whether the caller knows the token, if there is one. The comparison takes the same time
/// wherever the two differ, so that a token cannot be guessed letter by letter.
fn is_trusted(request: &Request) -> Result<bool> {
    let Some(token) = config::get::<String>("token")? else {
        return Ok(true);
    };
    let shown = request.header("x-webhook-token").unwrap_or_default();
    Ok(shown.as_bytes().ct_eq(token.as_bytes()).into())
}

/// Whether it can be a word of a topic.
fn is_word(name: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    name.len() <= 64 && name.bytes().all(allowed)
}

fn body_key(name: &str) -> String {
    format!("body:{name}")
}

fn not_allowed(allow: &str) -> Response {
    Response::text(405, format!("only {allow}")).header("allow", allow)
}

#[cfg(test)]
mod tests {
    use anchorhold_agent::testing::{self, Host};

    use super::*;

    fn call(method: &str, path: &str, body: &str) -> (u16, String) {
        let response = Webhook::serve(testing::web_request(method, path, body)).unwrap();
        (response.status, String::from_utf8(response.body).unwrap())
    }

    #[test]
    fn keeps_and_publishes_what_comes_in() {
        let host = Host::new();
        assert_eq!(call("GET", "/build", "").0, 404);
        assert_eq!(
            call("POST", "/build", r#"{"ok":true}"#),
            (202, r#"{"event":"event-1"}"#.into())
        );
        assert_eq!(call("GET", "/build", ""), (200, r#"{"ok":true}"#.into()));
        assert!(call("GET", "/", "").1.contains(r#""received":{"build":1}"#));
        assert_eq!(host.published()[0].topic, "webhook.build");
    }

    #[test]
    fn refuses_what_it_does_not_understand() {
        let _host = Host::new();
        assert_eq!(call("POST", "/build", "{").0, 400);
        assert_eq!(call("POST", "/build", &" ".repeat(LARGEST_BODY + 1)).0, 413);
        assert_eq!(call("DELETE", "/build", "").0, 405);
        assert_eq!(call("POST", "/", "{}").0, 405);
        for path in ["/a/b", "/A", "/a.b", "/%61"] {
            assert_eq!(call("POST", path, "{}").0, 404, "{path}");
        }
    }

    #[test]
    fn wants_the_token_if_there_is_one() {
        let _host = Host::new().config("token", "s3cret");
        assert_eq!(call("POST", "/build", "{}").0, 401);
        assert_eq!(call("GET", "/build", "").0, 401);
        for (token, status) in [("wrong!", 401), ("s3cret", 202)] {
            let mut request = testing::web_request("POST", "/build", "{}");
            request
                .headers
                .push(("x-webhook-token".into(), token.into()));
            assert_eq!(Webhook::serve(request).unwrap().status, status);
        }
    }
}
