//! Calls that wait: for a person, a time, another agent, or a slow model.
//!
//! After a moment the turn gives up its instance (DESIGN: suspension). It is run
//! again from its journal when what it waits for is there.

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Call, Commit, Refusable, Stop, Window};
use crate::codec;
use crate::killpoint;
use crate::store::{JournalEntry, JournalPart, JournalStatus};
use crate::turn::feed::FeedEvent;
use crate::turn::journal::Asked;

/// So long a turn keeps its instance while it waits.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// A call that goes on while its turn has no instance. Given what cuts it off,
/// it answers what there is to store in the end.
pub type Parked = Box<
    dyn FnOnce(BoxFuture<'static, ()>) -> BoxFuture<'static, anyhow::Result<JournalPart>>
        + Send
        + Sync,
>;

/// A call that is answered when its turn has no instance.
pub struct ParkedCall {
    asked: Asked,
    started: Instant,
    started_ns: u64,
}

impl ParkedCall {
    /// The entry of the call, now that it is answered.
    ///
    /// # Errors
    ///
    /// If the answer cannot be encoded.
    pub fn entry<R: Serialize, E: Serialize>(
        &self,
        answer: &Result<R, E>,
    ) -> anyhow::Result<JournalEntry> {
        let took = self.started.elapsed();
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.asked
            .ended(answer, self.started_ns.saturating_add(ns), took)
    }

    /// Its place in the journal.
    pub fn seq(&self) -> i64 {
        self.asked.seq
    }
}

/// How a call that may be parked came out.
pub enum Long<R, E> {
    Answered(Result<R, E>),
    /// It takes long; what is left of it goes to [`Window::park`].
    Unanswered(ParkedCall),
}

impl Window {
    /// Lets a call through that waits for something stored. `begin` stores that
    /// it waits, at its place and together with what it is given, or refuses.
    /// `asked_of` is shown while it waits. If `may_suspend` is not said, the turn
    /// keeps its instance however long that takes.
    ///
    /// # Errors
    ///
    /// [`Stop::Suspended`] after a moment, and as [`Window::perform`].
    pub async fn wait<A, R, E, F>(
        &mut self,
        call: Call<'_, A>,
        may_suspend: bool,
        asked_of: Option<FeedEvent>,
        begin: impl FnOnce(i64, JournalPart) -> F,
    ) -> Result<Result<R, E>, Stop>
    where
        A: Serialize,
        R: Serialize + DeserializeOwned,
        E: Serialize + DeserializeOwned + Refusable,
        F: Future<Output = anyhow::Result<Result<(), E>>>,
    {
        self.flush_if_many().await?;
        let asked = self.ask(&call)?;
        if let Some(answer) = self.answer_at_once(&call, &asked, Commit::Intent)? {
            return Ok(answer);
        }
        let started = Instant::now();
        if !self.repeats() {
            let mut part = self.journal.part();
            part.entries
                .push(asked.entry(JournalStatus::Begun, None, self.now_ns(), 0));
            if let Err(refusal) = begin(asked.seq, part).await.map_err(Stop::Host)? {
                return self.record(&asked, started.elapsed(), Err(refusal));
            }
            self.journal.stored();
            killpoint::reached(killpoint::Place::WaitBegun);
        }
        let outcome = self.outcome(asked.seq, may_suspend, asked_of).await?;
        let answer = codec::decode(&outcome).map_err(Stop::Host)?;
        self.record(&asked, started.elapsed(), answer)
    }

    /// Waits for the outcome of a wait, as it was stored.
    async fn outcome(
        &mut self,
        seq: i64,
        may_suspend: bool,
        mut asked_of: Option<FeedEvent>,
    ) -> Result<Vec<u8>, Stop> {
        let started = Instant::now();
        if may_suspend {
            self.deadline.extend(PATIENCE);
        }
        loop {
            if let Some(outcome) = self.stored_outcome(seq).await? {
                self.deadline
                    .shorten(PATIENCE.saturating_sub(started.elapsed()));
                return Ok(outcome);
            }
            if let Some(event) = asked_of.take() {
                self.feed.push(event);
            }
            let nudged = self.feed.nudge.notified();
            if !may_suspend {
                nudged.await;
                continue;
            }
            let patience = PATIENCE.saturating_sub(started.elapsed());
            if tokio::time::timeout(patience, nudged).await.is_err() {
                return Err(Stop::Suspended);
            }
        }
    }

    async fn stored_outcome(&self, seq: i64) -> Result<Option<Vec<u8>>, Stop> {
        let (tenant, turn) = (&self.identity.tenant, &self.identity.turn);
        let wait = self.store.wait(tenant, turn, seq).await;
        let wait = wait.and_then(|wait| {
            wait.ok_or_else(|| anyhow::anyhow!("what this turn waits for is gone"))
        });
        Ok(wait.map_err(Stop::Host)?.outcome)
    }

    /// Lets a call through, an effect that takes long, which may go on when
    /// the turn has no instance: that is so when `effect` has taken `patience`
    /// and `may_park` says so then. It is made as that of `perform_placed`.
    ///
    /// # Errors
    ///
    /// As [`Window::perform`].
    pub async fn perform_long<A, R, E, F>(
        &mut self,
        call: Call<'_, A>,
        commit: Commit<'_>,
        effect: impl FnOnce() -> F,
        patience: Duration,
        may_park: impl FnOnce() -> bool,
    ) -> Result<Long<R, E>, Stop>
    where
        A: Serialize,
        R: Serialize + DeserializeOwned,
        E: Serialize + DeserializeOwned + Refusable,
        F: Future<Output = Result<R, E>>,
    {
        self.flush_if_many().await?;
        let asked = self.ask(&call)?;
        if let Some(answer) = self.answer_at_once(&call, &asked, commit)? {
            return Ok(Long::Answered(answer));
        }
        let mut effect = Box::pin(effect());
        if let Some(exceeded) = self.commit_before(&asked, commit).await? {
            let refusal = Err(E::over_budget(&exceeded));
            let answer = self.record(&asked, Duration::ZERO, refusal)?;
            return Ok(Long::Answered(answer));
        }
        let (started, started_ns) = (Instant::now(), self.now_ns());
        let answer = match tokio::time::timeout(patience, &mut effect).await {
            Ok(answer) => answer,
            Err(_) if may_park() => {
                return Ok(Long::Unanswered(ParkedCall {
                    asked,
                    started,
                    started_ns,
                }));
            }
            Err(_) => effect.await,
        };
        let answer = self.record(&asked, started.elapsed(), answer)?;
        Ok(Long::Answered(answer))
    }

    /// Ends this run; `parked` goes on without an instance and the turn is run
    /// again when it has an answer.
    pub fn park(&mut self, parked: Parked) -> Stop {
        self.parked = Some(parked);
        Stop::Suspended
    }
}
