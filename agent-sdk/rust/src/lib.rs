//! What an Anchorhold agent written in Rust depends on.
//!
//! An agent is a struct that implements one or more of [`Chat`], [`Subscriber`], [`Web`] and
//! [`Guardrail`], and one line of [`export!`]. Everything it may ask of the host is a module named after the
//! interface of the contract: [`llm`], [`database`], [`state`], [`events`], [`http`], [`reply`],
//! [`agents`], [`tools`], [`config`], [`log`].
//!
//! ```
//! use anchorhold_agent::{Chat, Message, Reply, Result, config, llm};
//!
//! struct Poet;
//!
//! impl Chat for Poet {
//!     fn respond(message: Message) -> Result<Reply> {
//!         let style = config::get_or("style", String::from("a haiku"))?;
//!         let response = llm::Request::new("default")
//!             .system(format!("Answer with {style}."))
//!             .history(&message)
//!             .message(&message)
//!             .forward()?;
//!         Ok(response.text().into())
//!     }
//! }
//!
//! anchorhold_agent::export!(Poet: Chat);
//!
//! // Off wasm the same calls go to a `testing::Host`, so an agent is tested without a host:
//! use anchorhold_agent::testing;
//! let host = testing::Host::new().config("style", "a limerick").answer("There was …");
//! let reply = Poet::respond(testing::message("Write about cells."))?;
//! assert_eq!(reply.text, "There was …");
//! assert_eq!(host.requests()[0].messages[0].as_text(), "Answer with a limerick.");
//! # Ok::<(), anchorhold_agent::Error>(())
//! ```
//!
//! Build it with `cargo build --release --target wasm32-wasip2` as a `cdylib`.

#![expect(
    clippy::result_large_err,
    reason = "errors are the records of the contract, unboxed"
)]

pub mod agents;
#[doc(hidden)]
pub mod bindings;
pub mod config;
pub mod database;
mod error;
pub mod events;
mod export;
pub mod guardrail;
pub mod http;
pub mod llm;
pub mod log;
mod message;
pub mod reply;
pub mod state;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
pub mod tools;
pub mod web;
mod window;

pub use bindings::chat::exports::anchorhold::agent::chat::Guest as Chat;
pub use bindings::guardrail::exports::anchorhold::agent::guardrail::Guest as Guardrail;
pub use bindings::imports::anchorhold::agent::events::Event;
pub use bindings::imports::anchorhold::agent::types::{
    Attachment, Author, Error, ErrorKind, MediaSource, Message, PastMessage, Reply, Speaker,
    ToolCall, ToolDefinition, ToolResult,
};
pub use bindings::subscriber::exports::anchorhold::agent::subscriber::Guest as Subscriber;
pub use bindings::web::exports::anchorhold::agent::web::Guest as Web;
/// For `json!` and for values that pass through unread.
pub use serde_json;

/// What an agent's own functions answer: `?` turns the errors of the host, of models and of JSON,
/// and plain text, into an [`Error`].
pub type Result<T, E = Error> = core::result::Result<T, E>;
