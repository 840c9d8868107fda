//! Looks at a text that comes in pieces and lets through what no rule can change any more.
//!
//! The text is decided on from its beginning, a step of [`STEP`] bytes or one match at a time.
//! A decision looks at a window, the step and the longest match behind it, and is only taken when
//! the window is full or the text has ended. So what is decided depends on the text alone, not on
//! its pieces, and nothing is shown of what is then found to be part of a match.

use std::sync::Arc;

use super::rule::{Refusal, Rule, what};
use crate::runtime::bindings::guardrail::Stage;

/// How much is decided at once, in bytes.
const STEP: usize = 64;

/// So much of what was decided stays, since patterns look at the character before.
const BEFORE: usize = 4;

/// Decided text that is kept until it is thrown away at once.
const KEPT: usize = 4_096;

/// Looks at one text.
pub(super) struct Screen {
    rules: Arc<[Arc<Rule>]>,
    /// What the text is, for who is told that it is refused.
    what: &'static str,
    text: String,
    /// Up to here it is decided.
    at: usize,
    window: usize,
    bytes: u64,
}

impl Screen {
    pub(super) fn new(rules: Arc<[Arc<Rule>]>, stage: Stage) -> Self {
        let finders = rules.iter().flat_map(|rule| &rule.finders);
        let longest = finders.map(|finder| finder.longest).max();
        Self {
            rules,
            what: what(stage),
            text: String::new(),
            at: 0,
            window: STEP + longest.unwrap_or(0),
            bytes: 0,
        }
    }

    /// Takes a piece and answers what may be shown by now.
    pub(super) fn push(&mut self, piece: &str) -> Result<String, Refusal> {
        self.measure(piece.len())?;
        self.text.push_str(piece);
        let mut shown = String::new();
        while self.text.len() - self.at >= self.window {
            self.decide(&mut shown)?;
        }
        if self.at > KEPT {
            let before = self.text.floor_char_boundary(self.at - BEFORE);
            self.text.drain(..before);
            self.at -= before;
        }
        Ok(shown)
    }

    /// The text has ended: answers the rest of it. Another may follow.
    pub(super) fn end(&mut self) -> Result<String, Refusal> {
        let mut shown = String::new();
        while self.at < self.text.len() {
            self.decide(&mut shown)?;
        }
        self.text.clear();
        self.at = 0;
        Ok(shown)
    }

    /// Forgets all: there is another text in its place.
    pub(super) fn restart(&mut self) {
        self.text.clear();
        self.at = 0;
        self.bytes = 0;
    }

    /// A whole text.
    pub(super) fn whole(&mut self, text: &str) -> Result<String, Refusal> {
        let mut shown = self.push(text)?;
        shown.push_str(&self.end()?);
        Ok(shown)
    }

    fn measure(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        let is_over =
            |rule: &&Arc<Rule>| rule.config.max_bytes.is_some_and(|most| self.bytes > most);
        match self.rules.iter().find(is_over) {
            Some(rule) => Err(rule.refuse(self.what)),
            None => Ok(()),
        }
    }

    /// Decides on one step, or on what is before the next match and on that.
    fn decide(&mut self, shown: &mut String) -> Result<(), Refusal> {
        let rest = self.text.len() - self.at;
        let (end, limit) = if rest < self.window {
            (self.text.len(), self.text.len())
        } else {
            let end = self.text.floor_char_boundary(self.at + self.window);
            (end, self.text.floor_char_boundary(self.at + STEP))
        };
        let window = &self.text[..end];
        let mut first: Option<(usize, usize, &str, &Rule)> = None;
        for rule in self.rules.iter() {
            let Some((start, end, instead)) = rule.find(window, self.at) else {
                continue;
            };
            if start >= limit {
                continue;
            }
            if rule.refuses() {
                return Err(rule.refuse(self.what));
            }
            if first.is_none_or(|(earlier, ..)| start < earlier) {
                first = Some((start, end, instead, rule));
            }
        }
        let Some((start, end, instead, rule)) = first else {
            shown.push_str(&self.text[self.at..limit]);
            self.at = limit;
            return Ok(());
        };
        rule.note("redact");
        shown.push_str(&self.text[self.at..start]);
        shown.push_str(instead);
        self.at = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
