//! The outcome of one check.

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::cli) enum Verdict {
    Good,
    /// Works, but should be known.
    Note,
    Bad,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(in crate::cli) struct Check {
    pub(in crate::cli) name: &'static str,
    pub(in crate::cli) verdict: Verdict,
    pub(in crate::cli) found: String,
    /// The next step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) hint: Option<String>,
}

impl Check {
    pub(in crate::cli) fn good(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            name,
            verdict: Verdict::Good,
            found: found.into(),
            hint: None,
        }
    }

    pub(in crate::cli) fn note(
        name: &'static str,
        found: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            verdict: Verdict::Note,
            hint: Some(hint.into()),
            ..Self::good(name, found)
        }
    }

    pub(in crate::cli) fn bad(
        name: &'static str,
        found: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            verdict: Verdict::Bad,
            ..Self::note(name, found, hint)
        }
    }

    pub(in crate::cli) fn lines(&self) -> Vec<String> {
        let mark = match self.verdict {
            Verdict::Good => "good",
            Verdict::Note => "note",
            Verdict::Bad => "BAD ",
        };
        let mut lines = vec![format!("{mark}  {:<15} {}", self.name, self.found)];
        let hints = self.hint.iter().flat_map(|hint| hint.lines());
        lines.extend(hints.map(|hint| format!("{:22}{hint}", "")));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_stands_below_what_was_found() {
        let check = Check::bad("token", "not known", "make one\nor two");
        assert_eq!(
            check.lines(),
            [
                "BAD   token           not known",
                "                      make one",
                "                      or two"
            ]
        );
    }
}
