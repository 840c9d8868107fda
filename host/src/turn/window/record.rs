//! Journal entries of calls that are answered.

use std::marker::PhantomData;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::codec;
use crate::store::{JournalEntry, JournalPart, JournalStatus};
use crate::turn::journal::Asked;

/// Makes the journal entries that an effect stores together with itself.
pub struct Recorder<R, E> {
    asked: Asked,
    before: JournalPart,
    is_forgetful: bool,
    at: u64,
    started: Instant,
    of: PhantomData<fn(R, E)>,
}

impl<R: Serialize, E: Serialize> Recorder<R, E> {
    pub(super) fn new(
        asked: Asked,
        before: JournalPart,
        is_forgetful: bool,
        at: u64,
        started: Instant,
    ) -> Self {
        Self {
            asked,
            before,
            is_forgetful,
            at,
            started,
            of: PhantomData,
        }
    }

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

impl Asked {
    /// The entry for this call with its answer.
    pub(super) fn ended<R: Serialize, E: Serialize>(
        &self,
        answer: &Result<R, E>,
        at: u64,
        took: Duration,
    ) -> anyhow::Result<JournalEntry> {
        let (status, result) = match answer {
            Ok(result) => (JournalStatus::Done, codec::encode(result)?),
            Err(error) => (JournalStatus::Failed, codec::encode(error)?),
        };
        Ok(self.entry(
            status,
            Some(result),
            at,
            i64::try_from(took.as_micros()).unwrap_or(i64::MAX),
        ))
    }
}
