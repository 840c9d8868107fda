//! Running an ended turn again from its journal, with no effect outside.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};

use super::{Job, Runner};
use crate::codec;
use crate::runtime::{Failure, FailureCode, Finished};
use crate::store::TurnRow;
use crate::turn::feed::Feed;
use crate::turn::plan::{Pins, Plan};
use crate::turn::receipt::Receipt;

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
        let plan = self.plan_of_replay(&row, pins).await?;
        let version = plan.agent.version;
        let job = Job::of_row(&row, Arc::new(Feed::new(row.id.clone())))?;
        let input = self.with_history(&job, &plan.agent).await?;
        let finished = self.run_instance(&job, plan, &input).await;
        compare(&row, version, recorded, finished)
    }

    /// What the turn ran with, and nothing but its record to answer from.
    async fn plan_of_replay(&self, row: &TurnRow, pins: Pins) -> Result<Plan> {
        let recorded = self.store.journal(&row.tenant_id, &row.id).await?;
        let loaded = self
            .agents
            .resolve_version(&row.tenant_id, &row.agent, pins.version)
            .await
            .map_err(|failure| anyhow!(failure.message))?;
        Ok(Plan::of_replay(&loaded, pins, recorded))
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
