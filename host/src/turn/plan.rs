//! What a turn runs with: the agent as it is now, or, for a turn that an earlier
//! process left unfinished, what that was pinned to and what it recorded.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};

use super::journal::{Beginning, Journal};
use super::runner::{Job, Start};
use super::window::Used;
use crate::clock::now_ms;
use crate::config::Limits;
use crate::runtime::{Agents, Failure, FailureCode, Loaded, ResolvedAgent};
use crate::store::{Begin, JournalEntry, Store, TurnRow};

/// A turn that was started so often and never ended is not started again, so
/// that one that stops the host harms nobody for ever.
const MAX_STARTS: i64 = 5;

/// What a turn runs with.
pub(super) struct Plan {
    pub(super) agent: Arc<ResolvedAgent>,
    pub(super) load: Duration,
    pub(super) compile: Duration,
    /// When the turn began first, milliseconds since 1970.
    pub(super) started_ms: i64,
    /// To be stored; none where it is, or nothing is.
    pub(super) beginning: Option<Arc<Beginning>>,
    pub(super) journal: Journal,
    /// How often it was started, this time included.
    pub(super) attempts: i64,
    /// What it used before, if it was started before.
    pub(super) used: Option<Used>,
    /// Fuel of runs that gave up their instances to wait.
    pub(super) rerun_fuel: u64,
}

impl Plan {
    /// The plan of a turn.
    ///
    /// # Errors
    ///
    /// Why it cannot be run.
    pub(super) async fn of(job: &Job, store: &Store, agents: &Agents) -> Result<Self, Failure> {
        let (row, attempts) = match job.start {
            Start::First => return Self::first(job, agents).await,
            Start::Recovered => {
                let row = taken_up(job, store).await?;
                let attempts = row.attempts.max(1) + 1;
                (row, attempts)
            }
            Start::Woken => {
                let row = row_of(job, store).await?;
                let attempts = row.attempts;
                (row, attempts)
            }
        };
        let plan = match Pins::of(&row).map_err(|error| internal(&error))? {
            Some(pins) => Self::resumed(row, pins, store, agents).await?,
            None => Self::first(job, agents).await?,
        };
        Ok(Self { attempts, ..plan })
    }

    /// The plan of the next run of a turn whose last run gave up its instance.
    ///
    /// # Errors
    ///
    /// Why it cannot be run.
    pub(super) async fn again(job: &Job, store: &Store, agents: &Agents) -> Result<Self, Failure> {
        let woken = Job {
            start: Start::Woken,
            ..job.clone()
        };
        Self::of(&woken, store, agents).await
    }

    async fn first(job: &Job, agents: &Agents) -> Result<Self, Failure> {
        let loaded = agents.resolve(&job.identity.tenant, &job.agent).await?;
        let started_ms = now_ms();
        let begin = begin(&loaded.agent, started_ms).map_err(|error| internal(&error))?;
        let beginning = Arc::new(Beginning::new(begin));
        Ok(Self {
            agent: loaded.agent,
            load: loaded.load,
            compile: loaded.compile,
            started_ms,
            journal: Journal::live(Some(Arc::clone(&beginning))),
            beginning: Some(beginning),
            attempts: 1,
            used: None,
            rerun_fuel: 0,
        })
    }

    async fn resumed(
        row: TurnRow,
        pins: Pins,
        store: &Store,
        agents: &Agents,
    ) -> Result<Self, Failure> {
        let tenant = &row.tenant_id;
        let loaded = agents
            .resolve_version(tenant, &row.agent, pins.version)
            .await?;
        let recorded = store.journal(tenant, &row.id);
        let used = used_by(store, tenant, &row.id);
        let (recorded, used) =
            tokio::try_join!(recorded, used).map_err(|error| internal(&error))?;
        Ok(Self {
            journal: Journal::resume(recorded),
            used: Some(used),
            rerun_fuel: row.rerun_fuel.unsigned_abs(),
            ..Self::of_replay(&loaded, pins, Vec::new())
        })
    }

    /// The plan of a re-run by something else: its own limits, and a journal to
    /// compare with.
    pub(super) fn of_comparison(loaded: Loaded, started_ms: i64, journal: Journal) -> Self {
        Self {
            agent: loaded.agent,
            load: loaded.load,
            compile: loaded.compile,
            started_ms,
            beginning: None,
            journal,
            attempts: 1,
            used: None,
            rerun_fuel: 0,
        }
    }

    /// The plan of a re-run from the record alone.
    pub(super) fn of_replay(loaded: &Loaded, pins: Pins, recorded: Vec<JournalEntry>) -> Self {
        Self {
            agent: Arc::new(loaded.agent.with_limits(pins.limits)),
            load: loaded.load,
            compile: loaded.compile,
            started_ms: pins.started_ms,
            beginning: None,
            journal: Journal::replay(recorded),
            attempts: 1,
            used: None,
            rerun_fuel: 0,
        }
    }
}

/// What a turn was pinned to when it began.
pub(super) struct Pins {
    pub(super) version: i64,
    pub(super) limits: Limits,
    pub(super) started_ms: i64,
}

impl Pins {
    /// The pins of a turn; none if it has not begun.
    ///
    /// # Errors
    ///
    /// If they were written by another version of the host.
    pub(super) fn of(row: &TurnRow) -> Result<Option<Self>> {
        let (Some(version), Some(limits), Some(started_ms)) =
            (row.version, &row.limits, row.started_at)
        else {
            return Ok(None);
        };
        let limits = serde_json::from_str(limits).context("the turn's limits cannot be read")?;
        Ok(Some(Self {
            version,
            limits,
            started_ms,
        }))
    }
}

async fn row_of(job: &Job, store: &Store) -> Result<TurnRow, Failure> {
    let row = store.turn(&job.identity.tenant, &job.identity.turn).await;
    row.and_then(|row| row.context("the turn is gone"))
        .map_err(|error| internal(&error))
}

/// What a turn that is not run now used, and what calls cost whose answers were
/// lost.
pub(super) async fn used_by(store: &Store, tenant: &str, turn: &str) -> Result<Used> {
    let paid = store.usage_of_turn(tenant, turn);
    let lost = store.lost_calls_of(tenant, turn);
    let (paid, lost) = tokio::try_join!(paid, lost)?;
    Ok(Used { paid, lost })
}

/// Counts another start of a turn, before it runs: it may end the process.
async fn taken_up(job: &Job, store: &Store) -> Result<TurnRow, Failure> {
    let row = row_of(job, store).await?;
    if row.attempts >= MAX_STARTS {
        return Err(Failure::new(
            FailureCode::Interrupted,
            format!("The host stopped {MAX_STARTS} times while this turn was running."),
        ));
    }
    store
        .start_again(&row.tenant_id, &row.id)
        .await
        .map_err(|error| internal(&error))?;
    Ok(row)
}

fn begin(agent: &ResolvedAgent, started_at: i64) -> Result<Begin> {
    Ok(Begin {
        version: agent.version,
        digest: agent.digest.clone(),
        limits: serde_json::to_string(&agent.limits)?,
        started_at,
    })
}

/// The failure of a turn that the host could not run.
pub(super) fn internal(error: &anyhow::Error) -> Failure {
    let mut failure = Failure::new(FailureCode::Internal, "The host could not run this turn.");
    failure.detail = Some(format!("{error:#}"));
    failure
}
