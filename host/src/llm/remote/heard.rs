//! What genai leaves out of a stream: which model answers, and of OpenAI's responses the words of a
//! refusal, and why an answer is not whole or failed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use genai::chat::ChatOptions;
use serde_json::Value;

use crate::runtime::bindings::llm as wire;

use super::Wire;

/// Bytes of a refusal that are kept.
const MOST_REFUSAL: usize = 64 * 1024;

/// Where it says so: OpenAI's chat and Ollama, Gemini, Anthropic, OpenAI's responses.
const PLACES: [&str; 4] = [
    "/model",
    "/modelVersion",
    "/message/model",
    "/response/model",
];

/// Frames in which a provider may say which model answers, and the longest name, in bytes.
const FIRST_FRAMES: u8 = 4;
const MOST_NAME: usize = 200;

/// Read beside genai, while the stream comes.
#[derive(Clone, Default)]
pub(super) struct Heard(Arc<Mutex<Words>>);

#[derive(Default)]
struct Words {
    /// Which model answers, until it is asked for.
    model: Option<String>,
    /// How many frames were looked at for it.
    frames: u8,
    refusal: String,
    filtered: bool,
    failure: Option<Value>,
}

impl Heard {
    pub(super) fn listen(&self, wire: Wire, options: ChatOptions) -> ChatOptions {
        let heard = self.clone();
        options.with_raw_frame_fn(move |_, frame| {
            heard.hear_of_model(frame.data);
            if wire == Wire::OpenaiResponses {
                heard.hear(frame.data);
            }
        })
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

    fn hear_of_model(&self, data: &str) {
        let mut words = self.words();
        if words.frames >= FIRST_FRAMES {
            return;
        }
        words.frames += 1;
        let Ok(frame) = serde_json::from_str::<Value>(data) else {
            return;
        };
        let mut names = PLACES.iter().filter_map(|at| frame.pointer(at)?.as_str());
        let fits = |name: &&str| !name.is_empty() && name.len() <= MOST_NAME;
        if let Some(name) = names.find(fits) {
            words.model = Some(name.to_owned());
            words.frames = FIRST_FRAMES;
        }
    }

    /// Which model the provider says answers; said once.
    pub(super) fn model(&self) -> Option<String> {
        self.words().model.take()
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
