//! A response as it is made, by the events of OpenAI's API: each has a type and
//! a number, and the last one has the whole response.

use axum::response::sse::Event;
use serde_json::{Value, json};

use super::super::error::ApiError;
use super::super::exchange::{Answer, Running};
use super::super::live::Form;
use super::{Echo, call_item, completed, envelope, message, text_part};
use crate::runtime::bindings::types;

/// A stream of named events.
pub(super) struct Events {
    turn: String,
    agent: String,
    created_at: i64,
    echo: Echo,
    number: u64,
    /// The item of the text was begun.
    has_text: bool,
}

impl Events {
    pub(super) fn of(running: &Running, echo: Echo) -> Self {
        Self {
            turn: running.turn().to_owned(),
            agent: running.agent.clone(),
            created_at: running.created_at,
            echo,
            number: 0,
            has_text: false,
        }
    }
}

impl Form for Events {
    fn begin(&mut self) -> Vec<Event> {
        let response = self.envelope();
        ["response.created", "response.in_progress"]
            .map(|name| self.event(name, json!({ "response": response })))
            .into()
    }

    fn text(&mut self, piece: &str) -> Vec<Event> {
        let mut events = Vec::new();
        if !std::mem::replace(&mut self.has_text, true) {
            let item = message(&self.turn, "in_progress", None);
            let added = json!({"output_index": 0, "item": item});
            events.push(self.event("response.output_item.added", added));
            let part = self.of_text(json!({ "part": text_part("") }));
            events.push(self.event("response.content_part.added", part));
        }
        let delta = self.of_text(json!({"delta": piece, "logprobs": []}));
        events.push(self.event("response.output_text.delta", delta));
        events
    }

    fn finish(&mut self, answer: &Answer) -> Vec<Event> {
        let (text, calls) = (&answer.reply.text, &answer.reply.tool_calls);
        let mut events = Vec::new();
        if !self.has_text && calls.is_empty() {
            events.extend(self.text(text));
        }
        if self.has_text {
            events.extend(self.end_text(text));
        }
        let first = usize::from(self.has_text);
        for (index, call) in calls.iter().enumerate() {
            events.extend(self.call(call, first + index));
        }
        let response = completed(answer, &self.echo);
        events.push(self.event("response.completed", json!({ "response": response })));
        events
    }

    fn fail(&mut self, error: &ApiError) -> Vec<Event> {
        let mut response = self.envelope();
        let body = error.body();
        response["status"] = "failed".into();
        response["error"] = json!({"code": body["code"], "message": body["message"]});
        vec![self.event("response.failed", json!({ "response": response }))]
    }
}

impl Events {
    fn end_text(&mut self, text: &str) -> Vec<Event> {
        let done = self.of_text(json!({"text": text, "logprobs": []}));
        let part = self.of_text(json!({ "part": text_part(text) }));
        let item = message(&self.turn, "completed", Some(text));
        let item = json!({"output_index": 0, "item": item});
        vec![
            self.event("response.output_text.done", done),
            self.event("response.content_part.done", part),
            self.event("response.output_item.done", item),
        ]
    }

    fn call(&mut self, call: &types::ToolCall, index: usize) -> Vec<Event> {
        let begun = types::ToolCall {
            arguments_json: String::new(),
            ..call.clone()
        };
        let item = |call, status| json!({"output_index": index, "item": call_item(call, status)});
        let (added, done) = (item(&begun, "in_progress"), item(call, "completed"));
        let id = done["item"]["id"].clone();
        let arguments = &call.arguments_json;
        let delta = json!({"output_index": index, "item_id": id, "delta": arguments});
        let whole = json!({
            "output_index": index, "item_id": id, "name": call.name, "arguments": arguments,
        });
        vec![
            self.event("response.output_item.added", added),
            self.event("response.function_call_arguments.delta", delta),
            self.event("response.function_call_arguments.done", whole),
            self.event("response.output_item.done", done),
        ]
    }

    fn envelope(&self) -> Value {
        envelope(&self.turn, &self.agent, self.created_at, &self.echo)
    }

    /// The fields that name the text's place.
    fn of_text(&self, mut fields: Value) -> Value {
        fields["item_id"] = format!("msg_{}", self.turn).into();
        fields["output_index"] = 0.into();
        fields["content_index"] = 0.into();
        fields
    }

    fn event(&mut self, name: &str, mut data: Value) -> Event {
        data["type"] = name.into();
        data["sequence_number"] = self.number.into();
        self.number += 1;
        Event::default().event(name).data(data.to_string())
    }
}
