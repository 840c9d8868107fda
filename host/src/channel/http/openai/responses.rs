//! Responses: what is new comes with each request, and `previous_response_id`
//! continues a conversation that is kept here. A response is a turn.

mod stream;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::extract::{Path, Unread};
use super::super::named::of_turn;
use super::super::{Api, Caller, Code, Problem};
use super::chatting;
use super::error::ApiError;
use super::exchange::{Answer, Exchange, load};
use super::input::{Content, Question, Said, Tool, Who, tools};
use super::live;
use crate::runtime::bindings::types;
use crate::store::Scope;
use stream::Events;

/// A request, as far as it is read here.
#[derive(Debug, Deserialize)]
struct Request {
    model: String,
    input: Input,
    instructions: Option<String>,
    previous_response_id: Option<String>,
    #[serde(default)]
    tools: Vec<Tool>,
    #[serde(default)]
    stream: bool,
    #[serde(default)]
    background: Option<bool>,
    user: Option<String>,
    metadata: Option<Value>,
    temperature: Option<Value>,
    max_output_tokens: Option<Value>,
    text: Option<Value>,
    tool_choice: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Input {
    Text(String),
    Items(Vec<Item>),
}

/// An item of the input. A message may leave out its type.
#[derive(Debug, Deserialize)]
struct Item {
    #[serde(rename = "type")]
    kind: Option<String>,
    role: Option<String>,
    content: Option<Content>,
    call_id: Option<String>,
    name: Option<String>,
    arguments: Option<String>,
    output: Option<Content>,
}

/// What a response repeats of its request.
#[derive(Debug, Clone)]
struct Echo {
    previous: Option<String>,
    instructions: Option<String>,
    metadata: Value,
}

pub(super) async fn respond(
    State(api): State<Api>,
    caller: Result<Caller, Problem>,
    headers: HeaderMap,
    body: Unread,
) -> Result<Response, ApiError> {
    let caller = chatting(caller)?;
    let request: Request = body.json().await?;
    if request.background == Some(true) {
        let message = "responses are not made in the background here; POST /api/v1/messages with prefer: respond-async is";
        return Err(ApiError::invalid("background", message));
    }
    let previous = match &request.previous_response_id {
        Some(id) => Some(previous(&api, &caller, id).await?),
        None => None,
    };
    let echo = Echo {
        previous: request.previous_response_id.clone(),
        instructions: request.instructions.clone(),
        metadata: request.metadata.clone().unwrap_or_else(|| json!({})),
    };
    let wants_stream = request.stream;
    let mut running = request
        .exchange(previous)?
        .begin(&api, &caller, &headers)
        .await?;
    let turn = running.turn().to_owned();
    let response = if wants_stream {
        let events = Events::of(&running, echo);
        live::respond(running, events)
    } else {
        Json(completed(&running.answer().await?, &echo)).into_response()
    };
    Ok(of_turn(&turn, response))
}

/// A response that was given before.
pub(super) async fn show(
    State(api): State<Api>,
    caller: Result<Caller, Problem>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let caller = chatting(caller)?;
    let answer = previous(&api, &caller, &id).await?;
    let echo = Echo {
        previous: None,
        instructions: None,
        metadata: json!({}),
    };
    Ok(Json(completed(&answer, &echo)).into_response())
}

/// The end of a turn that the caller may see: with `read` any, else only those
/// it began.
async fn previous(api: &Api, caller: &Caller, id: &str) -> Result<Answer, ApiError> {
    let unknown = || {
        let problem = Problem::new(Code::NotFound, format!("there is no response {id:?}"));
        ApiError::from(problem)
    };
    let turn = id.strip_prefix("resp_").ok_or_else(unknown)?;
    let store = &api.host.store;
    let row = store.turn_summary(&caller.tenant, turn).await?;
    let own = |token: Option<&str>| token == Some(&caller.token);
    row.filter(|row| caller.may(Scope::Read) || own(row.token.as_deref()))
        .ok_or_else(unknown)?;
    load(api, &caller.tenant, turn).await
}

impl Request {
    fn exchange(self, previous: Option<Answer>) -> Result<Exchange, ApiError> {
        let mut said = Vec::new();
        if let Some(instructions) = self.instructions {
            said.push(Said::Message(Who::Instructor, Content::Text(instructions)));
        }
        match self.input {
            Input::Text(text) => said.push(Said::Message(Who::User, Content::Text(text))),
            Input::Items(items) => {
                for item in items {
                    said.extend(item.said()?);
                }
            }
        }
        let (conversation, known) = match previous {
            Some(answer) => (answer.conversation, answer.reply.tool_calls),
            None => (None, Vec::new()),
        };
        Ok(Exchange {
            question: Question::of(said, known, "input")?,
            agent: self.model,
            user: self.user,
            conversation,
            tools: tools(self.tools)?,
            wishes: json!({
                "temperature": self.temperature, "max_output_tokens": self.max_output_tokens,
                "text": self.text, "tool_choice": self.tool_choice,
            }),
        })
    }
}

impl Item {
    fn said(self) -> Result<Option<Said>, ApiError> {
        let missing = |what: &str| ApiError::invalid("input", format!("an item needs its {what}"));
        Ok(Some(match self.kind.as_deref().unwrap_or("message") {
            "message" => {
                let role = self.role.ok_or_else(|| missing("role"))?;
                let who = match role.as_str() {
                    "system" | "developer" => Who::Instructor,
                    "user" => Who::User,
                    "assistant" => Who::Assistant,
                    role => {
                        let message = format!("there is no role {role:?}");
                        return Err(ApiError::invalid("input", message));
                    }
                };
                Said::Message(who, self.content.ok_or_else(|| missing("content"))?)
            }
            "function_call" => Said::Call(types::ToolCall {
                id: self.call_id.ok_or_else(|| missing("call_id"))?,
                name: self.name.ok_or_else(|| missing("name"))?,
                arguments_json: self.arguments.unwrap_or_default(),
            }),
            "function_call_output" => {
                let id = self.call_id.ok_or_else(|| missing("call_id"))?;
                let output = self.output.ok_or_else(|| missing("output"))?;
                Said::Result(id, output.text())
            }
            // What a model thought is its own.
            "reasoning" => return Ok(None),
            kind => {
                let message = format!("items of type {kind:?} are not known");
                return Err(ApiError::invalid("input", message));
            }
        }))
    }
}

fn completed(answer: &Answer, echo: &Echo) -> Value {
    let usage = json!({
        "input_tokens": answer.receipt.input_tokens, "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": answer.receipt.output_tokens, "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": answer.receipt.input_tokens + answer.receipt.output_tokens,
    });
    let mut response = envelope(&answer.turn, &answer.agent, answer.created_at, echo);
    response["status"] = "completed".into();
    response["output"] = output(answer).into();
    response["usage"] = usage;
    response
}

/// A response before its end.
fn envelope(turn: &str, agent: &str, created_at_ms: i64, echo: &Echo) -> Value {
    json!({
        "id": format!("resp_{turn}"), "object": "response", "created_at": created_at_ms / 1_000,
        "status": "in_progress", "model": agent, "output": [], "usage": null, "error": null,
        "incomplete_details": null, "instructions": echo.instructions, "metadata": echo.metadata,
        "previous_response_id": echo.previous, "parallel_tool_calls": true, "tool_choice": "auto",
        "tools": [], "temperature": null, "top_p": null, "max_output_tokens": null, "store": true,
        "background": false, "truncation": "disabled", "text": {"format": {"type": "text"}},
        "reasoning": {"effort": null, "summary": null}, "service_tier": "default", "user": null,
    })
}

/// The items of an answer: its text, and calls of the client's tools.
fn output(answer: &Answer) -> Vec<Value> {
    let text = &answer.reply.text;
    let has_text = !text.is_empty() || answer.reply.tool_calls.is_empty();
    let message = has_text.then(|| message(&answer.turn, "completed", Some(text)));
    let calls = answer.reply.tool_calls.iter();
    let calls = calls.map(|call| call_item(call, "completed"));
    message.into_iter().chain(calls).collect()
}

fn message(turn: &str, status: &str, text: Option<&str>) -> Value {
    let content: Vec<Value> = text.map(text_part).into_iter().collect();
    json!({
        "type": "message", "id": format!("msg_{turn}"), "status": status, "role": "assistant", "content": content,
    })
}

fn text_part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

fn call_item(call: &types::ToolCall, status: &str) -> Value {
    json!({
        "type": "function_call", "id": format!("fc_{}", call.id), "call_id": call.id, "name": call.name,
        "arguments": call.arguments_json, "status": status,
    })
}
