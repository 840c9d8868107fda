//! Brings events, commands and interactions to the app, by HTTP or through a socket, waits for
//! the acknowledgement as long as Slack does, and delivers events again as Slack does.

mod http;

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::sim::Sim;
use super::world::{Attempt, Delivery, DeliveryState, EventFaultKind, Transport};
use crate::clock::now_ms;

/// A try and how it is made.
#[derive(Debug, Clone, Default)]
pub(super) struct Try {
    /// Which redelivery; none the first time.
    pub(super) retry: Option<(usize, String)>,
    pub(super) wrong_signature: bool,
    pub(super) old_timestamp: bool,
}

/// What became of a try.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Slack's word for what went wrong; none if it was acknowledged.
    pub(super) failure: Option<&'static str>,
    pub(super) status: Option<u16>,
    pub(super) answer: Option<Value>,
    /// The app wants no further try.
    pub(super) no_retry: bool,
}

/// Delivers, in the background.
pub(super) fn start(sim: &Arc<Sim>, n: usize) {
    let sim = Arc::clone(sim);
    tokio::spawn(async move { begin(sim, n).await });
}

/// Lets go wrong what is to go wrong, and delivers.
async fn begin(sim: Arc<Sim>, n: usize) {
    let fault = sim.with(|world| {
        let name = world.deliveries.get(n).map(|it| it.name.clone())?;
        let (kind, is_last) = world.take_event_fault(&name)?;
        // At once, or the last one would not find all that are held back.
        let freed = match kind {
            EventFaultKind::Reverse => hold(&sim, n, is_last),
            _ => Vec::new(),
        };
        Some((kind, freed))
    });
    let mut how = Try::default();
    match fault {
        None => {}
        Some((EventFaultKind::Drop, _)) => {
            return sim.with(|world| world.given_up(n, DeliveryState::Dropped));
        }
        Some((EventFaultKind::Delay { ms }, _)) => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
        Some((EventFaultKind::Duplicate { copies }, _)) => {
            for _ in 0..copies {
                tokio::spawn(attempts(Arc::clone(&sim), n, Try::default()));
            }
        }
        Some((EventFaultKind::WrongSignature, _)) => how.wrong_signature = true,
        Some((EventFaultKind::OldTimestamp, _)) => how.old_timestamp = true,
        Some((EventFaultKind::Reverse, freed)) => {
            for n in freed.into_iter().rev() {
                attempts(Arc::clone(&sim), n, Try::default()).await;
            }
            return;
        }
    }
    attempts(sim, n, how).await;
}

/// Holds a delivery back; the last one frees all.
fn hold(sim: &Sim, n: usize, is_last: bool) -> Vec<usize> {
    let mut held = sim.held.lock().unwrap_or_else(PoisonError::into_inner);
    held.push(n);
    if is_last {
        std::mem::take(&mut *held)
    } else {
        Vec::new()
    }
}

/// Tries until it is acknowledged or Slack would give up.
async fn attempts(sim: Arc<Sim>, n: usize, mut how: Try) {
    let Some((delivery, settings)) = sim.with(|world| {
        let delivery = world.deliveries.get(n).cloned()?;
        Some((delivery, world.settings.clone()))
    }) else {
        return;
    };
    let is_event = matches!(delivery.transport, Transport::EventsApi);
    let delays = if is_event {
        settings.retry_delays_ms
    } else {
        Vec::new()
    };
    let patience = Duration::from_millis(settings.ack_timeout_ms);
    let mut failure = "unknown_error";
    for retry in 0..=delays.len() {
        if let Some(delay) = retry.checked_sub(1).and_then(|index| delays.get(index)) {
            tokio::time::sleep(Duration::from_millis(*delay)).await;
            how.retry = Some((retry, failure.to_owned()));
        }
        let outcome = attempt(&sim, &delivery, &how, patience).await;
        let Some(word) = outcome.failure else {
            return;
        };
        failure = word;
        if outcome.no_retry {
            break;
        }
    }
    sim.with(|world| {
        world.given_up(n, DeliveryState::Failed);
        let shown = if failure == "http_timeout" {
            "operation_timeout"
        } else {
            "dispatch_failed"
        };
        world.unanswered(n, shown);
    });
}

/// One try, written down, with what its acknowledgement says done.
async fn attempt(sim: &Arc<Sim>, delivery: &Delivery, how: &Try, patience: Duration) -> Outcome {
    let (at_ms, start) = (now_ms(), Instant::now());
    let outcome = match sim.options.socket_mode {
        true => by_socket(sim, delivery, how, patience).await,
        false => http::post(sim, delivery, how, patience).await,
    };
    let attempt = Attempt {
        at_ms,
        latency_ms: start.elapsed().as_secs_f64() * 1e3,
        outcome: outcome.failure.unwrap_or("acked").to_owned(),
        status: outcome.status,
        answer: outcome.answer.clone(),
    };
    sim.with(|world| {
        world.tried(delivery.n, attempt);
        if outcome.failure.is_none()
            && let Err(refusal) = world.acknowledged(delivery.n, outcome.answer.as_ref())
        {
            let shown =
                json!({"delivery": delivery.n, "error": refusal.error, "extra": refusal.extra});
            world.changed("refused", shown);
        }
    });
    outcome
}

async fn by_socket(sim: &Arc<Sim>, delivery: &Delivery, how: &Try, patience: Duration) -> Outcome {
    let mut envelope = json!({
        "type": delivery.transport, "payload": delivery.payload,
        "accepts_response_payload": !matches!(delivery.transport, Transport::EventsApi),
    });
    if matches!(delivery.transport, Transport::EventsApi) {
        let (number, reason) = how.retry.clone().unwrap_or((0, String::new()));
        // Slack's word for a missing acknowledgement differs from that of HTTP.
        let reason = reason.replace("http_timeout", "timeout");
        envelope["retry_attempt"] = json!(number);
        envelope["retry_reason"] = json!(reason);
    }
    match sim.ask(envelope, patience).await {
        Some(answer) => Outcome {
            answer,
            ..Outcome::default()
        },
        None => Outcome {
            failure: Some("http_timeout"),
            ..Outcome::default()
        },
    }
}

pub(super) use http::verify_url;
