//! Guardrails: what is looked for in what is said to models and by them, and taken out or refused.
//!
//! It knows texts, requests and rules. The gateway asks it before a request is sent and for each
//! piece of an answer; what a guest, the journal and a person see has passed it. Components that
//! look at texts are run by whoever is a [`Checker`].

mod answer;
mod check;
mod detect;
mod input;
mod rule;
mod screen;

use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::config::{Guardrail, On};
use crate::runtime::bindings::guardrail::Stage;

pub(crate) use answer::AnswerScreen;
pub use check::Checker;

use check::Checks;
use rule::Rule;
use screen::Screen;

/// Runs the components; there when the host is.
type Runner = Arc<OnceLock<Arc<dyn Checker>>>;

/// All rules of the operator.
#[derive(Default)]
pub struct Guards {
    rules: Vec<Arc<Rule>>,
    runner: Runner,
}

/// The rules for one turn.
#[derive(Clone, Default)]
pub struct Guard {
    input: Rules,
    output: Rules,
    whose: Arc<Whose>,
    runner: Runner,
}

/// The rules of one stage: those that the host knows come first.
#[derive(Clone, Default)]
struct Rules {
    patterns: Arc<[Arc<Rule>]>,
    components: Arc<[Arc<Rule>]>,
}

/// Whose turn it is that asks a model.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Whose {
    pub tenant: String,
    pub agent: String,
    pub conversation: Option<String>,
    pub user: Option<String>,
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
            runner: Runner::default(),
        })
    }

    /// Has components run by this one from now on. The first stays.
    pub fn run_by(&self, checker: Arc<dyn Checker>) {
        let _: Result<_, _> = self.runner.set(checker);
    }

    /// The rules for a turn.
    pub fn of(&self, whose: Whose) -> Guard {
        let on = |stage: On| {
            let rules = self.rules.iter();
            let rules = rules.filter(|rule| rule.is_for(&whose.agent) && rule.is_on(stage));
            let (components, patterns): (Vec<_>, Vec<_>) =
                rules.cloned().partition(|rule| rule.component().is_some());
            Rules {
                patterns: patterns.into(),
                components: components.into(),
            }
        };
        Guard {
            input: on(On::Input),
            output: on(On::Output),
            whose: Arc::new(whose),
            runner: Arc::clone(&self.runner),
        }
    }
}

impl Rules {
    fn is_empty(&self) -> bool {
        self.patterns.is_empty() && self.components.is_empty()
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.patterns.iter().chain(self.components.iter())
    }
}

impl Guard {
    /// What decides on what passes; none if that cannot be known.
    pub(crate) async fn deciding(&self) -> Option<impl Serialize + use<'_>> {
        let rules = || self.input.all().chain(self.output.all());
        let mut components = Vec::new();
        for component in rules().filter_map(|rule| rule.component()) {
            let checker = self.runner.get()?;
            components.push(checker.deciding(&self.whose.tenant, component).await?);
        }
        let rules: Vec<&Guardrail> = rules().map(|rule| &rule.config).collect();
        // A component may let pass for one what it refuses to another.
        let whose = (!components.is_empty()).then_some(&*self.whose);
        Some((rules, components, whose))
    }

    /// What looks at an answer of a model; none where no rule does.
    pub(crate) fn screen(&self, model: &str) -> Option<AnswerScreen> {
        (!self.output.is_empty())
            .then(|| AnswerScreen::new(self.pattern_screen(), self.checks(Stage::Output, model)))
    }

    fn pattern_screen(&self) -> Screen {
        Screen::new(Arc::clone(&self.output.patterns), Stage::Output)
    }

    /// The components that look at one stage; none where no rule has one.
    fn checks(&self, stage: Stage, model: &str) -> Option<Checks> {
        let rules = match stage {
            Stage::Input => &self.input.components,
            Stage::Output => &self.output.components,
        };
        (!rules.is_empty()).then(|| Checks {
            rules: Arc::clone(rules),
            runner: Arc::clone(&self.runner),
            whose: Arc::clone(&self.whose),
            stage,
            model: model.to_owned(),
        })
    }
}
