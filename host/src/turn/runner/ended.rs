//! The end of a turn, before it is stored.

use anyhow::Result;

use super::{Job, Start};
use crate::clock::now_ms;
use crate::codec;
use crate::runtime::bindings::types;
use crate::runtime::{Failure, FailureCode, Finished, Input, Output};
use crate::store::{FinishedTurn, TurnStatus, TurnSummary};
use crate::turn::receipt::Receipt;
use crate::turn::window::{Closed, Identity};

/// A turn's end before it is stored.
pub(super) struct Ended {
    pub(super) outcome: Result<Output, Failure>,
    pub(super) receipt: Receipt,
    pub(super) closed: Option<Closed>,
    pub(super) ran: Option<Ran>,
}

/// What is known of a turn when it has begun.
#[derive(Clone, Copy)]
pub(super) struct Ran {
    pub(super) version: i64,
    pub(super) started_at: i64,
    pub(super) attempts: i64,
}

impl Ended {
    pub(super) fn without_run(failure: Failure) -> Self {
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

    /// A turn that was stopped between two runs.
    pub(super) fn stopped(failure: Failure, receipt: Receipt) -> Self {
        Self {
            receipt,
            ..Self::without_run(failure)
        }
    }

    pub(super) fn of(finished: Finished) -> Self {
        let Finished { outcome, closed } = finished;
        Self {
            outcome,
            receipt: closed.receipt.clone(),
            closed: Some(closed),
            ran: None,
        }
    }

    pub(super) fn status(&self) -> TurnStatus {
        match &self.outcome {
            Ok(_) => TurnStatus::Completed,
            Err(failure) if failure.code == FailureCode::Cancelled => TurnStatus::Cancelled,
            Err(_) => TurnStatus::Failed,
        }
    }

    pub(super) fn into_row(mut self, job: &Job) -> Result<(FinishedTurn, Option<Ran>)> {
        let Identity { tenant, turn, .. } = &job.identity;
        let status = self.status();
        let for_parent = match &job.parent {
            Some(_) => Some(codec::encode(&for_parent(&self.outcome))?),
            None => None,
        };
        let (output, text, error) = match &self.outcome {
            Ok(output) => (Some(codec::encode(output)?), reply_text(output), None),
            Err(failure) => (None, None, Some(serde_json::to_string(failure)?)),
        };
        let closed = self.closed.take();
        let journal = closed.map(|closed| closed.journal).unwrap_or_default();
        let row = FinishedTurn {
            tenant: tenant.clone(),
            id: turn.clone(),
            status,
            output,
            text,
            error,
            receipt: serde_json::to_string(&self.receipt)?,
            journal,
            for_parent,
            callback: job.callback.clone(),
            went_on: job.start != Start::First && matches!(job.input, Input::Event(_)),
            finished_at: now_ms(),
        };
        Ok((row, self.ran))
    }
}

/// What is told of an ended turn, without reading it back.
pub(super) fn summary(job: &Job, row: &FinishedTurn, ran: Option<Ran>) -> TurnSummary {
    TurnSummary {
        id: row.id.clone(),
        kind: job.input.kind(),
        agent: job.agent.clone(),
        version: ran.map(|ran| ran.version),
        conversation: job.identity.conversation.clone(),
        user_id: job.identity.user.clone(),
        channel: job.identity.channel.clone(),
        token: job.token.clone(),
        steered: None,
        parent: job.parent.as_ref().map(|parent| parent.turn.clone()),
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

/// What the turn that waits for this one gets.
fn for_parent(outcome: &Result<Output, Failure>) -> Result<types::Reply, types::Error> {
    match outcome {
        Ok(Output::Reply(reply)) => Ok(reply.clone()),
        Ok(Output::Received | Output::Response(_)) => Err(Failure::new(
            FailureCode::AgentUnavailable,
            "it answered with something that is no reply",
        )
        .for_agents()),
        Err(failure) => Err(failure.for_agents()),
    }
}

fn reply_text(output: &Output) -> Option<String> {
    match output {
        Output::Reply(reply) => Some(reply.text.clone()),
        Output::Received | Output::Response(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::runtime::bindings::events::Event;
    use crate::turn::feed::Feed;

    fn job(start: Start) -> Job {
        Job {
            identity: Identity {
                tenant: "default".to_owned(),
                turn: "t".to_owned(),
                channel: "events".to_owned(),
                conversation: None,
                user: None,
                hops: 0,
            },
            agent: "a".to_owned(),
            seed: [0; 32],
            position: None,
            input: Input::Event(Event {
                id: "e".to_owned(),
                topic: "a.b".to_owned(),
                source: "system".to_owned(),
                data_json: "{}".to_owned(),
                ordering_key: None,
                correlation: None,
                at_ms: 0,
                attempt: 1,
            }),
            token: None,
            parent: None,
            callback: None,
            created_at: 0,
            start,
            feed: Arc::new(Feed::new("t".to_owned())),
        }
    }

    #[test]
    fn the_delivery_of_an_event_goes_on_with_a_turn_that_went_on() {
        for (start, expected) in [
            (Start::First, false),
            (Start::Woken, true),
            // It may have waited before the host ended.
            (Start::Recovered, true),
        ] {
            let failure = Failure::new(FailureCode::Cancelled, "stopped");
            let ended = Ended::without_run(failure);
            let (row, _) = ended.into_row(&job(start)).unwrap();
            assert_eq!(row.went_on, expected, "{start:?}");
        }
    }
}
