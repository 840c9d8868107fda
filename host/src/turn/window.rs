//! The window: the one place that every host call of a turn passes.
//!
//! A call is counted, looked up in the journal, checked against the grants,
//! recorded as durably as its kind demands before and after its effect, and put
//! on the bill. A capability is only its effect and cannot forget a step.

mod call;
mod compared;
mod log;
mod money;
mod record;
mod wait;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use call::{Call, Commit, Place, Refusable, Stop};
pub use record::Recorder;
pub use wait::{Long, PATIENCE, Parked, ParkedCall};

use super::clock::GuestClock;
use super::comparison::{Comparison, Unrecorded};
use super::feed::{Feed, FeedEvent};
use super::journal::{Asked, Journal, MAX_PENDING, shown};
use super::receipt::Receipt;
use crate::codec;
use crate::killpoint;
use crate::runtime::{Deadline, ResolvedAgent};
use crate::store::{
    Account, Durability, Exceeded, JournalPart, JournalStatus, LogLine, Store, UsageRow,
};
use money::Money;

/// Whose turn it is; fixed for its length.
#[derive(Debug, Clone)]
pub struct Identity {
    pub tenant: String,
    pub turn: String,
    pub channel: String,
    pub conversation: Option<String>,
    pub user: Option<String>,
    /// How many turns that asked are above it.
    pub hops: i64,
}

/// What a turn used before this run.
#[derive(Debug, Clone, Default)]
pub struct Used {
    /// On the bill.
    pub paid: Vec<UsageRow>,
    /// Calls whose answers were lost: not yet on the bill.
    pub lost: Vec<UsageRow>,
}

/// The window of one turn.
pub struct Window {
    identity: Identity,
    agent: Arc<ResolvedAgent>,
    store: Arc<Store>,
    feed: Arc<Feed>,
    journal: Journal,
    clock: GuestClock,
    started: Instant,
    /// When this run began, nanoseconds since 1970.
    began_ns: u64,
    receipt: Receipt,
    money: Money,
    /// The last call repeats one that was cut off.
    repeats: bool,
    /// The next call is about what a comparison really asked a model for.
    is_fresh: bool,
    log: Vec<LogLine>,
    log_bytes: u64,
    shown_bytes: u64,
    /// Calls of the guest that show something.
    shows: u64,
    /// The agent's database was changed and must be synced with the answer.
    wrote_database: bool,
    deadline: Deadline,
    parked: Option<Parked>,
}

impl Window {
    /// The window of a turn that starts now, or started at `started_ns`.
    pub fn new(
        identity: Identity,
        agent: Arc<ResolvedAgent>,
        store: Arc<Store>,
        feed: Arc<Feed>,
        journal: Journal,
        started_ns: u64,
        deadline: Deadline,
    ) -> Self {
        Self {
            identity,
            agent,
            store,
            feed,
            journal,
            clock: GuestClock::new(started_ns),
            started: Instant::now(),
            began_ns: started_ns,
            receipt: Receipt::default(),
            money: Money::default(),
            repeats: false,
            is_fresh: false,
            log: Vec::new(),
            log_bytes: 0,
            shown_bytes: 0,
            shows: 0,
            wrote_database: false,
            deadline,
            parked: None,
        }
    }

    /// The window of a turn that goes on now.
    pub fn resumed(mut self, now_ns: u64, used: Used) -> Self {
        self.began_ns = self.began_ns.max(now_ns);
        for row in &used.paid {
            self.bill(row);
        }
        for row in used.lost {
            self.charge(row, Duration::ZERO);
        }
        self
    }

    /// Whose turn it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The agent that runs.
    pub fn agent(&self) -> &Arc<ResolvedAgent> {
        &self.agent
    }

    /// The guest's clock.
    pub fn clock(&self) -> &GuestClock {
        &self.clock
    }

    /// Host calls so far.
    pub fn host_calls(&self) -> u64 {
        self.receipt.host_calls
    }

    /// What the person sees.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// By when the turn must have ended.
    pub fn deadline(&self) -> &Deadline {
        &self.deadline
    }

    /// Shows what the guest has to show, once however often the turn is run.
    pub fn show(&mut self, event: FeedEvent) {
        self.shows += 1;
        self.feed.show(self.shows, event);
    }

    /// Whether effects are answered from the record only.
    pub fn is_replay(&self) -> bool {
        self.journal.is_replay()
    }

    /// Counts a host call that has no effect to record: it depends on nothing
    /// but the turn itself.
    ///
    /// # Errors
    ///
    /// If the turn made too many.
    pub fn enter(&mut self) -> Result<(), Stop> {
        self.receipt.host_calls += 1;
        let limit = self.agent.limits.host_calls;
        if self.receipt.host_calls > limit {
            Err(Stop::HostCalls(limit))
        } else {
            Ok(())
        }
    }

    /// Lets a call through and records it.
    ///
    /// # Errors
    ///
    /// The outer error ends the turn; the inner one is the guest's.
    pub fn perform<A, R, E>(
        &mut self,
        call: Call<'_, A>,
        commit: Commit<'_>,
        effect: impl Future<Output = Result<R, E>>,
    ) -> impl Future<Output = Result<Result<R, E>, Stop>>
    where
        A: Serialize,
        R: Serialize + DeserializeOwned,
        E: Serialize + DeserializeOwned + Refusable,
    {
        // Boxed here: a future that is handed on is kept once by each that had
        // it, and guests' stacks keep every page that was touched.
        let effect = Box::pin(effect);
        self.perform_placed(call, commit, |_| effect)
    }

    /// As `perform`, for an effect that wants to know its place in the journal,
    /// or is prepared behind a gate while it is committed. It is made once it is
    /// known that it is neither refused nor on record.
    ///
    /// # Errors
    ///
    /// As `perform`.
    pub async fn perform_placed<A, R, E, F>(
        &mut self,
        call: Call<'_, A>,
        commit: Commit<'_>,
        effect: impl FnOnce(Place) -> F,
    ) -> Result<Result<R, E>, Stop>
    where
        A: Serialize,
        R: Serialize + DeserializeOwned,
        E: Serialize + DeserializeOwned + Refusable,
        F: Future<Output = Result<R, E>>,
    {
        self.flush_if_many().await?;
        let asked = self.ask(&call)?;
        if let Some(answer) = self.answer_at_once(&call, &asked, commit)? {
            return Ok(answer);
        }
        let effect = effect(Place {
            seq: asked.seq,
            args_hash: asked.args_hash.clone(),
        });
        if let Some(exceeded) = self.commit_before(&asked, commit).await? {
            return self.record(&asked, Duration::ZERO, Err(E::over_budget(&exceeded)));
        }
        let started = Instant::now();
        let answer = effect.await;
        killpoint::reached(killpoint::Place::EffectAfter);
        self.record(&asked, started.elapsed(), answer)
    }

    /// Lets a call through whose effect stores its own record: `effect` gets
    /// what to store with it, in the same transaction.
    ///
    /// # Errors
    ///
    /// As `perform`.
    pub async fn perform_stored<A, R, E, F>(
        &mut self,
        call: Call<'_, A>,
        effect: impl FnOnce(Recorder<R, E>) -> F,
    ) -> Result<Result<R, E>, Stop>
    where
        A: Serialize,
        R: Serialize + DeserializeOwned,
        E: Serialize + DeserializeOwned + Refusable,
        F: Future<Output = anyhow::Result<Result<R, E>>>,
    {
        let asked = self.ask(&call)?;
        if let Some(answer) = self.answer_at_once(&call, &asked, Commit::Later)? {
            return Ok(answer);
        }
        let started = Instant::now();
        let at = self.now_ns();
        let is_forgetful = self.journal.is_forgetful();
        let recorder = Recorder::new(asked, self.journal.part(), is_forgetful, at, started);
        killpoint::reached(killpoint::Place::StoredBefore);
        let answer = effect(recorder).await.map_err(Stop::Host)?;
        killpoint::reached(killpoint::Place::StoredAfter);
        self.journal.stored();
        self.clock.advance(at);
        self.receipt.timing.host_us += micros(started.elapsed());
        Ok(answer)
    }

    /// Waits; the guest's time goes on by when it was over.
    ///
    /// # Errors
    ///
    /// If the turn made too many host calls.
    pub async fn sleep(&mut self, duration: Duration) -> Result<(), Stop> {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let call = Call {
            kind: "clock.sleep",
            grant: None,
            args: &nanoseconds,
        };
        let wait = async {
            tokio::time::sleep(duration).await;
            Ok::<(), NoError>(())
        };
        self.perform(call, Commit::Later, wait).await.map(|_| ())
    }

    /// The place in the journal of the next call.
    pub fn next_call(&self) -> i64 {
        self.journal.next_seq()
    }

    /// Whether the next call is answered from the record.
    pub fn is_next_recorded(&self) -> bool {
        self.journal.is_next_recorded()
    }

    /// Whether the last call repeats one that a crash cut off.
    pub fn repeats(&self) -> bool {
        self.repeats
    }

    /// The agent's database is about to be changed.
    pub fn will_write_database(&mut self) {
        self.wrote_database = true;
    }

    /// Whether the agent's database was changed.
    pub fn wrote_database(&self) -> bool {
        self.wrote_database
    }

    /// Whether `bytes` more may be shown; they count from then on.
    pub fn may_show(&mut self, bytes: usize) -> bool {
        self.shown_bytes = self.shown_bytes.saturating_add(bytes as u64);
        self.shown_bytes <= self.agent.limits.output_bytes
    }

    /// The bill so far, the time outside of host calls counted as the guest's.
    pub(crate) fn close(mut self) -> Closed {
        self.receipt.wall_ms =
            u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        if self.money.unpriced {
            self.receipt.cost_micro_usd = None;
        } else {
            self.receipt.cost_micro_usd.get_or_insert(0);
        }
        Closed {
            unasked: self.journal.left_over(),
            comparison: self.journal.comparison.take().unwrap_or_default(),
            receipt: self.receipt,
            journal: JournalPart {
                log: self.log,
                ..self.journal.take()
            },
            parked: self.parked,
        }
    }

    fn ask<A: Serialize>(&mut self, call: &Call<'_, A>) -> Result<Asked, Stop> {
        self.enter()?;
        let asked = self.journal.ask(call.kind, call.args).map_err(Stop::Host)?;
        self.check_bytes(call.kind, asked.args.len())?;
        Ok(asked)
    }

    /// The answer that needs no effect: from the record, or a refusal, which is
    /// recorded.
    fn answer_at_once<A, R, E>(
        &mut self,
        call: &Call<'_, A>,
        asked: &Asked,
        commit: Commit<'_>,
    ) -> Result<Option<Result<R, E>>, Stop>
    where
        A: Serialize,
        R: Serialize + DeserializeOwned,
        E: Serialize + DeserializeOwned + Refusable,
    {
        let found = self.look_up(asked)?;
        self.repeats = matches!(found, Found::CutOff);
        let unknown = |why: &str| E::unknown(format!("{}: {why}", call.kind));
        let refusal = match found {
            Found::Answer(answer) => {
                if answer.is_ok() && call.grant.is_some() {
                    self.needed(call);
                }
                return Ok(Some(answer));
            }
            Found::CutOff if commit == Commit::Once => unknown(CUT_OFF),
            Found::Unrecorded(Unrecorded::Refused) => unknown(UNRECORDED),
            Found::Unrecorded(Unrecorded::Denied) => E::denied(NO_TURN.to_owned()),
            Found::Unrecorded(Unrecorded::Spent) => E::spent(SPENT.to_owned()),
            Found::Unrecorded(Unrecorded::Made) | Found::CutOff | Found::Nothing => {
                match self.agent.check(call.grant) {
                    Ok(()) => return Ok(None),
                    Err(refusal) => E::denied(refusal),
                }
            }
        };
        self.record(asked, Duration::ZERO, Err(refusal)).map(Some)
    }

    fn check_bytes(&self, kind: &'static str, bytes: usize) -> Result<(), Stop> {
        let limit = self.agent.limits.host_call_bytes;
        if bytes as u64 > limit {
            Err(Stop::HostCallBytes { kind, bytes, limit })
        } else {
            Ok(())
        }
    }

    fn look_up<R: DeserializeOwned, E: DeserializeOwned>(
        &mut self,
        asked: &Asked,
    ) -> Result<Found<R, E>, Stop> {
        if std::mem::take(&mut self.is_fresh) {
            return Ok(Found::Nothing);
        }
        let Some(entry) = self.journal.recorded(asked) else {
            return if let Some(comparison) = &mut self.journal.comparison {
                let call = shown(asked.kind, &asked.args);
                let unrecorded = comparison.unrecorded(asked.kind, call);
                Ok(Found::Unrecorded(unrecorded))
            } else if self.journal.is_replay() {
                Err(Stop::Diverged {
                    asked: asked.kind.to_owned(),
                    recorded: "nothing more".to_owned(),
                })
            } else {
                Ok(Found::Nothing)
            };
        };
        if entry.kind != asked.kind || entry.args_hash != asked.args_hash {
            return Err(Stop::Diverged {
                asked: shown(asked.kind, &asked.args),
                recorded: shown(&entry.kind, &entry.args),
            });
        }
        let result = entry.result.as_deref().unwrap_or_default();
        let answer = match entry.status {
            JournalStatus::Done => Ok(codec::decode(result).map_err(Stop::Host)?),
            JournalStatus::Failed => Err(codec::decode(result).map_err(Stop::Host)?),
            JournalStatus::Begun if self.journal.is_replay() => {
                return Err(Stop::Host(anyhow!(
                    "the outcome of {} was not recorded",
                    entry.kind
                )));
            }
            JournalStatus::Begun => return Ok(Found::CutOff),
        };
        self.clock.advance(entry.at.unsigned_abs());
        Ok(Found::Answer(answer))
    }

    /// Stores what must be stored before an effect; answers what has not
    /// enough left for it.
    async fn commit_before(
        &mut self,
        asked: &Asked,
        commit: Commit<'_>,
    ) -> Result<Option<Exceeded>, Stop> {
        let durability = match commit {
            Commit::Later => return Ok(None),
            Commit::Charged(estimate, gate) => {
                return self.reserve(asked, estimate, gate).await;
            }
            Commit::Intent => Durability::Written,
            Commit::Synced | Commit::Once => Durability::Synced,
        };
        let begun = asked.entry(JournalStatus::Begun, None, self.now_ns(), 0);
        self.journal.pending.push(begun);
        killpoint::reached(killpoint::Place::IntentBefore);
        self.store_pending(durability).await?;
        killpoint::reached(killpoint::Place::IntentAfter);
        Ok(None)
    }

    /// Records how a call ended and moves the guest's time on.
    fn record<R: Serialize, E: Serialize>(
        &mut self,
        asked: &Asked,
        took: Duration,
        answer: Result<R, E>,
    ) -> Result<Result<R, E>, Stop> {
        let at = self.now_ns();
        let entry = asked.ended(&answer, at, took).map_err(Stop::Host)?;
        let bytes = entry.result.as_ref().map_or(0, Vec::len);
        self.journal.pending.push(entry);
        self.clock.advance(at);
        self.receipt.timing.host_us += micros(took);
        self.check_bytes(asked.kind, bytes)?;
        Ok(answer)
    }

    async fn flush_if_many(&mut self) -> Result<(), Stop> {
        if self.journal.pending.len() < MAX_PENDING {
            return Ok(());
        }
        self.store_pending(Durability::Written).await
    }

    async fn store_pending(&mut self, durability: Durability) -> Result<(), Stop> {
        let Identity { tenant, turn, .. } = &self.identity;
        let part = self.journal.take();
        if self.journal.is_replay() {
            return self.store_live_usage(part.usage).await;
        }
        self.store
            .append_journal(tenant, turn, part, durability)
            .await
            .map_err(Stop::Host)?;
        self.journal.stored();
        Ok(())
    }

    /// What a re-run really asked models for is on the bill, and nothing else of
    /// it is stored.
    async fn store_live_usage(&mut self, usage: Vec<UsageRow>) -> Result<(), Stop> {
        if usage.is_empty() {
            return Ok(());
        }
        let Account { tenant, turn, .. } = self.account();
        let stored = self.store.append_usage(tenant, turn, usage).await;
        stored.map_err(Stop::Host)
    }

    /// The time, of a clock that never goes back within a turn.
    fn now_ns(&self) -> u64 {
        let elapsed = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.began_ns.saturating_add(elapsed)
    }
}

/// What the journal has of a call.
enum Found<R, E> {
    Nothing,
    Answer(Result<R, E>),
    /// It was about to happen.
    CutOff,
    /// Nothing, in a re-run that does nothing outside.
    Unrecorded(Unrecorded),
}

const SPENT: &str = "what was set aside for model calls of this replay is spent";

const NO_TURN: &str = "a guardrail runs outside of turns, where only config and log are lent";

const UNRECORDED: &str = "it was not recorded, and a replay does nothing outside";

const CUT_OFF: &str = "the host stopped in the middle of it, so nobody knows whether it happened; look before you do it again";

/// What is left of a window when its turn has ended.
pub(crate) struct Closed {
    pub(crate) receipt: Receipt,
    pub(crate) journal: JournalPart,
    /// Recorded calls that a re-run did not ask for, with their places.
    pub(crate) unasked: Vec<(i64, String)>,
    pub(crate) comparison: Comparison,
    /// A call that goes on without an instance.
    pub(crate) parked: Option<Parked>,
}

/// The error of calls that cannot fail.
#[derive(Debug, Serialize, serde::Deserialize)]
struct NoError;

impl Refusable for NoError {
    fn denied(_: String) -> Self {
        Self
    }

    fn unknown(_: String) -> Self {
        Self
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
