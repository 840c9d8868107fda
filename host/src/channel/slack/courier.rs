//! Brings answers into their thread, each part once: what is about to be sent is
//! written down before, and where nobody knows whether it arrived Slack is asked
//! before it is sent again.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tracing::warn;

use super::answer::{Answer, METADATA};
use super::session::{self, State};
use super::upload::{Given, Upload};
use super::web::Refused;
use super::{CHANNEL, Slack};
use crate::clock::now_ms;
use crate::outbox::{self, Undelivered};
use crate::store::{Outgoing, SlackPost, SlackPostState, TurnRow};

/// Attempts after which an answer comes without its files.
const PATIENT_ATTEMPTS: i64 = 4;

/// How long after the time-out a message may still come up.
const LATE: Duration = Duration::from_secs(10);

/// Where an answer goes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Target {
    pub(super) channel: String,
    pub(super) thread_ts: String,
    /// The workspace of who asked.
    pub(super) team: String,
}

impl Target {
    /// Where the answer of a turn goes; none where that is not Slack.
    pub(super) fn of(turn: &TurnRow) -> Option<Self> {
        let target = turn.callback.as_deref();
        let target = target.filter(|_| turn.channel == CHANNEL)?;
        serde_json::from_str(target).ok()
    }
}

pub(super) struct Courier(Arc<Slack>);

impl Courier {
    pub(super) fn new(slack: Arc<Slack>) -> Self {
        Self(slack)
    }
}

impl outbox::Courier for Courier {
    fn channel(&self) -> &'static str {
        CHANNEL
    }

    fn deliver<'a>(&'a self, outgoing: &'a Outgoing) -> BoxFuture<'a, Result<(), Undelivered>> {
        async move {
            let target = serde_json::from_str(&outgoing.target);
            let target: Target =
                target.map_err(|error| never(format!("no place in Slack: {error}")))?;
            let store = &self.0.host.store;
            let turn = store
                .turn_summary(&outgoing.tenant_id, &outgoing.turn)
                .await;
            let turn = turn.map_err(|error| later(format!("{error:#}"), None))?;
            let turn = turn.ok_or_else(|| never("the turn of an answer is gone".to_owned()))?;
            let shown = self.0.live.end(&outgoing.turn).await;
            let output = store.turn_output(&outgoing.tenant_id, &outgoing.turn).await;
            let output = output.map_err(|error| later(format!("{error:#}"), None))?;
            let answer = Answer::of(&turn, output.as_deref(), &self.0.config);
            let rest = async {
                if shown.is_session && self.0.is_quiet(&turn).await {
                    session::show(&self.0, &target, State::Active).await;
                }
            };
            let brought = bring(&self.0, outgoing, &target, answer, shown.text);
            tokio::join!(brought, rest).0
        }
        .boxed()
    }
}

/// Brings an answer, of which its first message shows a text.
async fn bring(
    slack: &Slack,
    outgoing: &Outgoing,
    target: &Target,
    mut answer: Answer<'_>,
    shown: Option<String>,
) -> Result<(), Undelivered> {
    let upload = Upload {
        slack,
        outgoing,
        target,
    };
    let given = match upload.give(&answer.files).await {
        // The words do not wait for ever.
        Err(error) if outgoing.attempts >= PATIENT_ATTEMPTS => {
            warn!(
                ?error,
                turn = outgoing.turn,
                "an answer comes without its files"
            );
            Given::Refused
        }
        given => given?,
    };
    if matches!(given, Given::Refused) {
        answer.without_files();
    }
    let parts = answer.parts();
    // Only a whole answer is what was shown and a rest.
    let mut shown = shown.filter(|_| parts.len() == 1);
    for (number, part) in (0..).zip(parts) {
        let delivery = Delivery {
            shown: shown.take(),
            slack,
            outgoing,
            target,
            number,
        };
        delivery.deliver(part).await?;
    }
    upload.show(given).await
}

/// One part of an answer.
struct Delivery<'a> {
    slack: &'a Slack,
    outgoing: &'a Outgoing,
    target: &'a Target,
    number: i64,
    /// The text that its message shows already.
    shown: Option<String>,
}

impl Delivery<'_> {
    async fn deliver(&self, part: Value) -> Result<(), Undelivered> {
        match self.begin().await? {
            None => {}
            Some(SlackPost {
                state: SlackPostState::Done,
                ..
            }) => return Ok(()),
            Some(SlackPost {
                state: SlackPostState::Growing,
                ts,
                ..
            }) => {
                return self.finish(&ts, part).await;
            }
            Some(begun) => {
                if let Some(ts) = self.look_for(&begun).await? {
                    return self.posted(&ts).await;
                }
            }
        }
        self.send(part).await
    }

    /// Makes a message that grew what it is to be.
    async fn finish(&self, ts: &str, mut part: Value) -> Result<(), Undelivered> {
        part["channel"] = self.target.channel.as_str().into();
        part["ts"] = ts.into();
        let text = part["blocks"][0]["text"].as_str().unwrap_or_default();
        let rest = self
            .shown
            .as_deref()
            .and_then(|shown| text.strip_prefix(shown));
        let mut stop = json!({"channel": part["channel"], "ts": ts, "metadata": part["metadata"]});
        if let Some(rest) = rest {
            let below = part["blocks"]
                .as_array()
                .map(|blocks| &blocks[1..])
                .unwrap_or_default();
            stop["blocks"] = json!(below);
            if !rest.is_empty() {
                stop["chunks"] = json!([{"type": "markdown_text", "text": rest}]);
            }
        }
        let stopped = self.slack.web.call("chat.stopStream", &stop).await;
        match (stopped, rest) {
            (Ok(_), Some(_)) => return self.posted(ts).await,
            // It has stopped before: what it shows is replaced.
            (Ok(_) | Err(Refused::Failed { .. }), _) => {}
            (Err(refused), _) => return Err(undelivered(self.slack, refused).await),
        }
        match self.slack.web.call("chat.update", &part).await {
            Ok(_) => self.posted(ts).await,
            Err(refused) => Err(undelivered(self.slack, refused).await),
        }
    }

    async fn begin(&self) -> Result<Option<SlackPost>, Undelivered> {
        let Outgoing {
            tenant_id, turn, ..
        } = self.outgoing;
        let store = &self.slack.host.store;
        let begun = store.begin_slack_post(tenant_id, turn, self.number, &self.target.channel);
        begun
            .await
            .map_err(|error| later(format!("{error:#}"), None))
    }

    async fn send(&self, mut part: Value) -> Result<(), Undelivered> {
        part["channel"] = self.target.channel.as_str().into();
        part["thread_ts"] = self.target.thread_ts.as_str().into();
        part["unfurl_links"] = false.into();
        part["unfurl_media"] = false.into();
        let refused = match self.slack.web.call("chat.postMessage", &part).await {
            Ok(answer) => return self.posted(answer["ts"].as_str().unwrap_or_default()).await,
            Err(refused) => refused,
        };
        if let Refused::Unsure(why) = refused {
            // What is written down stays: nobody knows.
            return Err(later(why, Some(until_it_is_sure(self.slack))));
        }
        let Outgoing {
            tenant_id, turn, ..
        } = self.outgoing;
        let not_posted = self
            .slack
            .host
            .store
            .slack_not_posted(tenant_id, turn, self.number);
        not_posted
            .await
            .map_err(|error| later(format!("{error:#}"), None))?;
        Err(undelivered(self.slack, refused).await)
    }

    /// Finds a message that may have been sent, by what we wrote on it.
    async fn look_for(&self, begun: &SlackPost) -> Result<Option<String>, Undelivered> {
        wait_until_sure(self.slack, begun.begun_at)?;
        let part = (self.outgoing.turn.as_str(), self.number);
        let found = find_ours(self.slack, self.target, part, begun.begun_at).await;
        match found {
            Ok(ts) => Ok(ts),
            Err(refused @ Refused::Failed { .. }) => Err(never(format!(
                "it may have been sent, and the thread cannot be read to find out ({refused}); look there, and try it again if it is not"
            ))),
            Err(refused) => Err(undelivered(self.slack, refused).await),
        }
    }

    async fn posted(&self, ts: &str) -> Result<(), Undelivered> {
        let Outgoing {
            tenant_id, turn, ..
        } = self.outgoing;
        let posted = self
            .slack
            .host
            .store
            .slack_posted(tenant_id, turn, self.number, ts);
        posted
            .await
            .map_err(|error| later(format!("{error:#}"), None))
    }
}

/// What may be done about a refusal of something that can be done twice.
pub(super) async fn undelivered(slack: &Slack, refused: Refused) -> Undelivered {
    slack.note(&refused).await;
    match refused {
        Refused::Limited(wait) => later("Slack wants fewer calls".to_owned(), Some(wait)),
        Refused::Unreachable(why) | Refused::Unsure(why) => later(why, None),
        refused @ Refused::Failed { .. } if refused.is_of_the_token() => {
            later(refused.to_string(), None)
        }
        refused @ Refused::Failed { .. } => never(refused.to_string()),
    }
}

/// The time of a message of ours in a thread, by what we wrote on it; none if it
/// is not there.
///
/// # Errors
///
/// Why the thread cannot be read.
pub(super) async fn find_ours(
    slack: &Slack,
    target: &Target,
    (turn, part): (&str, i64),
    begun_at: i64,
) -> Result<Option<String>, Refused> {
    let oldest = format!("{}.000000", (begun_at / 1_000) - 60);
    let arguments = json!({
        "channel": target.channel, "ts": target.thread_ts, "oldest": oldest,
        "include_all_metadata": true, "limit": 200,
    });
    let messages = slack.web.replies(&arguments).await?;
    let is_it = |message: &&Value| {
        let payload = &message["metadata"]["event_payload"];
        message["metadata"]["event_type"] == METADATA
            && payload["turn"] == turn
            && payload["part"] == part
    };
    let found = messages.iter().find(is_it);
    Ok(found
        .and_then(|message| message["ts"].as_str())
        .map(str::to_owned))
}

/// What was begun then may still come up; when that is over Slack can be asked.
pub(super) fn wait_until_sure(slack: &Slack, begun_at: i64) -> Result<(), Undelivered> {
    match unsure_for(slack, begun_at) {
        Some(wait) => Err(later(
            "it may have been sent; Slack is asked soon".to_owned(),
            Some(wait),
        )),
        None => Ok(()),
    }
}

/// How long what was begun then may still come up.
pub(super) fn unsure_for(slack: &Slack, begun_at: i64) -> Option<Duration> {
    let sure_at = begun_at + millis(until_it_is_sure(slack));
    let wait = u64::try_from(sure_at - now_ms()).ok()?;
    (wait > 0).then(|| Duration::from_millis(wait))
}

pub(super) fn until_it_is_sure(slack: &Slack) -> Duration {
    Duration::from_millis(slack.config.timeout_ms) + LATE
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn later(error: String, after: Option<Duration>) -> Undelivered {
    Undelivered::Later { error, after }
}

pub(super) fn never(error: String) -> Undelivered {
    Undelivered::Never(error)
}
