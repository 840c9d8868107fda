//! `[[guardrails]]`: what is looked for in what agents say to models and models to agents.

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

/// One rule: what it looks for, where, and what is done.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Guardrail {
    /// What errors, metrics and the log call it.
    pub name: String,
    #[serde(default)]
    pub on: On,
    /// The agents it is for; all if there are none.
    #[serde(default)]
    pub agents: Vec<String>,
    /// A regular expression.
    #[serde(default)]
    pub pattern: Option<String>,
    /// What is known to look for.
    #[serde(default)]
    pub detect: Vec<Detector>,
    /// The most text, in bytes.
    #[serde(default)]
    pub max_bytes: Option<u64>,
    /// The agent whose component decides.
    #[serde(default)]
    pub component: Option<String>,
    /// None where a component decides.
    #[serde(default)]
    pub action: Option<Action>,
}

/// What is looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum On {
    /// What is sent to a model.
    Input,
    /// What comes back.
    Output,
    #[default]
    Both,
}

/// What is done where a rule finds something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// A name stands in its place.
    Redact,
    /// The call fails.
    Refuse,
}

/// Personal data and secrets that have a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Detector {
    Email,
    Phone,
    CreditCard,
    Iban,
    Ipv4,
    UsSsn,
    ApiKey,
    PrivateKey,
}

/// Checks what a rule says on its own.
pub(super) fn check(rules: &[Guardrail]) -> Result<()> {
    for (at, rule) in rules.iter().enumerate() {
        let name = &rule.name;
        if name.is_empty() || name.len() > 64 {
            bail!(
                "[[guardrails]] number {}: its name is 1 to 64 bytes",
                at + 1
            );
        }
        if rules[..at].iter().any(|other| other.name == *name) {
            bail!("[[guardrails]] two rules are called {name:?}");
        }
        let ways = [
            rule.pattern.is_some(),
            !rule.detect.is_empty(),
            rule.max_bytes.is_some(),
            rule.component.is_some(),
        ];
        if ways.into_iter().filter(|way| *way).count() != 1 {
            bail!("[[guardrails]] {name:?} has one of pattern, detect, max_bytes and component");
        }
        check_action(rule)?;
        if rule.component.as_ref().is_some_and(String::is_empty) {
            bail!("[[guardrails]] {name:?}: component names the agent that exports guardrail");
        }
    }
    Ok(())
}

fn check_action(rule: &Guardrail) -> Result<()> {
    let name = &rule.name;
    match (&rule.component, rule.action) {
        (Some(_), Some(_)) => {
            bail!(
                "[[guardrails]] {name:?}: its component decides what is done; take out its action"
            )
        }
        (None, None) => {
            bail!("[[guardrails]] {name:?} has no action; say \"redact\" or \"refuse\"")
        }
        (None, Some(Action::Redact)) if rule.max_bytes.is_some() => bail!(
            "[[guardrails]] {name:?}: what is too long can only be refused: action = \"refuse\""
        ),
        _ => Ok(()),
    }
}
