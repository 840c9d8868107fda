//! Tools that the operator connected, and the loop in which a model calls them.

use serde::Serialize;

pub use crate::bindings::imports::anchorhold::agent::tools::{Outcome, Tool};
use crate::llm::{Request, ToolOutput};
use crate::window::tools as host;
use crate::{Result, ToolDefinition};

mod names;
mod run;

pub use run::{Ran, ToolRun};

/// The tools that this agent may call, by name; none without the grant.
pub fn list() -> Result<Vec<Tool>> {
    host::list_tools()
}

/// Calls a tool by its name, with an object that fits its schema.
///
/// What the tool says of a failure is an [`Outcome`] too; an error means that it did not answer.
pub fn call(name: &str, arguments: &impl Serialize) -> Result<Outcome> {
    call_json(name, &serde_json::to_string(arguments)?)
}

fn call_json(name: &str, arguments: &str) -> Result<Outcome> {
    host::call(name, arguments)
}

/// Asks a model with all tools that are granted, calls what it calls, and goes on until it answers,
/// at most `steps` times. The person sees the text while it is made. For more, see [`ToolRun`].
///
/// ```
/// use anchorhold_agent::{Chat, Message, Reply, Result, llm::Request, tools};
///
/// struct Clerk;
///
/// impl Chat for Clerk {
///     fn respond(message: Message) -> Result<Reply> {
///         let request = Request::new("default").history(&message).message(&message);
///         Ok(tools::run_tools(request, 8)?.into())
///     }
/// }
/// # use anchorhold_agent::{testing, serde_json::json};
/// # let _host = testing::Host::new()
/// #     .tool("everything/add", &json!({"type": "object"}), |_| Ok("7".into()))
/// #     .answer_call("call-1", "everything_add", &json!({"a": 3, "b": 4}))
/// #     .answer("It is 7.");
/// # assert_eq!(Clerk::respond(testing::message("3 + 4?"))?.text, "It is 7.");
/// # Ok::<(), anchorhold_agent::Error>(())
/// ```
pub fn run_tools(request: Request, steps: u32) -> Result<Ran> {
    ToolRun::new(request).granted().steps(steps).run()
}

impl Outcome {
    /// Its text, without the other parts.
    pub fn text(&self) -> String {
        let text = |part: &ToolOutput| match part {
            ToolOutput::Text(text) | ToolOutput::Json(text) => Some(text.clone()),
            ToolOutput::Media(_) => None,
        };
        let texts: Vec<_> = self.output.iter().filter_map(text).collect();
        texts.join("\n")
    }
}

impl Tool {
    /// Its name, for [`call`].
    pub fn name(&self) -> &str {
        &self.definition.name
    }

    /// Its definition under a name that models take.
    fn definition_as(&self, name: &str) -> ToolDefinition {
        ToolDefinition {
            name: name.into(),
            ..self.definition.clone()
        }
    }
}
