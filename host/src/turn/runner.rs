//! Running one turn from its row to its end.

mod ended;
mod replay;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tracing::{error, info, warn};

pub use replay::{Difference, Replay, Replayed};

use ended::{Ended, Ran, summary};

use super::feed::{Feed, FeedEvent, Feeds};
use super::journal::Beginning;
use super::plan::{Plan, internal, used_by};
use super::receipt::Receipt;
use super::window::{Closed, Identity, Parked, Window};
use crate::clock::now_ms;
use crate::codec;
use crate::killpoint;
use crate::runtime::bindings::types;
use crate::runtime::{
    self, Agents, Deadline, Engine, Failure, FailureCode, Input, Output, ResolvedAgent, Run,
    Services,
};
use crate::store::{Durability, FIRST_POSITION, FinishedTurn, JournalPart, Parent, Store, TurnRow};

/// A turn that is to be run.
#[derive(Clone)]
pub struct Job {
    pub identity: Identity,
    pub agent: String,
    pub seed: [u8; 32],
    /// Position of the message that it answers.
    pub position: Option<i64>,
    pub input: Input,
    /// The token that it came by.
    pub token: Option<String>,
    /// The turn that asked for it.
    pub parent: Option<Parent>,
    /// Where the answer is to be delivered, for its channel.
    pub callback: Option<String>,
    /// Milliseconds since 1970.
    pub created_at: i64,
    pub start: Start,
    pub feed: Arc<Feed>,
}

/// What a run of a turn begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    First,
    /// An earlier process left it unfinished.
    Recovered,
    /// What it waited for is there.
    Woken,
}

/// What became of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rested {
    /// It has ended.
    Ended,
    /// It waits; `ready` if what it waits for is there already.
    Waiting { ready: bool },
}

/// Runs turns.
pub struct Runner {
    engine: Engine,
    services: Arc<Services>,
    store: Arc<Store>,
    agents: Arc<Agents>,
    feeds: Arc<Feeds>,
    slice_fuel: u64,
}

impl Runner {
    /// A runner of turns.
    pub fn new(
        engine: Engine,
        services: Arc<Services>,
        agents: Arc<Agents>,
        feeds: Arc<Feeds>,
        slice_fuel: u64,
    ) -> Self {
        let store = Arc::clone(&services.store);
        Self {
            engine,
            services,
            store,
            agents,
            feeds,
            slice_fuel,
        }
    }

    /// The cache of agents.
    pub fn agents(&self) -> &Arc<Agents> {
        &self.agents
    }

    /// Runs a turn until it ends or waits, and stores that. `queued` is how long
    /// it waited to be run; `suspended` runs when it is stored that it waits, in
    /// the order in which messages are accepted.
    pub async fn run(
        &self,
        job: &Job,
        queued: Duration,
        suspended: impl FnOnce(&bool) + Send + 'static,
    ) -> Rested {
        let started = Instant::now();
        let ended = match Box::pin(self.execute(job, queued)).await {
            Execution::Ended(ended) => *ended,
            Execution::Suspended(closed) => match self.suspend(job, *closed, suspended).await {
                Ok(ready) => return Rested::Waiting { ready },
                Err(failure) => Ended::without_run(failure),
            },
        };
        self.store_end(job, ended).await;
        let seconds = (queued + started.elapsed()).as_secs_f64();
        metrics::histogram!("anchorhold_turn_seconds").record(seconds);
        Rested::Ended
    }

    async fn execute(&self, job: &Job, queued: Duration) -> Execution {
        if job.feed.kill.is_pulled() {
            let receipt = self.receipt_so_far(job).await;
            return Ended::stopped(cancelled(), receipt).into();
        }
        let plan = match Plan::of(job, &self.store, &self.agents).await {
            Ok(plan) => plan,
            Err(failure) => return Ended::without_run(failure).into(),
        };
        let input = match self.with_history(job, &plan.agent).await {
            Ok(input) => input,
            Err(error) => return Ended::without_run(internal(&error)).into(),
        };
        job.feed.begin();
        let ran = Ran {
            version: plan.agent.version,
            started_at: plan.started_ms,
            attempts: plan.attempts,
        };
        let (load, compile) = (plan.load, plan.compile);
        let mut execution = Box::pin(self.run_instances(job, plan, &input)).await;
        if let Execution::Ended(ended) = &mut execution {
            ended.ran = Some(ran);
            ended.receipt.timing.queue_us = micros(queued);
            ended.receipt.timing.load_us = micros(load);
            ended.receipt.timing.compile_us = micros(compile);
        }
        execution
    }

    /// Runs a turn in one instance, or in another each time that it gives up
    /// one while a model answers.
    async fn run_instances(&self, job: &Job, mut plan: Plan, input: &Input) -> Execution {
        let deadline = Deadline::after_ms(plan.agent.limits.wall_ms);
        let mut rerun_fuel = plan.rerun_fuel;
        loop {
            let beginning = plan.beginning.clone();
            let run = Box::pin(self.run_instance(job, plan, input, &deadline));
            let mut closed = match self.run_in_sight(job, beginning.as_deref(), run).await {
                Run::Finished(finished) => {
                    let mut ended = Ended::of(finished);
                    ended.receipt.rerun_fuel = rerun_fuel;
                    return ended.into();
                }
                Run::Suspended(suspended) => suspended.closed,
            };
            metrics::counter!("anchorhold_rerun_fuel_total").increment(closed.receipt.fuel);
            let Some(parked) = closed.parked.take() else {
                return Execution::Suspended(Box::new(closed));
            };
            let (mut receipt, pending) = (closed.receipt, closed.journal);
            receipt.rerun_fuel = rerun_fuel;
            rerun_fuel += receipt.fuel;
            let finished = self.finish_parked(job, pending, parked, &deadline).await;
            let again = match finished {
                Ok(()) => Plan::again(job, &self.store, &self.agents).await,
                Err(failure) => Err(failure),
            };
            plan = match again {
                Ok(plan) => plan,
                Err(failure) => {
                    // The call that was parked is on the stored bill only.
                    let receipt = receipt.billed(&self.receipt_so_far(job).await);
                    return Ended::stopped(failure, receipt).into();
                }
            };
        }
    }

    /// Waits for a call that goes on without an instance, and stores what it
    /// gave, or what it cost until it was cut off.
    async fn finish_parked(
        &self,
        job: &Job,
        pending: JournalPart,
        parked: Parked,
        deadline: &Deadline,
    ) -> Result<(), Failure> {
        let Identity { tenant, turn, .. } = &job.identity;
        let store = |part| {
            self.store
                .append_journal(tenant, turn, part, Durability::Written)
        };
        store(pending).await.map_err(|error| internal(&error))?;
        let (cut, is_cut) = tokio::sync::oneshot::channel::<()>();
        let answer = parked(Box::pin(async {
            // Either says that it is over.
            let _ = is_cut.await;
        }));
        let mut answer = std::pin::pin!(answer);
        let parked_calls = metrics::gauge!("anchorhold_parked_calls");
        parked_calls.increment(1);
        let in_time = runtime::within(&mut answer, deadline, &job.feed.kill).await;
        parked_calls.decrement(1);
        let (part, outcome) = match in_time {
            Ok(part) => (part, Ok(())),
            Err(failure) => {
                drop(cut);
                (answer.await, Err(failure))
            }
        };
        let part = part.map_err(|error| internal(&error))?;
        store(part).await.map_err(|error| internal(&error))?;
        outcome
    }

    /// What a turn used that is not run any more.
    async fn receipt_so_far(&self, job: &Job) -> Receipt {
        let Identity { tenant, turn, .. } = &job.identity;
        match used_by(&self.store, tenant, turn).await {
            Ok(used) => Receipt::of_usage(used.paid.iter().chain(&used.lost)),
            Err(error) => {
                warn!(turn, error = %format!("{error:#}"), "what a turn used cannot be read");
                Receipt::default()
            }
        }
    }

    /// Stores that a turn waits, and what is left of its run; answers whether
    /// what it waits for is there.
    async fn suspend(
        &self,
        job: &Job,
        closed: Closed,
        suspended: impl FnOnce(&bool) + Send + 'static,
    ) -> Result<bool, Failure> {
        let Identity { tenant, turn, .. } = &job.identity;
        let (feeds, feed) = (Arc::clone(&self.feeds), Arc::clone(&job.feed));
        // Before anybody can wake it, so that its feed says that it waits before
        // it says what comes then.
        let committed = move |ready: &bool| {
            feeds.rest(&feed, 2);
            suspended(ready);
        };
        let Closed {
            receipt, journal, ..
        } = closed;
        let suspended = self
            .store
            .suspend(tenant, turn, receipt.fuel, journal, committed);
        let ready = suspended.await.map_err(|error| internal(&error))?;
        killpoint::reached(killpoint::Place::Suspended);
        metrics::counter!("anchorhold_suspensions_total").increment(1);
        Ok(ready)
    }

    /// Runs a turn; one that has stored nothing for a while is marked as
    /// running, so that it is seen.
    async fn run_in_sight(
        &self,
        job: &Job,
        beginning: Option<&Beginning>,
        mut run: impl Future<Output = Run> + Unpin,
    ) -> Run {
        if let Ok(finished) = tokio::time::timeout(A_WHILE, &mut run).await {
            return finished;
        }
        let mark = Box::pin(self.mark_running(job, beginning));
        let (finished, ()) = tokio::join!(run, mark);
        finished
    }

    async fn mark_running(&self, job: &Job, beginning: Option<&Beginning>) {
        let Some((beginning, begin)) =
            beginning.and_then(|beginning| Some((beginning, beginning.to_store()?)))
        else {
            return;
        };
        let part = JournalPart {
            begin: Some(begin),
            ..JournalPart::default()
        };
        let Identity { tenant, turn, .. } = &job.identity;
        match self
            .store
            .append_journal(tenant, turn, part, Durability::Written)
            .await
        {
            Ok(()) => beginning.is_stored(),
            Err(error) => {
                warn!(turn, error = %format!("{error:#}"), "a turn was not marked as running");
            }
        }
    }

    async fn run_instance(&self, job: &Job, plan: Plan, input: &Input, deadline: &Deadline) -> Run {
        let started_ns = plan.started_ms.unsigned_abs().saturating_mul(1_000_000);
        let mut window = Window::new(
            job.identity.clone(),
            plan.agent,
            Arc::clone(&self.store),
            Arc::clone(&job.feed),
            plan.journal,
            started_ns,
            deadline.clone(),
        );
        if let Some(used) = plan.used {
            window = window.resumed(now_ms().unsigned_abs().saturating_mul(1_000_000), used);
        }
        let services = Arc::clone(&self.services);
        runtime::run(
            &self.engine,
            services,
            window,
            input,
            job.seed,
            self.slice_fuel,
            &job.feed.kill,
        )
        .await
    }

    /// The input with as much history as the manifest asks for.
    async fn with_history<'a>(
        &self,
        job: &'a Job,
        agent: &ResolvedAgent,
    ) -> Result<Cow<'a, Input>> {
        let wanted = agent.manifest.triggers.chat.history;
        let (Input::Chat(message), Some(position)) = (&job.input, job.position) else {
            return Ok(Cow::Borrowed(&job.input));
        };
        if wanted == 0 || position <= FIRST_POSITION {
            return Ok(Cow::Borrowed(&job.input));
        }
        let (tenant, conversation) = (&job.identity.tenant, &message.conversation);
        let history = self.store.history(tenant, conversation, position, wanted);
        let history = Box::pin(history).await?;
        Ok(Cow::Owned(Input::Chat(types::Message {
            history: history.into_iter().map(past_message).collect(),
            ..message.clone()
        })))
    }

    async fn store_end(&self, job: &Job, ended: Ended) {
        let turn = &job.identity.turn;
        let status = ended.status();
        metrics::counter!("anchorhold_turns_total", "status" => status.name()).increment(1);
        if let Err(failure) = &ended.outcome {
            info!(turn, agent = job.agent, code = ?failure.code, message = failure.message, detail = failure.detail, "a turn failed");
        }
        let last = match &ended.outcome {
            Ok(output) => {
                if let Output::Reply(reply) = output {
                    job.feed.settle_text(&reply.text);
                }
                FeedEvent::Completed
            }
            Err(failure) if failure.code == FailureCode::Cancelled => FeedEvent::Cancelled,
            Err(failure) => FeedEvent::Failed {
                error: for_people(failure),
            },
        };
        let stored = match ended.into_row(job) {
            Ok((row, ran)) => {
                let row = Arc::new(row);
                let stored = self.store_persistently(&row).await;
                stored.map(|()| job.feed.end(summary(job, &row, ran)))
            }
            Err(error) => Err(error),
        };
        if let Err(error) = stored {
            // The row stays unfinished and is taken up at the next start.
            error!(turn, error = %format!("{error:#}"), "the end of a turn was not stored");
            job.feed.push(FeedEvent::Failed {
                error: internal(&error),
            });
        } else {
            job.feed.push(last);
            self.services.telemetry.ended(&job.identity.tenant, turn);
        }
        self.feeds.close(turn);
        if job.callback.is_some() {
            self.services.doorbell.ring();
        }
        if job.start != Start::First {
            // The delivery of an event may wait for it.
            self.services.bus.wake();
        }
    }

    /// Stores an end, trying again while the store takes nothing at all, and a
    /// few times where it is this end that it does not take.
    async fn store_persistently(&self, row: &Arc<FinishedTurn>) -> Result<()> {
        let (mut pause, mut tries) = (FIRST_PAUSE, 6);
        killpoint::reached(killpoint::Place::EndBefore);
        loop {
            let error = match self.store.finish_turn(Arc::clone(row)).await {
                Ok(()) => break,
                Err(error) => error,
            };
            if self.store.check().await.is_ok() {
                tries -= 1;
            }
            if tries == 0 {
                return Err(error);
            }
            warn!(turn = row.id, error = %format!("{error:#}"), "storing the end of a turn failed; trying again");
            tokio::time::sleep(pause).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
        killpoint::reached(killpoint::Place::EndAfter);
        Ok(())
    }
}

/// After so long a turn that has stored nothing is marked as running.
const A_WHILE: Duration = Duration::from_millis(50);

/// How long to wait before an end is stored again.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

impl Job {
    /// The job of a stored turn.
    ///
    /// # Errors
    ///
    /// If the row was written by another version.
    pub fn of_row(row: &TurnRow, feed: Arc<Feed>) -> Result<Self> {
        let mut seed = [0; 32];
        hex::decode_to_slice(&row.seed, &mut seed).context("the turn's seed cannot be read")?;
        Ok(Self {
            identity: Identity {
                tenant: row.tenant_id.clone(),
                turn: row.id.clone(),
                channel: row.channel.clone(),
                conversation: row.conversation.clone(),
                user: row.user_id.clone(),
                hops: row.hops,
            },
            agent: row.agent.clone(),
            seed,
            position: row.position,
            input: codec::decode(&row.input)?,
            token: row.token.clone(),
            parent: row.parent.clone().map(|turn| Parent {
                turn,
                hops: row.hops,
            }),
            callback: row.callback.clone(),
            created_at: row.created_at,
            start: Start::Recovered,
            feed,
        })
    }
}

/// How the runs of a turn came out.
enum Execution {
    Ended(Box<Ended>),
    /// It waits; this is left of its last run.
    Suspended(Box<Closed>),
}

impl From<Ended> for Execution {
    fn from(ended: Ended) -> Self {
        Self::Ended(Box::new(ended))
    }
}

fn cancelled() -> Failure {
    Failure::new(FailureCode::Cancelled, "The turn was cancelled.")
}

fn past_message(row: crate::store::StoredMessage) -> types::PastMessage {
    types::PastMessage {
        speaker: if row.role == "user" {
            types::Speaker::User
        } else {
            types::Speaker::Assistant
        },
        text: row.text,
        author: row.author_id.map(|id| types::Author {
            id,
            name: row.author_name,
        }),
        at_ms: row.at.unsigned_abs(),
    }
}

/// A failure without what only operators may see.
fn for_people(failure: &Failure) -> Failure {
    Failure {
        detail: None,
        ..failure.clone()
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
