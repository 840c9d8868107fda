//! Answers while they are made: a message that grows, with the tools that are at
//! work (docs.slack.dev/reference/methods/chat.startStream). What is shown here
//! is a courtesy; the courier makes of it what was stored.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, warn};

use super::courier::Target;
use super::markdown;
use super::question;
use super::web::Refused;
use super::{MAX_BLOCK, Slack};
use crate::turn::{Feed, FeedEvent};

/// Quick answers are one message.
const QUICK: Duration = Duration::from_secs(1);

/// Slack takes some hundred pieces a minute.
const PACE: Duration = Duration::from_millis(800);

/// Slack ends a growing message after five minutes.
const LIFETIME: Duration = Duration::from_secs(240);

/// What a turn shows in Slack so far.
#[derive(Default)]
struct Growing {
    /// Its message, once there is one.
    ts: Option<String>,
    /// The text that is in it.
    shown: String,
    /// It shows something else than the text, or takes no more.
    is_broken: bool,
    /// The courier has it.
    is_over: bool,
}

type Entry = Arc<tokio::sync::Mutex<Growing>>;

/// The messages that grow, by turn.
#[derive(Default)]
pub(super) struct Live(Mutex<HashMap<String, Entry>>);

impl Live {
    /// Ends what a turn shows; answers the text that its message has, if nothing
    /// else is in it.
    pub(super) async fn end(&self, turn: &str) -> Option<String> {
        let entry = self.map().remove(turn)?;
        let mut growing = entry.lock().await;
        growing.is_over = true;
        (!growing.is_broken).then(|| std::mem::take(&mut growing.shown))
    }

    fn begin(&self, turn: &str) -> Entry {
        Arc::clone(self.map().entry(turn.to_owned()).or_default())
    }

    fn map(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows a turn in its thread until it ends. `person` is who asked.
pub(super) fn follow(
    slack: &Arc<Slack>,
    tenant: &str,
    feed: Arc<Feed>,
    target: Target,
    person: String,
) {
    let follower = Follower {
        entry: slack.live.begin(&feed.turn),
        slack: Arc::clone(slack),
        tenant: tenant.to_owned(),
        turn: feed.turn.clone(),
        target,
        person,
        began: Instant::now(),
        pending: String::new(),
        tasks: Vec::new(),
    };
    tokio::spawn(follower.run(feed));
}

struct Follower {
    slack: Arc<Slack>,
    entry: Entry,
    tenant: String,
    turn: String,
    target: Target,
    person: String,
    began: Instant,
    /// Text that is not shown yet.
    pending: String,
    /// Tools that are not shown yet.
    tasks: Vec<Value>,
}

impl Follower {
    async fn run(mut self, feed: Arc<Feed>) {
        let mut reader = feed.read(0);
        let mut ticks = interval(PACE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        let mut is_thinking = false;
        loop {
            tokio::select! {
                event = reader.next() => match event {
                    Some((_, event)) if !event.is_last() => self.take(event).await,
                    _ => return,
                },
                _ = ticks.tick() => {
                    if !std::mem::replace(&mut is_thinking, true) {
                        self.say_that_it_thinks().await;
                    }
                    if self.began.elapsed() >= QUICK && self.grow().await.is_none() {
                        // Questions are asked all the same.
                        self.pending.clear();
                        self.tasks.clear();
                    }
                }
            }
        }
    }

    async fn take(&mut self, event: FeedEvent) {
        match event {
            FeedEvent::Text { text } => self.pending.push_str(&markdown::safe(&text)),
            FeedEvent::ToolStarted { id, title } => {
                self.tasks.push(task(&id, &title, "in_progress", None));
            }
            FeedEvent::ToolCompleted {
                id,
                title,
                failed,
                detail,
            } => {
                let status = if failed { "error" } else { "complete" };
                self.tasks.push(task(&id, &title, status, detail));
            }
            // What is shown cannot be taken back: the courier replaces it.
            FeedEvent::Reset => self.entry.lock().await.is_broken = true,
            FeedEvent::Asked { call, question } => {
                let place = (self.tenant.as_str(), self.turn.as_str());
                question::ask(&self.slack, place, &self.target, call, &question).await;
            }
            FeedEvent::Queued { .. }
            | FeedEvent::Started
            | FeedEvent::Waiting
            | FeedEvent::Completed
            | FeedEvent::Failed { .. }
            | FeedEvent::Cancelled => {}
        }
    }

    /// A receipt, where Slack has a place for it.
    async fn say_that_it_thinks(&self) {
        let arguments = json!({
            "channel_id": self.target.channel, "thread_ts": self.target.thread_ts, "status": "is thinking…",
        });
        let said = self
            .slack
            .web
            .call("assistant.threads.setStatus", &arguments)
            .await;
        if let Err(error) = said {
            debug!(%error, "Slack shows no status");
        }
    }

    /// Adds what is new; none if nothing can be added any more.
    async fn grow(&mut self) -> Option<()> {
        let entry = Arc::clone(&self.entry);
        let mut growing = entry.lock().await;
        if growing.is_over || growing.is_broken {
            return None;
        }
        let is_full = growing.shown.chars().count() + self.pending.chars().count() > MAX_BLOCK;
        if is_full || self.began.elapsed() > LIFETIME {
            growing.is_broken = true;
            return None;
        }
        let chunks = self.chunks();
        if chunks.is_empty() {
            return Some(());
        }
        let grown = match growing.ts.clone() {
            Some(ts) => self.append(&ts, &chunks).await,
            None => self.start(&mut growing, &chunks).await,
        };
        match grown {
            Ok(()) => {
                growing.shown.push_str(&std::mem::take(&mut self.pending));
                self.tasks.clear();
                Some(())
            }
            Err(Refused::Limited(_)) => Some(()),
            Err(error) => {
                debug!(%error, turn = self.turn, "an answer is not shown while it is made");
                growing.is_broken = true;
                None
            }
        }
    }

    fn chunks(&self) -> Vec<Value> {
        let mut chunks = self.tasks.clone();
        if !self.pending.is_empty() {
            chunks.push(json!({"type": "markdown_text", "text": self.pending}));
        }
        chunks
    }

    async fn append(&self, ts: &str, chunks: &[Value]) -> Result<(), Refused> {
        let arguments = json!({"channel": self.target.channel, "ts": ts, "chunks": chunks});
        let answer = self.slack.web.call("chat.appendStream", &arguments).await;
        answer.map(drop)
    }

    async fn start(&self, growing: &mut Growing, chunks: &[Value]) -> Result<(), Refused> {
        let store = &self.slack.host.store;
        let (tenant, turn, channel) = (&self.tenant, &self.turn, &self.target.channel);
        let failed = |error: anyhow::Error| Refused::Unreachable(format!("{error:#}"));
        let known = store.begin_slack_post(tenant, turn, 0, channel).await;
        if known.map_err(failed)?.is_some() {
            // It grew before the host stopped.
            return Err(Refused::Unreachable("it was begun before".to_owned()));
        }
        let arguments = json!({
            "channel": channel, "thread_ts": self.target.thread_ts, "chunks": chunks,
            "recipient_user_id": self.person, "recipient_team_id": self.target.team,
        });
        match self.slack.web.call("chat.startStream", &arguments).await {
            Ok(answer) => {
                let ts = answer["ts"].as_str().unwrap_or_default();
                growing.ts = Some(ts.to_owned());
                store.slack_grows(tenant, turn, 0, ts).await.map_err(failed)
            }
            Err(refused @ Refused::Unsure(_)) => Err(refused),
            Err(refused) => {
                if let Err(error) = store.slack_not_posted(tenant, turn, 0).await {
                    warn!(error = %format!("{error:#}"), "a message that was not begun cannot be forgotten");
                }
                Err(refused)
            }
        }
    }
}

fn task(id: &str, title: &str, status: &str, details: Option<String>) -> Value {
    let title: String = title.chars().take(256).collect();
    let mut task = json!({"type": "task_update", "id": id, "title": title, "status": status});
    if let Some(details) = details {
        let details: String = details.chars().take(256).collect();
        task["details"] = markdown::safe(&details).into();
    }
    task
}
