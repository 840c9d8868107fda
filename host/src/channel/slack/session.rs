//! What Slack shows of a thread in which an agent is at work: a session
//! (docs.slack.dev/ai/agent-sessions), with Slack's own Stop; where a workspace
//! has none, a line that an agent is thinking.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use tracing::debug;

use super::Slack;
use super::courier::Target;
use super::web::Refused;

/// How a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// An agent is at work; people can stop it.
    Processing,
    /// A person is asked.
    Suspended,
    /// Nobody is at work.
    Active,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::Suspended => "suspended",
            Self::Active => "active",
        }
    }
}

/// What a workspace turned out not to have; it is asked again after a start.
#[derive(Debug, Default)]
pub(super) struct Missing {
    sessions: AtomicBool,
    streams: AtomicBool,
}

impl Missing {
    pub(super) fn has_streams(&self) -> bool {
        !self.streams.load(Ordering::Relaxed)
    }

    pub(super) fn no_streams(&self) {
        self.streams.store(true, Ordering::Relaxed);
    }
}

/// Whether Slack says that a method is not to be had there, in this workspace or
/// at all.
pub(super) fn is_missing(refused: &Refused) -> bool {
    const WORDS: [&str; 4] = [
        "unknown_method",
        "method_deprecated",
        "feature_not_enabled",
        "not_allowed_token_type",
    ];
    WORDS.iter().any(|word| refused.is(word))
}

/// Shows how a thread is; it is a courtesy, and nothing waits for it.
pub(super) async fn show(slack: &Slack, target: &Target, state: State) {
    let missing = &slack.missing.sessions;
    if !missing.load(Ordering::Relaxed) {
        let arguments = json!({
            "channel_id": target.channel, "thread_ts": target.thread_ts, "status": state.name(),
        });
        match slack
            .web
            .call("agents.sessions.setStatus", &arguments)
            .await
        {
            Ok(_) => return,
            Err(refused) if is_missing(&refused) => missing.store(true, Ordering::Relaxed),
            Err(error) => {
                debug!(%error, "Slack shows no session");
                return;
            }
        }
    }
    // It ends by itself when something is said.
    let status = match state {
        State::Processing => "is thinking…",
        State::Suspended | State::Active => "",
    };
    let arguments = json!({
        "channel_id": target.channel, "thread_ts": target.thread_ts, "status": status,
    });
    let method = "assistant.threads.setStatus";
    if let Err(error) = slack.web.call(method, &arguments).await {
        debug!(%error, "Slack shows no status");
    }
}
