//! Events that the host itself publishes, and the topics that are kept for it.
//!
//! Any agent may subscribe to them, so they carry names and numbers and nothing
//! that people or agents said.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::clock::now_ms;
use crate::runtime::{Failure, FailureCode};
use crate::store::{Delivery, NewEvent, Rating};

/// The first words of topics that only the host publishes.
const RESERVED: [&str; 5] = ["system", "agent", "workflow", "improvement", "user"];

/// The topic of a delivery that failed for good.
const DEAD_LETTER: &str = "system.dead-letter";

/// The first word of a topic, if only the host publishes topics with it.
pub(super) fn reserved(topic: &str) -> Option<&str> {
    let first = topic.split('.').next()?;
    RESERVED.contains(&first).then_some(first)
}

/// An event of the host.
pub fn of_host(tenant: &str, topic: &str, data: &Value) -> NewEvent {
    NewEvent {
        tenant: tenant.to_owned(),
        id: Uuid::now_v7().to_string(),
        topic: topic.to_owned(),
        source: "system".to_owned(),
        data: data.to_string(),
        ordering_key: None,
        correlation: None,
        priority: super::publication::DEFAULT_PRIORITY,
        hops: 0,
        due_at: now_ms(),
        expires_at: None,
    }
}

/// An agent answers for the first time, or again.
pub fn agent_registered(tenant: &str, agent: &str, version: i64, component: &str) -> NewEvent {
    let data = json!({ "agent": agent, "version": version, "component": component });
    of_agent(tenant, agent, "agent.registered", &data)
}

/// Another version of an agent answers.
pub fn agent_updated(tenant: &str, agent: &str, version: i64) -> NewEvent {
    let data = json!({ "agent": agent, "version": version });
    of_agent(tenant, agent, "agent.updated", &data)
}

/// An agent answers no longer.
pub fn agent_removed(tenant: &str, agent: &str) -> NewEvent {
    of_agent(tenant, agent, "agent.removed", &json!({ "agent": agent }))
}

/// The file of an agent cannot be used.
pub fn agent_broken(tenant: &str, agent: &str) -> NewEvent {
    of_agent(tenant, agent, "agent.broken", &json!({ "agent": agent }))
}

/// A question to a person has ended: `answered`, `refused` or `expired`. What
/// was asked and said stays with the turn.
pub fn user_answered(tenant: &str, agent: &str, turn: &str, call: i64, outcome: &str) -> NewEvent {
    let data = json!({ "agent": agent, "turn": turn, "call": call, "outcome": outcome });
    of_host(tenant, "user.answered", &data)
}

/// A person has rated an answer.
pub fn user_feedback(tenant: &str, agent: &str, turn: &str, rating: Rating) -> NewEvent {
    let data = json!({ "agent": agent, "turn": turn, "rating": rating });
    of_host(tenant, "user.feedback", &data)
}

/// A person may not use an agent (in a channel of Slack).
pub fn user_denied(
    tenant: &str,
    user: &str,
    (channel, agent): (&str, &str),
    why: &str,
) -> NewEvent {
    let data = json!({ "agent": agent, "user": user, "channel": channel, "why": why });
    of_host(tenant, "user.denied", &data)
}

/// What happened to one agent arrives in order.
fn of_agent(tenant: &str, agent: &str, topic: &str, data: &Value) -> NewEvent {
    NewEvent {
        ordering_key: Some(format!("agent:{agent}")),
        ..of_host(tenant, topic, data)
    }
}

/// A share of a budget is used.
pub fn budget_used(tenant: &str, scope: &str, window: &str, percent: i64) -> NewEvent {
    let data = json!({ "scope": scope, "window": window, "percent": percent });
    of_host(tenant, "system.budget-used", &data)
}

/// A delivery that failed for good, unless it was one of this topic itself.
pub fn dead_letter(delivery: &Delivery, error: Option<&str>) -> Option<NewEvent> {
    let event = &delivery.event;
    if event.topic == DEAD_LETTER {
        return None;
    }
    let failure = error.and_then(|error| serde_json::from_str::<Failure>(error).ok());
    let data = json!({
        "event": event.id, "topic": event.topic, "agent": delivery.agent,
        "attempts": delivery.attempts + 1,
        "code": failure.map_or(FailureCode::Internal, |failure| failure.code),
    });
    Some(NewEvent {
        correlation: event.correlation.clone(),
        hops: u32::try_from(event.hops + 1).unwrap_or(u32::MAX),
        ..of_host(&delivery.tenant_id, DEAD_LETTER, &data)
    })
}
