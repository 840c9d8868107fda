//! Running an ended turn again from its journal, with no effect outside.

mod report;

use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Map, Value};

pub use report::{Difference, Replayed};

use super::{Job, Runner};
use crate::codec;
use crate::registry::Manifest;
use crate::runtime::{Deadline, Failure, FailureCode, Loaded, ResolvedAgent, Run};
use crate::store::{AgentVersion, JournalEntry, TurnRow};
use crate::turn::comparison::Comparison;
use crate::turn::feed::Feed;
use crate::turn::journal::Journal;
use crate::turn::plan::{Pins, Plan};
use report::Before;

/// How a turn is run again; by what ran, if nothing is set.
#[derive(Debug, Clone, Default)]
pub struct Replay {
    /// Another version.
    pub version: Option<i64>,
    /// Digest of a component to run instead of the version's.
    pub component: Option<String>,
    /// Configuration to run with instead of the version's.
    pub config: Option<Map<String, Value>>,
    /// Model calls that were not recorded are made for so much, in millionths of
    /// a dollar.
    pub live_micro_usd: Option<u64>,
}

impl Replay {
    /// Whether it is what ran, so that it must come to the same.
    fn is_exact(&self, ran: i64) -> bool {
        self.version.is_none_or(|version| version == ran)
            && self.component.is_none()
            && self.config.is_none()
            && self.live_micro_usd.is_none()
    }
}

impl Runner {
    /// Runs an ended turn again from its journal, with no effect outside, and
    /// compares: by what ran, which must come to the same byte for byte, or by
    /// something else, whose calls are answered where the record has the same
    /// ones.
    ///
    /// # Errors
    ///
    /// If the turn, the version or the component is not there, or the turn has
    /// not ended, or it was stopped from outside, so that it has no end of its
    /// own to compare with, or its journal cannot be read by this host.
    pub async fn replay(&self, tenant: &str, turn: &str, how: Replay) -> Result<Replayed> {
        let row = self
            .store
            .turn(tenant, turn)
            .await?
            .ok_or_else(|| anyhow!("there is no turn {turn}"))?;
        if !row.status.is_final() || row.receipt.is_none() {
            bail!("turn {turn} has not ended");
        }
        let Some(pins) = Pins::of(&row)? else {
            bail!("turn {turn} was never run");
        };
        let failure = recorded_failure(&row)?;
        if failure
            .as_ref()
            .is_some_and(|failure| is_from_outside(failure.code))
        {
            bail!("turn {turn} was stopped from outside, so there is nothing to compare with");
        }
        let before = Before {
            failure,
            is_exact: how.is_exact(pins.version),
            usage: self.store.usage_of_turn(tenant, turn).await?,
        };
        let plan = self.plan_of_replay(&row, pins, how).await?;
        let agent = Arc::clone(&plan.agent);
        let job = Job::of_row(&row, Arc::new(Feed::new(row.id.clone())))?;
        let input = self.with_history(&job, &agent).await?;
        let deadline = Deadline::after_ms(agent.limits.wall_ms);
        let run = self.run_instance(&job, plan, &input, &deadline).await;
        let Run::Finished(mut finished) = run else {
            bail!("a replay waits for nothing, and this one did");
        };
        let account = finished.closed.comparison.account.clone();
        let usage = std::mem::take(&mut finished.closed.journal.usage);
        if !usage.is_empty() {
            let tenant = tenant.to_owned();
            self.store.append_usage(tenant, account, usage).await?;
        }
        report::compare(&row, &agent, before, finished)
    }

    /// What is to run, and the record to answer from.
    async fn plan_of_replay(&self, row: &TurnRow, pins: Pins, how: Replay) -> Result<Plan> {
        let recorded = self.store.journal(&row.tenant_id, &row.id).await?;
        check_format(row, &recorded)?;
        let mut version = self.version_of_replay(row, &pins, &how).await?;
        if let Some(digest) = &how.component {
            self.put_component(&row.tenant_id, &mut version, digest)
                .await?;
        }
        let loaded = self.agents.load_version(version).await;
        let loaded = loaded.map_err(|failure| anyhow!(in_full(failure)))?;
        if how.is_exact(pins.version) {
            return Ok(Plan::of_replay(&loaded, pins, recorded));
        }
        let comparison = Comparison::new(how.live_micro_usd);
        Ok(Plan::of_comparison(
            configured(loaded, how.config),
            pins.started_ms,
            Journal::compare(recorded, comparison),
        ))
    }

    async fn version_of_replay(
        &self,
        row: &TurnRow,
        pins: &Pins,
        how: &Replay,
    ) -> Result<AgentVersion> {
        let wanted = how.version.unwrap_or(pins.version);
        let agent = &row.agent;
        let known = self
            .store
            .agent_version(&row.tenant_id, agent, Some(wanted))
            .await?;
        known.with_context(|| {
            format!("agent {agent} has no version {wanted}; see: anchorhold agents show {agent}")
        })
    }

    /// Puts another component into a version, with its own manifest; one that
    /// says nothing of itself keeps that of the version.
    async fn put_component(
        &self,
        tenant: &str,
        version: &mut AgentVersion,
        digest: &str,
    ) -> Result<()> {
        let row = self.store.component(tenant, digest).await?;
        let row =
            row.with_context(|| format!("there is no component {digest}; upload it first"))?;
        if version.digest == row.digest {
            return Ok(());
        }
        let manifest: Manifest = serde_json::from_str(&row.manifest)
            .with_context(|| format!("the manifest of component {digest} cannot be read"))?;
        if manifest != Manifest::default() {
            version.spec.manifest = manifest;
        }
        version.digest = row.digest;
        Ok(())
    }
}

fn configured(loaded: Loaded, config: Option<Map<String, Value>>) -> Loaded {
    let Some(config) = config else {
        return loaded;
    };
    let agent = ResolvedAgent {
        config,
        ..ResolvedAgent::clone(&loaded.agent)
    };
    Loaded {
        agent: Arc::new(agent),
        ..loaded
    }
}

/// Refuses what only a newer host can read, before anything is run.
fn check_format(row: &TurnRow, recorded: &[JournalEntry]) -> Result<()> {
    let results = recorded.iter().filter_map(|entry| entry.result.as_ref());
    let args = recorded.iter().map(|entry| &entry.args);
    let of_turn = std::iter::once(&row.input).chain(&row.output);
    for bytes in of_turn.chain(args).chain(results) {
        codec::check(bytes)
            .with_context(|| format!("the journal of turn {} cannot be read", row.id))?;
    }
    Ok(())
}

fn in_full(failure: Failure) -> String {
    match failure.detail {
        Some(detail) => format!("{} {detail}", failure.message),
        None => failure.message,
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
