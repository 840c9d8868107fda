//! A provider on 127.0.0.1 that answers what a test tells it to, in any of the wires.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::super::Gateway;
use super::bedrock;
use super::support::load;

/// What the provider does when it is called.
#[derive(Clone)]
pub(crate) enum Act {
    Status(u16, Vec<(&'static str, &'static str)>, String),
    /// Frames, each flushed on its own, and how it goes on after them.
    Stream(&'static str, Vec<String>, After),
    Hang,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum After {
    Close,
    /// The connection breaks within the body.
    Break,
    Hang,
}

pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

#[derive(Clone)]
pub(super) struct Stage {
    /// What is done at each call; the last for ever.
    acts: Arc<Mutex<VecDeque<Act>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    closed: Arc<Notify>,
}

pub(crate) struct Fake {
    pub(crate) address: String,
    pub(super) stage: Stage,
}

impl Fake {
    pub(crate) async fn start(act: Act) -> Self {
        Self::in_turn([act]).await
    }

    /// One act after the other, and the last for ever.
    pub(crate) async fn in_turn(acts: impl IntoIterator<Item = Act>) -> Self {
        let stage = Stage {
            acts: Arc::new(Mutex::new(acts.into_iter().collect())),
            seen: Arc::default(),
            closed: Arc::default(),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = axum::Router::new()
            .fallback(perform)
            .with_state(stage.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, stage }
    }

    /// A gateway whose alias `default` is a model `m` of this provider, called `up`.
    pub(crate) fn gateway(&self, kind: &str) -> Gateway {
        let text = format!(
            "[llm]\nattempts = 1\nheader_timeout_ms = 400\nread_timeout_ms = 400\n[llm.providers.up]\nkind = '{kind}'\nbase_url = '{}'\n\
             api_key = 'sk-secret-key'\n[llm.models.default]\nprovider = 'up'\nmodel = 'm'\n",
            self.address
        );
        Gateway::new(&load(&text).llm, tokio::runtime::Handle::current()).unwrap()
    }

    /// How often it was called.
    pub(crate) fn calls(&self) -> usize {
        self.stage.seen.lock().unwrap().len()
    }

    pub(crate) fn last(&self) -> Seen {
        self.stage
            .seen
            .lock()
            .unwrap()
            .pop()
            .expect("nobody called")
    }

    /// Waits until a caller went away while it was being answered.
    pub(crate) async fn closed(&self) {
        let waited = tokio::time::timeout(Duration::from_secs(5), self.stage.closed.notified());
        waited.await.expect("the connection is still open");
    }
}

impl Stage {
    fn next(&self) -> Act {
        let mut acts = self.acts.lock().unwrap();
        let act = acts.front().cloned().expect("there is something to do");
        if acts.len() > 1 {
            acts.pop_front();
        }
        act
    }
}

/// Tells when the server gives up a body or a request.
struct Guard(Arc<Notify>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

async fn perform(State(stage): State<Stage>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    stage.seen.lock().unwrap().push(Seen {
        path: head.uri.to_string(),
        headers: head.headers,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    });
    let guard = Guard(Arc::clone(&stage.closed));
    match stage.next() {
        Act::Status(status, headers, body) => {
            let response = Response::builder().status(status);
            let response = response.header("content-type", "application/json");
            let headers = headers.into_iter();
            let response = headers.fold(response, |response, (name, value)| {
                response.header(name, value)
            });
            response.body(Body::from(body)).unwrap()
        }
        Act::Hang => {
            std::future::pending::<()>().await;
            drop(guard);
            unreachable!()
        }
        Act::Stream(kind, frames, after) => {
            let frames = frames.into_iter().map(move |frame| bytes(kind, frame));
            let frames = stream::iter(frames.map(Ok::<_, std::io::Error>));
            let tail = stream::once(async move {
                let _guard = guard;
                if after == After::Hang {
                    std::future::pending::<()>().await;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
                Err(std::io::Error::other("cut"))
            });
            let tail = tail.take(usize::from(after != After::Close));
            let response = Response::builder().header("content-type", kind);
            response
                .body(Body::from_stream(frames.chain(tail)))
                .unwrap()
        }
    }
}

/// A frame as it is sent. Those of Bedrock are bytes, each written as the character of its number.
fn bytes(kind: &str, frame: String) -> Vec<u8> {
    if kind == bedrock::MEDIA {
        let bytes = frame.chars().map(u8::try_from);
        return bytes.collect::<Result<_, _>>().unwrap();
    }
    frame.into_bytes()
}

const SSE: &str = "text/event-stream";

/// Two pieces of text; `usage` is (input, output).
pub(crate) fn text(kind: &str, usage: Option<(u64, u64)>) -> Act {
    Act::Stream(media(kind), frames(kind, &[], usage), After::Close)
}

/// A piece of text and these calls.
pub(crate) fn calls(kind: &str, calls: &[(&str, &str, &str)]) -> Act {
    Act::Stream(
        media(kind),
        frames(kind, calls, Some((11, 7))),
        After::Close,
    )
}

/// Text, and then no proper end.
pub(crate) fn unfinished(kind: &str, after: After) -> Act {
    let mut frames = frames(kind, &[], None);
    let keep = match kind {
        "anthropic" => 4,
        "openai-responses" => 5,
        "bedrock" => 3,
        _ => 2,
    };
    frames.truncate(keep);
    Act::Stream(media(kind), frames, after)
}

fn media(kind: &str) -> &'static str {
    match kind {
        "ollama" => "application/x-ndjson",
        "bedrock" => bedrock::MEDIA,
        _ => SSE,
    }
}

fn frames(kind: &str, calls: &[(&str, &str, &str)], usage: Option<(u64, u64)>) -> Vec<String> {
    match kind {
        "openai" => openai(calls, usage),
        "openai-responses" => responses(calls, usage),
        "anthropic" => anthropic(calls, usage),
        "gemini" => gemini(calls, usage),
        "bedrock" => bedrock::frames(calls, usage),
        _ => ollama(calls, usage),
    }
}

fn data(value: &Value) -> String {
    format!("data: {value}\n\n")
}

fn openai(calls: &[(&str, &str, &str)], usage: Option<(u64, u64)>) -> Vec<String> {
    let delta = |delta: Value| data(&json!({"choices": [{"index": 0, "delta": delta}]}));
    let mut frames = vec![
        delta(json!({"role": "assistant", "content": "Hello"})),
        delta(json!({"content": " world"})),
    ];
    for (index, (id, name, arguments)) in calls.iter().enumerate() {
        let (head, tail) = arguments.split_at(arguments.len() / 2);
        frames.push(delta(
            json!({"tool_calls": [{"index": index, "id": id, "type": "function",
            "function": {"name": name, "arguments": head}}]}),
        ));
        frames.push(delta(
            json!({"tool_calls": [{"index": index, "function": {"arguments": tail}}]}),
        ));
    }
    let reason = if calls.is_empty() {
        "stop"
    } else {
        "tool_calls"
    };
    frames.push(data(
        &json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}),
    ));
    if let Some((input, output)) = usage {
        frames.push(data(&json!({"choices": [], "usage": {
            "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output}})));
    }
    frames.push("data: [DONE]\n\n".to_owned());
    frames
}

/// Frames of OpenAI's responses, with the name and the number that each of them has.
pub(crate) fn of_responses(events: &[Value]) -> Vec<String> {
    let events = events.iter().enumerate();
    events
        .map(|(number, event)| {
            let mut event = event.clone();
            event["sequence_number"] = number.into();
            format!(
                "event: {}\n{}",
                event["type"].as_str().unwrap(),
                data(&event)
            )
        })
        .collect()
}

fn responses(calls: &[(&str, &str, &str)], usage: Option<(u64, u64)>) -> Vec<String> {
    let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "content": []});
    let mut events = vec![
        json!({"type": "response.created",
            "response": {"id": "resp_1", "status": "in_progress", "model": "m", "output": []}}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": message}),
        json!({"type": "response.content_part.added", "output_index": 0, "content_index": 0,
            "item_id": "msg_1", "part": {"type": "output_text", "text": ""}}),
    ];
    for piece in ["Hello", " world"] {
        events.push(
            json!({"type": "response.output_text.delta", "output_index": 0,
            "content_index": 0, "item_id": "msg_1", "delta": piece}),
        );
    }
    events.push(json!({"type": "response.output_item.done", "output_index": 0, "item": message}));
    for (index, (id, name, arguments)) in calls.iter().enumerate() {
        let index = index + 1;
        let item = |arguments: &str| {
            json!({"id": format!("fc_{index}"), "type": "function_call", "call_id": id,
                "name": name, "arguments": arguments})
        };
        events.push(
            json!({"type": "response.output_item.added", "output_index": index,
            "item": item("")}),
        );
        let (head, tail) = arguments.split_at(arguments.len() / 2);
        for piece in [head, tail] {
            events.push(json!({"type": "response.function_call_arguments.delta",
                "output_index": index, "delta": piece}));
        }
        events.push(
            json!({"type": "response.output_item.done", "output_index": index,
            "item": item(arguments)}),
        );
    }
    events.push(completed(usage));
    of_responses(&events)
}

/// The last event of OpenAI's responses.
pub(crate) fn completed(usage: Option<(u64, u64)>) -> Value {
    let usage = usage.map(|(input, output)| {
        json!({"input_tokens": input, "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": output, "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": input + output})
    });
    json!({"type": "response.completed", "response": {"id": "resp_1", "status": "completed",
        "model": "m", "output": [], "usage": usage}})
}

fn anthropic(calls: &[(&str, &str, &str)], usage: Option<(u64, u64)>) -> Vec<String> {
    let event = |value: Value| {
        format!(
            "event: {}\n{}",
            value["type"].as_str().unwrap(),
            data(&value)
        )
    };
    let input = usage.map_or(
        Value::Null,
        |(input, _)| json!({"input_tokens": input, "output_tokens": 1}),
    );
    let mut frames = vec![
        event(json!({"type": "message_start", "message": {"usage": input}})),
        event(
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        ),
    ];
    for piece in ["Hello", " world"] {
        frames.push(event(json!({"type": "content_block_delta", "index": 0,
            "delta": {"type": "text_delta", "text": piece}})));
    }
    frames.push(event(json!({"type": "content_block_stop", "index": 0})));
    for (index, (id, name, arguments)) in calls.iter().enumerate() {
        let index = index + 1;
        frames.push(event(json!({"type": "content_block_start", "index": index,
            "content_block": {"type": "tool_use", "id": id, "name": name, "input": {}}})));
        let (head, tail) = arguments.split_at(arguments.len() / 2);
        for piece in [head, tail] {
            frames.push(event(json!({"type": "content_block_delta", "index": index,
                "delta": {"type": "input_json_delta", "partial_json": piece}})));
        }
        frames.push(event(json!({"type": "content_block_stop", "index": index})));
    }
    let reason = if calls.is_empty() {
        "end_turn"
    } else {
        "tool_use"
    };
    let output = usage.map_or(Value::Null, |(_, output)| json!({"output_tokens": output}));
    frames.push(event(
        json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": output}),
    ));
    frames.push(event(json!({"type": "message_stop"})));
    frames
}

fn gemini(calls: &[(&str, &str, &str)], usage: Option<(u64, u64)>) -> Vec<String> {
    let chunk = |parts: Value| {
        data(&json!({"candidates": [{"content": {"role": "model", "parts": parts}}]}))
    };
    let mut frames = vec![
        chunk(json!([{"text": "Hello"}])),
        chunk(json!([{"text": " world"}])),
    ];
    for (_, name, arguments) in calls {
        let arguments: Value = serde_json::from_str(arguments).unwrap();
        frames.push(chunk(
            json!([{"functionCall": {"name": name, "args": arguments},
            "thoughtSignature": format!("signature of {name}")}]),
        ));
    }
    let usage = usage.map_or(json!({}), |(input, output)| {
        json!({"promptTokenCount": input, "candidatesTokenCount": output, "totalTokenCount": input + output})
    });
    frames.push(data(
        &json!({"candidates": [{"content": {"parts": []}, "finishReason": "STOP"}],
        "usageMetadata": usage}),
    ));
    frames
}

fn ollama(calls: &[(&str, &str, &str)], usage: Option<(u64, u64)>) -> Vec<String> {
    let line = |value: Value| format!("{value}\n");
    let mut frames = vec![
        line(json!({"message": {"role": "assistant", "content": "Hello"}, "done": false})),
        line(json!({"message": {"role": "assistant", "content": " world"}, "done": false})),
    ];
    for (_, name, arguments) in calls {
        let arguments: Value = serde_json::from_str(arguments).unwrap();
        frames.push(line(json!({"message": {"content": "", "tool_calls": [
            {"function": {"name": name, "arguments": arguments}}]}, "done": false})));
    }
    let mut end = json!({"message": {"content": ""}, "done": true, "done_reason": "stop"});
    if let Some((input, output)) = usage {
        end["prompt_eval_count"] = input.into();
        end["eval_count"] = output.into();
    }
    frames.push(line(end));
    frames
}
