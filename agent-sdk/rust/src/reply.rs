//! What the person sees while the turn runs, and what people are asked. What `respond` returns is
//! what is kept.

pub use crate::bindings::imports::anchorhold::agent::reply::{
    Answer, Expected, Outcome, Question, Task, TaskStatus,
};
use crate::llm::{self, Generation};
use crate::window::reply as host;
use crate::{Message, Result, llm::Response};

/// Appends a piece of text to the answer as it is shown.
pub fn send_text(text: impl AsRef<str>) -> Result<()> {
    host::send_text(text.as_ref())
}

/// Passes the visible text of a generation on to the person, piece by piece, without the agent
/// touching it; answers the whole response at its end.
pub fn forward(generation: Generation) -> Result<Response, llm::Error> {
    host::forward(generation)
}

/// Shows what the agent is doing; the same `id` updates the same line.
pub fn progress(id: &str, title: &str, status: TaskStatus) -> Result<()> {
    host::progress(&Task {
        id: id.into(),
        title: title.into(),
        status,
        detail: None,
    })
}

/// Shows what the agent is doing, with every field.
pub fn progress_task(task: &Task) -> Result<()> {
    host::progress(task)
}

/// Messages of the same conversation that came while this turn runs, if the manifest has
/// `when_busy = "steer"`. They get no turn of their own.
pub fn interjections() -> Result<Vec<Message>> {
    host::interjections()
}

/// Asks the person who spoke for a text and waits for it; `None` if it is refused, or does not
/// come within a day.
pub fn ask(question: impl Into<String>) -> Result<Option<String>> {
    Question::new(question, Expected::Text).text()
}

/// Asks the person who spoke to choose and waits for that; `None` as for [`ask`].
pub fn choose<const N: usize>(
    question: impl Into<String>,
    choices: [&str; N],
) -> Result<Option<String>> {
    let choices = choices.map(str::to_owned).to_vec();
    Question::new(question, Expected::Choice(choices)).text()
}

/// Asks the person who spoke for approval and waits for it.
pub fn approve(question: impl Into<String>) -> Result<bool> {
    let outcome = Question::new(question, Expected::Approval).ask()?;
    Ok(matches!(outcome, Outcome::Answered(_)))
}

impl Question {
    /// A question to the person who spoke, for a day.
    pub fn new(text: impl Into<String>, expected: Expected) -> Self {
        Self {
            text: text.into(),
            expected,
            who: Vec::new(),
            expires_ms: None,
        }
    }

    /// Lets these people answer, by their ids, and nobody else.
    pub fn who<I: Into<String>>(mut self, ids: impl IntoIterator<Item = I>) -> Self {
        self.who = ids.into_iter().map(Into::into).collect();
        self
    }

    /// How long it may be answered, in milliseconds.
    pub fn expires_ms(mut self, ms: u64) -> Self {
        self.expires_ms = Some(ms);
        self
    }

    /// Asks and waits.
    pub fn ask(&self) -> Result<Outcome> {
        host::ask(self)
    }

    fn text(&self) -> Result<Option<String>> {
        Ok(match self.ask()? {
            Outcome::Answered(answer) => Some(answer.text),
            Outcome::Refused(_) | Outcome::Expired => None,
        })
    }
}
