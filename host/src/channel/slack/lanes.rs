//! What was stored is dealt with: in order within a lane, lanes beside each
//! other, again and later where that fails.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::Slack;
use super::message;
use super::web::Refused;
use crate::store::{SlackItem, SlackKind};

/// What is read at a time.
const BATCH: u32 = 256;

/// Lanes at the same time; more wait.
const LANES: usize = 64;

const TRIES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// How often Slack is looked for that cannot be reached, and how long.
const AFTER_OUTAGE: Duration = Duration::from_secs(5);
const LONGEST_OUTAGE: Duration = Duration::from_secs(3_600);

/// Why something was not dealt with.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It may work later.
    Later(anyhow::Error),
    /// It cannot be dealt with.
    Never(String),
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Self {
        Self::Later(error)
    }
}

/// What must be dealt with in order: what concerns one thread.
pub(super) fn lane(kind: SlackKind, payload: &Value) -> String {
    let event = match kind {
        SlackKind::Event => &payload["event"],
        SlackKind::Command | SlackKind::Interaction => payload,
    };
    let first = |pointers: &[&str]| {
        let found = pointers.iter().find_map(|at| event.pointer(at)?.as_str());
        found.unwrap_or_default().to_owned()
    };
    let channel = first(&[
        "/channel",
        "/item/channel",
        "/channel/id",
        "/channel_id",
        "/container/channel_id",
        // The home tab and forms have none.
        "/user/id",
    ]);
    let thread = first(&[
        "/thread_ts",
        "/message/thread_ts",
        "/previous_message/thread_ts",
        "/container/thread_ts",
        "/message/ts",
        "/previous_message/ts",
        "/item/ts",
        "/ts",
    ]);
    // Who types a command does not wait for others there.
    let who = match kind {
        SlackKind::Command => payload["user_id"].as_str().unwrap_or_default(),
        SlackKind::Event | SlackKind::Interaction => "",
    };
    format!("{channel}/{thread}{who}")
}

/// Deals with what was stored and is stored, until `stop`.
pub(super) async fn run(slack: Arc<Slack>, stop: CancellationToken) {
    let (finished, mut done) = mpsc::channel::<String>(LANES);
    let mut lanes: HashMap<String, VecDeque<SlackItem>> = HashMap::new();
    let mut waiting: VecDeque<SlackItem> = VecDeque::new();
    let mut after = 0;
    loop {
        let read = read(&slack, &mut after).await;
        let is_more = read.len() == BATCH as usize;
        waiting.extend(read);
        let mut held = VecDeque::new();
        for item in waiting.drain(..) {
            if let Some(queue) = lanes.get_mut(&item.lane) {
                queue.push_back(item);
            } else if lanes.len() < LANES {
                lanes.insert(item.lane.clone(), VecDeque::new());
                start(&slack, item, finished.clone());
            } else {
                held.push_back(item);
            }
        }
        waiting = held;
        let is_full = waiting.len() > BATCH as usize;
        tokio::select! {
            () = stop.cancelled() => return,
            () = async {}, if is_more && !is_full => {}
            () = slack.arrived.notified(), if !is_full => {}
            lane = done.recv() => {
                let Some(lane) = lane else { return };
                match lanes.get_mut(&lane).and_then(VecDeque::pop_front) {
                    Some(next) => start(&slack, next, finished.clone()),
                    None => drop(lanes.remove(&lane)),
                }
            }
        }
    }
}

async fn read(slack: &Slack, after: &mut i64) -> Vec<SlackItem> {
    match slack.host.store.pending_slack(*after, BATCH).await {
        Ok(items) => {
            *after = items.last().map_or(*after, |last| last.position);
            items
        }
        Err(error) => {
            error!(error = %format!("{error:#}"), "what came from Slack cannot be read");
            tokio::time::sleep(AFTER_FAILURE).await;
            slack.arrived.notify_one();
            Vec::new()
        }
    }
}

fn start(slack: &Arc<Slack>, item: SlackItem, finished: mpsc::Sender<String>) {
    let slack = Arc::clone(slack);
    tokio::spawn(async move {
        let (lane, position) = (item.lane.clone(), item.position);
        let error = deal_with(&slack, &item).await;
        if let Some(error) = &error {
            metrics::counter!("anchorhold_slack_failed_total").increment(1);
            error!(
                position,
                error, "something from Slack could not be dealt with; it is kept"
            );
        }
        while let Err(error) = slack.host.store.settle_slack(position, error.clone()).await {
            error!(error = %format!("{error:#}"), "what was dealt with cannot be settled; trying again");
            tokio::time::sleep(AFTER_FAILURE).await;
        }
        let _ = finished.send(lane).await;
    });
}

/// Answers why it could not be dealt with.
async fn deal_with(slack: &Arc<Slack>, item: &SlackItem) -> Option<String> {
    let (mut pause, began) = (FIRST_PAUSE, Instant::now());
    let mut attempt = 0;
    loop {
        let error = match message::deal_with(slack, item).await {
            Ok(()) => return None,
            Err(Trouble::Never(why)) => return Some(why),
            Err(Trouble::Later(error)) => error,
        };
        let wait = wait_of(&error).filter(|_| began.elapsed() < LONGEST_OUTAGE);
        if wait.is_none() {
            attempt += 1;
            if attempt >= TRIES {
                return Some(format!("{error:#}"));
            }
            pause *= 2;
        }
        warn!(error = %format!("{error:#}"), "something from Slack is tried again");
        tokio::time::sleep(wait.unwrap_or(pause)).await;
    }
}

/// How long to wait for Slack, where it is not there or said so.
fn wait_of(error: &anyhow::Error) -> Option<Duration> {
    match error.downcast_ref::<Refused>()? {
        Refused::Limited(wait) => Some(*wait),
        Refused::Unreachable(_) => Some(AFTER_OUTAGE),
        Refused::Unsure(_) | Refused::Failed { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_concerns_a_thread_has_one_lane() {
        let lane = |event: Value| lane(SlackKind::Event, &json!({"event": event}));
        let root = json!({"type": "message", "channel": "C1", "ts": "1.0"});
        let reply = json!({"type": "message", "channel": "C1", "ts": "2.0", "thread_ts": "1.0"});
        let edit = json!({"type": "message", "subtype": "message_changed", "channel": "C1", "ts": "3.0",
            "message": {"ts": "2.0", "thread_ts": "1.0"}});
        assert_eq!(lane(root.clone()), "C1/1.0");
        assert_eq!(lane(root), lane(reply.clone()));
        assert_eq!(lane(reply), lane(edit));
        assert_eq!(
            lane(json!({"type": "app_home_opened", "channel": "D1"})),
            "D1/"
        );
        assert_eq!(lane(Value::Null), "/");
    }
}
