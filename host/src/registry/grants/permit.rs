//! One permit of a list: a capability, whole or a part of it.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail};

use super::Grant;
use crate::events::{check_pattern, topic_matches};

/// What a manifest wants or an operator grants. `None` is the whole capability.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permit {
    Llm(Option<String>),
    Database,
    State,
    Events(Option<String>),
    Http(Option<String>),
    Secret(Option<String>),
    Agents(Option<String>),
    Tools(Option<String>),
}

impl Permit {
    /// A model; `*` is any.
    pub(super) fn model(alias: String) -> Self {
        Self::Llm((alias != "*").then_some(alias))
    }

    /// A host; `*` is any, `*.example.com` any below.
    pub(super) fn host(host: &str) -> Self {
        Self::Http((host != "*").then(|| host.to_ascii_lowercase()))
    }

    /// A tool; `*` is any, `server/*` any of a server.
    pub(super) fn tool(name: &str) -> Self {
        Self::Tools((name != "*").then(|| name.to_owned()))
    }

    /// Whether this alone is enough for `grant`.
    pub fn allows(&self, grant: Grant<'_>) -> bool {
        match (self, grant) {
            (Self::Database, Grant::Database) | (Self::State, Grant::State) => true,
            (Self::Llm(part), Grant::Llm(name))
            | (Self::Secret(part), Grant::Secret(name))
            | (Self::Agents(part), Grant::Agents(name)) => {
                part.as_deref().is_none_or(|part| part == name)
            }
            (Self::Events(part), Grant::Events(topic)) => part
                .as_deref()
                .is_none_or(|pattern| topic_matches(pattern, topic)),
            (Self::Http(part), Grant::Http(host)) => part
                .as_deref()
                .is_none_or(|pattern| host_matches(pattern, host)),
            (Self::Tools(part), Grant::Tool(name)) => part
                .as_deref()
                .is_none_or(|pattern| tool_covers(pattern, name)),
            _ => false,
        }
    }

    /// Whether everything that `other` allows is allowed by this.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Database, Self::Database) | (Self::State, Self::State) => true,
            (Self::Llm(ours), Self::Llm(theirs))
            | (Self::Secret(ours), Self::Secret(theirs))
            | (Self::Agents(ours), Self::Agents(theirs)) => {
                part_covers(ours, theirs, |ours, theirs| ours == theirs)
            }
            (Self::Events(ours), Self::Events(theirs)) => part_covers(ours, theirs, topic_covers),
            (Self::Http(ours), Self::Http(theirs)) => part_covers(ours, theirs, host_covers),
            (Self::Tools(ours), Self::Tools(theirs)) => part_covers(ours, theirs, tool_covers),
            _ => false,
        }
    }
}

impl FromStr for Permit {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (capability, part) = match text.split_once(':') {
            Some((capability, part)) => (capability, Some(part)),
            None => (text, None),
        };
        let named = || part.map(check_name).transpose();
        match (capability, part) {
            ("llm", Some(alias)) => Ok(Self::model(check_name(alias)?)),
            ("llm", None) => Ok(Self::Llm(None)),
            ("database", None) => Ok(Self::Database),
            ("state", None) => Ok(Self::State),
            ("events", Some(pattern)) => {
                check_pattern(pattern)?;
                Ok(Self::Events(Some(pattern.to_owned())))
            }
            ("events", None) => Ok(Self::Events(None)),
            ("http", Some(host)) => {
                check_host(host)?;
                Ok(Self::host(host))
            }
            ("http", None) => Ok(Self::Http(None)),
            ("secret", _) => Ok(Self::Secret(named()?)),
            ("agents", _) => Ok(Self::Agents(named()?)),
            ("tools", Some(name)) => {
                check_tool(name)?;
                Ok(Self::tool(name))
            }
            ("tools", None) => Ok(Self::Tools(None)),
            _ => bail!(
                "there are llm, llm:ALIAS, database, state, events, events:PATTERN, http, http:HOST, secret, secret:NAME, agents, agents:NAME, tools and tools:NAME"
            ),
        }
    }
}

impl fmt::Display for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (capability, part) = match self {
            Self::Llm(part) => ("llm", part.as_deref()),
            Self::Database => ("database", None),
            Self::State => ("state", None),
            Self::Events(part) => ("events", part.as_deref()),
            Self::Http(part) => ("http", part.as_deref()),
            Self::Secret(part) => ("secret", part.as_deref()),
            Self::Agents(part) => ("agents", part.as_deref()),
            Self::Tools(part) => ("tools", part.as_deref()),
        };
        match part {
            Some(part) => write!(f, "{capability}:{part}"),
            None => f.write_str(capability),
        }
    }
}

/// Checks a host of a manifest or a grant.
///
/// # Errors
///
/// If it is anything but a host's name or number, `*.` and a name, or `*`.
pub(in crate::registry) fn check_host(host: &str) -> Result<()> {
    let name = host.strip_prefix("*.").unwrap_or(host);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_name = !name.is_empty()
        && name.len() <= 253
        && name.chars().all(plain)
        && !name.split('.').any(str::is_empty);
    let is_v6 = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
    if host != "*" && !is_name && !is_v6 {
        bail!(
            "{host:?} is not a host: a name such as api.example.com without scheme, port or path, or *.example.com for any below"
        );
    }
    Ok(())
}

/// Checks the name of a model or a secret.
///
/// # Errors
///
/// If it is empty, long, or has spaces or control characters in it.
pub(in crate::registry) fn check_name(name: &str) -> Result<String> {
    if name.is_empty()
        || name.len() > 128
        || name.chars().any(|c| c.is_whitespace() || c.is_control())
    {
        bail!("{name:?} is not a name: 1 to 128 bytes without spaces");
    }
    Ok(name.to_owned())
}

/// Checks the name of a tool of a manifest or a grant.
///
/// # Errors
///
/// If it is anything but a name, `server/` and a name, `server/*`, or `*`.
pub(in crate::registry) fn check_tool(name: &str) -> Result<()> {
    check_name(name)?;
    let plain = name.strip_suffix("/*").unwrap_or(name);
    if name != "*" && (plain.is_empty() || plain.contains('*')) {
        bail!(
            "{name:?} is not a tool: a name such as clock, server/tool, or server/* for any of it"
        );
    }
    Ok(())
}

/// Whether a pattern covers a tool, or all that another pattern does.
fn tool_covers(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(server) => name.starts_with(server),
        None => name == pattern,
    }
}

/// Whether a pattern covers a host, whatever its case and with or without the
/// dot at its end.
fn host_matches(pattern: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    match pattern.strip_prefix('*') {
        Some(below) => host
            .strip_suffix(below)
            .is_some_and(|label| !label.is_empty() && !label.ends_with('.')),
        None => host == pattern,
    }
}

fn host_covers(ours: &str, theirs: &str) -> bool {
    match (ours.strip_prefix('*'), theirs.strip_prefix('*')) {
        (Some(ours), Some(theirs)) => theirs.ends_with(ours),
        (None, Some(_)) => false,
        _ => host_matches(ours, theirs),
    }
}

fn topic_covers(ours: &str, theirs: &str) -> bool {
    let mut words = theirs.split('.');
    for ours in ours.split('.') {
        match (ours, words.next()) {
            ("**", Some(_)) => return true,
            ("*", Some(word)) if word != "**" => {}
            (ours, Some(word)) if ours == word => {}
            _ => return false,
        }
    }
    words.next().is_none()
}

/// The whole covers everything; a part covers parts only.
fn part_covers(
    ours: &Option<String>,
    theirs: &Option<String>,
    covers: fn(&str, &str) -> bool,
) -> bool {
    match (ours, theirs) {
        (None, _) => true,
        // All topics there are.
        (Some(ours), None) => ours == "**",
        (Some(ours), Some(theirs)) => covers(ours, theirs),
    }
}
