//! Errors as people and scripts see them: a chain of causes, a hint, an exit
//! code.

use std::error::Error as StdError;
use std::process::ExitCode;

/// What the process ends with. docs/reference/cli.md lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    Failure = 1,
    Usage = 2,
    /// No host answers.
    Unreachable = 3,
    /// The host refuses the token, or the token this.
    Refused = 4,
    /// The turn failed or was cancelled.
    TurnFailed = 5,
}

/// An error with an exit code of its own, or with a next step.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Fault {
    message: String,
    exit: Exit,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Fault {
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            exit,
            hint: None,
            source: None,
        }
    }

    /// Adds the next step, a sentence without its end.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn caused_by(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    pub(super) fn exit(&self) -> Exit {
        self.exit
    }
}

/// What is said of an error where it is not the end.
pub(super) fn in_a_line(error: &anyhow::Error) -> String {
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    causes.join(": ")
}

/// Prints an error to standard error; answers the exit code.
pub fn report(error: &anyhow::Error) -> ExitCode {
    eprint!("{}", render(error));
    ExitCode::from(exit_of(error) as u8)
}

fn render(error: &anyhow::Error) -> String {
    let mut text = String::new();
    let mut said = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        // Libraries like to repeat their cause in their own message.
        if said.ends_with(&cause) {
            continue;
        }
        let label = if text.is_empty() {
            "error"
        } else {
            "  caused by"
        };
        let cause_lines = cause.trim_end().replace('\n', "\n    ");
        text.push_str(&format!("{label}: {cause_lines}\n"));
        said = cause;
    }
    for fault in faults(error) {
        if let Some(hint) = &fault.hint {
            text.push_str(&format!("  hint: {hint}\n"));
        }
    }
    text
}

pub(super) fn exit_of(error: &anyhow::Error) -> Exit {
    faults(error).next().map_or(Exit::Failure, Fault::exit)
}

fn faults(error: &anyhow::Error) -> impl Iterator<Item = &Fault> {
    // A context is found by the error it wraps, not by the chain.
    error.chain().filter_map(|cause| cause.downcast_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};

    #[test]
    fn the_chain_is_printed_with_the_hint_last() {
        let fault = Fault::new(Exit::Unreachable, "no host answers on http://x")
            .hint("start one: anchorhold serve")
            .caused_by(std::io::Error::other("connection refused"));
        let error = anyhow::Error::from(fault).context("listing agents");
        assert_eq!(
            render(&error),
            "error: listing agents\n  caused by: no host answers on http://x\n  \
             caused by: connection refused\n  hint: start one: anchorhold serve\n"
        );
        assert_eq!(exit_of(&error), Exit::Unreachable);
    }

    #[test]
    fn any_other_error_is_a_failure() {
        let error: anyhow::Error = Err::<(), _>(anyhow!("inner")).context("outer").unwrap_err();
        assert_eq!(render(&error), "error: outer\n  caused by: inner\n");
        assert_eq!(exit_of(&error), Exit::Failure);
    }
}
