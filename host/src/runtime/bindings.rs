//! The contract in Rust: what `bindgen!` makes of `wit/`.
//!
//! The types are plain data and are used wherever a message, a model request or
//! an event is meant, so that nothing is copied from one vocabulary to another.

#![allow(
    unreachable_pub,
    clippy::all,
    missing_docs,
    reason = "generated code; the contract itself is documented in wit/"
)]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "complete",
    imports: { default: async | trappable },
    exports: { default: async },
    with: {
        "anchorhold:agent/llm.generation": crate::capability::llm::GenerationHandle,
    },
    additional_derives: [PartialEq, serde::Serialize, serde::Deserialize],
});

pub use self::anchorhold::agent::{
    agents, config, database, events, http, llm, log, reply, state, tools, types,
};
pub use self::exports::anchorhold::agent::{chat, guardrail, subscriber, web};

impl types::Message {
    /// A text that is said now, and nothing besides; without a conversation it
    /// begins one.
    pub fn new(
        channel: &str,
        conversation: Option<String>,
        author: types::Author,
        text: String,
    ) -> Self {
        let id = || uuid::Uuid::now_v7().to_string();
        Self {
            id: id(),
            conversation: conversation.unwrap_or_else(id),
            channel: channel.to_owned(),
            author,
            text,
            at_ms: crate::clock::now_ms().unsigned_abs(),
            attachments: Vec::new(),
            history: Vec::new(),
            client_tools: Vec::new(),
            client_tool_results: Vec::new(),
            context_json: "{}".to_owned(),
        }
    }
}
