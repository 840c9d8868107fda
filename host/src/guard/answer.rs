//! What looks at an answer that comes in pieces.
//!
//! Rules that the host knows let through what they cannot change any more. Components see a text
//! as a whole, because what they look for may stand anywhere in it: nothing of it is shown before
//! it has ended.

use super::check::{Checks, Piece};
use super::rule::Refusal;
use super::screen::Screen;
use crate::runtime::bindings::llm::Role;

/// Looks at one answer.
pub(crate) struct AnswerScreen {
    screen: Screen,
    checks: Option<Checks>,
    /// What components have not looked at yet.
    held: String,
}

impl AnswerScreen {
    pub(super) fn new(screen: Screen, checks: Option<Checks>) -> Self {
        Self {
            screen,
            checks,
            held: String::new(),
        }
    }

    /// Takes a piece and answers what may be shown by now.
    pub(crate) fn push(&mut self, piece: &str) -> Result<String, Refusal> {
        let passed = self.screen.push(piece)?;
        if self.checks.is_none() {
            return Ok(passed);
        }
        self.held.push_str(&passed);
        Ok(String::new())
    }

    /// The text has ended: answers the rest of it. Another may follow.
    pub(crate) async fn end(&mut self) -> Result<String, Refusal> {
        let rest = self.screen.end()?;
        let Some(checks) = &self.checks else {
            return Ok(rest);
        };
        let mut text = std::mem::take(&mut self.held);
        text.push_str(&rest);
        if text.is_empty() {
            return Ok(text);
        }
        let role = Role::Assistant;
        Ok(checks.pass(vec![Piece { role, text }]).await?.concat())
    }

    /// Forgets all: there is another text in its place.
    pub(crate) fn restart(&mut self) {
        self.screen.restart();
        self.held.clear();
    }
}

#[cfg(test)]
mod tests;
