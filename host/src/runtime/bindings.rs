//! The contract in Rust: what `bindgen!` makes of `wit/`, and nothing else.
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
pub use self::exports::anchorhold::agent::{chat, subscriber, web};
