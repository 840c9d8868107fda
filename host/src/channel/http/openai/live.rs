//! A turn as it is made, in whichever form a stream of OpenAI's API has.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use super::error::ApiError;
use super::exchange::{Answer, Running};
use crate::turn::{FeedEvent, Reader};

/// How a stream is written.
pub(super) trait Form: Send + 'static {
    /// The turn has begun.
    fn begin(&mut self) -> Vec<Event>;

    /// A piece of the answer's text.
    fn text(&mut self, piece: &str) -> Vec<Event>;

    /// The end, when all text is written.
    fn finish(&mut self, answer: &Answer) -> Vec<Event>;

    /// The end of a turn without an answer.
    fn fail(&mut self, error: &ApiError) -> Vec<Event>;
}

struct Live<F> {
    running: Running,
    reader: Reader,
    form: F,
    /// The text that was written.
    shown: String,
    /// What is written was taken back; pieces of a stream cannot be.
    is_reset: bool,
    waiting: VecDeque<Event>,
    is_over: bool,
}

/// The stream of a turn, to its end.
pub(super) fn respond(running: Running, form: impl Form) -> Response {
    let live = Live {
        reader: running.feed().read(0),
        running,
        form,
        shown: String::new(),
        is_reset: false,
        waiting: VecDeque::new(),
        is_over: false,
    };
    let events = stream::unfold(live, async |mut live| {
        let event = live.next().await?;
        Some((Ok::<_, Infallible>(event), live))
    });
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(15));
    Sse::new(events).keep_alive(keep_alive).into_response()
}

impl<F: Form> Live<F> {
    async fn next(&mut self) -> Option<Event> {
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
            FeedEvent::Started => self.waiting.extend(self.form.begin()),
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

    fn text(&mut self, piece: &str) {
        self.shown.push_str(piece);
        self.waiting.extend(self.form.text(piece));
    }

    fn finish(&mut self, answer: &Answer) {
        let text = &answer.reply.text;
        // Where something else was shown the answer follows whole.
        let rest = match text.strip_prefix(self.shown.as_str()) {
            Some(rest) => rest.to_owned(),
            None => format!("\n\n{text}"),
        };
        if !rest.is_empty() {
            self.text(&rest);
        }
        self.waiting.extend(self.form.finish(answer));
        self.is_over = true;
    }

    fn fail(&mut self, error: &ApiError) {
        self.waiting.extend(self.form.fail(error));
        self.is_over = true;
    }
}
