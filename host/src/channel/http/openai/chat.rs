//! Chat completions: the conversation comes with each request, so each is a
//! conversation of its own here, and nothing that is stored is added to it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::extract::Unread;
use super::super::named::of_turn;
use super::super::{Api, Caller, Problem};
use super::chatting;
use super::error::ApiError;
use super::exchange::{Answer, Exchange, Running};
use super::input::{Content, Question, Said, Tool, Who, tools};
use crate::runtime::bindings::types;
use crate::turn::{FeedEvent, Reader, Receipt};

/// A request, as far as it is read here.
#[derive(Debug, Deserialize)]
struct Request {
    model: String,
    messages: Vec<Message>,
    #[serde(default)]
    tools: Vec<Tool>,
    #[serde(default)]
    stream: bool,
    stream_options: Option<StreamOptions>,
    user: Option<String>,
    n: Option<u32>,
    temperature: Option<Value>,
    max_tokens: Option<Value>,
    max_completion_tokens: Option<Value>,
    response_format: Option<Value>,
    tool_choice: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

#[derive(Debug, Deserialize)]
struct Message {
    role: String,
    content: Option<Content>,
    #[serde(default)]
    tool_calls: Option<Vec<ToolCall>>,
    tool_call_id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ToolCall {
    id: String,
    function: CalledFunction,
}

#[derive(Debug, Deserialize)]
struct CalledFunction {
    name: String,
    arguments: String,
}

pub(super) async fn complete(
    State(api): State<Api>,
    caller: Result<Caller, Problem>,
    body: Unread,
) -> Result<Response, ApiError> {
    let caller = chatting(caller)?;
    let request: Request = body.json().await?;
    if request.n.is_some_and(|n| n != 1) {
        return Err(ApiError::invalid("n", "an agent gives one answer"));
    }
    let (wants_stream, wants_usage) = (
        request.stream,
        request
            .stream_options
            .as_ref()
            .is_some_and(|options| options.include_usage),
    );
    let mut running = request.exchange()?.begin(&api, &caller).await?;
    let turn = running.turn().to_owned();
    let response = if wants_stream {
        respond(chunks(running, wants_usage))
    } else {
        Json(completion(&running.answer().await?)).into_response()
    };
    Ok(of_turn(&turn, response))
}

impl Request {
    fn exchange(self) -> Result<Exchange, ApiError> {
        let mut said = Vec::new();
        for message in self.messages {
            message.add_to(&mut said)?;
        }
        Ok(Exchange {
            question: Question::of(said, Vec::new(), "messages")?,
            agent: self.model,
            user: self.user,
            conversation: None,
            tools: tools(self.tools)?,
            wishes: json!({
                "temperature": self.temperature,
                "max_output_tokens": self.max_completion_tokens.or(self.max_tokens),
                "response_format": self.response_format,
                "tool_choice": self.tool_choice,
            }),
        })
    }
}

impl Message {
    fn add_to(self, said: &mut Vec<Said>) -> Result<(), ApiError> {
        let content = self.content.unwrap_or(Content::Text(String::new()));
        match self.role.as_str() {
            "system" | "developer" => said.push(Said::Message(Who::Instructor, content)),
            "user" => said.push(Said::Message(Who::User, content)),
            "assistant" => {
                said.push(Said::Message(Who::Assistant, content));
                let calls = self.tool_calls.into_iter().flatten();
                said.extend(calls.map(|call| {
                    Said::Call(types::ToolCall {
                        id: call.id,
                        name: call.function.name,
                        arguments_json: call.function.arguments,
                    })
                }));
            }
            "tool" => {
                let id = self.tool_call_id.ok_or_else(|| {
                    ApiError::invalid("messages", "a message of a tool needs its tool_call_id")
                })?;
                said.push(Said::Result(id, content.text()));
            }
            role => {
                let message = format!("there is no role {role:?}");
                return Err(ApiError::invalid("messages", message));
            }
        }
        Ok(())
    }
}

fn id_of(turn: &str) -> String {
    format!("chatcmpl-{turn}")
}

fn completion(answer: &Answer) -> Value {
    let mut message = json!({
        "role": "assistant", "content": answer.reply.text, "refusal": null, "annotations": [],
    });
    let calls: Vec<Value> = answer.reply.tool_calls.iter().map(call).collect();
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    json!({
        "id": id_of(&answer.turn), "object": "chat.completion", "created": answer.created_at / 1_000,
        "model": answer.agent,
        "choices": [{
            "index": 0, "message": message, "logprobs": null, "finish_reason": finish_reason(&answer.reply),
        }],
        "usage": usage(&answer.receipt),
    })
}

fn call(call: &types::ToolCall) -> Value {
    json!({
        "id": call.id, "type": "function",
        "function": {"name": call.name, "arguments": call.arguments_json},
    })
}

fn finish_reason(reply: &types::Reply) -> &'static str {
    if reply.tool_calls.is_empty() {
        "stop"
    } else {
        "tool_calls"
    }
}

fn usage(receipt: &Receipt) -> Value {
    let (input, output) = (receipt.input_tokens, receipt.output_tokens);
    json!({
        "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output,
        "prompt_tokens_details": {"cached_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 0},
    })
}

/// A stream that is being made.
struct Chunks {
    running: Running,
    reader: Reader,
    wants_usage: bool,
    /// What was shown by a chunk.
    shown: String,
    /// What is shown was taken back; chunks cannot be.
    is_reset: bool,
    waiting: VecDeque<String>,
    is_over: bool,
}

fn chunks(running: Running, wants_usage: bool) -> impl Stream<Item = Result<Event, Infallible>> {
    let reader = running.feed().read(0);
    let chunks = Chunks {
        running,
        reader,
        wants_usage,
        shown: String::new(),
        is_reset: false,
        waiting: VecDeque::new(),
        is_over: false,
    };
    stream::unfold(chunks, async |mut chunks| {
        let data = chunks.next().await?;
        Some((Ok(Event::default().data(data)), chunks))
    })
}

impl Chunks {
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(data) = self.waiting.pop_front() {
                return Some(data);
            }
            if self.is_over {
                return None;
            }
            match self.reader.next().await {
                Some((_, event)) => self.take(event).await,
                None => self.is_over = true,
            }
        }
    }

    async fn take(&mut self, event: FeedEvent) {
        match event {
            FeedEvent::Started => self.choice(&json!({"role": "assistant", "content": ""}), None),
            FeedEvent::Text { text } if !self.is_reset => self.text(text),
            FeedEvent::Reset => self.is_reset = true,
            FeedEvent::Completed | FeedEvent::Failed { .. } | FeedEvent::Cancelled => {
                match self.running.end().await {
                    Ok(answer) => self.finish(&answer),
                    Err(error) => self.fail(&error),
                }
            }
            FeedEvent::Waiting => {
                self.running.leave();
                let error = ApiError::waits(self.running.turn());
                self.fail(&error);
            }
            FeedEvent::Queued { .. }
            | FeedEvent::Text { .. }
            | FeedEvent::ToolStarted { .. }
            | FeedEvent::ToolCompleted { .. }
            | FeedEvent::Asked { .. } => {}
        }
    }

    fn text(&mut self, text: String) {
        self.choice(&json!({ "content": text }), None);
        self.shown.push_str(&text);
    }

    fn finish(&mut self, answer: &Answer) {
        let text = &answer.reply.text;
        // Where something else was shown the answer follows whole.
        let rest = match text.strip_prefix(self.shown.as_str()) {
            Some(rest) => rest.to_owned(),
            None => format!("\n\n{text}"),
        };
        if !rest.is_empty() {
            self.text(rest);
        }
        for (index, called) in answer.reply.tool_calls.iter().enumerate() {
            let mut called = call(called);
            called["index"] = index.into();
            self.choice(&json!({ "tool_calls": [called] }), None);
        }
        self.choice(&json!({}), Some(finish_reason(&answer.reply)));
        if self.wants_usage {
            let usage = usage(&answer.receipt);
            self.push(&json!([]), &usage);
        }
        self.waiting.push_back("[DONE]".to_owned());
        self.is_over = true;
    }

    fn fail(&mut self, error: &ApiError) {
        let data = json!({ "error": error.body() }).to_string();
        self.waiting.push_back(data);
        self.is_over = true;
    }

    fn choice(&mut self, delta: &Value, finish_reason: Option<&str>) {
        let choice = json!([{
            "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason,
        }]);
        self.push(&choice, &Value::Null);
    }

    fn push(&mut self, choices: &Value, usage: &Value) {
        let mut chunk = json!({
            "id": id_of(self.running.turn()), "object": "chat.completion.chunk", "created": self.running.created_at / 1_000,
            "model": self.running.agent, "choices": choices,
        });
        if self.wants_usage {
            chunk["usage"] = usage.clone();
        }
        self.waiting.push_back(chunk.to_string());
    }
}

fn respond(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(15));
    Sse::new(events).keep_alive(keep_alive).into_response()
}
