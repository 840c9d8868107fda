//! What was said in a thread before an agent was called into it.

use serde_json::{Value, json};
use tracing::warn;

use super::message::{Place, Visit, at_ms, author_id};
use super::mrkdwn;
use crate::runtime::bindings::types;

/// How much of a thread an agent is given that comes into it later.
const THREAD_MESSAGES: u32 = 50;

impl Visit<'_> {
    /// What was said in a thread before.
    pub(super) async fn thread(&self, place: &Place, before: &str) -> Vec<types::PastMessage> {
        let arguments = json!({
            "channel": place.channel, "ts": place.root, "limit": THREAD_MESSAGES, "latest": before, "inclusive": false,
        });
        match self.slack.web.replies(&arguments).await {
            Ok(messages) => {
                let earlier = messages
                    .iter()
                    .filter(|message| message["ts"].as_str() != Some(before));
                earlier.filter_map(|message| self.past(message)).collect()
            }
            Err(refused) => {
                warn!(error = %refused, "the thread before a mention cannot be read");
                Vec::new()
            }
        }
    }

    fn past(&self, message: &Value) -> Option<types::PastMessage> {
        let text = mrkdwn::read(message["text"].as_str()?, &self.install.bot_user);
        let user = message["user"].as_str();
        let is_ours = user == Some(self.install.bot_user.as_str());
        Some(types::PastMessage {
            speaker: if is_ours {
                types::Speaker::Assistant
            } else {
                types::Speaker::User
            },
            text,
            author: user.filter(|_| !is_ours).map(|user| types::Author {
                id: author_id(user),
                name: None,
            }),
            at_ms: at_ms(message["ts"].as_str()?),
        })
    }
}
