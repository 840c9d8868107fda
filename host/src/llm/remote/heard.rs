//! What genai leaves out of a stream of OpenAI's responses: the words of a refusal, and why an
//! answer is not whole or failed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use genai::chat::ChatOptions;
use serde_json::Value;

use crate::runtime::bindings::llm as wire;

/// Bytes of a refusal that are kept.
const MOST_REFUSAL: usize = 64 * 1024;

/// Read beside genai, while the stream comes.
#[derive(Clone, Default)]
pub(super) struct Heard(Arc<Mutex<Words>>);

#[derive(Default)]
struct Words {
    refusal: String,
    filtered: bool,
    failure: Option<Value>,
}

impl Heard {
    pub(super) fn listen(&self, options: ChatOptions) -> ChatOptions {
        let heard = self.clone();
        options.with_raw_frame_fn(move |_, frame| heard.hear(frame.data))
    }

    /// Most frames are pieces of text, which are not parsed a second time.
    fn hear(&self, data: &str) {
        const KINDS: [&str; 3] = [
            "response.refusal.delta",
            "response.incomplete",
            "response.failed",
        ];
        if !KINDS.iter().any(|kind| data.contains(kind)) {
            return;
        }
        let Ok(event) = serde_json::from_str::<Value>(data) else {
            return;
        };
        let mut words = self.words();
        match event["type"].as_str() {
            Some("response.refusal.delta") if words.refusal.len() < MOST_REFUSAL => {
                let piece = event["delta"].as_str().unwrap_or_default();
                words.refusal.push_str(piece);
            }
            Some("response.incomplete") => {
                let reason = &event["response"]["incomplete_details"]["reason"];
                words.filtered = reason == "content_filter";
            }
            Some("response.failed") => words.failure = Some(event["response"]["error"].clone()),
            _ => {}
        }
    }

    /// Empty if the model did not refuse.
    pub(super) fn refusal(&self) -> String {
        self.words().refusal.clone()
    }

    /// What the provider says of a failure within its answer.
    pub(super) fn failure(&self) -> Option<Value> {
        self.words().failure.clone()
    }

    /// None if genai says it.
    pub(super) fn finish_reason(&self) -> Option<wire::FinishReason> {
        let words = self.words();
        if words.filtered {
            return Some(wire::FinishReason::ContentFilter);
        }
        (!words.refusal.is_empty()).then_some(wire::FinishReason::Refusal)
    }

    fn words(&self) -> MutexGuard<'_, Words> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
