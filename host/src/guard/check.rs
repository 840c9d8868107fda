//! Rules whose component decides.
//!
//! What cannot be looked at does not pass: a component that is not there, fails or answers
//! nonsense refuses, and the operator is told why.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::rule::{Refusal, Rule, what};
use super::{Runner, Whose};
use crate::runtime::bindings::guardrail::{Passage, Stage, Verdict};

pub(super) use crate::runtime::bindings::guardrail::Piece;

/// Runs components that look at texts.
pub trait Checker: Send + Sync {
    /// What a component looks at a text with; another answer means that its verdicts may be
    /// others. None if there is no such component.
    fn deciding(&self, tenant: &str, component: &str) -> BoxFuture<'_, Option<String>>;

    /// Has a component look at texts. The error is a sentence for operators.
    fn check(
        &self,
        tenant: &str,
        component: &str,
        passage: Passage,
    ) -> BoxFuture<'_, Result<Verdict, String>>;
}

/// The components that look at one stage of a call.
pub(super) struct Checks {
    pub(super) rules: Arc<[Arc<Rule>]>,
    pub(super) runner: Runner,
    pub(super) whose: Arc<Whose>,
    pub(super) stage: Stage,
    pub(super) model: String,
}

impl Checks {
    /// The texts as all of them let them pass, one after the other.
    pub(super) async fn pass(&self, mut pieces: Vec<Piece>) -> Result<Vec<String>, Refusal> {
        for rule in self.rules.iter() {
            match self.ask(rule, &pieces).await {
                Ok(Verdict::Allow) => {}
                Ok(Verdict::Redact(texts)) => {
                    rule.note("redact");
                    for (piece, text) in pieces.iter_mut().zip(texts) {
                        piece.text = text;
                    }
                }
                Ok(Verdict::Refuse(reason)) => return Err(self.refusal(rule, &reason)),
                Err(reason) => return Err(self.failure(rule, &reason)),
            }
        }
        Ok(pieces.into_iter().map(|piece| piece.text).collect())
    }

    async fn ask(&self, rule: &Rule, pieces: &[Piece]) -> Result<Verdict, String> {
        let runner = self.runner.get().ok_or("nothing runs components here")?;
        let component = rule.component().unwrap_or_default();
        let passage = Passage {
            stage: self.stage,
            pieces: pieces.to_vec(),
            agent: self.whose.agent.clone(),
            model: self.model.clone(),
            conversation: self.whose.conversation.clone(),
            user: self.whose.user.clone(),
        };
        let verdict = runner.check(&self.whose.tenant, component, passage).await?;
        match &verdict {
            Verdict::Redact(texts) if texts.len() != pieces.len() => Err(format!(
                "it answered {} texts in the place of {}; it must answer one for each",
                texts.len(),
                pieces.len()
            )),
            _ => Ok(verdict),
        }
    }

    fn refusal(&self, rule: &Rule, reason: &str) -> Refusal {
        rule.note("refuse");
        let (agent, what) = (&self.whose.agent, what(self.stage));
        tracing::info!(
            rule = rule.config.name,
            agent,
            what,
            reason,
            "a guardrail refuses"
        );
        rule.refusal(what)
    }

    fn failure(&self, rule: &Rule, reason: &str) -> Refusal {
        rule.note("failed");
        let (agent, what) = (&self.whose.agent, what(self.stage));
        let component = rule.component().unwrap_or_default();
        tracing::warn!(
            rule = rule.config.name,
            component,
            agent,
            what,
            reason,
            "a guardrail could not look at something, so it does not pass"
        );
        rule.refusal(what).of_failure()
    }
}
