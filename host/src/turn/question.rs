//! Questions to people: as stored, as shown, and what may answer them.

use serde::{Deserialize, Serialize};

/// What a turn asks a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Question {
    /// Markdown.
    pub text: String,
    pub expects: Expects,
    /// What there is to choose from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    /// Ids of the authors who may answer.
    pub who: Vec<String>,
    /// Milliseconds since 1970.
    pub expires_at: i64,
}

/// What answers a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Expects {
    /// Any text.
    Text,
    /// One of the choices.
    Choice,
    /// Yes or no.
    Approval,
}

/// What a person says to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A text or a choice.
    Text(String),
    /// Yes, with what was said besides.
    Approved(String),
    /// No, with what was said besides.
    Refused(String),
}

impl Question {
    /// Whether this may answer it.
    ///
    /// # Errors
    ///
    /// What would.
    pub fn check(&self, verdict: &Verdict) -> Result<(), String> {
        match (self.expects, verdict) {
            (_, Verdict::Refused(_)) | (Expects::Approval, Verdict::Approved(_)) => Ok(()),
            (Expects::Text, Verdict::Text(text)) if !text.trim().is_empty() => Ok(()),
            (Expects::Choice, Verdict::Text(text)) if self.choices.contains(text) => Ok(()),
            (Expects::Text, _) => Err("it is answered by a text, or refused".to_owned()),
            (Expects::Choice, _) => Err(format!(
                "it is answered by one of {:?}, or refused",
                self.choices
            )),
            (Expects::Approval, _) => Err("it is approved or refused".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_fits_its_question() {
        let question = |expects| Question {
            text: "?".to_owned(),
            expects,
            choices: vec!["red".to_owned(), "blue".to_owned()],
            who: Vec::new(),
            expires_at: 0,
        };
        let text = |text: &str| Verdict::Text(text.to_owned());
        let (yes, no) = (
            Verdict::Approved(String::new()),
            Verdict::Refused(String::new()),
        );
        for (expects, verdict, fits) in [
            (Expects::Text, text("because"), true),
            (Expects::Text, text("  "), false),
            (Expects::Text, yes.clone(), false),
            (Expects::Choice, text("red"), true),
            (Expects::Choice, text("green"), false),
            (Expects::Choice, yes.clone(), false),
            (Expects::Approval, yes, true),
            (Expects::Approval, text("yes"), false),
            (Expects::Text, no.clone(), true),
            (Expects::Choice, no.clone(), true),
            (Expects::Approval, no, true),
        ] {
            let checked = question(expects).check(&verdict);
            assert_eq!(checked.is_ok(), fits, "{expects:?} {verdict:?}");
        }
    }
}
