//! What the person sees while the turn runs. What `respond` returns is what is kept.

pub use crate::bindings::imports::anchorhold::agent::reply::{Task, TaskStatus};
use crate::llm::{self, Generation};
use crate::window::reply as host;
use crate::{Result, llm::Response};

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
