//! Running an ended turn again from its journal, with no effect outside.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};

use super::{Job, Runner};
use crate::codec;
use crate::runtime::{Deadline, Failure, FailureCode, Finished, Run};
use crate::store::TurnRow;
use crate::turn::feed::Feed;
use crate::turn::plan::{Pins, Plan};
use crate::turn::receipt::Receipt;

/// What a re-run gave.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Replayed {
    pub turn: String,
    pub version: i64,
    /// Whether outcome, output and calls are the same, and the fuel, too, if it
    /// is the version that ran.
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
    /// Runs an ended turn again from its journal, with no effect outside, and
    /// compares: by the version that ran, which must come to the same byte for
    /// byte, or by `version`, whose calls are answered where the record has the
    /// same ones.
    ///
    /// # Errors
    ///
    /// If the turn or the version is not there, or the turn has not ended, or it
    /// was stopped from outside, so that it has no end of its own to compare with.
    pub async fn replay(&self, tenant: &str, turn: &str, version: Option<i64>) -> Result<Replayed> {
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
        let recorded = recorded_failure(&row)?;
        if recorded
            .as_ref()
            .is_some_and(|failure| is_from_outside(failure.code))
        {
            bail!("turn {turn} was stopped from outside, so there is nothing to compare with");
        }
        let is_exact = version.is_none_or(|version| version == pins.version);
        let plan = self.plan_of_replay(&row, pins, version).await?;
        let version = plan.agent.version;
        let job = Job::of_row(&row, Arc::new(Feed::new(row.id.clone())))?;
        let input = self.with_history(&job, &plan.agent).await?;
        let deadline = Deadline::after_ms(plan.agent.limits.wall_ms);
        let Run::Finished(finished) = self.run_instance(&job, plan, &input, &deadline).await else {
            bail!("a replay waits for nothing, and this one did");
        };
        compare(&row, version, is_exact, recorded, finished)
    }

    /// What is to run, and nothing but the record to answer from.
    async fn plan_of_replay(
        &self,
        row: &TurnRow,
        pins: Pins,
        version: Option<i64>,
    ) -> Result<Plan> {
        let recorded = self.store.journal(&row.tenant_id, &row.id).await?;
        let wanted = version.unwrap_or(pins.version);
        let (tenant, agent) = (&row.tenant_id, &row.agent);
        let known = self.store.agent_version(tenant, agent, Some(wanted));
        if known.await?.is_none() {
            bail!("agent {agent} has no version {wanted}; see: anchorhold agents show {agent}");
        }
        let loaded = self
            .agents
            .resolve_version(tenant, agent, wanted)
            .await
            .map_err(|failure| anyhow!(failure.message))?;
        Ok(if wanted == pins.version {
            Plan::of_replay(&loaded, pins, recorded)
        } else {
            Plan::of_comparison(loaded, pins.started_ms, recorded)
        })
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

/// What differs between a turn as it was and as it came out again. The fuel of
/// another version is told and does not count.
fn compare(
    row: &TurnRow,
    version: i64,
    is_exact: bool,
    recorded: Option<Failure>,
    finished: Finished,
) -> Result<Replayed> {
    let before: Receipt = serde_json::from_str(row.receipt.as_deref().unwrap_or("{}"))
        .context("the receipt cannot be read")?;
    let Finished { outcome, closed } = finished;
    let mut found = Differences::default();
    found.add(
        "outcome",
        ended(recorded.as_ref()),
        ended(outcome.as_ref().err()),
    );
    let output = outcome.as_ref().ok().map(codec::encode).transpose()?;
    found.add(
        "output",
        shown(row.output.as_deref()),
        shown(output.as_deref()),
    );
    let after = closed.receipt;
    found.add("host calls", before.host_calls, after.host_calls);
    for call in closed.unasked {
        found.add("calls", call, "not asked for");
    }
    for call in closed.unrecorded {
        found.add("calls", "not asked for", call);
    }
    let same = found.0.is_empty();
    found.add("fuel", before.fuel, after.fuel);
    Ok(Replayed {
        turn: row.id.clone(),
        version,
        same: same && (!is_exact || found.0.is_empty()),
        differences: found.0,
        receipt: after,
    })
}

#[derive(Default)]
struct Differences(Vec<Difference>);

impl Differences {
    fn add(&mut self, what: &str, before: impl ToString, after: impl ToString) {
        let (before, after) = (before.to_string(), after.to_string());
        if before != after {
            self.0.push(Difference {
                what: what.to_owned(),
                before,
                after,
            });
        }
    }
}

fn ended(failure: Option<&Failure>) -> String {
    failure.map_or_else(
        || "completed".to_owned(),
        |failure| format!("{:?}: {}", failure.code, failure.message),
    )
}

fn shown(output: Option<&[u8]>) -> String {
    output.map_or_else(String::new, |bytes| codec::to_json(bytes).to_string())
}
