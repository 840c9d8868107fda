//! The journal of a running turn: entries to replay, entries to store.

use std::collections::VecDeque;

use anyhow::Result;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::codec;
use crate::store::{JournalEntry, JournalStatus};

/// The most entries that wait to be stored with the next commit.
pub(super) const MAX_PENDING: usize = 256;

/// What was recorded of a turn and what is being recorded.
#[derive(Debug, Default)]
pub struct Journal {
    recorded: VecDeque<JournalEntry>,
    /// A re-run that may not go beyond what was recorded.
    replay_only: bool,
    pub(super) pending: Vec<JournalEntry>,
    next_seq: i64,
}

/// A call on its way through the window.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) seq: i64,
    pub(super) kind: &'static str,
    pub(super) args: Vec<u8>,
    pub(super) args_hash: String,
}

impl Journal {
    /// The journal of a turn that runs for the first time.
    pub fn live() -> Self {
        Self {
            next_seq: 1,
            ..Self::default()
        }
    }

    /// The journal of a turn that is run again with no effect outside: every
    /// call must be recorded.
    pub fn replay(recorded: Vec<JournalEntry>) -> Self {
        Self {
            recorded: recorded.into(),
            replay_only: true,
            ..Self::live()
        }
    }

    pub(super) fn is_replay(&self) -> bool {
        self.replay_only
    }

    /// Gives a call its place.
    pub(super) fn ask<A: Serialize>(&mut self, kind: &'static str, args: &A) -> Result<Asked> {
        let args = codec::encode(args)?;
        let args_hash = hash(kind, &args);
        let seq = self.next_seq;
        self.next_seq += 1;
        Ok(Asked {
            seq,
            kind,
            args,
            args_hash,
        })
    }

    /// What was recorded at this place.
    pub(super) fn recorded(&mut self, seq: i64) -> Option<JournalEntry> {
        if self.recorded.front()?.seq == seq {
            self.recorded.pop_front()
        } else {
            None
        }
    }

    /// Entries of the first run that the re-run did not ask for.
    pub(super) fn left_over(&self) -> Option<&JournalEntry> {
        self.recorded.front()
    }
}

impl Asked {
    /// The entry for this call.
    pub(super) fn entry(
        &self,
        status: JournalStatus,
        result: Option<Vec<u8>>,
        at: u64,
        took_us: i64,
    ) -> JournalEntry {
        JournalEntry {
            seq: self.seq,
            kind: self.kind.to_owned(),
            args_hash: self.args_hash.clone(),
            status,
            args: self.args.clone(),
            result,
            at: i64::try_from(at).unwrap_or(i64::MAX),
            took_us,
        }
    }
}

/// SHA-256 over kind and arguments, hex.
fn hash(kind: &str, args: &[u8]) -> String {
    let mut hasher = Sha256::new();
    hasher.update(kind.as_bytes());
    hasher.update([0]);
    hasher.update(args);
    hex::encode(hasher.finalize())
}
