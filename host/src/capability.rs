//! What the host lends to agents, one file for each interface of the contract.
//!
//! Each is a view that borrows what it needs of a turn and implements the
//! interface's `Host` trait: it passes the window and then does its effect.

mod agents;
mod config;
pub mod database;
mod events;
mod http;
pub mod llm;
mod log;
mod reply;
mod state;
mod tools;

use wasmtime::component::{HasData, Linker};

use crate::clock::now_ms;
use crate::runtime::HostState;
use crate::runtime::bindings::{self, llm as llm_types, types};
use crate::store::Exceeded;
use crate::turn::Refusable;

/// Links every interface of the contract.
pub(crate) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let l = linker;
    bindings::types::add_to_linker::<_, NoData>(l, |_| Nothing)?;
    bindings::config::add_to_linker::<_, config::HasConfig>(l, |state| config::Config::of(state))?;
    bindings::log::add_to_linker::<_, log::HasLog>(l, |state| log::Log::of(state))?;
    bindings::state::add_to_linker::<_, state::HasState>(l, |state| state::State::of(state))?;
    bindings::database::add_to_linker::<_, database::HasDatabase>(l, |state| {
        database::Database::of(state)
    })?;
    bindings::events::add_to_linker::<_, events::HasEvents>(l, |state| events::Events::of(state))?;
    bindings::http::add_to_linker::<_, http::HasHttp>(l, |state| http::Http::of(state))?;
    bindings::llm::add_to_linker::<_, llm::HasLlm>(l, |state| llm::Llm::of(state))?;
    bindings::agents::add_to_linker::<_, agents::HasAgents>(l, |state| agents::Agents::of(state))?;
    bindings::tools::add_to_linker::<_, tools::HasTools>(l, |state| tools::Tools::of(state))?;
    bindings::reply::add_to_linker::<_, reply::HasReply>(l, |state| reply::Reply::of(state))?;
    Ok(())
}

/// The view of an interface that has types only.
struct Nothing;

impl types::Host for Nothing {}

struct NoData;

impl HasData for NoData {
    type Data<'a> = Nothing;
}

/// An error of the contract.
pub(crate) fn error(kind: types::ErrorKind, message: impl Into<String>) -> types::Error {
    let retryable = matches!(
        kind,
        types::ErrorKind::Unavailable | types::ErrorKind::TimedOut
    );
    types::Error {
        kind,
        message: message.into(),
        retryable,
        retry_after_ms: None,
        detail_json: None,
    }
}

impl Refusable for types::Error {
    fn denied(message: String) -> Self {
        error(types::ErrorKind::Denied, message)
    }

    fn unknown(message: String) -> Self {
        types::Error {
            retryable: false,
            ..error(types::ErrorKind::Unavailable, message)
        }
    }

    fn spent(message: String) -> Self {
        error(types::ErrorKind::BudgetExceeded, message)
    }
}

impl Refusable for llm_types::Error {
    fn denied(message: String) -> Self {
        Self {
            kind: llm_types::ErrorKind::Denied,
            retry: llm_types::RetryClass::Never,
            retry_after_ms: None,
            message,
            provider: None,
            http_status: None,
            attempts: 0,
            usage: None,
            detail_json: None,
        }
    }

    fn unknown(message: String) -> Self {
        Self {
            kind: llm_types::ErrorKind::Connection,
            ..Self::denied(message)
        }
    }

    fn over_budget(exceeded: &Exceeded) -> Self {
        let retry_after_ms = exceeded.retry_after_ms(now_ms());
        let retry = match retry_after_ms {
            Some(_) => llm_types::RetryClass::AfterDelay,
            None => llm_types::RetryClass::Never,
        };
        Self {
            retry,
            retry_after_ms,
            detail_json: serde_json::to_string(exceeded).ok(),
            ..Self::spent(exceeded.message())
        }
    }

    fn spent(message: String) -> Self {
        Self {
            kind: llm_types::ErrorKind::BudgetExceeded,
            ..Self::denied(message)
        }
    }
}
