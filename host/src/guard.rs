//! Guardrails: what is looked for in what is said to models and by them, and taken out or refused.
//!
//! It knows texts, requests and rules. The gateway asks it before a request is sent and for each
//! piece of an answer; what a guest, the journal and a person see has passed it.

mod detect;
mod input;
mod rule;
mod screen;

use std::sync::Arc;

use anyhow::{Context, Result};

use crate::config::{Guardrail, On};

pub(crate) use rule::Refusal;
pub(crate) use screen::Screen;

use rule::Rule;

/// All rules of the operator.
#[derive(Default)]
pub struct Guards {
    rules: Vec<Arc<Rule>>,
}

/// The rules for one agent.
#[derive(Clone, Default)]
pub struct Guard {
    input: Arc<[Arc<Rule>]>,
    output: Arc<[Arc<Rule>]>,
}

impl Guards {
    /// The rules of the configuration.
    ///
    /// # Errors
    ///
    /// If a pattern is none, or too large.
    pub fn new(rules: &[Guardrail]) -> Result<Self> {
        let made = rules.iter().map(|rule| {
            let made = Rule::new(rule);
            made.map(Arc::new)
                .with_context(|| format!("[[guardrails]] {:?} cannot be used", rule.name))
        });
        Ok(Self {
            rules: made.collect::<Result<_>>()?,
        })
    }

    /// The rules for an agent.
    pub fn of(&self, agent: &str) -> Guard {
        let on = |stage: On| {
            let rules = self.rules.iter();
            let rules = rules.filter(|rule| rule.is_for(agent) && rule.is_on(stage));
            rules.cloned().collect()
        };
        Guard {
            input: on(On::Input),
            output: on(On::Output),
        }
    }
}

impl Guard {
    /// What decides on what passes.
    pub(crate) fn deciding(&self) -> Vec<&Guardrail> {
        let rules = self.input.iter().chain(self.output.iter());
        rules.map(|rule| &rule.config).collect()
    }

    /// What looks at an answer; none where no rule does.
    pub(crate) fn screen(&self) -> Option<Screen> {
        let rules = Arc::clone(&self.output);
        (!rules.is_empty()).then(|| Screen::new(rules, "answer"))
    }
}
