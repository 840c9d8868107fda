//! What is particular about Bedrock, and its frames.

use serde_json::{Value, json};

use crate::llm::Gateway;
use crate::runtime::bindings::llm as wire;
use crate::runtime::bindings::types::MediaSource;
use wire::{ContentPart, ErrorKind, FinishReason, Role};

use super::fake::{Act, After, Fake};
use super::requests::{media, photo, refused, round, sent, weather, with};
use super::support::{ask, load, message, refuses_embeddings, say, text_of};

const KIND: &str = "bedrock";

pub(super) const MEDIA: &str = "application/vnd.amazon.eventstream";

/// Text and calls in the order in which Bedrock sends them.
pub(super) fn frames(calls: &[(&str, &str, &str)], usage: Option<(u64, u64)>) -> Vec<String> {
    let mut frames = vec![
        frame("messageStart", &json!({"role": "assistant"})),
        delta(json!({"text": "Hello"})),
        delta(json!({"text": " world"})),
        stop(),
    ];
    for (id, name, arguments) in calls {
        frames.push(begin(id, name));
        let (head, tail) = arguments.split_at(arguments.len() / 2);
        for piece in [head, tail] {
            frames.push(delta(json!({"toolUse": {"input": piece}})));
        }
        frames.push(stop());
    }
    let reason = if calls.is_empty() {
        "end_turn"
    } else {
        "tool_use"
    };
    frames.push(end(reason));
    if let Some((input, output)) = usage {
        let usage = json!({"inputTokens": input, "outputTokens": output,
            "totalTokens": input + output});
        let metrics = json!({"latencyMs": 1});
        frames.push(frame(
            "metadata",
            &json!({"usage": usage, "metrics": metrics}),
        ));
    }
    frames
}

fn delta(delta: Value) -> String {
    frame(
        "contentBlockDelta",
        &json!({"delta": delta, "contentBlockIndex": 0}),
    )
}

fn begin(id: &str, name: &str) -> String {
    let start = json!({"toolUse": {"toolUseId": id, "name": name}});
    frame(
        "contentBlockStart",
        &json!({"start": start, "contentBlockIndex": 1}),
    )
}

fn stop() -> String {
    frame("contentBlockStop", &json!({"contentBlockIndex": 0}))
}

fn end(reason: &str) -> String {
    frame("messageStop", &json!({"stopReason": reason}))
}

fn frame(event: &str, payload: &Value) -> String {
    message_of(
        &[(":event-type", event), (":message-type", "event")],
        payload,
    )
}

/// One message of AWS's event stream: lengths, their checksum, headers, payload, checksum.
fn message_of(headers: &[(&str, &str)], payload: &Value) -> String {
    let mut head = Vec::new();
    for (name, value) in headers {
        head.push(u8::try_from(name.len()).unwrap());
        head.extend(name.as_bytes());
        head.push(7);
        head.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        head.extend(value.as_bytes());
    }
    let payload = payload.to_string();
    let number = |length: usize| u32::try_from(length).unwrap().to_be_bytes();
    let mut bytes = Vec::new();
    bytes.extend(number(16 + head.len() + payload.len()));
    bytes.extend(number(head.len()));
    bytes.extend(crc32(&bytes).to_be_bytes());
    bytes.extend(head);
    bytes.extend(payload.as_bytes());
    bytes.extend(crc32(&bytes).to_be_bytes());
    bytes.into_iter().map(char::from).collect()
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0xEDB8_8320 * (crc & 1));
    !bytes
        .iter()
        .fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

async fn answering(frames: Vec<String>) -> Fake {
    Fake::start(Act::Stream(MEDIA, frames, After::Close)).await
}

async fn answer_of(frames: Vec<String>) -> Result<wire::Response, wire::Error> {
    ask(&answering(frames).await.gateway(KIND), round()).await
}

#[tokio::test]
async fn what_is_cut_or_damaged_is_interrupted() {
    assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    let whole = || frames(&[], Some((3, 4)));
    let mut cut = whole();
    cut.truncate(3);
    let half = cut[2].chars().take(40).collect();
    cut[2] = half;
    let mut damaged = whole();
    damaged[2] = damaged[2].replace(" world", " wurld");
    let mut without_stop = whole();
    without_stop.remove(4);
    for frames in [cut, damaged, without_stop] {
        let error = answer_of(frames).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::StreamInterrupted, "{error:?}");
    }
    // Only the count of tokens is missing.
    let mut uncounted = whole();
    uncounted.pop();
    let response = answer_of(uncounted).await.unwrap();
    assert_eq!(text_of(&response), "Hello world");
    assert!(response.usage.estimated);
}

#[tokio::test]
async fn tokens_of_its_cache_are_part_of_the_input() {
    let usage = json!({"inputTokens": 3, "outputTokens": 4, "totalTokens": 19,
        "cacheReadInputTokens": 7, "cacheWriteInputTokens": 5});
    let mut frames = frames(&[], None);
    frames.push(frame("metadata", &json!({"usage": usage})));
    let usage = answer_of(frames).await.unwrap().usage;
    let counted = (usage.input_tokens, usage.cache_read_tokens);
    assert_eq!((counted, usage.output_tokens), ((15, 7), 4));
}

#[tokio::test]
async fn failures_within_the_stream_are_told_apart() {
    let failed = |text: &str| {
        let headers = [
            (":exception-type", "throttlingException"),
            (":message-type", "exception"),
        ];
        message_of(&headers, &json!({"message": text}))
    };
    let often = "Too many requests, please wait before trying again.";
    let error = answer_of(vec![failed(often)]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::RateLimited);
    let error = answer_of(vec![failed("odd")]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Upstream);
    let late = vec![delta(json!({"text": "I"})), failed(often)];
    let error = answer_of(late).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::StreamInterrupted);
    for (status, body, wanted) in [
        (
            403,
            "Authentication failed: look at it.",
            ErrorKind::Unauthenticated,
        ),
        (
            400,
            "Input is too long for requested model.",
            ErrorKind::ContextLength,
        ),
        (
            400,
            "The provided model identifier is invalid.",
            ErrorKind::ModelNotFound,
        ),
        (424, "", ErrorKind::Upstream),
    ] {
        let up = Fake::start(Act::Status(status, Vec::new(), body.into())).await;
        let error = ask(&up.gateway(KIND), say(&["hi"])).await.unwrap_err();
        assert_eq!(error.kind, wanted, "{status} {body}");
    }
}

#[tokio::test]
async fn arguments_that_are_not_whole_do_not_become_none() {
    let cut = vec![
        begin("a", "weather"),
        delta(json!({"toolUse": {"input": "{\"city\":"}})),
        stop(),
        end("max_tokens"),
    ];
    let response = answer_of(cut).await.unwrap();
    assert_eq!(response.finish_reason, FinishReason::Length);
    let ContentPart::ToolCall(call) = &response.content[0] else {
        panic!("{:?}", response.content);
    };
    assert_eq!(call.arguments_json, "{\"city\":");
    let bare = vec![begin("a", "weather"), stop(), end("tool_use")];
    let response = answer_of(bare).await.unwrap();
    assert_eq!(response.finish_reason, FinishReason::ToolCalls);
    let ContentPart::ToolCall(call) = &response.content[0] else {
        panic!("{:?}", response.content);
    };
    assert_eq!(
        (call.id.as_str(), call.arguments_json.as_str()),
        ("a", "{}")
    );
    let blocked = vec![delta(json!({"text": "I"})), end("guardrail_intervened")];
    let response = answer_of(blocked).await.unwrap();
    assert_eq!(response.finish_reason, FinishReason::ContentFilter);
}

#[tokio::test]
async fn thoughts_go_back_signed() {
    let thought = |part: Value| delta(json!({"reasoningContent": part}));
    let up = answering(vec![
        thought(json!({"text": "h"})),
        thought(json!({"text": "m"})),
        thought(json!({"signature": "signed"})),
        stop(),
        thought(json!({"redactedContent": "sealed"})),
        stop(),
        begin("a", "weather"),
        stop(),
        end("tool_use"),
    ])
    .await;
    let gateway = up.gateway(KIND);
    let response = ask(&gateway, round()).await.unwrap();
    let ContentPart::Reasoning(thought) = &response.content[0] else {
        panic!("{:?}", response.content);
    };
    assert_eq!(thought.text.as_deref(), Some("hm"));
    let mut request = say(&["weather?"]);
    request.tools.push(weather());
    let said = with(Role::Assistant, response.content);
    request.messages.push(said);
    ask(&gateway, request).await.unwrap();
    let content = &up.last().body["messages"][1]["content"];
    let signed = json!({"reasoningText": {"text": "hm", "signature": "signed"}});
    assert_eq!(content[0]["reasoningContent"], signed);
    let sealed = json!({"redactedContent": "sealed"});
    assert_eq!(content[1]["reasoningContent"], sealed);
    assert_eq!(content[2]["toolUse"]["name"], "weather");
}

#[tokio::test]
async fn a_round_with_tools_is_sent_in_turns() {
    let mut request = round();
    request.messages.push(message(Role::System, "Be kind."));
    request.messages.push(message(Role::User, "And?"));
    request.max_output_tokens = Some(5);
    request.stop = vec!["END".into()];
    let body = sent(KIND, request).await;
    let system = json!([{"text": "Be brief."}, {"text": "Be kind."}]);
    assert_eq!(body["system"], system);
    let config = &body["toolConfig"]["tools"][0]["toolSpec"];
    assert_eq!(config["name"], "weather");
    let wanted = json!({"maxTokens": 5, "stopSequences": ["END"]});
    assert_eq!(body["inferenceConfig"], wanted);
    let messages = body["messages"].as_array().unwrap();
    let roles: Vec<_> = messages.iter().map(|one| one["role"].as_str()).collect();
    assert_eq!(roles, [Some("user"), Some("assistant"), Some("user")]);
    let results = &messages[2]["content"];
    assert_eq!(results[0]["toolResult"]["toolUseId"], "a");
    let error = json!([{"text": "Error: {\"no\":1}"}]);
    assert_eq!(results[1]["toolResult"]["content"], error);
    assert_eq!(results[2]["text"], "And?");
}

/// Wants an answer that fits a schema.
fn schema(strict: bool) -> wire::Request {
    wire::Request {
        response_format: wire::ResponseFormat::JsonSchema(wire::JsonSchema {
            name: "city".into(),
            schema_json: r#"{"type":"object","properties":{"n":{"type":"string"}}}"#.into(),
            strict,
        }),
        ..say(&["hi"])
    }
}

#[tokio::test]
async fn what_it_cannot_carry_is_refused() {
    let body = sent(KIND, schema(false)).await;
    assert!(
        body["system"][0]["text"]
            .as_str()
            .unwrap()
            .contains("properties")
    );
    let choose = |tool_choice, parallel| wire::Request {
        tool_choice,
        parallel_tool_calls: parallel,
        tools: vec![weather()],
        ..say(&["hi"])
    };
    use wire::ToolChoice::{Auto, Never, Required};
    let body = sent(KIND, choose(Never, None)).await;
    assert_eq!(body.get("toolConfig"), None);
    let with_media = |part| wire::Request {
        messages: vec![with(Role::User, vec![part])],
        ..say(&[])
    };
    let inline = || MediaSource::Inline(vec![1, 2, 3]);
    let body = sent(KIND, with_media(photo(inline()))).await;
    let image = &body["messages"][0]["content"][0]["image"];
    assert_eq!(
        image,
        &json!({"format": "png", "source": {"bytes": "AQID"}})
    );
    let far = MediaSource::Url("https://example.com/a.png".into());
    for request in [
        schema(true),
        choose(Required, None),
        choose(Auto, Some(false)),
        wire::Request {
            tool_choice: Never,
            ..round()
        },
        wire::Request {
            tools: Vec::new(),
            ..round()
        },
        with_media(photo(far)),
        with_media(media("image/svg+xml", inline())),
        with_media(media("audio/wav", inline())),
    ] {
        let text = format!("{request:?}");
        assert_eq!(
            refused(KIND, request).await,
            ErrorKind::Unsupported,
            "{text}"
        );
    }
}

#[tokio::test]
async fn it_has_no_embeddings() {
    let up = answering(frames(&[], None)).await;
    refuses_embeddings(&up, KIND).await;
}

/// A gateway for this model.
fn gateway(address: &str, model: &str) -> Gateway {
    let config = load(&format!(
        "[llm.providers.up]\nkind = '{KIND}'\nbase_url = '{address}'\napi_key = 'k'\n[llm.models.default]\nprovider = 'up'\nmodel = '{model}'\n"
    ));
    Gateway::new(&config.llm, tokio::runtime::Handle::current()).unwrap()
}

#[tokio::test]
async fn models_are_named_and_think_as_their_makers_want() {
    let up = answering(frames(&[], None)).await;
    let arn = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-x-v1:0";
    ask(&gateway(&up.address, arn), say(&["hi"])).await.unwrap();
    let encoded = arn.replace(':', "%3A").replace('/', "%2F");
    assert_eq!(up.last().path, format!("/model/{encoded}/converse-stream"));
    let hard = |most| wire::Request {
        reasoning: Some(wire::ReasoningEffort::High),
        max_output_tokens: Some(most),
        ..say(&["hi"])
    };
    for (most, wanted) in [(100_000, 24_000), (8192, 4096), (100, 1024)] {
        let claude = gateway(&up.address, "eu.anthropic.claude-x-v1:0");
        ask(&claude, hard(most)).await.unwrap();
        let thinking = &up.last().body["additionalModelRequestFields"]["thinking"];
        assert_eq!(thinking["budget_tokens"], wanted);
    }
    let nova = gateway(&up.address, "eu.amazon.nova-2-lite-v1:0");
    let error = ask(&nova, hard(100)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported);
}

#[tokio::test]
async fn region_and_key_are_never_taken_from_the_environment() {
    for (line, wanted) in [
        ("api_key = 'k'", "set base_url"),
        ("api_key = 'k'\nbase_url = ''", "set base_url"),
        ("base_url = 'https://h'", "set api_key"),
    ] {
        let config = load(&format!("[llm.providers.up]\nkind = '{KIND}'\n{line}\n"));
        let made = Gateway::new(&config.llm, tokio::runtime::Handle::current());
        let text = format!("{:#}", made.err().unwrap());
        assert!(
            text.contains("[llm.providers.up]") && text.contains(wanted),
            "{text}"
        );
    }
}
