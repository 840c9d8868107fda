//! `[slack]`: the app by which people talk to agents in Slack.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

/// Slack; without `bot_token` nothing of it runs.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Slack {
    /// Of the installed app, `xoxb-…`.
    pub bot_token: Option<SecretString>,
    /// Signs what Slack sends to `/slack/…`.
    pub signing_secret: Option<SecretString>,
    /// The secret before, while Slack may still use it.
    pub previous_signing_secret: Option<SecretString>,
    /// For Socket Mode, `xapp-…`: then Slack need not reach this host.
    pub app_token: Option<SecretString>,
    /// Sockets that are open at the same time, 1 to 10.
    pub sockets: usize,
    /// Where Slack's methods are.
    pub api_base_url: String,
    /// Who answers where nothing else says so.
    pub agent: String,
    /// Who answers in a channel, by the channel's id.
    pub channels: BTreeMap<String, String>,
    /// Who may talk to an agent, by the agent's name.
    pub agents: BTreeMap<String, SlackAccess>,
    /// How long Slack may take to answer a call, in milliseconds.
    pub timeout_ms: u64,
    /// A line below each answer: which agent, what it cost.
    pub footer: bool,
    /// Buttons below each answer: good, bad.
    pub feedback: bool,
    /// What people may ask first, shown in the conversation with the app.
    pub prompts: Vec<Prompt>,
    /// Messages of bots in a row that a thread may have answered.
    pub max_bot_messages: u32,
    /// Files of a message that are read.
    pub max_files: usize,
    /// Of one of them, in bytes.
    pub max_file_bytes: u64,
    /// Of those of a message together, in bytes.
    pub max_files_bytes: u64,
}

/// Something that people may ask.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompt {
    /// What the button says.
    pub title: String,
    /// What is then asked.
    pub message: String,
}

/// Slack shows so many.
const MOST_PROMPTS: usize = 4;

/// Who may talk to an agent; what is not named is not asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SlackAccess {
    /// Ids of teams; all without it.
    pub teams: Option<Vec<String>>,
    /// Ids of channels; all without it.
    pub channels: Option<Vec<String>>,
    /// Ids of people; all without it.
    pub users: Option<Vec<String>>,
    /// Ids of user groups, whose members may as `users` may.
    pub groups: Option<Vec<String>>,
    /// Guests of the workspace may.
    pub guests: bool,
    /// People of other workspaces may, where a channel is shared.
    pub outsiders: bool,
    /// Ids of other bots that may, where they mention the app; none without it.
    pub bots: Vec<String>,
    /// Not in direct messages.
    pub no_direct_messages: bool,
    /// Not in channels, where others read what it says.
    pub only_direct_messages: bool,
}

impl Default for Slack {
    fn default() -> Self {
        Self {
            bot_token: None,
            signing_secret: None,
            previous_signing_secret: None,
            app_token: None,
            sockets: 2,
            api_base_url: "https://slack.com/api".to_owned(),
            agent: "assistant".to_owned(),
            channels: BTreeMap::new(),
            agents: BTreeMap::new(),
            timeout_ms: 10_000,
            footer: true,
            feedback: true,
            prompts: Vec::new(),
            max_bot_messages: 3,
            max_files: 10,
            max_file_bytes: 4 << 20,
            // All that an agent shows a model has to fit into one host call.
            max_files_bytes: 6 << 20,
        }
    }
}

impl Slack {
    /// What cannot work.
    pub(super) fn check(&self) -> Result<()> {
        let blank = |secret: &Option<SecretString>| {
            let secret = secret.as_ref().map(|secret| secret.expose_secret());
            secret.is_some_and(|secret| secret.trim().is_empty())
        };
        if blank(&self.signing_secret) || blank(&self.previous_signing_secret) {
            bail!(
                "[slack] signing_secret is empty, so anyone could sign; leave it out, or copy it from Slack's page of the app"
            );
        }
        if blank(&self.bot_token) || blank(&self.app_token) {
            bail!(
                "[slack] bot_token or app_token is empty; leave it out, or copy it from Slack's page of the app"
            );
        }
        if self.bot_token.is_none() && (self.signing_secret.is_some() || self.app_token.is_some()) {
            bail!(
                "[slack] has no bot_token, without which nothing can be answered; set it, or SLACK_BOT_TOKEN"
            );
        }
        if self.bot_token.is_some() && self.signing_secret.is_none() && self.app_token.is_none() {
            bail!(
                "[slack] has a bot_token, but nothing by which messages come: set app_token (SLACK_APP_TOKEN) for Socket Mode, or signing_secret (SLACK_SIGNING_SECRET) for events over HTTP"
            );
        }
        if !(1..=10).contains(&self.sockets) {
            bail!(
                "[slack] sockets is {}, but Slack allows 1 to 10",
                self.sockets
            );
        }
        let bots = self.agents.values().flat_map(|access| &access.bots);
        if let Some(odd) = bots.into_iter().find(|bot| !bot.starts_with('B')) {
            bail!(
                "[slack.agents.NAME] bots has {odd:?}, but ids of bots begin with B: copy it from Slack's page of that app"
            );
        }
        if !(1..=100).contains(&self.max_bot_messages) {
            bail!(
                "[slack] max_bot_messages is {}, but can be 1 to 100",
                self.max_bot_messages
            );
        }
        let is_empty = |prompt: &Prompt| prompt.title.is_empty() || prompt.message.is_empty();
        if self.prompts.len() > MOST_PROMPTS || self.prompts.iter().any(is_empty) {
            bail!("[slack] prompts are at most {MOST_PROMPTS}, each with a title and a message");
        }
        if !is_safe(&self.api_base_url) {
            bail!(
                "[slack] api_base_url is {:?}: it must be https, or http on this machine alone, because tokens go there",
                self.api_base_url
            );
        }
        Ok(())
    }
}

/// Whether a token may be sent there. What stands before an `@` only looks like
/// the host.
fn is_safe(url: &str) -> bool {
    let here = ["http://127.0.0.1:", "http://localhost:", "http://[::1]:"];
    let is_known = url.starts_with("https://") || here.iter().any(|start| url.starts_with(start));
    is_known && !url.contains('@')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_go_to_https_or_stay_on_this_machine() {
        for url in [
            "https://slack.com/api",
            "http://127.0.0.1:8090/api",
            "http://localhost:8090/api",
            "http://[::1]:8090/api",
        ] {
            assert!(is_safe(url), "{url}");
        }
        for url in [
            "http://slack.com/api",
            "http://localhost.example.org/api",
            "http://127.0.0.1:80@example.org/api",
            "https://slack.com@example.org/api",
            "ftp://127.0.0.1:80/api",
        ] {
            assert!(!is_safe(url), "{url}");
        }
    }
}
