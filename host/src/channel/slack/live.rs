//! Answers while they are made: a message that grows, with the tools that are at
//! work (docs.slack.dev/reference/methods/chat.startStream). What is shown here
//! is a courtesy; the courier makes of it what was stored.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, info, warn};

use super::courier::Target;
use super::markdown;
use super::question;
use super::session::{self, State};
use super::web::Refused;
use super::{MAX_BLOCK, Slack};
use crate::turn::{Feed, FeedEvent};

/// Quick answers are one message.
const QUICK: Duration = Duration::from_secs(1);

/// Slack takes some hundred pieces a minute.
const PACE: Duration = Duration::from_millis(800);

/// Slack ends a growing message after five minutes.
const LIFETIME: Duration = Duration::from_secs(240);

/// Slack takes some fifty updates a minute, of all messages together.
const BETWEEN_UPDATES: Duration = Duration::from_secs(3);

/// How a message grows.
#[derive(Debug, Clone, Copy, Default)]
enum Way {
    /// By what is added to it.
    #[default]
    Stream,
    /// By what it shows, again and again: where a workspace has no streams, and
    /// after a stream's time. Since when it shows that.
    Update(Option<Instant>),
}

/// What a turn shows in Slack so far.
#[derive(Default)]
struct Growing {
    /// Its message, once there is one.
    ts: Option<String>,
    /// The text that is in it.
    shown: String,
    way: Way,
    /// Since when it grows.
    since: Option<Instant>,
    /// Slack shows that an agent is at work.
    is_session: bool,
    /// It shows something else than the text, or takes no more.
    is_broken: bool,
    /// The courier has it.
    is_over: bool,
}

impl Growing {
    /// Whether Slack will soon end it.
    fn is_old(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() > LIFETIME)
    }
}

type Entry = Arc<tokio::sync::Mutex<Growing>>;

/// The messages that grow, by turn.
#[derive(Default)]
pub(super) struct Live(Mutex<HashMap<String, Entry>>);

/// What a turn shows at its end.
#[derive(Default)]
pub(super) struct Shown {
    /// The text that its message has, if nothing else is in it.
    pub(super) text: Option<String>,
    /// Slack shows that an agent is at work.
    pub(super) is_session: bool,
}

impl Live {
    /// Ends what a turn shows.
    pub(super) async fn end(&self, turn: &str) -> Shown {
        let Some(entry) = self.map().remove(turn) else {
            return Shown::default();
        };
        let mut growing = entry.lock().await;
        growing.is_over = true;
        Shown {
            text: (!growing.is_broken).then(|| std::mem::take(&mut growing.shown)),
            is_session: growing.is_session,
        }
    }

    /// A turn begins to be shown, or is again; Slack may show a session of it.
    fn begin(&self, turn: &str, is_session: bool) -> Entry {
        let mut map = self.map();
        let entry = map.entry(turn.to_owned());
        let entry = entry.or_insert_with(|| {
            Arc::new(tokio::sync::Mutex::new(Growing {
                is_session,
                ..Growing::default()
            }))
        });
        Arc::clone(entry)
    }

    /// Whether somebody listens to a turn.
    pub(super) fn knows(&self, turn: &str) -> bool {
        self.map().contains_key(turn)
    }

    fn map(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows a turn in its thread (with who asked) until it ends. `asked` is its
/// question that may be open.
pub(super) fn follow(
    slack: &Arc<Slack>,
    tenant: &str,
    feed: Arc<Feed>,
    (target, person): (Target, String),
    asked: Option<i64>,
) {
    let follower = Follower {
        entry: slack.live.begin(&feed.turn, asked.is_some()),
        slack: Arc::clone(slack),
        tenant: tenant.to_owned(),
        turn: feed.turn.clone(),
        target,
        person,
        began: Instant::now(),
        pending: String::new(),
        tasks: Vec::new(),
        asked,
        is_resting: asked.is_some(),
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
    /// The question whose buttons may be there.
    asked: Option<i64>,
    /// The turn waits, for days perhaps.
    is_resting: bool,
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
                event = reader.next() => {
                    let Some((_, event)) = event else { return };
                    self.is_resting = event == FeedEvent::Waiting;
                    self.close_question(&event).await;
                    if event.is_last() {
                        return;
                    }
                    self.take(event).await;
                }
                _ = ticks.tick(), if !self.is_resting => {
                    if !std::mem::replace(&mut is_thinking, true) && self.asked.is_none() {
                        self.show(State::Processing).await;
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

    /// A turn that goes on has no open question.
    async fn close_question(&mut self, event: &FeedEvent) {
        if matches!(event, FeedEvent::Queued { .. } | FeedEvent::Waiting) {
            return;
        }
        if let Some(call) = self.asked.take() {
            if !event.is_last() {
                self.show(State::Processing).await;
            }
            let is_over = event.is_last();
            question::close_answered(&self.slack, &self.tenant, &self.turn, call, is_over).await;
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
                self.asked = Some(call);
                self.show(State::Suspended).await;
            }
            FeedEvent::Waiting => self.rest().await,
            FeedEvent::Queued { .. }
            | FeedEvent::Started
            | FeedEvent::Completed
            | FeedEvent::Failed { .. }
            | FeedEvent::Cancelled => {}
        }
    }

    /// Shows what there is, and ends the stream before Slack does.
    async fn rest(&mut self) {
        self.grow().await;
        let entry = Arc::clone(&self.entry);
        let mut growing = entry.lock().await;
        let stream = growing.ts.clone();
        let stream = stream.filter(|_| matches!(growing.way, Way::Stream) && !growing.is_over);
        if let Some(ts) = stream
            && let Err(error) = self.end_stream(&mut growing, &ts).await
        {
            debug!(%error, turn = self.turn, "a message goes on growing");
        }
    }

    /// Shows how the turn is, until its answer is brought.
    async fn show(&self, state: State) {
        {
            let mut growing = self.entry.lock().await;
            if growing.is_over {
                return;
            }
            growing.is_session = true;
        }
        // The answer does not wait for this.
        session::show(&self.slack, &self.target, state).await;
        if self.entry.lock().await.is_over {
            session::show(&self.slack, &self.target, State::Active).await;
        }
    }

    /// Adds what is new; none if nothing can be added any more.
    async fn grow(&mut self) -> Option<()> {
        let entry = Arc::clone(&self.entry);
        let mut growing = entry.lock().await;
        if growing.is_over || growing.is_broken {
            return None;
        }
        if growing.shown.chars().count() + self.pending.chars().count() > MAX_BLOCK {
            growing.is_broken = true;
            return None;
        }
        let grown = match (growing.way, growing.ts.clone()) {
            (Way::Stream, Some(ts)) if growing.is_old() => self.end_stream(&mut growing, &ts).await,
            (Way::Stream, Some(ts)) => self.append(&mut growing, &ts).await,
            (Way::Stream, None) => self.start(&mut growing).await,
            (Way::Update(at), Some(ts)) => self.update(&mut growing, at, &ts).await,
            (Way::Update(_), None) => self.post(&mut growing).await,
        };
        match grown {
            Ok(()) | Err(Refused::Limited(_)) => Some(()),
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

    async fn append(&mut self, growing: &mut Growing, ts: &str) -> Result<(), Refused> {
        let chunks = self.chunks();
        if chunks.is_empty() {
            return Ok(());
        }
        let arguments = json!({"channel": self.target.channel, "ts": ts, "chunks": chunks});
        match self.slack.web.call("chat.appendStream", &arguments).await {
            Ok(_) => {
                self.is_shown(growing);
                Ok(())
            }
            Err(refused) if refused.is("message_not_in_streaming_state") => {
                growing.way = Way::Update(None);
                Ok(())
            }
            Err(refused) => Err(refused),
        }
    }

    /// Before Slack ends it, which leaves it broken.
    async fn end_stream(&mut self, growing: &mut Growing, ts: &str) -> Result<(), Refused> {
        let arguments = json!({"channel": self.target.channel, "ts": ts});
        match self.slack.web.call("chat.stopStream", &arguments).await {
            Ok(_) | Err(Refused::Failed { .. }) => {
                growing.way = Way::Update(None);
                Ok(())
            }
            Err(refused) => Err(refused),
        }
    }

    /// All that is there so far, in place of what was shown.
    async fn update(
        &mut self,
        growing: &mut Growing,
        at: Option<Instant>,
        ts: &str,
    ) -> Result<(), Refused> {
        let is_soon = at.is_some_and(|at| at.elapsed() < BETWEEN_UPDATES);
        if is_soon || self.pending.is_empty() {
            return Ok(());
        }
        let mut arguments = self.so_far(growing);
        arguments["ts"] = ts.into();
        self.slack.web.call("chat.update", &arguments).await?;
        self.is_shown(growing);
        growing.way = Way::Update(Some(Instant::now()));
        Ok(())
    }

    fn so_far(&self, growing: &Growing) -> Value {
        let text = format!("{}{}", growing.shown, self.pending);
        json!({
            "channel": self.target.channel, "text": markdown::plain(&text),
            "blocks": [{"type": "markdown", "text": text}],
        })
    }

    fn is_shown(&mut self, growing: &mut Growing) {
        growing.shown.push_str(&std::mem::take(&mut self.pending));
        self.tasks.clear();
    }

    /// Begins a stream, or where there are none a message.
    async fn start(&mut self, growing: &mut Growing) -> Result<(), Refused> {
        if !self.slack.missing.has_streams() {
            growing.way = Way::Update(None);
            return Ok(());
        }
        let chunks = self.chunks();
        if chunks.is_empty() {
            return Ok(());
        }
        let arguments = json!({
            "channel": self.target.channel, "thread_ts": self.target.thread_ts, "chunks": chunks,
            "recipient_user_id": self.person, "recipient_team_id": self.target.team,
        });
        match self.begin(growing, "chat.startStream", &arguments).await {
            Err(refused) if session::is_missing(&refused) => {
                info!(error = %refused, "Slack has no streams here; answers grow by updates");
                self.slack.missing.no_streams();
                Ok(())
            }
            begun => begun,
        }
    }

    async fn post(&mut self, growing: &mut Growing) -> Result<(), Refused> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut arguments = self.so_far(growing);
        arguments["thread_ts"] = self.target.thread_ts.as_str().into();
        arguments["unfurl_links"] = false.into();
        arguments["unfurl_media"] = false.into();
        growing.way = Way::Update(Some(Instant::now()));
        self.begin(growing, "chat.postMessage", &arguments).await
    }

    /// Begins the message by a method, once.
    async fn begin(
        &mut self,
        growing: &mut Growing,
        method: &'static str,
        arguments: &Value,
    ) -> Result<(), Refused> {
        let slack = Arc::clone(&self.slack);
        let store = &slack.host.store;
        let (tenant, turn) = (self.tenant.clone(), self.turn.clone());
        let failed = |error: anyhow::Error| Refused::Unreachable(format!("{error:#}"));
        let known = store.begin_slack_post(&tenant, &turn, 0, &self.target.channel);
        if known.await.map_err(failed)?.is_some() {
            // It grew before the host stopped.
            return Err(Refused::Unreachable("it was begun before".to_owned()));
        }
        match slack.web.call(method, arguments).await {
            Ok(answer) => {
                let ts = answer["ts"].as_str().unwrap_or_default();
                growing.ts = Some(ts.to_owned());
                growing.since = Some(Instant::now());
                self.is_shown(growing);
                store
                    .slack_grows(&tenant, &turn, 0, ts)
                    .await
                    .map_err(failed)
            }
            // Half a message that may stand there is no answer.
            Err(refused) => {
                if let Err(error) = store.slack_not_posted(&tenant, &turn, 0).await {
                    warn!(error = %format!("{error:#}"), "a message that was not begun cannot be forgotten");
                }
                Err(refused)
            }
        }
    }
}

fn task(id: &str, title: &str, status: &str, details: Option<String>) -> Value {
    let title: String = markdown::safe(title).chars().take(256).collect();
    let mut task = json!({"type": "task_update", "id": id, "title": title, "status": status});
    if let Some(details) = details {
        let details: String = details.chars().take(256).collect();
        task["details"] = markdown::safe(&details).into();
    }
    task
}
