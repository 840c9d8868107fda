//! Ending the waits of turns: a person answers, a time comes, a question
//! expires. Each is stored, and then its turn is woken.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::codec;
use crate::events::user_answered;
use crate::killpoint;
use crate::runtime::Services;
use crate::runtime::bindings::{reply, types};
use crate::store::{Durability, NewEvent, WaitKind, WaitRow};
use crate::turn::{Question, Scheduler, Verdict};

/// How long to wait at most before looking again; the clock may be set.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// When so many turns are under way, no more are woken by the clock.
const MOST_UNDER_WAY: usize = 1_000;
const A_MOMENT: Duration = Duration::from_millis(20);

/// Waits that are ended before looking again.
const BATCH: u32 = 256;

/// What a person says to a question.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The place of the question in its turn; the one that is open without it.
    pub call: Option<i64>,
    pub verdict: Verdict,
    pub by: types::Author,
}

/// Why an answer is not taken.
#[derive(Debug, Error)]
pub enum Unanswerable {
    #[error("this turn asks nothing")]
    NotAsked,
    #[error("the question was answered already")]
    Answered,
    #[error("the question has expired")]
    Expired,
    #[error("{0} may not answer this question")]
    NotYours(String),
    #[error("the answer does not fit: {0}")]
    Unfit(String),
    #[error(transparent)]
    Host(#[from] anyhow::Error),
}

/// Ends waits.
pub struct Waits {
    services: Arc<Services>,
    scheduler: Arc<Scheduler>,
    now: fn() -> i64,
}

impl Waits {
    /// Ends the waits of turns that run by `scheduler`, when `now` says that it
    /// is time: milliseconds since 1970.
    pub fn new(services: Arc<Services>, scheduler: Arc<Scheduler>, now: fn() -> i64) -> Self {
        Self {
            services,
            scheduler,
            now,
        }
    }

    /// Takes the answer to a question, for whatever channel it came by. When
    /// this returns it is stored, and the turn goes on.
    ///
    /// # Errors
    ///
    /// Why it is not taken; nothing has changed then.
    pub async fn answer(
        &self,
        tenant: &str,
        turn: &str,
        answer: Answer,
    ) -> Result<(), Unanswerable> {
        let store = &self.services.store;
        let wait = store.latest_question(tenant, turn).await?;
        let wait = wait
            .filter(|wait| answer.call.is_none_or(|call| call == wait.seq))
            .ok_or(Unanswerable::NotAsked)?;
        let question = question_of(&wait)?;
        if !question.who.contains(&answer.by.id) {
            return Err(Unanswerable::NotYours(answer.by.id));
        }
        if wait.settled_at.is_some() {
            return Err(ended(&wait));
        }
        if question.expires_at <= (self.now)() {
            return Err(Unanswerable::Expired);
        }
        question
            .check(&answer.verdict)
            .map_err(Unanswerable::Unfit)?;
        let news = match &answer.verdict {
            Verdict::Text(_) | Verdict::Approved(_) => "answered",
            Verdict::Refused(_) => "refused",
        };
        let news = self.news(&wait, news).await?;
        let outcome = codec::encode(&outcome(answer, (self.now)()))?;
        let settled = self.settle(&wait, outcome, news, Durability::Synced);
        if !settled.await? {
            return Err(Unanswerable::Answered);
        }
        Ok(())
    }

    /// Ends waits whose time has come, until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let wait = match self.end_due().await {
                Ok(wait) => wait,
                Err(error) => {
                    error!(error = %format!("{error:#}"), "waits that are due cannot be ended");
                    LONGEST_WAIT
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.services.timers.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Ends what is due; answers how long to wait for more.
    async fn end_due(&self) -> Result<Duration> {
        loop {
            let due = self.services.store.due_waits((self.now)(), BATCH).await?;
            for wait in &due {
                while self.scheduler.load() > MOST_UNDER_WAY {
                    tokio::time::sleep(A_MOMENT).await;
                }
                let (outcome, news) = match wait.kind {
                    WaitKind::Question => {
                        let news = self.news(wait, "expired").await?;
                        (codec::encode(&expired())?, news)
                    }
                    WaitKind::Time | WaitKind::Turn => {
                        (codec::encode(&Ok::<_, types::Error>(()))?, None)
                    }
                };
                // After a power cut the time has still come.
                let settled = self.settle(wait, outcome, news, Durability::Written);
                settled.await?;
            }
            if due.len() < BATCH as usize {
                break;
            }
        }
        let next = self.services.store.next_wait_at().await?;
        let until = next.map(|at| at.saturating_sub((self.now)()).max(0).unsigned_abs());
        Ok(until.map_or(LONGEST_WAIT, |ms| {
            Duration::from_millis(ms).min(LONGEST_WAIT)
        }))
    }

    async fn settle(
        &self,
        wait: &WaitRow,
        outcome: Vec<u8>,
        news: Option<NewEvent>,
        durability: Durability,
    ) -> Result<bool> {
        let store = &self.services.store;
        let is_news = news.is_some();
        let settled = store.settle_wait(wait, outcome, news, durability).await?;
        killpoint::reached(killpoint::Place::WaitSettled);
        self.scheduler.wake(&wait.tenant_id, &wait.turn).await?;
        if is_news {
            self.services.bus.wake();
        }
        Ok(settled)
    }

    /// What is published of the end of a question; nothing where so many events
    /// led to it that agents may be asking because of each other.
    async fn news(&self, wait: &WaitRow, outcome: &str) -> Result<Option<NewEvent>> {
        let WaitRow {
            tenant_id,
            turn,
            seq,
            ..
        } = wait;
        let Services { store, bus, .. } = &*self.services;
        let hops = store.hops_of_turn(tenant_id, turn).await?;
        if bus.check_hops(hops).is_err() {
            return Ok(None);
        }
        let asks = store.turn_summary(tenant_id, turn).await?;
        let asks = asks.context("the turn of a question is gone")?;
        let event = user_answered(tenant_id, &asks.agent, turn, *seq, outcome);
        Ok(Some(NewEvent { hops, ..event }))
    }
}

/// The question of a wait.
///
/// # Errors
///
/// If it was written by another version of the host.
pub fn question_of(wait: &WaitRow) -> Result<Question> {
    let text = wait.question.as_deref().unwrap_or_default();
    serde_json::from_str(text).context("a stored question cannot be read")
}

fn ended(wait: &WaitRow) -> Unanswerable {
    let outcome = codec::decode(wait.outcome.as_deref().unwrap_or_default());
    match outcome {
        Ok(Ok::<_, types::Error>(reply::Outcome::Expired)) => Unanswerable::Expired,
        _ => Unanswerable::Answered,
    }
}

fn expired() -> Result<reply::Outcome, types::Error> {
    Ok(reply::Outcome::Expired)
}

fn outcome(answer: Answer, now: i64) -> Result<reply::Outcome, types::Error> {
    let said = |text| reply::Answer {
        text,
        by: answer.by.clone(),
        at_ms: now.unsigned_abs(),
    };
    Ok(match answer.verdict {
        Verdict::Text(text) | Verdict::Approved(text) => reply::Outcome::Answered(said(text)),
        Verdict::Refused(text) => reply::Outcome::Refused(said(text)),
    })
}

#[cfg(test)]
mod tests;
