//! One rule, ready to look at texts.

use anyhow::{Context, Result, ensure};
use regex::{Regex, RegexBuilder};

use super::detect;
use crate::config::{Action, Guardrail, On};
use crate::runtime::bindings::guardrail::Stage;
use crate::runtime::bindings::llm as wire;

/// The largest that a pattern may become, in bytes.
const PATTERN_BYTES: usize = 1 << 20;

/// A match of a pattern that could go on without end is cut after so many bytes.
const CUT: usize = 1_024;

/// The same for a pattern that ends, but late.
const LATEST_CUT: usize = 8_192;

/// How far a pattern may look beyond its match: one character.
const BESIDE: usize = 4;

/// One `[[guardrails]]`.
pub(super) struct Rule {
    pub(super) config: Guardrail,
    pub(super) finders: Vec<Finder>,
}

/// What finds one kind of thing.
pub(super) struct Finder {
    regex: Regex,
    /// How much of a match is one, by more than its form.
    check: fn(&str) -> Option<usize>,
    /// What stands in its place.
    pub(super) instead: String,
    /// The longest match that is looked for, in bytes, with what it looks at beside it.
    pub(super) longest: usize,
}

/// A rule does not let something pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    rule: String,
    what: &'static str,
    /// It could not look at it.
    has_failed: bool,
}

impl Refusal {
    /// The rule could not look.
    pub(super) fn of_failure(self) -> Self {
        Self {
            has_failed: true,
            ..self
        }
    }
}

/// What a text is, for who is told that it is refused.
pub(super) fn what(stage: Stage) -> &'static str {
    match stage {
        Stage::Input => "request",
        Stage::Output => "answer",
    }
}

impl Rule {
    pub(super) fn new(config: &Guardrail) -> Result<Self> {
        let mut finders = Vec::new();
        if let Some(pattern) = &config.pattern {
            finders.push(Finder::new(pattern, &config.name, |found| {
                Some(found.len())
            })?);
        }
        for detector in &config.detect {
            for (pattern, check) in detect::forms(*detector) {
                finders.push(Finder::new(pattern, detect::name(*detector), *check)?);
            }
        }
        Ok(Self {
            config: config.clone(),
            finders,
        })
    }

    pub(super) fn is_for(&self, agent: &str) -> bool {
        let agents = &self.config.agents;
        agents.is_empty() || agents.iter().any(|name| name == agent)
    }

    pub(super) fn is_on(&self, stage: On) -> bool {
        self.config.on == On::Both || self.config.on == stage
    }

    /// What a text has of it from `from` on: where, and what stands in its place.
    pub(super) fn find(&self, text: &str, from: usize) -> Option<(usize, usize, &str)> {
        let found = self.finders.iter().filter_map(|finder| {
            let (start, end) = finder.find(text, from)?;
            Some((start, end, finder.instead.as_str()))
        });
        found.min_by_key(|(start, _, _)| *start)
    }

    /// It found something, and does that; never what it found.
    pub(super) fn note(&self, action: &'static str) {
        let name = &self.config.name;
        let labels = [("rule", name.clone()), ("action", action.to_owned())];
        metrics::counter!("anchorhold_guardrail_total", &labels).increment(1);
        tracing::debug!(rule = name, action, "a guardrail found something");
    }

    /// It does not let `what` pass.
    pub(super) fn refuse(&self, what: &'static str) -> Refusal {
        self.note("refuse");
        tracing::info!(rule = self.config.name, what, "a guardrail refuses");
        self.refusal(what)
    }

    /// The same, without a word to the operator.
    pub(super) fn refusal(&self, what: &'static str) -> Refusal {
        Refusal {
            rule: self.config.name.clone(),
            what,
            has_failed: false,
        }
    }

    /// The agent whose component decides.
    pub(super) fn component(&self) -> Option<&str> {
        self.config.component.as_deref()
    }

    /// Whether what it finds fails the call.
    pub(super) fn refuses(&self) -> bool {
        self.config.action == Some(Action::Refuse)
    }
}

impl Finder {
    fn new(pattern: &str, name: &str, check: fn(&str) -> Option<usize>) -> Result<Self> {
        let regex = RegexBuilder::new(pattern)
            .size_limit(PATTERN_BYTES)
            .build()
            .with_context(|| format!("the pattern {pattern:?} cannot be used"))?;
        let form = regex_syntax::parse(pattern)?;
        let form = form.properties();
        let matches_nothing = form.minimum_len().is_none_or(|least| least == 0);
        ensure!(
            !matches_nothing,
            "the pattern {pattern:?} also fits where nothing is, so it fits everywhere"
        );
        let longest = form.maximum_len().map_or(CUT, |most| most.min(LATEST_CUT));
        Ok(Self {
            regex,
            check,
            instead: format!("[{name}]"),
            longest: longest + BESIDE,
        })
    }

    fn find(&self, text: &str, from: usize) -> Option<(usize, usize)> {
        let mut from = from;
        while let Some(found) = self.regex.find_at(text, from) {
            if let Some(length) = (self.check)(found.as_str()) {
                return Some((found.start(), found.start() + length));
            }
            from = text.ceil_char_boundary(found.start() + 1);
        }
        None
    }
}

impl From<Refusal> for wire::Error {
    fn from(refusal: Refusal) -> Self {
        let Refusal { rule, what, .. } = refusal;
        let message = if refusal.has_failed {
            format!(
                "the guardrail {rule:?} of this host could not look at this {what}, so it does not pass; the operator finds the cause in the log"
            )
        } else {
            format!("the guardrail {rule:?} of this host does not let this {what} pass")
        };
        wire::Error {
            kind: wire::ErrorKind::ContentFiltered,
            retry: wire::RetryClass::Never,
            retry_after_ms: None,
            message,
            provider: None,
            http_status: None,
            attempts: 0,
            usage: None,
            detail_json: Some(serde_json::json!({ "guardrail": rule }).to_string()),
        }
    }
}
