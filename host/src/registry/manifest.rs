//! A component's manifest: `name.toml` beside `name.wasm`, or the same text in
//! the custom section `anchorhold:manifest`.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::grants::{check_host, check_name, check_tool};
use super::subscription::Subscription;
use crate::config::LimitsPatch;

/// What a component says of itself and wants.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Manifest {
    /// The agent's name; that of the file when it is empty.
    pub name: String,
    pub description: String,
    /// The author's version; the host counts its own.
    pub version: String,
    /// The contract's version that it was built for.
    pub contract: String,
    pub wants: Wants,
    pub limits: LimitsPatch,
    pub config: toml::Table,
    pub triggers: Triggers,
}

/// `[wants]`: capabilities, each with a reason for people to read, and lists
/// that narrow them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wants {
    pub llm: Option<String>,
    pub database: Option<String>,
    pub state: Option<String>,
    pub events: Option<String>,
    pub http: Option<String>,
    pub agents: Option<String>,
    pub tools: Option<String>,
    /// Model aliases, `*` for any; `default` when it wants `llm` and names none.
    pub models: Vec<String>,
    /// Topics it publishes to; `*` is one word, `**` the rest. Any when it wants
    /// `events` and names none.
    pub topics: Vec<String>,
    /// Hosts it sends requests to; `*.example.com` is any below, `*` any.
    pub hosts: Vec<String>,
    /// Secrets it uses by placeholder.
    pub secrets: Vec<String>,
    /// Agents it talks to. Any when it wants `agents` and names none.
    pub agent_names: Vec<String>,
    /// Tools it calls; `server/*` is any of a server. Any when it wants `tools`
    /// and names none.
    pub tool_names: Vec<String>,
}

/// `[triggers]`: what makes the agent run besides being addressed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Triggers {
    pub chat: ChatTrigger,
    /// Topics whose events it receives.
    pub topics: Vec<Subscription>,
}

/// `[triggers.chat]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChatTrigger {
    /// Earlier messages sent along with each message; at most 1,000.
    pub history: u32,
    /// What becomes of a message while an earlier one of its conversation is
    /// being answered.
    pub when_busy: WhenBusy,
}

/// What becomes of a message that comes while an earlier one of its conversation
/// is being answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenBusy {
    /// It is answered afterwards.
    #[default]
    Queue,
    /// The turn that runs may take it up; else it is answered afterwards.
    Steer,
    /// It is not taken in.
    Refuse,
}

/// The most bytes of a manifest.
pub(super) const MAX_MANIFEST_BYTES: usize = 64 << 10;

/// The most earlier messages that come with a message.
const MAX_HISTORY: u32 = 1_000;

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    ///
    /// If it is too large, not TOML, has an unknown key, or asks for something
    /// that cannot be; the message is a sentence for its author.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > MAX_MANIFEST_BYTES {
            bail!(
                "the manifest is {} bytes long; at most {MAX_MANIFEST_BYTES} are allowed",
                text.len()
            );
        }
        let manifest: Self = toml::from_str(text).context("the manifest is not valid")?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<()> {
        if !self.name.is_empty() {
            check_agent_name(&self.name)?;
        }
        if self.triggers.chat.history > MAX_HISTORY {
            bail!(
                "[triggers.chat] history is {}; at most {MAX_HISTORY}",
                self.triggers.chat.history
            );
        }
        check_config(&self.config)?;
        for pattern in &self.wants.topics {
            crate::events::check_pattern(pattern)?;
        }
        for subscription in &self.triggers.topics {
            subscription.check()?;
        }
        self.wants.check()
    }

    /// The model aliases it wants.
    pub fn models(&self) -> Vec<String> {
        match (&self.wants.llm, self.wants.models.as_slice()) {
            (None, _) => Vec::new(),
            (Some(_), []) => vec!["default".to_owned()],
            (Some(_), models) => models.to_vec(),
        }
    }
}

impl Wants {
    fn check(&self) -> Result<()> {
        for host in &self.hosts {
            check_host(host)?;
        }
        for name in self.models.iter().chain(&self.secrets) {
            check_name(name)?;
        }
        for name in &self.agent_names {
            check_agent_name(name)?;
        }
        for name in &self.tool_names {
            check_tool(name)?;
        }
        // A list alone would want nothing, which is never what its author meant.
        for (capability, list, has_reason, has_list) in [
            ("llm", "models", self.llm.is_some(), !self.models.is_empty()),
            (
                "events",
                "topics",
                self.events.is_some(),
                !self.topics.is_empty(),
            ),
            ("http", "hosts", self.http.is_some(), !self.hosts.is_empty()),
            (
                "agents",
                "agent_names",
                self.agents.is_some(),
                !self.agent_names.is_empty(),
            ),
            (
                "tools",
                "tool_names",
                self.tools.is_some(),
                !self.tool_names.is_empty(),
            ),
        ] {
            if has_list && !has_reason {
                bail!("[wants] has {list} but not {capability}: add {capability} = \"why\"");
            }
        }
        if self.http.is_some() && self.hosts.is_empty() {
            bail!("[wants] has http but no hosts: add hosts = [\"api.example.com\"]");
        }
        Ok(())
    }
}

/// Manifests are stored as JSON, which has no number for `nan` and `inf`: what cannot be read back
/// would make the agent unreadable.
fn check_config(config: &toml::Table) -> Result<()> {
    let stored = serde_json::to_string(config).context("[config] cannot be stored")?;
    if serde_json::from_str::<toml::Table>(&stored).ok().as_ref() != Some(config) {
        bail!("[config] has a value that cannot be stored, such as nan or inf; write it as text");
    }
    Ok(())
}

/// Checks an agent's name: 1 to 64 of `a-z`, `0-9`, `-`, beginning with a letter.
///
/// # Errors
///
/// If it is anything else.
pub(super) fn check_agent_name(name: &str) -> Result<()> {
    let fits = name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !fits {
        bail!("{name:?} is not an agent name: 1 to 64 of a-z, 0-9 and -, beginning with a letter");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_manifest_is_read() {
        let manifest = Manifest::parse(
            r#"
            name = "notes"
            description = "Keeps notes"
            version = "0.1.0"
            contract = "0.1.0"
            [wants]
            database = "keeps the notes"
            llm = "summaries"
            events = "tells others"
            topics = ["note.*"]
            [limits]
            fuel = 1000
            [config]
            greeting = "hello"
            since = 1979-05-27T07:32:00Z
            ratio = 0.1
            [triggers]
            chat = { history = 40, when_busy = "steer" }
            topics = ["note.**", { topic = "order.*", filter = "data.total > 10" }]
            "#,
        )
        .unwrap();
        assert_eq!(manifest.triggers.chat.history, 40);
        assert_eq!(manifest.triggers.chat.when_busy, WhenBusy::Steer);
        assert_eq!(manifest.limits.fuel, Some(1000));
        assert_eq!(manifest.models(), ["default"]);
        let json = serde_json::to_string(&manifest).unwrap();
        assert_eq!(serde_json::from_str::<Manifest>(&json).unwrap(), manifest);
    }

    #[test]
    fn what_cannot_be_is_refused_with_a_sentence() {
        for (text, part) in [
            ("nmae = 'x'", "nmae"),
            ("name = 'Big'", "not an agent name"),
            ("[triggers]\nchat = { history = 5000 }", "at most 1000"),
            ("[triggers]\nchat = { when_busy = 'shout' }", "shout"),
            ("[wants]\ntopics = ['Note Added']", "Note Added"),
            ("[triggers]\ntopics = ['a b']", "topic pattern"),
            ("[triggers]\ntopics = [7]", "a topic, or a table"),
            ("[triggers]\ntopics = [{ filter = 'x' }]", "topic"),
            (
                "[triggers]\ntopics = [{ topic = 'a', filtr = 'x' }]",
                "filtr",
            ),
            (
                "[triggers]\ntopics = [{ topic = 'a', filter = 'amount > 1' }]",
                "asks for \"amount\"",
            ),
            ("[limits]\nfuel = -1", "fuel"),
            ("[wants]\nmodels = ['fast']", "add llm"),
            ("[wants]\ntool_names = ['time']", "add tools"),
            (
                "[wants]\ntools = 'x'\ntool_names = ['a*b']",
                "is not a tool",
            ),
            ("[wants]\nhttp = 'x'", "no hosts"),
            (
                "[wants]\nhttp = 'x'\nhosts = ['https://a.b']",
                "is not a host",
            ),
            ("[wants]\nsecrets = ['a b']", "is not a name"),
            ("[config]\na = [{ b = nan }]", "cannot be stored"),
            ("[config]\na = -inf", "cannot be stored"),
        ] {
            let error = format!("{:#}", Manifest::parse(text).unwrap_err());
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
