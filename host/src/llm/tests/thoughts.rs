//! Thoughts come with an answer and go back with the next request.

use serde_json::{Value, json};

use crate::runtime::bindings::llm as wire;
use wire::{ContentPart, ErrorKind, Role};

use super::fake::{self, Act, After, Fake};
use super::requests::{round, with};
use super::support::{ask, say};

fn of_stream(frames: &[Value]) -> Act {
    let frames = frames.iter().map(|frame| {
        let kind = frame["type"]
            .as_str()
            .map(|kind| format!("event: {kind}\n"));
        format!("{}data: {frame}\n\n", kind.unwrap_or_default())
    });
    Act::Stream("text/event-stream", frames.collect(), After::Close)
}

#[tokio::test]
async fn thoughts_of_anthropic_go_back_as_they_came() {
    let up = Fake::start(of_stream(&[
        json!({"type": "message_start", "message": {"usage": {"input_tokens": 3}}}),
        json!({"type": "content_block_start", "content_block": {"type": "thinking", "thinking": "", "signature": ""}}),
        json!({"type": "content_block_delta", "delta": {"thinking": "hm"}}),
        json!({"type": "content_block_delta", "delta": {"signature": "signed"}}),
        json!({"type": "content_block_stop"}),
        json!({"type": "content_block_start", "content_block": {"type": "redacted_thinking", "data": "xyz"}}),
        json!({"type": "content_block_stop"}),
        json!({"type": "content_block_start", "content_block": {"type": "tool_use", "id": "t1", "name": "weather"}}),
        json!({"type": "content_block_stop"}),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 4}}),
        json!({"type": "message_stop"}),
    ]))
    .await;
    let gateway = up.gateway("anthropic");
    let response = ask(&gateway, round()).await.unwrap();
    assert_eq!(response.content.len(), 3, "{:?}", response.content);
    let ContentPart::Reasoning(thought) = &response.content[0] else {
        panic!()
    };
    assert_eq!(thought.text.as_deref(), Some("hm"));
    let mut request = say(&["weather?"]);
    request
        .messages
        .push(with(Role::Assistant, response.content.clone()));
    ask(&gateway, request.clone()).await.unwrap();
    let content = &up.last().body["messages"][1]["content"];
    assert_eq!(
        content[0],
        json!({"type": "thinking", "thinking": "hm", "signature": "signed"})
    );
    assert_eq!(content[1]["data"], "xyz");
    assert_eq!(content[2]["type"], "tool_use");
    // Another provider is not shown them.
    let mut foreign = request.clone();
    for part in &mut foreign.messages[1].content {
        if let ContentPart::Reasoning(thought) = part {
            let opaque = String::from_utf8(thought.opaque.take().unwrap()).unwrap();
            thought.opaque = Some(opaque.replace("\"up\"", "\"other\"").into_bytes());
        }
    }
    ask(&gateway, foreign).await.unwrap();
    assert_eq!(
        up.last().body["messages"][1]["content"][0]["type"],
        "tool_use"
    );
    if let Some(ContentPart::Reasoning(thought)) = request.messages[1].content.first_mut() {
        thought.opaque = Some(vec![1]);
    }
    assert_eq!(
        ask(&gateway, request).await.unwrap_err().kind,
        ErrorKind::InvalidRequest
    );
}

#[tokio::test]
async fn signatures_of_gemini_go_back_with_their_calls() {
    let calls = [("", "weather", r#"{"city":"Oslo"}"#), ("", "time", "{}")];
    let up = Fake::start(fake::calls("gemini", &calls)).await;
    let gateway = up.gateway("gemini");
    let response = ask(&gateway, round()).await.unwrap();
    let mut request = say(&["weather?"]);
    request
        .messages
        .push(with(Role::Assistant, response.content));
    ask(&gateway, request).await.unwrap();
    let parts = up.last().body["contents"][1]["parts"]
        .as_array()
        .unwrap()
        .clone();
    let signed = parts.iter().filter_map(|part| {
        Some((
            part["functionCall"]["name"].as_str()?.to_owned(),
            part["thoughtSignature"].as_str()?.to_owned(),
        ))
    });
    let wanted = ["weather", "time"].map(|name| (name.to_owned(), format!("signature of {name}")));
    assert_eq!(signed.collect::<Vec<_>>(), wanted);
}
