//! What guardrails do to requests and answers.

use serde_json::json;

use super::fake::{Act, After, Fake, text};
use super::support::{gateway, say, text_of};
use crate::config::{Action, Detector, Guardrail, On};
use crate::gate::Gate;
use crate::guard::{Guard, Guards, Whose};
use crate::runtime::bindings::llm as wire;
use crate::runtime::bindings::types::ToolCall;
use wire::{ContentPart, ErrorKind, StreamEvent, ToolOutput};

fn guard(action: Action) -> Guard {
    let rule = Guardrail {
        name: "mail".to_owned(),
        on: On::Both,
        agents: Vec::new(),
        pattern: None,
        detect: vec![Detector::Email],
        max_bytes: None,
        component: None,
        action: Some(action),
    };
    Guards::new(&[rule]).unwrap().of(Whose::default())
}

const CHATTY: &str = "[fallback]\ntext = 'Ask ann@example.com about it.'\nchunk = 1\n\
     tool_calls = [{ name = 'mail' }]\nusage = { input = 3, output = 9 }\n";

#[tokio::test]
async fn pieces_never_show_what_is_redacted() {
    let gateway = gateway(CHATTY);
    let mut generation = gateway
        .start(say(&["x"]), &guard(Action::Redact))
        .await
        .unwrap();
    let mut shown = String::new();
    loop {
        let events = generation.next(1).await.unwrap();
        if events.is_empty() {
            break;
        }
        for event in events {
            if let StreamEvent::Text(delta) = event {
                assert_eq!(delta.index, 0);
                shown.push_str(&delta.text);
            }
        }
    }
    assert_eq!(shown, "Ask [email] about it.");
    let response = generation.finish().await.unwrap();
    assert_eq!(text_of(&response), shown);
    assert!(matches!(response.content[1], ContentPart::ToolCall(_)));
    assert_eq!(response.usage.output_tokens, 9);
}

#[tokio::test]
async fn an_answer_that_is_refused_is_billed() {
    let mut beginning = gateway(CHATTY)
        .begin(say(&["x"]), &guard(Action::Refuse), Gate::opened())
        .unwrap();
    let error = beginning.answer().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::ContentFiltered);
    assert!(error.message.contains("\"mail\""), "{}", error.message);
    assert!(!format!("{error:?}").contains("ann@"));
    assert!(error.usage.unwrap().output_tokens > 0);
}

#[tokio::test]
async fn what_is_not_shown_is_counted() {
    let fake = Fake::start(text("openai", None)).await;
    let gateway = fake.gateway("openai");
    let count = async |guard: Guard| {
        let mut beginning = gateway.begin(say(&["x"]), &guard, Gate::opened()).unwrap();
        beginning.answer().await.unwrap().usage
    };
    assert_eq!(
        count(guard(Action::Redact)).await,
        count(Guard::default()).await
    );
}

#[tokio::test]
async fn a_stream_that_dies_does_not_show_what_was_held_back() {
    let Act::Stream(media, frames, _) = text("openai", None) else {
        panic!("a stream");
    };
    let cut = Act::Stream(media, frames[..2].to_vec(), After::Break);
    let fake = Fake::start(cut).await;
    let gateway = fake.gateway("openai");
    let mut generation = gateway
        .start(say(&["x"]), &guard(Action::Redact))
        .await
        .unwrap();
    let error = generation.next(64).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::StreamInterrupted);
    assert!(error.usage.unwrap().output_tokens > 0);
}

/// A round with a tool that tells an address in two ways.
fn round() -> wire::Request {
    let address = "{\"to\": \"bob\\u0040example.com\", \"n\": 1}";
    let message = |role, content| wire::PromptMessage {
        role,
        content: vec![content],
        cache: None,
    };
    let mut request = say(&["I am bob@example.com"]);
    let call = ToolCall {
        id: "c1".to_owned(),
        name: "mail".to_owned(),
        arguments_json: address.to_owned(),
    };
    let answer = wire::ToolAnswer {
        call_id: "c1".to_owned(),
        output: vec![
            ToolOutput::Json(address.to_owned()),
            ToolOutput::Text("sent to bob@example.com".to_owned()),
        ],
        is_error: false,
    };
    request.messages.extend([
        message(wire::Role::Assistant, ContentPart::ToolCall(call)),
        message(wire::Role::Tool, ContentPart::ToolResult(answer)),
    ]);
    request
}

#[tokio::test]
async fn what_is_sent_is_redacted_in_texts_and_in_json() {
    let fake = Fake::start(text("openai", None)).await;
    let gateway = fake.gateway("openai");
    let mut beginning = gateway
        .begin(round(), &guard(Action::Redact), Gate::opened())
        .unwrap();
    beginning.answer().await.unwrap();
    let seen = fake.last().body["messages"].to_string();
    assert!(!seen.contains("bob"), "{seen}");
    assert_eq!(seen.matches("[email]").count(), 4, "{seen}");
}

#[tokio::test]
async fn what_is_refused_is_not_sent() {
    let fake = Fake::start(text("openai", None)).await;
    let gateway = fake.gateway("openai");
    let guard = guard(Action::Refuse);
    let error = gateway.start(round(), &guard).await.err().unwrap();
    assert_eq!(
        (error.kind, error.usage),
        (ErrorKind::ContentFiltered, None)
    );
    let texts = wire::EmbedRequest {
        model: "default".to_owned(),
        input: vec!["to bob@example.com".to_owned()],
        kind: wire::InputKind::Other,
        dimensions: None,
    };
    let error = gateway.embed(texts, &guard).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::ContentFiltered);
    assert_eq!(fake.calls(), 0);
}

#[tokio::test]
async fn a_second_answer_is_looked_at_and_what_asks_for_it() {
    let fake = Fake::start(text("openai", None)).await;
    let gateway = fake.gateway("openai");
    let rule = Guardrail {
        name: "greeting".to_owned(),
        on: On::Input,
        agents: Vec::new(),
        pattern: Some("Hello".to_owned()),
        detect: Vec::new(),
        max_bytes: None,
        component: None,
        action: Some(Action::Redact),
    };
    let guard = Guards::new(&[rule]).unwrap().of(Whose::default());
    let request = wire::Request {
        response_format: wire::ResponseFormat::JsonSchema(wire::JsonSchema {
            name: "any".to_owned(),
            schema_json: json!({"type": "object"}).to_string(),
            strict: true,
        }),
        ..say(&["x"])
    };
    let mut beginning = gateway.begin(request, &guard, Gate::opened()).unwrap();
    assert_eq!(
        beginning.answer().await.unwrap_err().kind,
        ErrorKind::SchemaMismatch
    );
    let seen = fake.last().body["messages"].to_string();
    assert!(
        seen.contains("[greeting] world") && !seen.contains("Hello"),
        "{seen}"
    );
}
