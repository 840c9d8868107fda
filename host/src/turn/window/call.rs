//! What passes the window: a call, what must be stored before it, and what ends
//! a turn at once.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::gate::Gate;
use crate::registry::Grant;
use crate::runtime::{Failure, FailureCode};
use crate::store::{Estimate, Exceeded};

/// A host call: what is asked, and what it needs.
pub struct Call<'a, A> {
    /// `interface.function`.
    pub kind: &'static str,
    pub grant: Option<Grant<'a>>,
    pub args: &'a A,
}

/// A call's place in the journal of its turn.
#[derive(Debug, Clone)]
pub struct Place {
    pub seq: i64,
    /// SHA-256 over kind and arguments, hex.
    pub args_hash: String,
}

/// What must be stored before an effect (DESIGN: output commit).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Commit<'a> {
    /// Nothing: a plain read, which can be done again.
    Later,
    /// That it is about to happen, written.
    Intent,
    /// The same, and the most that it can take is reserved: a call of a model.
    /// Once both are written, and not before, the gate is opened.
    #[serde(skip)]
    Charged(&'a Estimate, &'a Gate),
    /// All that was recorded so far and that it is about to happen, synced: an
    /// effect outside that comes to the same when it happens again.
    Synced,
    /// The same for an effect that must not be repeated blindly: if a crash cut
    /// it off, the guest is told that nobody knows.
    Once,
}

/// Why the window ends a turn at once. Anything a guest can decide on is an
/// error of its interface instead.
#[derive(Debug, Error)]
pub enum Stop {
    #[error("more than {0} host calls")]
    HostCalls(u64),
    #[error("{kind} carried {bytes} bytes; at most {limit} are allowed")]
    HostCallBytes {
        kind: &'static str,
        bytes: usize,
        limit: u64,
    },
    #[error("the re-run asked for {asked}, recorded is {recorded}")]
    Diverged { asked: String, recorded: String },
    /// Not a failure: the turn gives up its instance and is run again when what
    /// it waits for is there.
    #[error("it waits")]
    Suspended,
    #[error("the host failed: {0:#}")]
    Host(anyhow::Error),
}

impl Stop {
    pub(crate) fn failure(&self) -> Failure {
        let code = match self {
            Self::HostCalls(_) => FailureCode::HostCallLimit,
            Self::HostCallBytes { .. } => FailureCode::HostCallBytes,
            Self::Diverged { .. } => FailureCode::Diverged,
            Self::Host(_) | Self::Suspended => FailureCode::Internal,
        };
        match self {
            Self::Host(error) => {
                let mut failure =
                    Failure::new(code, "The host could not do what the agent asked for.");
                failure.detail = Some(format!("{error:#}"));
                failure
            }
            _ => Failure::new(code, format!("The agent was stopped: {self}.")),
        }
    }
}

/// Errors of interfaces that can say `denied`.
pub trait Refusable {
    /// The error for a call without its grant.
    fn denied(message: String) -> Self;

    /// The error for a call of which nobody knows whether it took effect.
    fn unknown(message: String) -> Self;

    /// The error for a call that a budget has not enough left for.
    fn over_budget(exceeded: &Exceeded) -> Self
    where
        Self: Sized,
    {
        Self::spent(exceeded.message())
    }

    /// The error for a call that there is no money for.
    fn spent(message: String) -> Self
    where
        Self: Sized,
    {
        Self::denied(message)
    }
}
