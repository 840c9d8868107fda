//! What comes back over the wires, and what goes wrong on them.

use serde_json::Value;

use crate::guard::Guard;
use crate::runtime::bindings::llm as wire;
use crate::runtime::bindings::types::ToolDefinition;
use wire::{ContentPart, ErrorKind, FinishReason, RetryClass, StreamEvent};

use super::fake::{self, Act, After, Fake};
use super::support::{ask, say, text_of};
use crate::testing::capture;

const KINDS: [&str; 6] = [
    "openai",
    "openai-responses",
    "anthropic",
    "gemini",
    "bedrock",
    "ollama",
];

fn offering(names: &[&str]) -> wire::Request {
    let tools = names.iter().map(|name| ToolDefinition {
        name: (*name).to_owned(),
        description: Some("does something".into()),
        input_schema_json: r#"{"type":"object","properties":{}}"#.into(),
        strict: false,
    });
    wire::Request {
        tools: tools.collect(),
        ..say(&["weather and time?"])
    }
}

#[tokio::test]
async fn text_and_usage_come_over_every_wire() {
    for kind in KINDS {
        let up = Fake::start(fake::text(kind, Some((11, 7)))).await;
        let response = ask(&up.gateway(kind), say(&["hi"])).await.unwrap();
        assert_eq!(text_of(&response), "Hello world", "{kind}");
        assert_eq!(response.finish_reason, FinishReason::Stop, "{kind}");
        let usage = response.usage;
        assert_eq!((usage.input_tokens, usage.output_tokens), (11, 7), "{kind}");
        assert!(!usage.estimated, "{kind}");
        assert_eq!(
            usage.cost_micro_usd,
            (kind == "ollama").then_some(0),
            "{kind}"
        );
        assert_eq!(
            (response.provider.as_str(), response.model.as_str()),
            ("up", "m")
        );
    }
}

#[tokio::test]
async fn calls_go_where_each_wire_expects_them() {
    let wanted = [
        (
            "openai",
            "/v1/chat/completions",
            "authorization",
            "Bearer sk-secret-key",
        ),
        (
            "openai-responses",
            "/v1/responses",
            "authorization",
            "Bearer sk-secret-key",
        ),
        ("anthropic", "/v1/messages", "x-api-key", "sk-secret-key"),
        (
            "gemini",
            "/v1beta/models/m:streamGenerateContent?alt=sse",
            "x-goog-api-key",
            "sk-secret-key",
        ),
        (
            "bedrock",
            "/model/m/converse-stream",
            "authorization",
            "Bearer sk-secret-key",
        ),
        (
            "ollama",
            "/api/chat",
            "authorization",
            "Bearer sk-secret-key",
        ),
    ];
    for (kind, path, header, value) in wanted {
        let up = Fake::start(fake::text(kind, None)).await;
        ask(&up.gateway(kind), say(&["hi"])).await.unwrap();
        let seen = up.last();
        assert_eq!(
            (seen.path.as_str(), &seen.headers[header]),
            (path, &value.parse().unwrap())
        );
        let bound = [
            "/max_tokens",
            "/max_output_tokens",
            "/generationConfig/maxOutputTokens",
            "/options/num_predict",
            "/inferenceConfig/maxTokens",
        ];
        let sent = bound.iter().find_map(|place| seen.body.pointer(place));
        assert_eq!(sent.and_then(Value::as_u64), Some(8192), "{kind}");
    }
}

#[tokio::test]
async fn usage_that_is_missing_is_counted_and_said_to_be() {
    for kind in KINDS {
        let up = Fake::start(fake::text(kind, None)).await;
        let usage = ask(&up.gateway(kind), say(&["hello there"]))
            .await
            .unwrap()
            .usage;
        assert!(usage.estimated, "{kind}");
        assert_eq!((usage.input_tokens, usage.output_tokens), (3, 3), "{kind}");
    }
}

#[tokio::test]
async fn parallel_tool_calls_keep_their_arguments_apart() {
    let calls = [
        ("call_a", "weather", r#"{"city":"Oslo","days":2}"#),
        ("call_b", "weather", r#"{"city":"Rome","days":2}"#),
        ("call_c", "time", "{}"),
    ];
    for kind in KINDS {
        let up = Fake::start(fake::calls(kind, &calls)).await;
        let gateway = up.gateway(kind);
        let mut generation = gateway
            .start(offering(&["weather", "time"]), &Guard::default())
            .await
            .unwrap();
        let mut streamed = std::collections::BTreeMap::<u32, (String, String, bool)>::new();
        loop {
            let events = generation.next(2).await.unwrap();
            if events.is_empty() {
                break;
            }
            for event in events {
                match event {
                    StreamEvent::ToolCallStart(start) => {
                        streamed.insert(start.index, (start.id, String::new(), false));
                    }
                    StreamEvent::ToolCallArguments(delta) => {
                        streamed
                            .get_mut(&delta.index)
                            .unwrap()
                            .1
                            .push_str(&delta.text);
                    }
                    StreamEvent::ToolCallEnd(index) => streamed.get_mut(&index).unwrap().2 = true,
                    _ => {}
                }
            }
        }
        let response = generation.finish().await.unwrap();
        assert_eq!(response.finish_reason, FinishReason::ToolCalls, "{kind}");
        assert_eq!(streamed.len(), 3, "{kind}");
        for (at, (index, (id, arguments, ended))) in streamed.iter().enumerate() {
            let ContentPart::ToolCall(call) = &response.content[*index as usize] else {
                panic!("{kind}: {:?}", response.content);
            };
            assert_eq!((&call.id, &call.arguments_json), (id, arguments), "{kind}");
            assert_eq!(
                (call.name.as_str(), arguments.as_str(), *ended),
                (calls[at].1, calls[at].2, true)
            );
        }
        let ids: std::collections::BTreeSet<_> = streamed.values().map(|(id, ..)| id).collect();
        assert_eq!(ids.len(), 3, "{kind}: ids must differ");
    }
}

#[tokio::test]
async fn a_refusal_is_an_error_of_start() {
    let refusals = [
        (401, "", ErrorKind::Unauthenticated, RetryClass::OtherModel),
        (403, "", ErrorKind::Denied, RetryClass::Never),
        (404, "", ErrorKind::ModelNotFound, RetryClass::OtherModel),
        (
            400,
            "context_length_exceeded",
            ErrorKind::ContextLength,
            RetryClass::OtherModel,
        ),
        (400, "odd", ErrorKind::InvalidRequest, RetryClass::Never),
        (
            429,
            "insufficient_quota",
            ErrorKind::BudgetExceeded,
            RetryClass::Never,
        ),
        (500, "", ErrorKind::Upstream, RetryClass::SameRequest),
        (503, "", ErrorKind::Overloaded, RetryClass::AfterDelay),
        (529, "", ErrorKind::Overloaded, RetryClass::AfterDelay),
        (307, "", ErrorKind::Upstream, RetryClass::SameRequest),
    ];
    for (status, body, kind, retry) in refusals {
        let up = Fake::start(Act::Status(status, Vec::new(), body.into())).await;
        for provider in KINDS {
            let error = up
                .gateway(provider)
                .start(say(&["hi"]), &Guard::default())
                .await
                .err()
                .unwrap();
            assert_eq!(
                (error.kind, error.retry),
                (kind, retry),
                "{provider} {status}"
            );
            assert_eq!(error.http_status, Some(status), "{provider}");
            assert_eq!((error.provider.as_deref(), error.attempts), (Some("up"), 1));
            assert_eq!(error.usage, None);
        }
    }
}

#[tokio::test]
async fn a_rate_limit_says_when_to_come_back() {
    let body = r#"{"error":{"details":[{"retryDelay": "37s"}]}}"#;
    let waits = [
        (vec![("retry-after", "5")], "", Some(5000)),
        (
            vec![("retry-after-ms", "250"), ("retry-after", "1")],
            "",
            Some(250),
        ),
        (
            vec![("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")],
            "",
            None,
        ),
        (vec![("retry-after", "-1")], "", None),
        (vec![], body, Some(37_000)),
    ];
    for (headers, body, wanted) in waits {
        let up = Fake::start(Act::Status(429, headers, body.into())).await;
        for kind in KINDS {
            let error = ask(&up.gateway(kind), say(&["hi"])).await.unwrap_err();
            assert_eq!(
                (error.kind, error.retry_after_ms),
                (ErrorKind::RateLimited, wanted),
                "{kind}"
            );
        }
    }
}

#[tokio::test]
async fn neither_keys_nor_endless_bodies_come_out() {
    let body = format!(
        "wrong key sk-secret-key, or sk-other_1*** or AIzaXY\" {}",
        "x".repeat(9000)
    );
    let up = Fake::start(Act::Status(401, Vec::new(), body)).await;
    for kind in KINDS {
        let error = ask(&up.gateway(kind), say(&["hi"])).await.unwrap_err();
        let text = format!("{error:?}");
        for secret in ["secret", "other_1", "XY", &up.address["http://".len()..]] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
        assert!(
            error.message.contains("[llm.providers.up]"),
            "{}",
            error.message
        );
        let detail: Value = serde_json::from_str(&error.detail_json.unwrap()).unwrap();
        assert_eq!(detail["body"].as_str().unwrap().chars().count(), 500);
    }
}

#[tokio::test]
async fn a_stream_without_an_end_is_interrupted() {
    for kind in KINDS {
        for after in [After::Close, After::Break] {
            let up = Fake::start(fake::unfinished(kind, after)).await;
            let mut generation = up
                .gateway(kind)
                .start(say(&["hi"]), &Guard::default())
                .await
                .unwrap();
            let error = loop {
                match generation.next(8).await {
                    Ok(events) => assert!(!events.is_empty(), "{kind} ended"),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind, ErrorKind::StreamInterrupted, "{kind} {error:?}");
            assert_eq!(error.retry, RetryClass::SameRequest);
            let usage = error.usage.unwrap();
            assert!(usage.estimated && usage.output_tokens > 0, "{kind}");
            assert_eq!(
                generation.finish().await.unwrap_err().kind,
                ErrorKind::StreamInterrupted
            );
        }
    }
}

#[tokio::test]
async fn silence_ends_at_the_time_outs() {
    for kind in KINDS {
        let up = Fake::start(Act::Hang).await;
        let error = up
            .gateway(kind)
            .start(say(&["hi"]), &Guard::default())
            .await
            .err()
            .unwrap();
        assert_eq!(error.kind, ErrorKind::TimedOut, "{kind}");
        assert!(
            error.message.contains("header_timeout_ms"),
            "{}",
            error.message
        );
        let up = Fake::start(fake::unfinished(kind, After::Hang)).await;
        let error = ask(&up.gateway(kind), say(&["hi"])).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::TimedOut, "{kind}");
        assert!(
            error.message.contains("read_timeout_ms"),
            "{}",
            error.message
        );
    }
}

#[tokio::test]
async fn what_is_dropped_or_cancelled_is_hung_up() {
    for kind in KINDS {
        let up = Fake::start(fake::unfinished(kind, After::Hang)).await;
        let mut generation = up
            .gateway(kind)
            .start(say(&["hi"]), &Guard::default())
            .await
            .unwrap();
        assert!(!generation.next(1).await.unwrap().is_empty());
        drop(generation);
        up.closed().await;
        let mut generation = up
            .gateway(kind)
            .start(say(&["hi"]), &Guard::default())
            .await
            .unwrap();
        generation.cancel();
        up.closed().await;
        let hanging = Fake::start(Act::Hang).await;
        let gateway = hanging.gateway(kind);
        let guard = Guard::default();
        let start = tokio::time::timeout(
            std::time::Duration::from_millis(100),
            gateway.start(say(&["hi"]), &guard),
        );
        assert!(start.await.is_err());
        hanging.closed().await;
    }
}

#[tokio::test]
async fn nobody_at_the_address_is_a_connection_error() {
    let up = Fake {
        address: "http://127.0.0.1:1".into(),
        ..Fake::start(Act::Hang).await
    };
    for kind in KINDS {
        let error = ask(&up.gateway(kind), say(&["hi"])).await.unwrap_err();
        assert_eq!(
            (error.kind, error.retry),
            (ErrorKind::Connection, RetryClass::SameRequest),
            "{kind}"
        );
        let text = format!("{error:?}");
        assert!(
            text.contains("refused") && !text.contains("127.0.0.1"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_is_no_stream_is_not_an_empty_answer() {
    for kind in KINDS {
        let up = Fake::start(Act::Status(200, Vec::new(), String::new())).await;
        let error = ask(&up.gateway(kind), say(&["hi"])).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Upstream, "{kind}");
        assert!(error.message.contains("base_url"), "{}", error.message);
    }
}

#[tokio::test]
async fn the_log_says_that_a_call_failed_and_not_what_was_said() {
    let captured = capture(tracing::Level::TRACE);
    let frame = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"private\"}}\n\n";
    let act = Act::Stream("text/event-stream", vec![frame.to_owned()], After::Close);
    let error = ask(
        &Fake::start(act).await.gateway("anthropic"),
        say(&["private"]),
    )
    .await
    .unwrap_err();
    assert_eq!(
        (error.kind, error.retry),
        (ErrorKind::Overloaded, RetryClass::AfterDelay)
    );
    let log = captured.text();
    assert!(
        log.contains("model call failed") && !log.contains("private"),
        "{log}"
    );
    assert!(!log.contains("sk-secret"), "{log}");
}

#[tokio::test]
async fn the_model_is_the_one_that_the_provider_says_answers() {
    for (kind, old, new) in [
        ("openai", "{", r#"{"model":"other","#),
        ("ollama", "{", r#"{"model":"other","#),
        ("gemini", "{", r#"{"modelVersion":"other","#),
        (
            "anthropic",
            r#""message":{"#,
            r#""message":{"model":"other","#,
        ),
        ("openai-responses", r#""model":"m""#, r#""model":"other""#),
    ] {
        let Act::Stream(media, mut frames, after) = fake::text(kind, Some((11, 7))) else {
            panic!("{kind} streams");
        };
        frames[0] = frames[0].replacen(old, new, 1);
        let up = Fake::start(Act::Stream(media, frames, after)).await;
        let response = ask(&up.gateway(kind), say(&["hi"])).await.unwrap();
        assert_eq!(response.model, "other", "{kind}");
    }
    // Where it says nothing it is the one that was asked.
    let up = Fake::start(fake::text("anthropic", Some((11, 7)))).await;
    let response = ask(&up.gateway("anthropic"), say(&["hi"])).await.unwrap();
    assert_eq!(response.model, "m");
}
