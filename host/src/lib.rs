//! Anchorhold hosts AI agents as sandboxed WebAssembly components.
//!
//! # Layout
//!
//! A message comes in by a `channel`, is stored by the `inbox`, waits in the
//! `turn`'s scheduler, runs in the `runtime`, calls `capability` functions
//! through the turn's window, and leaves by the same channel. ARCHITECTURE.md
//! walks along that path.

pub mod app;
pub mod capability;
pub mod channel;
pub mod cli;
pub mod clock;
pub mod codec;
pub mod config;
pub mod dev;
pub mod events;
pub mod feedback;
mod format;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
pub mod gate;
pub mod guard;
pub mod inbox;
pub mod killpoint;
pub mod llm;
pub mod net;
pub mod outbox;
pub mod registry;
pub mod retention;
pub mod runtime;
pub mod store;
pub mod telemetry;
#[cfg(test)]
mod testing;
pub mod tools;
pub mod turn;
pub mod waits;
