//! Running one turn from its row to its end, and running one again from its
//! journal.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use tracing::{error, info, warn};

use super::feed::{Feed, FeedEvent, Feeds};
use super::journal::Journal;
use super::receipt::Receipt;
use super::window::{Identity, Window};
use crate::clock::now_ms;
use crate::codec;
use crate::config::Limits;
use crate::runtime::bindings::types;
use crate::runtime::{
    self, Agents, Engine, Failure, FailureCode, Finished, Input, Output, ResolvedAgent, Services,
};
use crate::store::{FinishedTurn, Store, TurnRow, TurnStatus};

/// A turn that is to be run.
#[derive(Clone)]
pub struct Job {
    pub identity: Identity,
    pub agent: String,
    pub seed: [u8; 32],
    /// Position of the message that it answers.
    pub position: Option<i64>,
    pub input: Input,
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

/// What a re-run gave.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Replayed {
    pub turn: String,
    pub version: i64,
    /// Whether output, calls and fuel are the same, byte for byte.
    pub same: bool,
    pub differences: Vec<Difference>,
    pub receipt: Receipt,
}

/// Something that was not the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Difference {
    pub what: String,
    pub before: String,
    pub after: String,
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
        let Identity { tenant, turn, .. } = &job.identity;
        let loaded = match self.agents.resolve(tenant, &job.agent).await {
            Ok(loaded) => loaded,
            Err(failure) => return Ended::without_run(failure),
        };
        let input = match self.with_history(job, &loaded.agent).await {
            Ok(input) => input,
            Err(error) => return Ended::without_run(internal(&error)),
        };
        job.feed.push(FeedEvent::Started);
        let started_ms = now_ms();
        let begin = self.begin(&loaded.agent, tenant, turn, started_ms);
        let run = self.run_instance(job, &loaded.agent, Journal::live(), &input, started_ms);
        let (begun, finished) = tokio::join!(Box::pin(begin), Box::pin(run));
        if let Err(error) = begun {
            warn!(turn, error = %format!("{error:#}"), "the beginning of a turn was not stored");
        }
        let mut ended = Ended::of(finished);
        ended.receipt.timing.queue_us = micros(queued);
        ended.receipt.timing.load_us = micros(loaded.load);
        ended.receipt.timing.compile_us = micros(loaded.compile);
        ended
    }

    /// Marks a turn as running. Done beside the run, so that the guest does not
    /// wait for a commit.
    async fn begin(
        &self,
        agent: &ResolvedAgent,
        tenant: &str,
        turn: &str,
        started_ms: i64,
    ) -> Result<()> {
        let limits = serde_json::to_string(&agent.limits)?;
        self.store
            .begin_turn(
                tenant,
                turn,
                agent.version,
                &agent.digest,
                limits,
                started_ms,
            )
            .await
    }

    async fn run_instance(
        &self,
        job: &Job,
        agent: &Arc<ResolvedAgent>,
        journal: Journal,
        input: &Input,
        started_ms: i64,
    ) -> Finished {
        let started_ns = started_ms.unsigned_abs().saturating_mul(1_000_000);
        let window = Window::new(
            job.identity.clone(),
            Arc::clone(agent),
            Arc::clone(&self.store),
            Arc::clone(&job.feed),
            journal,
            started_ns,
        );
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
        metrics::counter!("anchorhold_turns_total", "status" => status_name(status)).increment(1);
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
            Ok(row) => self.store_persistently(row).await,
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

    /// Stores an end, trying again while the database is busy.
    async fn store_persistently(&self, row: FinishedTurn) -> Result<()> {
        let mut pause = Duration::from_millis(200);
        for _ in 0..6 {
            match self.store.finish_turn(row.clone()).await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    warn!(turn = row.id, error = %format!("{error:#}"), "storing the end of a turn failed; trying again")
                }
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        self.store.finish_turn(row).await
    }

    /// Runs an ended turn again from its journal, with no effect outside, and
    /// compares.
    ///
    /// # Errors
    ///
    /// If the turn is not there, has not ended, or was stopped from outside, so
    /// that it has no end of its own to compare with.
    pub async fn replay(&self, tenant: &str, turn: &str) -> Result<Replayed> {
        let row = self
            .store
            .turn(tenant, turn)
            .await?
            .ok_or_else(|| anyhow!("there is no turn {turn}"))?;
        if !row.status.is_final() || row.receipt.is_none() {
            bail!("turn {turn} has not ended");
        }
        let (Some(version), Some(limits), Some(started_at)) =
            (row.version, &row.limits, row.started_at)
        else {
            bail!("turn {turn} was never run");
        };
        let recorded = recorded_failure(&row)?;
        if recorded
            .as_ref()
            .is_some_and(|failure| is_from_outside(failure.code))
        {
            bail!("turn {turn} was stopped from outside, so there is nothing to compare with");
        }
        let loaded = self
            .agents
            .resolve_version(tenant, &row.agent, version)
            .await
            .map_err(|failure| anyhow!(failure.message))?;
        let limits: Limits =
            serde_json::from_str(limits).context("the turn's limits cannot be read")?;
        let agent = Arc::new(loaded.agent.with_limits(limits));
        let job = Job::of_row(&row, Arc::new(Feed::new(row.id.clone())))?;
        let journal = Journal::replay(self.store.journal(tenant, turn).await?);
        let input = self.with_history(&job, &agent).await?;
        let finished = self
            .run_instance(&job, &agent, journal, &input, started_at)
            .await;
        compare(&row, version, recorded, finished)
    }
}

/// The position of the first message of a conversation.
const FIRST_POSITION: i64 = 2;

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
            feed,
        })
    }
}

/// A turn's end before it is stored.
struct Ended {
    outcome: Result<Output, Failure>,
    receipt: Receipt,
    closed: Option<crate::turn::Closed>,
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
        }
    }

    fn of(finished: Finished) -> Self {
        let Finished { outcome, closed } = finished;
        Self {
            outcome,
            receipt: closed.receipt.clone(),
            closed: Some(closed),
        }
    }

    fn status(&self) -> TurnStatus {
        match &self.outcome {
            Ok(_) => TurnStatus::Completed,
            Err(failure) if failure.code == FailureCode::Cancelled => TurnStatus::Cancelled,
            Err(_) => TurnStatus::Failed,
        }
    }

    fn into_row(self, tenant: &str, turn: &str) -> Result<FinishedTurn> {
        let status = self.status();
        let (output, text, error) = match &self.outcome {
            Ok(output) => (Some(codec::encode(output)?), reply_text(output), None),
            Err(failure) => (None, None, Some(serde_json::to_string(failure)?)),
        };
        let (journal, log, usage) = self
            .closed
            .map(|closed| (closed.journal, closed.log, closed.usage))
            .unwrap_or_default();
        Ok(FinishedTurn {
            tenant: tenant.to_owned(),
            id: turn.to_owned(),
            status,
            output,
            text,
            error,
            receipt: serde_json::to_string(&self.receipt)?,
            journal,
            log,
            usage,
        })
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

fn recorded_failure(row: &TurnRow) -> Result<Option<Failure>> {
    row.error
        .as_deref()
        .map(|text| serde_json::from_str(text).context("the turn's error cannot be read"))
        .transpose()
}

/// Ends that no guest brings about.
fn is_from_outside(code: FailureCode) -> bool {
    matches!(
        code,
        FailureCode::Cancelled
            | FailureCode::Deadline
            | FailureCode::Interrupted
            | FailureCode::Busy
            | FailureCode::Internal
    )
}

fn compare(
    row: &TurnRow,
    version: i64,
    recorded: Option<Failure>,
    finished: Finished,
) -> Result<Replayed> {
    let receipt: Receipt = serde_json::from_str(row.receipt.as_deref().unwrap_or("{}"))
        .context("the receipt cannot be read")?;
    let mut differences = Vec::new();
    let mut differ = |what: &str, before: String, after: String| {
        if before != after {
            differences.push(Difference {
                what: what.to_owned(),
                before,
                after,
            });
        }
    };
    let code = |failure: Option<&Failure>| {
        failure.map_or_else(
            || "completed".to_owned(),
            |failure| format!("{:?}: {}", failure.code, failure.message),
        )
    };
    differ(
        "outcome",
        code(recorded.as_ref()),
        code(finished.outcome.as_ref().err()),
    );
    let output = finished
        .outcome
        .as_ref()
        .ok()
        .map(codec::encode)
        .transpose()?;
    let shown = |bytes: &Option<Vec<u8>>| {
        bytes
            .as_deref()
            .map_or_else(String::new, |bytes| codec::to_json(bytes).to_string())
    };
    if output != row.output {
        differ("output", shown(&row.output), shown(&output));
    }
    differ(
        "host calls",
        receipt.host_calls.to_string(),
        finished.closed.receipt.host_calls.to_string(),
    );
    differ(
        "fuel",
        receipt.fuel.to_string(),
        finished.closed.receipt.fuel.to_string(),
    );
    if let Some(kind) = &finished.closed.unasked {
        differ("calls", kind.clone(), "not asked for".to_owned());
    }
    Ok(Replayed {
        turn: row.id.clone(),
        version,
        same: differences.is_empty(),
        differences,
        receipt: finished.closed.receipt,
    })
}

/// A failure without what only operators may see.
fn for_people(failure: &Failure) -> Failure {
    Failure {
        detail: None,
        ..failure.clone()
    }
}

fn internal(error: &anyhow::Error) -> Failure {
    let mut failure = Failure::new(FailureCode::Internal, "The host could not run this turn.");
    failure.detail = Some(format!("{error:#}"));
    failure
}

fn status_name(status: TurnStatus) -> &'static str {
    match status {
        TurnStatus::Queued => "queued",
        TurnStatus::Running => "running",
        TurnStatus::Waiting => "waiting",
        TurnStatus::Completed => "completed",
        TurnStatus::Failed => "failed",
        TurnStatus::Cancelled => "cancelled",
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
