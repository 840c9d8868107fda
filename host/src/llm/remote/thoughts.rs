//! A model's thoughts on their way to the agent and back: the opaque bytes of `reasoning`.
//!
//! Only the provider that made them can read them, so they carry its name, and another provider
//! is not shown them.

use genai::chat::{ContentPart, ToolCall};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::runtime::bindings::llm as wire;

use super::options::invalid;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Opaque {
    /// The name of the provider.
    by: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    signatures: Vec<String>,
    /// The tool call that the signatures belong to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    call: Option<String>,
    /// A whole block in the provider's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    block: Option<Value>,
}

/// What goes back to the provider with an assistant's message.
#[derive(Default)]
pub(super) struct Replayed {
    /// In front of everything else.
    pub(super) parts: Vec<ContentPart>,
    /// Signatures of tool calls, by the id of the call.
    pub(super) of_calls: Vec<(String, Vec<String>)>,
}

impl Replayed {
    pub(super) fn add(
        &mut self,
        provider: &str,
        thought: &wire::Reasoning,
    ) -> Result<(), wire::Error> {
        let Some(bytes) = &thought.opaque else {
            return Ok(());
        };
        let opaque: Opaque = serde_json::from_slice(bytes)
            .map_err(|_| invalid("the opaque bytes of a reasoning part were changed"))?;
        if opaque.by != provider {
            return Ok(());
        }
        if let Some(call) = opaque.call {
            self.of_calls.push((call, opaque.signatures));
            return Ok(());
        }
        let signatures = opaque.signatures.into_iter();
        self.parts
            .extend(signatures.map(ContentPart::ThoughtSignature));
        let text = thought.text.iter().cloned();
        self.parts.extend(text.map(ContentPart::ReasoningContent));
        let block = opaque.block.into_iter();
        self.parts
            .extend(block.map(|block| ContentPart::from_custom(block, None)));
        Ok(())
    }

    pub(super) fn sign(&self, call: &mut ToolCall) {
        let found = self.of_calls.iter().find(|(id, _)| *id == call.call_id);
        call.thought_signatures = found.map(|(_, signatures)| signatures.clone());
    }
}

/// The thoughts of an answer. `parts` are genai's, with signatures before what they sign.
pub(super) fn of_answer(
    provider: &str,
    parts: &[ContentPart],
    plain: Option<&str>,
) -> Vec<wire::Reasoning> {
    let mut thoughts = Vec::new();
    let mut parts = parts.iter().peekable();
    while let Some(part) = parts.next() {
        match part {
            ContentPart::ThoughtSignature(signature) => {
                let text = parts.next_if(|next| matches!(next, ContentPart::ReasoningContent(_)));
                let text = match text {
                    Some(ContentPart::ReasoningContent(text)) => Some(text.as_str()),
                    _ => None,
                };
                thoughts.push(thought(provider, text, vec![signature.clone()], None, None));
            }
            ContentPart::Custom(custom) => {
                let block = Some(custom.data.clone());
                thoughts.push(thought(provider, None, Vec::new(), None, block));
            }
            _ => {}
        }
    }
    let told = thoughts.iter().any(|thought| thought.text.is_some());
    if let Some(text) = plain.filter(|text| !told && !text.is_empty()) {
        thoughts.insert(0, thought(provider, Some(text), Vec::new(), None, None));
    }
    thoughts
}

/// What signs a tool call; `id` is the one that the agent knows.
pub(super) fn of_call(provider: &str, id: &str, signatures: &[String]) -> wire::Reasoning {
    thought(
        provider,
        None,
        signatures.to_vec(),
        Some(id.to_owned()),
        None,
    )
}

fn thought(
    provider: &str,
    text: Option<&str>,
    signatures: Vec<String>,
    call: Option<String>,
    block: Option<Value>,
) -> wire::Reasoning {
    let opaque = Opaque {
        by: provider.to_owned(),
        signatures,
        call,
        block,
    };
    wire::Reasoning {
        text: text.map(str::to_owned),
        opaque: serde_json::to_vec(&opaque).ok(),
    }
}
