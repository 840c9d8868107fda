//! Other agents: asking them and telling them things.

use crate::window::agents as host;
use crate::{Reply, Result};

/// Says something to another agent and waits for its answer.
pub fn ask(agent: &str, text: impl AsRef<str>) -> Result<Reply> {
    host::ask(agent, text.as_ref())
}

/// Says something to another agent without waiting; answers the id of its turn.
pub fn tell(agent: &str, text: impl AsRef<str>) -> Result<String> {
    host::tell(agent, text.as_ref())
}
