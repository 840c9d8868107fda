//! Where host calls go: through the generated imports in a component, to
//! [`testing`](crate::testing) elsewhere. The helpers know only this module.

#[cfg(target_arch = "wasm32")]
pub(crate) use crate::bindings::imports::anchorhold::agent::{
    agents, config, database, events, http, llm, log, reply, state, tools,
};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::window::{
    agents, config, database, events, http, llm, log, reply, state, tools,
};
