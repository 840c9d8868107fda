//! The record of a call whose effect stores it in its own transaction.

use std::time::Instant;

use serde::Serialize;

use crate::store::JournalPart;
use crate::turn::journal::Asked;

/// Makes the journal entries that an effect stores together with itself.
pub struct Recorder<R, E> {
    pub(super) asked: Asked,
    pub(super) before: JournalPart,
    pub(super) is_forgetful: bool,
    pub(super) at: u64,
    pub(super) started: Instant,
    pub(super) of: std::marker::PhantomData<fn(R, E)>,
}

impl<R: Serialize, E: Serialize> Recorder<R, E> {
    /// What to store: all that waits, and this call with its answer.
    ///
    /// # Errors
    ///
    /// If the answer cannot be encoded.
    pub fn part(&self, answer: &Result<R, E>) -> anyhow::Result<JournalPart> {
        let mut part = self.before.clone();
        if self.is_forgetful {
            return Ok(part);
        }
        let entry = self.asked.ended(answer, self.at, self.started.elapsed())?;
        part.entries.push(entry);
        Ok(part)
    }
}
