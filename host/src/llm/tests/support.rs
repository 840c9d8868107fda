//! Requests and gateways for tests.

use std::io::Write;

use crate::config::{Config, Environment};
use crate::guard::Guard;
use crate::runtime::bindings::llm as wire;

use super::super::Gateway;
use super::fake::Fake;

pub(crate) fn load(text: &str) -> Config {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    Config::load(Some(file.path()), &Environment::default()).unwrap()
}

/// A gateway that follows `script`; an empty one is the bundled script.
pub(crate) fn gateway(script: &str) -> Gateway {
    gateway_on(script, tokio::runtime::Handle::current())
}

pub(crate) fn gateway_on(script: &str, io: tokio::runtime::Handle) -> Gateway {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(script.as_bytes()).unwrap();
    let config = match script {
        "" => load(""),
        _ => load(&format!("[llm]\nscript = {:?}\n", file.path())),
    };
    Gateway::new(&config.llm, io).unwrap()
}

/// A conversation in which the user said these things and the assistant answered "ok".
pub(crate) fn say(texts: &[&str]) -> wire::Request {
    let mut messages = Vec::new();
    for (at, text) in texts.iter().enumerate() {
        if at > 0 {
            messages.push(message(wire::Role::Assistant, "ok"));
        }
        messages.push(message(wire::Role::User, text));
    }
    wire::Request {
        model: "default".into(),
        messages,
        tools: Vec::new(),
        tool_choice: wire::ToolChoice::Auto,
        parallel_tool_calls: None,
        response_format: wire::ResponseFormat::Text,
        max_output_tokens: None,
        temperature: None,
        top_p: None,
        stop: Vec::new(),
        seed: None,
        reasoning: None,
        deadline_ms: None,
        cache: None,
    }
}

pub(crate) fn message(role: wire::Role, text: &str) -> wire::PromptMessage {
    wire::PromptMessage {
        role,
        content: vec![wire::ContentPart::Text(text.to_owned())],
        cache: None,
    }
}

pub(crate) async fn ask(
    gateway: &Gateway,
    request: wire::Request,
) -> Result<wire::Response, wire::Error> {
    gateway
        .start(request, &Guard::default())
        .await?
        .finish()
        .await
}

pub(crate) fn text_of(response: &wire::Response) -> String {
    let parts = response.content.iter().filter_map(|part| match part {
        wire::ContentPart::Text(text) => Some(text.as_str()),
        _ => None,
    });
    parts.collect()
}

/// A provider of this kind makes no vectors, and is not asked for any.
pub(crate) async fn refuses_embeddings(up: &Fake, kind: &str) {
    let request = wire::EmbedRequest {
        model: "default".into(),
        input: vec!["a".into()],
        kind: wire::InputKind::Query,
        dimensions: None,
    };
    let error = up.gateway(kind).embed(request, &Guard::default()).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind, wire::ErrorKind::Unsupported);
    assert!(error.message.contains("embeddings"), "{}", error.message);
    assert_eq!(up.calls(), 0);
}
