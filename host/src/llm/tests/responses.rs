//! What is particular about OpenAI's responses.

use serde_json::{Value, json};

use crate::guard::Guard;
use crate::runtime::bindings::llm as wire;
use crate::runtime::bindings::types::MediaSource;
use wire::{ContentPart, ErrorKind, FinishReason, RetryClass, Role};

use super::fake::{self, Act, After, Fake};
use super::requests::{media, photo, refused, round, sent, weather, with};
use super::support::{ask, refuses_embeddings, say, text_of};

const KIND: &str = "openai-responses";

async fn answering(events: &[Value]) -> Fake {
    let frames = fake::of_responses(events);
    Fake::start(Act::Stream("text/event-stream", frames, After::Close)).await
}

async fn answer_of(events: &[Value]) -> Result<wire::Response, wire::Error> {
    ask(&answering(events).await.gateway(KIND), round()).await
}

fn text(piece: &str) -> Value {
    json!({"type": "response.output_text.delta", "output_index": 0, "delta": piece})
}

fn call(index: u64, id: &str, arguments: &str) -> Value {
    json!({"type": "response.output_item.done", "output_index": index, "item": {
        "type": "function_call", "call_id": id, "name": "weather", "arguments": arguments}})
}

#[tokio::test]
async fn calls_that_are_told_only_in_the_end_are_called_all_the_same() {
    let begun = json!({"type": "response.output_item.added", "output_index": 1, "item": {
        "type": "function_call", "call_id": "b", "name": "weather", "arguments": ""}});
    let piece = json!({"type": "response.function_call_arguments.delta", "output_index": 1,
        "delta": r#"{"city":"Rome"}"#});
    let up = answering(&[
        call(0, "a", r#"{"city":"Oslo"}"#),
        begun,
        piece,
        call(1, "b", r#"{"city":"Rome"}"#),
        fake::completed(Some((3, 4))),
    ])
    .await;
    let mut generation = up
        .gateway(KIND)
        .start(round(), &Guard::default())
        .await
        .unwrap();
    let mut begun = Vec::new();
    loop {
        let events = generation.next(8).await.unwrap();
        if events.is_empty() {
            break;
        }
        begun.extend(events.into_iter().filter_map(|event| match event {
            wire::StreamEvent::ToolCallStart(start) => Some((start.index, start.id)),
            _ => None,
        }));
    }
    assert_eq!(begun, [(0, "b".to_owned()), (1, "a".to_owned())]);
    let response = generation.finish().await.unwrap();
    let calls = response.content.iter().map(|part| match part {
        ContentPart::ToolCall(call) => (call.id.as_str(), call.arguments_json.as_str()),
        _ => panic!("{part:?}"),
    });
    let wanted = [("b", r#"{"city":"Rome"}"#), ("a", r#"{"city":"Oslo"}"#)];
    assert_eq!(calls.collect::<Vec<_>>(), wanted);
    assert_eq!(response.finish_reason, FinishReason::ToolCalls);
}

#[tokio::test]
async fn what_the_provider_says_of_a_failure_counts() {
    let failed = |code: &str| {
        json!({"type": "response.failed", "response": {"id": "r", "status": "failed", "model": "m",
            "output": [], "error": {"code": code, "message": "no"}}})
    };
    let error = answer_of(&[failed("rate_limit_exceeded")]).await;
    assert_eq!(error.unwrap_err().kind, ErrorKind::RateLimited);
    let error = answer_of(&[failed("server_error")]).await.unwrap_err();
    assert_eq!(
        (error.kind, error.retry),
        (ErrorKind::Upstream, RetryClass::SameRequest)
    );
    assert!(error.detail_json.unwrap().contains("server_error"));
    let error = answer_of(&[text("I"), failed("server_error")]).await;
    assert_eq!(error.unwrap_err().kind, ErrorKind::StreamInterrupted);
    let event = json!({"type": "error", "code": "rate_limit_exceeded", "message": "slow down"});
    let error = answer_of(&[event]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::RateLimited);
}

#[tokio::test]
async fn an_answer_that_is_not_whole_says_why() {
    let incomplete = |reason: &str| {
        json!({"type": "response.incomplete", "response": {"id": "r", "status": "incomplete",
            "model": "m", "output": [], "incomplete_details": {"reason": reason},
            "usage": {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}}})
    };
    for (reason, wanted) in [
        ("max_output_tokens", FinishReason::Length),
        ("content_filter", FinishReason::ContentFilter),
    ] {
        let response = answer_of(&[text("I"), incomplete(reason)]).await.unwrap();
        assert_eq!(response.finish_reason, wanted);
        assert_eq!(
            (text_of(&response).as_str(), response.usage.output_tokens),
            ("I", 4)
        );
    }
    let refusal = |piece| json!({"type": "response.refusal.delta", "delta": piece});
    let end = fake::completed(Some((3, 4)));
    let response = answer_of(&[refusal("I "), refusal("won't."), end]).await;
    let response = response.unwrap();
    assert_eq!(response.finish_reason, FinishReason::Refusal);
    assert_eq!(text_of(&response), "I won't.");
}

#[tokio::test]
async fn thoughts_go_back_sealed() {
    let up = answering(&[
        json!({"type": "response.reasoning_summary_text.delta", "delta": "hm"}),
        json!({"type": "response.output_item.done", "output_index": 0,
            "item": {"type": "reasoning", "encrypted_content": "sealed", "summary": []}}),
        call(1, "a", "{}"),
        fake::completed(None),
    ])
    .await;
    let gateway = up.gateway(KIND);
    let request = wire::Request {
        reasoning: Some(wire::ReasoningEffort::Low),
        ..round()
    };
    let response = ask(&gateway, request).await.unwrap();
    let body = up.last().body;
    assert_eq!(body["reasoning"]["effort"], "low");
    assert_eq!(body["include"], json!(["reasoning.encrypted_content"]));
    let ContentPart::Reasoning(thought) = &response.content[0] else {
        panic!("{:?}", response.content);
    };
    assert_eq!(thought.text.as_deref(), Some("hm"));
    let mut request = say(&["weather?"]);
    let said = with(Role::Assistant, response.content);
    request.messages.push(said);
    ask(&gateway, request).await.unwrap();
    let body = up.last().body;
    let input = body["input"].as_array().unwrap();
    let kinds: Vec<_> = input.iter().map(|item| item["type"].as_str()).collect();
    assert_eq!(kinds, [None, Some("reasoning"), Some("function_call")]);
    assert_eq!(input[1]["encrypted_content"], "sealed");
    // Models that do not think refuse to be asked for thoughts.
    assert_eq!((body.get("reasoning"), body.get("include")), (None, None));
}

#[tokio::test]
async fn a_round_with_tools_is_sent() {
    let request = wire::Request {
        parallel_tool_calls: Some(false),
        tool_choice: wire::ToolChoice::Named("weather".into()),
        seed: Some(7),
        ..round()
    };
    let body = sent(KIND, request).await;
    assert_eq!(
        (&body["store"], &body["model"]),
        (&json!(false), &json!("m"))
    );
    assert_eq!(
        (&body["tools"][0]["name"], &body["tools"][0]["strict"]),
        (&json!("weather"), &json!(false))
    );
    assert_eq!(body["tool_choice"]["name"], "weather");
    assert_eq!(body["parallel_tool_calls"], false);
    assert_eq!(body.get("seed"), None);
    let input = body["input"].as_array().unwrap();
    assert_eq!(input[0]["role"], "system");
    assert_eq!(input[2]["content"][0]["text"], "I look.");
    assert_eq!(input[3]["arguments"], r#"{"city":"Oslo"}"#);
    assert_eq!(
        (&input[6]["call_id"], &input[6]["output"]),
        (&json!("b"), &json!("Error: {\"no\":1}"))
    );
    let stop = wire::Request {
        stop: vec!["END".into()],
        ..say(&["hi"])
    };
    assert_eq!(refused(KIND, stop).await, ErrorKind::Unsupported);
    let mut search = say(&["hi"]);
    search.tools.push(weather());
    search.tools[0].name = "web_search".into();
    assert_eq!(refused(KIND, search).await, ErrorKind::Unsupported);
}

#[tokio::test]
async fn json_and_media_are_sent_in_its_words() {
    let schema = |strict| wire::Request {
        response_format: wire::ResponseFormat::JsonSchema(wire::JsonSchema {
            name: "city".into(),
            schema_json: r#"{"type":"object","properties":{"n":{"type":"string"}}}"#.into(),
            strict,
        }),
        ..say(&["hi"])
    };
    for strict in [true, false] {
        let format = &sent(KIND, schema(strict)).await["text"]["format"];
        assert_eq!(
            (&format["name"], &format["strict"]),
            (&json!("city"), &json!(strict))
        );
    }
    let any = wire::Request {
        response_format: wire::ResponseFormat::Json,
        ..say(&["hi"])
    };
    let body = sent(KIND, any).await;
    assert_eq!(body["text"]["format"]["type"], "json_object");
    assert!(
        body["input"][0]["content"]
            .as_str()
            .unwrap()
            .contains("JSON")
    );
    let with_media = |part| wire::Request {
        messages: vec![with(Role::User, vec![part])],
        ..say(&[])
    };
    let inline = || MediaSource::Inline(vec![1, 2, 3]);
    let body = sent(KIND, with_media(photo(inline()))).await;
    assert_eq!(
        body["input"][0]["content"][0]["image_url"],
        "data:image/png;base64,AQID"
    );
    let body = sent(KIND, with_media(media("application/pdf", inline()))).await;
    assert_eq!(body["input"][0]["content"][0]["type"], "input_file");
    let sound = with_media(media("audio/wav", inline()));
    assert_eq!(refused(KIND, sound).await, ErrorKind::Unsupported);
}

#[tokio::test]
async fn it_has_no_embeddings_and_needs_no_key() {
    let up = answering(&[text("I"), fake::completed(None)]).await;
    refuses_embeddings(&up, KIND).await;
    let config = super::support::load(&format!(
        "[llm.providers.up]\nkind = '{KIND}'\nbase_url = '{}/v1'\n[llm.models.default]\nprovider = 'up'\nmodel = 'gpt-5-high'\n",
        up.address
    ));
    let gateway = crate::llm::Gateway::new(&config.llm, tokio::runtime::Handle::current()).unwrap();
    ask(&gateway, say(&["hi"])).await.unwrap();
    let seen = up.last();
    assert!(seen.headers.get("authorization").is_none());
    assert_eq!(
        (seen.path.as_str(), &seen.body["model"]),
        ("/v1/responses", &json!("gpt-5-high"))
    );
}
