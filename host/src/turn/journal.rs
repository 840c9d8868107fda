//! The journal of a running turn: entries to replay, entries to store.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::comparison::Comparison;
use crate::codec;
use crate::store::{Begin, JournalEntry, JournalPart, JournalStatus, UsageRow};

/// The most entries that wait to be stored with the next commit.
pub(super) const MAX_PENDING: usize = 256;

/// How a turn began: stored with the first that the turn stores, which saves a
/// write, or by itself when that takes long.
#[derive(Debug)]
pub struct Beginning {
    begin: Arc<Begin>,
    stored: AtomicBool,
}

impl Beginning {
    /// The beginning of a turn, not stored yet.
    pub fn new(begin: Begin) -> Self {
        Self {
            begin: Arc::new(begin),
            stored: AtomicBool::new(false),
        }
    }

    /// What is to be stored, if it is not. Storing it twice does no harm.
    pub fn to_store(&self) -> Option<Arc<Begin>> {
        let stored = self.stored.load(Ordering::Relaxed);
        (!stored).then(|| Arc::clone(&self.begin))
    }

    /// It is stored.
    pub fn is_stored(&self) {
        self.stored.store(true, Ordering::Relaxed);
    }
}

/// What was recorded of a turn and what is being recorded.
#[derive(Debug, Default)]
pub struct Journal {
    recorded: VecDeque<JournalEntry>,
    /// A re-run that may not go beyond what was recorded.
    replay_only: bool,
    /// The re-run of another version: a call is answered by the next recorded
    /// one that is the same, wherever it stands.
    pub(super) comparison: Option<Comparison>,
    pub(super) pending: Vec<JournalEntry>,
    pub(super) usage: Vec<UsageRow>,
    next_seq: i64,
    /// What is recorded is thrown away: a measurement of what it costs.
    is_forgetful: bool,
    /// None in a re-run that stores nothing.
    beginning: Option<Arc<Beginning>>,
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
    /// The journal of a turn that runs for the first time; without a beginning
    /// for one that has no row.
    pub fn live(beginning: Option<Arc<Beginning>>) -> Self {
        Self {
            next_seq: 1,
            beginning,
            ..Self::default()
        }
    }

    /// A journal that is never stored, to measure what storing one costs.
    pub fn in_memory() -> Self {
        Self {
            is_forgetful: true,
            ..Self::live(None)
        }
    }

    /// The journal of a turn that goes on where an earlier process left it.
    pub fn resume(recorded: Vec<JournalEntry>) -> Self {
        Self {
            recorded: recorded.into(),
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
            next_seq: 1,
            ..Self::default()
        }
    }

    /// The journal of a re-run by something else than what ran, with no effect
    /// outside but what `comparison` allows.
    pub fn compare(recorded: Vec<JournalEntry>, comparison: Comparison) -> Self {
        Self {
            comparison: Some(comparison),
            ..Self::replay(recorded)
        }
    }

    pub(super) fn is_replay(&self) -> bool {
        self.replay_only
    }

    pub(super) fn is_forgetful(&self) -> bool {
        self.is_forgetful
    }

    /// The place of the next call.
    pub(super) fn next_seq(&self) -> i64 {
        self.next_seq
    }

    /// Whether something was recorded of the next call.
    pub(super) fn is_next_recorded(&self) -> bool {
        let next = self.recorded.front();
        next.is_some_and(|entry| entry.seq == self.next_seq)
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

    /// What was recorded of this call.
    pub(super) fn recorded(&mut self, asked: &Asked) -> Option<JournalEntry> {
        if self.comparison.is_some() {
            let same = |entry: &JournalEntry| entry.args_hash == asked.args_hash;
            let place = self.recorded.iter().position(same)?;
            return self.recorded.remove(place);
        }
        if self.recorded.front()?.seq == asked.seq {
            self.recorded.pop_front()
        } else {
            None
        }
    }

    /// What waits to be stored.
    pub(super) fn part(&self) -> JournalPart {
        if self.is_forgetful {
            return JournalPart::default();
        }
        JournalPart {
            begin: self.begin(),
            entries: self.pending.clone(),
            usage: self.usage.clone(),
            log: Vec::new(),
        }
    }

    /// Takes out what waits to be stored.
    pub(super) fn take(&mut self) -> JournalPart {
        if self.is_forgetful {
            return JournalPart::default();
        }
        JournalPart {
            begin: self.begin(),
            entries: std::mem::take(&mut self.pending),
            usage: std::mem::take(&mut self.usage),
            log: Vec::new(),
        }
    }

    /// Whether what is recorded is stored.
    pub(super) fn is_stored(&self) -> bool {
        !self.replay_only && !self.is_forgetful
    }

    /// How the turn began is stored.
    pub(super) fn beginning_is_stored(&self) {
        if let Some(beginning) = &self.beginning {
            beginning.is_stored();
        }
    }

    fn begin(&self) -> Option<Arc<Begin>> {
        self.beginning.as_ref()?.to_store()
    }

    /// All that waited is stored.
    pub(super) fn stored(&mut self) {
        self.pending.clear();
        self.usage.clear();
        self.beginning_is_stored();
    }

    /// Calls of the first run that the re-run did not ask for, with their places.
    pub(super) fn left_over(&self) -> Vec<(i64, String)> {
        let shown = |entry: &JournalEntry| (entry.seq, shown(&entry.kind, &entry.args));
        self.recorded.iter().map(shown).collect()
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

/// A call in a line.
pub(super) fn shown(kind: &str, args: &[u8]) -> String {
    format!("{kind} {}", codec::to_json(args))
}

/// SHA-256 over kind and arguments, hex.
fn hash(kind: &str, args: &[u8]) -> String {
    let mut hasher = Sha256::new();
    hasher.update(kind.as_bytes());
    hasher.update([0]);
    hasher.update(args);
    hex::encode(hasher.finalize())
}
