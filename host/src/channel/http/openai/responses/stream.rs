//! A response as it is made, by the events of OpenAI's API: each has a type and
//! a number, and the last one has the whole response.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};

use super::super::error::ApiError;
use super::super::exchange::{Answer, Running};
use super::{Echo, call_item, completed, envelope, message, text_part};
use crate::runtime::bindings::types;
use crate::turn::{FeedEvent, Reader};

struct Events {
    running: Running,
    reader: Reader,
    echo: Echo,
    number: u64,
    /// The text that was shown, if its item was begun.
    shown: Option<String>,
    /// What is shown was taken back; events cannot be.
    is_reset: bool,
    waiting: VecDeque<(String, Value)>,
    is_over: bool,
}

pub(super) fn respond(running: Running, echo: Echo) -> Response {
    let events = Events {
        reader: running.feed().read(0),
        running,
        echo,
        number: 0,
        shown: None,
        is_reset: false,
        waiting: VecDeque::new(),
        is_over: false,
    };
    let events = stream::unfold(events, async |mut events| {
        let (name, data) = events.next().await?;
        let event = Event::default().event(name).data(data.to_string());
        Some((Ok::<_, Infallible>(event), events))
    });
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(15));
    Sse::new(events).keep_alive(keep_alive).into_response()
}

impl Events {
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
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
            FeedEvent::Started => {
                let response = self.envelope();
                self.push("response.created", json!({ "response": response }));
                self.push("response.in_progress", json!({ "response": response }));
            }
            FeedEvent::Text { text } if !self.is_reset => self.text(&text),
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

    fn text(&mut self, text: &str) {
        if self.shown.is_none() {
            self.shown = Some(String::new());
            let item = message(self.running.turn(), "in_progress", None);
            self.push(
                "response.output_item.added",
                json!({"output_index": 0, "item": item}),
            );
            let part = self.of_text(json!({ "part": text_part("") }));
            self.push("response.content_part.added", part);
        }
        if let Some(shown) = &mut self.shown {
            shown.push_str(text);
        }
        let delta = self.of_text(json!({"delta": text, "logprobs": []}));
        self.push("response.output_text.delta", delta);
    }

    fn finish(&mut self, answer: &Answer) {
        let (text, calls) = (&answer.reply.text, &answer.reply.tool_calls);
        // Where something else was shown the answer follows whole.
        let rest = match text.strip_prefix(self.shown.as_deref().unwrap_or_default()) {
            Some(rest) => rest.to_owned(),
            None => format!("\n\n{text}"),
        };
        if !rest.is_empty() || (self.shown.is_none() && calls.is_empty()) {
            self.text(&rest);
        }
        if self.shown.is_some() {
            self.end_text(text);
        }
        for call in calls {
            let index = usize::from(self.shown.is_some());
            self.call(call, index);
        }
        let response = completed(answer, &self.echo);
        self.push("response.completed", json!({ "response": response }));
        self.is_over = true;
    }

    fn end_text(&mut self, text: &str) {
        let done = self.of_text(json!({"text": text, "logprobs": []}));
        self.push("response.output_text.done", done);
        let part = self.of_text(json!({ "part": text_part(text) }));
        self.push("response.content_part.done", part);
        let item = message(self.running.turn(), "completed", Some(text));
        self.push(
            "response.output_item.done",
            json!({"output_index": 0, "item": item}),
        );
    }

    fn call(&mut self, call: &types::ToolCall, index: usize) {
        let begun = types::ToolCall {
            arguments_json: String::new(),
            ..call.clone()
        };
        let (added, done) = (
            call_item(&begun, "in_progress"),
            call_item(call, "completed"),
        );
        let id = done["id"].clone();
        self.push(
            "response.output_item.added",
            json!({"output_index": index, "item": added}),
        );
        let arguments = &call.arguments_json;
        let delta = json!({"output_index": index, "item_id": id, "delta": arguments});
        self.push("response.function_call_arguments.delta", delta);
        let whole = json!({
            "output_index": index, "item_id": id, "name": call.name, "arguments": arguments,
        });
        self.push("response.function_call_arguments.done", whole);
        self.push(
            "response.output_item.done",
            json!({"output_index": index, "item": done}),
        );
    }

    fn fail(&mut self, error: &ApiError) {
        let mut response = self.envelope();
        let body = error.body();
        response["status"] = "failed".into();
        response["error"] = json!({"code": body["code"], "message": body["message"]});
        self.push("response.failed", json!({ "response": response }));
        self.is_over = true;
    }

    fn envelope(&self) -> Value {
        let Running {
            agent, created_at, ..
        } = &self.running;
        envelope(self.running.turn(), agent, *created_at, &self.echo)
    }

    /// The fields that name the text's place.
    fn of_text(&self, mut fields: Value) -> Value {
        fields["item_id"] = format!("msg_{}", self.running.turn()).into();
        fields["output_index"] = 0.into();
        fields["content_index"] = 0.into();
        fields
    }

    fn push(&mut self, name: &str, mut data: Value) {
        data["type"] = name.into();
        data["sequence_number"] = self.number.into();
        self.number += 1;
        self.waiting.push_back((name.to_owned(), data));
    }
}
