//! What went in and out: calls of the Web API, and what was delivered to the app.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::World;

/// A call of the Web API and what became of it.
#[derive(Debug, Clone, Serialize)]
pub(in crate::dev::slack) struct Call {
    pub(in crate::dev::slack) n: usize,
    pub(in crate::dev::slack) at_ms: i64,
    pub(in crate::dev::slack) method: String,
    pub(in crate::dev::slack) args: Value,
    pub(in crate::dev::slack) ok: bool,
    pub(in crate::dev::slack) error: Option<String>,
    /// What was made to go wrong.
    pub(in crate::dev::slack) fault: Option<String>,
}

/// How something is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::dev::slack) enum Transport {
    EventsApi,
    SlashCommands,
    Interactive,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::dev::slack) enum DeliveryState {
    Pending,
    Acked,
    Failed,
    Dropped,
}

/// What an acknowledgement is for, where it may say more than that.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::dev::slack) enum About {
    Event,
    Command { channel: String, user: String },
    Submission { view: String },
    Interaction,
}

/// One try.
#[derive(Debug, Clone, Serialize)]
pub(in crate::dev::slack) struct Attempt {
    pub(in crate::dev::slack) at_ms: i64,
    pub(in crate::dev::slack) latency_ms: f64,
    /// `acked`, or Slack's word for why not.
    pub(in crate::dev::slack) outcome: String,
    pub(in crate::dev::slack) status: Option<u16>,
    pub(in crate::dev::slack) answer: Option<Value>,
}

/// Something for the app.
#[derive(Debug, Clone, Serialize)]
pub(in crate::dev::slack) struct Delivery {
    pub(in crate::dev::slack) n: usize,
    pub(in crate::dev::slack) at_ms: i64,
    pub(in crate::dev::slack) transport: Transport,
    /// The type of the event or interaction, or the command.
    pub(in crate::dev::slack) name: String,
    pub(in crate::dev::slack) payload: Value,
    pub(in crate::dev::slack) about: About,
    pub(in crate::dev::slack) state: DeliveryState,
    pub(in crate::dev::slack) attempts: Vec<Attempt>,
}

impl World {
    /// Puts something for the app on its way.
    pub(in crate::dev::slack) fn send(
        &mut self,
        transport: Transport,
        name: &str,
        payload: Value,
        about: About,
    ) -> usize {
        let n = self.deliveries.len();
        let delivery = Delivery {
            n,
            at_ms: self.now / 1_000,
            transport,
            name: name.to_owned(),
            payload,
            about,
            state: DeliveryState::Pending,
            attempts: Vec::new(),
        };
        self.deliveries.push(delivery);
        self.outbox.push(n);
        self.show_delivery(n);
        n
    }

    /// Writes down how a try went.
    pub(in crate::dev::slack) fn tried(&mut self, n: usize, attempt: Attempt) {
        let Some(delivery) = self.deliveries.get_mut(n) else {
            return;
        };
        if attempt.outcome == "acked" {
            delivery.state = DeliveryState::Acked;
        }
        delivery.attempts.push(attempt);
        self.show_delivery(n);
    }

    /// Writes down that no further try follows.
    pub(in crate::dev::slack) fn given_up(&mut self, n: usize, state: DeliveryState) {
        if let Some(delivery) = self.deliveries.get_mut(n) {
            delivery.state = state;
        }
        self.show_delivery(n);
    }

    fn show_delivery(&mut self, n: usize) {
        let shown = json!(self.deliveries.get(n));
        self.changed("delivery", shown);
    }

    /// Writes down a call; what it was answered is known by then.
    pub(in crate::dev::slack) fn called(&mut self, mut call: Call) {
        call.n = self.calls.len();
        let shown = json!(call);
        self.calls.push(call);
        self.changed("call", shown);
    }
}
