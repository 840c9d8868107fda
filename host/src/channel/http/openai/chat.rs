//! Chat completions: the conversation comes with each request, so each is a
//! conversation of its own here, and nothing that is stored is added to it.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::extract::Unread;
use super::super::named::of_turn;
use super::super::{Api, Caller, Problem};
use super::chatting;
use super::error::ApiError;
use super::exchange::{Answer, Exchange};
use super::input::{Content, Question, Said, Tool, Who, tools};
use super::live::{self, Form};
use crate::runtime::bindings::types;
use crate::turn::Receipt;

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
    headers: HeaderMap,
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
    let mut running = request.exchange()?.begin(&api, &caller, &headers).await?;
    let turn = running.turn().to_owned();
    let response = if wants_stream {
        let chunks = Chunks {
            turn: turn.clone(),
            agent: running.agent.clone(),
            created_at: running.created_at,
            wants_usage,
        };
        live::respond(running, chunks)
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

/// A stream of chunks.
struct Chunks {
    turn: String,
    agent: String,
    created_at: i64,
    wants_usage: bool,
}

impl Form for Chunks {
    fn begin(&mut self) -> Vec<Event> {
        vec![self.choice(&json!({"role": "assistant", "content": ""}), None)]
    }

    fn text(&mut self, piece: &str) -> Vec<Event> {
        vec![self.choice(&json!({ "content": piece }), None)]
    }

    fn finish(&mut self, answer: &Answer) -> Vec<Event> {
        let mut events = Vec::new();
        for (index, called) in answer.reply.tool_calls.iter().enumerate() {
            let mut called = call(called);
            called["index"] = index.into();
            events.push(self.choice(&json!({ "tool_calls": [called] }), None));
        }
        events.push(self.choice(&json!({}), Some(finish_reason(&answer.reply))));
        if self.wants_usage {
            events.push(self.chunk(&json!([]), &usage(&answer.receipt)));
        }
        events.push(Event::default().data("[DONE]"));
        events
    }

    fn fail(&mut self, error: &ApiError) -> Vec<Event> {
        let data = json!({ "error": error.body() }).to_string();
        vec![Event::default().data(data)]
    }
}

impl Chunks {
    fn choice(&self, delta: &Value, finish_reason: Option<&str>) -> Event {
        let choice = json!([{
            "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason,
        }]);
        self.chunk(&choice, &Value::Null)
    }

    fn chunk(&self, choices: &Value, usage: &Value) -> Event {
        let mut chunk = json!({
            "id": id_of(&self.turn), "object": "chat.completion.chunk", "created": self.created_at / 1_000,
            "model": self.agent, "choices": choices,
        });
        if self.wants_usage {
            chunk["usage"] = usage.clone();
        }
        Event::default().data(chunk.to_string())
    }
}
