//! Running components: engine, compiled code, resolved agents, instances,
//! limits.
//!
//! This and `capability` are the only modules that know wasmtime. A store and
//! an instance live for one turn; what lives longer is compiled code.

mod agents;
pub mod bindings;
mod check;
mod components;
mod engine;
mod failure;
mod instance;
mod limits;
mod wasi;

pub use agents::{Agents, CacheCounts, Loaded, ResolvedAgent};
pub use check::Checks;
pub use components::{Components, LoadedComponent};
pub use engine::Engine;
pub use failure::{Failure, FailureCode};
pub use instance::{Finished, HostState, Input, Output, Run, Services, Waiting, run};
pub use limits::{Deadline, KillSwitch, within};
