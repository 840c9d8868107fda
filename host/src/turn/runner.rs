//! Running one turn from its row to its end.

mod replay;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tracing::{error, info, warn};

pub use replay::{Difference, Replay, Replayed};

use super::feed::{Feed, FeedEvent, Feeds};
use super::journal::Beginning;
use super::plan::{Plan, internal};
use super::receipt::Receipt;
use super::window::{Identity, Window};
use crate::clock::now_ms;
use crate::codec;
use crate::killpoint;
use crate::runtime::bindings::types;
use crate::runtime::{
    self, Agents, Engine, Failure, FailureCode, Finished, Input, Output, ResolvedAgent, Services,
};
use crate::store::{
    Durability, FIRST_POSITION, FinishedTurn, JournalPart, Store, TurnRow, TurnStatus, TurnSummary,
};

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
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// An earlier process left it unfinished.
    pub recovered: bool,
    pub feed: Arc<Feed>,
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

    /// Runs a turn and stores its end. `queued` is how long it waited.
    pub async fn run(&self, job: &Job, queued: Duration) {
        let started = Instant::now();
        let finished = Box::pin(self.execute(job, queued)).await;
        self.store_end(job, finished).await;
        let seconds = (queued + started.elapsed()).as_secs_f64();
        metrics::histogram!("anchorhold_turn_seconds").record(seconds);
    }

    /// Ends a turn that is not run.
    pub async fn refuse(&self, job: &Job, failure: Failure) {
        self.store_end(job, Ended::without_run(failure)).await;
    }

    async fn execute(&self, job: &Job, queued: Duration) -> Ended {
        if job.feed.kill.is_pulled() {
            return Ended::without_run(Failure::new(
                FailureCode::Cancelled,
                "The turn was cancelled.",
            ));
        }
        let plan = match Plan::of(job, &self.store, &self.agents).await {
            Ok(plan) => plan,
            Err(failure) => return Ended::without_run(failure),
        };
        let input = match self.with_history(job, &plan.agent).await {
            Ok(input) => input,
            Err(error) => return Ended::without_run(internal(&error)),
        };
        job.feed.push(FeedEvent::Started);
        let ran = Ran {
            version: plan.agent.version,
            started_at: plan.started_ms,
            attempts: plan.attempts,
        };
        let (load, compile) = (plan.load, plan.compile);
        let beginning = plan.beginning.clone();
        let run = Box::pin(self.run_instance(job, plan, &input));
        let mut ended = Ended::of(self.run_in_sight(job, beginning.as_deref(), run).await);
        ended.ran = Some(ran);
        ended.receipt.timing.queue_us = micros(queued);
        ended.receipt.timing.load_us = micros(load);
        ended.receipt.timing.compile_us = micros(compile);
        ended
    }

    /// Runs a turn; one that has stored nothing for a while is marked as
    /// running, so that it is seen.
    async fn run_in_sight(
        &self,
        job: &Job,
        beginning: Option<&Beginning>,
        mut run: impl Future<Output = Finished> + Unpin,
    ) -> Finished {
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

    async fn run_instance(&self, job: &Job, plan: Plan, input: &Input) -> Finished {
        let started_ns = plan.started_ms.unsigned_abs().saturating_mul(1_000_000);
        let mut window = Window::new(
            job.identity.clone(),
            plan.agent,
            Arc::clone(&self.store),
            Arc::clone(&job.feed),
            plan.journal,
            started_ns,
        );
        if let Some(used) = plan.used {
            window = window.resumed(now_ms().unsigned_abs().saturating_mul(1_000_000), &used);
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
        let Identity { tenant, turn, .. } = &job.identity;
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
        let stored = match ended.into_row(tenant, turn) {
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
        }
        self.feeds.close(turn);
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
            },
            agent: row.agent.clone(),
            seed,
            position: row.position,
            input: codec::decode(&row.input)?,
            token: row.token.clone(),
            created_at: row.created_at,
            recovered: !row.status.is_final(),
            feed,
        })
    }
}

/// A turn's end before it is stored.
struct Ended {
    outcome: Result<Output, Failure>,
    receipt: Receipt,
    closed: Option<crate::turn::Closed>,
    ran: Option<Ran>,
}

/// What is known of a turn when it has begun.
#[derive(Clone, Copy)]
struct Ran {
    version: i64,
    started_at: i64,
    attempts: i64,
}

impl Ended {
    fn without_run(failure: Failure) -> Self {
        let receipt = Receipt {
            cost_micro_usd: Some(0),
            ..Receipt::default()
        };
        Self {
            outcome: Err(failure),
            receipt,
            closed: None,
            ran: None,
        }
    }

    fn of(finished: Finished) -> Self {
        let Finished { outcome, closed } = finished;
        Self {
            outcome,
            receipt: closed.receipt.clone(),
            closed: Some(closed),
            ran: None,
        }
    }

    fn status(&self) -> TurnStatus {
        match &self.outcome {
            Ok(_) => TurnStatus::Completed,
            Err(failure) if failure.code == FailureCode::Cancelled => TurnStatus::Cancelled,
            Err(_) => TurnStatus::Failed,
        }
    }

    fn into_row(mut self, tenant: &str, turn: &str) -> Result<(FinishedTurn, Option<Ran>)> {
        let status = self.status();
        let (output, text, error) = match &self.outcome {
            Ok(output) => (Some(codec::encode(output)?), reply_text(output), None),
            Err(failure) => (None, None, Some(serde_json::to_string(failure)?)),
        };
        let (journal, log) = self
            .closed
            .take()
            .map(|closed| (closed.journal, closed.log))
            .unwrap_or_default();
        let row = FinishedTurn {
            tenant: tenant.to_owned(),
            id: turn.to_owned(),
            status,
            output,
            text,
            error,
            receipt: serde_json::to_string(&self.receipt)?,
            journal,
            log,
            finished_at: now_ms(),
        };
        Ok((row, self.ran))
    }
}

/// What is told of an ended turn, without reading it back.
fn summary(job: &Job, row: &FinishedTurn, ran: Option<Ran>) -> TurnSummary {
    TurnSummary {
        id: row.id.clone(),
        kind: job.input.kind(),
        agent: job.agent.clone(),
        version: ran.map(|ran| ran.version),
        conversation: job.identity.conversation.clone(),
        user_id: job.identity.user.clone(),
        channel: job.identity.channel.clone(),
        token: job.token.clone(),
        status: row.status,
        attempts: ran.map_or(0, |ran| ran.attempts),
        text: row.text.clone(),
        error: row.error.clone(),
        receipt: Some(row.receipt.clone()),
        created_at: job.created_at,
        started_at: ran.map(|ran| ran.started_at),
        finished_at: Some(row.finished_at),
    }
}

fn reply_text(output: &Output) -> Option<String> {
    match output {
        Output::Reply(reply) => Some(reply.text.clone()),
        Output::Received | Output::Response(_) => None,
    }
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
