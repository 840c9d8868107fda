//! Delivery: events that are due become turns of the agents that subscribe, in
//! order within an agent and ordering key, again and later when they fail. An
//! agent that hangs takes only its share of the places.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::Bus;
use crate::clock::now_ms;
use crate::config;
use crate::inbox::{Admitted, Inbound, Inbox};
use crate::killpoint;
use crate::runtime::Input;
use crate::runtime::bindings::events::Event;
use crate::store::{Delivery, DeliveryKey, Store, TurnStatus};
use crate::turn::Feeds;

/// The channel of turns that handle events.
pub const CHANNEL: &str = "events";

/// How long to wait at most before looking again.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How long to wait after the store failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// How long to wait before looking again at a turn whose end was not stored, in
/// milliseconds.
const UNSTORED_MS: i64 = 60_000;

/// A delivery that is under way: the agent, by tenant and name, and the event's
/// position.
type UnderWay = ((String, String), i64);

/// Delivers events as long as the host runs.
pub struct Dispatcher {
    store: Arc<Store>,
    inbox: Arc<Inbox>,
    feeds: Arc<Feeds>,
    bus: Arc<Bus>,
    config: config::Events,
    under_way: Mutex<HashSet<UnderWay>>,
}

impl Dispatcher {
    /// A dispatcher of what `bus` is woken for.
    pub fn new(
        store: Arc<Store>,
        inbox: Arc<Inbox>,
        feeds: Arc<Feeds>,
        bus: Arc<Bus>,
        config: config::Events,
    ) -> Self {
        Self {
            store,
            inbox,
            feeds,
            bus,
            config,
            under_way: Mutex::default(),
        }
    }

    /// Delivers until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let wait = match self.start_due().await {
                Ok(wait) => wait,
                Err(error) => {
                    error!(error = %format!("{error:#}"), "due events cannot be read");
                    AFTER_FAILURE
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.bus.published() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Starts what is due; answers how long to wait for more.
    async fn start_due(self: &Arc<Self>) -> Result<Duration> {
        // Before the look, so that nothing falls between.
        let now = now_ms();
        while self.start_some().await? {}
        let wait = match self.store.next_delivery_at(now).await? {
            Some(at) => Duration::from_millis((at - now_ms()).max(0).unsigned_abs()),
            None => LONGEST_WAIT,
        };
        Ok(wait.min(LONGEST_WAIT))
    }

    /// Starts what is due, as far as there is room; answers whether an agent had
    /// none, so that others may be due behind it.
    async fn start_some(self: &Arc<Self>) -> Result<bool> {
        let mut busy = self.busy();
        let mut free = self.config.concurrent.saturating_sub(busy.values().sum());
        if free == 0 {
            return Ok(false);
        }
        // What is under way is due as well, so it is asked for besides.
        let limit = free + busy.values().sum::<usize>();
        let most = self.config.concurrent_per_agent.max(1);
        let full = busy.iter().filter(|(_, count)| **count >= most);
        let full: Vec<(String, String)> = full.map(|(agent, _)| agent.clone()).collect();
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let mut passed_over = false;
        for delivery in self.store.due_deliveries(limit, &full).await? {
            let agent = (delivery.tenant_id.clone(), delivery.agent.clone());
            let count = busy.entry(agent).or_default();
            if *count >= most {
                passed_over = true;
            } else if free > 0 && self.start(delivery) {
                *count += 1;
                free -= 1;
            }
        }
        Ok(passed_over && free > 0)
    }

    /// Starts a delivery, unless it is under way.
    fn start(self: &Arc<Self>, delivery: Delivery) -> bool {
        let agent = (delivery.tenant_id.clone(), delivery.agent.clone());
        let key = (agent, delivery.event.position);
        if !self.under_way().insert(key.clone()) {
            return false;
        }
        let this = Arc::clone(self);
        tokio::spawn(async move {
            this.deliver(delivery).await;
            this.under_way().remove(&key);
            this.bus.wake();
        });
        true
    }

    /// How many deliveries to each agent are under way.
    fn busy(&self) -> HashMap<(String, String), usize> {
        let mut busy = HashMap::new();
        for (agent, _) in self.under_way().iter() {
            *busy.entry(agent.clone()).or_default() += 1;
        }
        busy
    }

    async fn deliver(&self, delivery: Delivery) {
        let settled = match self.attempt(&delivery).await {
            Ok(Some(settled)) => settled,
            Ok(None) => return,
            Err(error) => self.failed(&delivery, format!("{error:#}"), None),
        };
        let stored = self
            .store
            .settle_delivery(
                &delivery,
                settled.status,
                settled.next_at,
                settled.error,
                settled.turn,
            )
            .await;
        killpoint::reached(killpoint::Place::DeliverySettled);
        if let Err(error) = stored {
            error!(event = delivery.event.id, error = %format!("{error:#}"), "a delivery cannot be settled; it will be made again");
            tokio::time::sleep(AFTER_FAILURE).await;
        }
    }

    /// Delivers; none if that is not settled yet.
    async fn attempt(&self, delivery: &Delivery) -> Result<Option<Settled>> {
        if delivery.expires_at.is_some_and(|at| at <= now_ms()) {
            return Ok(Some(Settled {
                status: "expired",
                next_at: now_ms(),
                error: None,
                turn: None,
            }));
        }
        let turn = match &delivery.turn {
            // It began and goes on by itself: it waited, or an earlier process
            // left it.
            Some(turn) => turn.clone(),
            None => self.begin(delivery).await?,
        };
        killpoint::reached(killpoint::Place::DeliveryBegun);
        if let Some(feed) = self.feeds.get(&turn) {
            feed.rested().await;
        }
        killpoint::reached(killpoint::Place::DeliveryEnded);
        let row = self
            .store
            .turn_summary(&delivery.tenant_id, &turn)
            .await?
            .context("the turn of a delivery is gone")?;
        if row.status == TurnStatus::Completed {
            return Ok(Some(Settled {
                status: "done",
                next_at: now_ms(),
                error: None,
                turn: Some(turn),
            }));
        }
        if !row.status.is_final() {
            // It waits, or its end could not be stored.
            let next_at = now_ms().saturating_add(UNSTORED_MS);
            self.store.defer_delivery(delivery, &turn, next_at).await?;
            return Ok(None);
        }
        Ok(Some(self.failed(
            delivery,
            row.error.unwrap_or_default(),
            Some(turn),
        )))
    }

    /// Makes a turn of a delivery; answers its id.
    async fn begin(&self, delivery: &Delivery) -> Result<String> {
        let seat = self
            .inbox
            .wait_for_seat()
            .await
            .context("the host is stopping")?;
        let inbound = Inbound {
            tenant: delivery.tenant_id.clone(),
            agent: delivery.agent.clone(),
            channel: CHANNEL.to_owned(),
            user: None,
            token: None,
            input: Input::Event(event_of(delivery)),
            idempotency: None,
            delivery: Some(DeliveryKey {
                event: delivery.event.position,
                agent: delivery.agent.clone(),
            }),
            parent: None,
            callback: None,
            only_if_idle: false,
        };
        let Admitted::Turn(feed) = self.inbox.admit(inbound, seat).await? else {
            anyhow::bail!("an event was taken for a repeated request");
        };
        Ok(feed.turn.clone())
    }

    /// What comes after a failure: another attempt, later each time, or none.
    fn failed(&self, delivery: &Delivery, error: String, turn: Option<String>) -> Settled {
        let attempts = u32::try_from(delivery.attempts + 1).unwrap_or(u32::MAX);
        let (event, agent) = (&delivery.event.id, &delivery.agent);
        if attempts >= self.config.max_attempts {
            warn!(event, agent, attempts, "an event is a dead letter now");
            metrics::counter!("anchorhold_events_dead_total").increment(1);
            return Settled {
                status: "dead",
                next_at: now_ms(),
                error: Some(error),
                turn,
            };
        }
        let factor = 1u64.checked_shl(attempts - 1).unwrap_or(u64::MAX);
        let wait = self
            .config
            .backoff_ms
            .saturating_mul(factor)
            .min(self.config.max_backoff_ms);
        let next_at = now_ms().saturating_add(i64::try_from(wait).unwrap_or(i64::MAX));
        Settled {
            status: "pending",
            next_at,
            error: Some(error),
            turn: None,
        }
    }

    fn under_way(&self) -> MutexGuard<'_, HashSet<UnderWay>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// How an attempt ended.
struct Settled {
    status: &'static str,
    next_at: i64,
    error: Option<String>,
    turn: Option<String>,
}

fn event_of(delivery: &Delivery) -> Event {
    let event = &delivery.event;
    Event {
        id: event.id.clone(),
        topic: event.topic.clone(),
        source: event.source.clone(),
        data_json: event.data.clone(),
        ordering_key: event.ordering_key.clone(),
        correlation: event.correlation.clone(),
        at_ms: event.at.unsigned_abs(),
        attempt: u32::try_from(delivery.attempts + 1).unwrap_or(u32::MAX),
    }
}
