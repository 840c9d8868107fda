//! The loop: the model calls tools, they answer, the model goes on.

use std::collections::{BTreeMap, BTreeSet};

use super::{call_json, names};
use crate::llm::{PromptMessage, Request, Response, ToolAnswer, ToolChoice};
use crate::reply::{self, TaskStatus};
use crate::{Error, ErrorKind, Reply, Result, ToolCall, ToolDefinition, log, tools};

/// How often the model is asked unless it is said.
const STEPS: u32 = 8;

type Own<'a> = Box<dyn Fn(&ToolCall) -> Result<String> + 'a>;

/// A request that is asked until the model answers without calling tools.
///
/// The model may call tools of three kinds: those that the operator granted
/// ([`granted`](Self::granted)), the agent's own ([`own`](Self::own)), and those of the request that
/// are neither: they are the client's, and calls of them end the run ([`Ran::tool_calls`]).
pub struct ToolRun<'a> {
    request: Request,
    steps: u32,
    own: BTreeMap<String, Own<'a>>,
    /// Names of granted tools by what the model calls them.
    granted: BTreeMap<String, String>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Ran {
    /// All that the model said, which the person saw.
    pub text: String,
    /// Calls of the client's tools; the reply hands them on.
    pub tool_calls: Vec<ToolCall>,
    /// How often the model was asked.
    pub steps: u32,
}

impl From<Ran> for Reply {
    fn from(ran: Ran) -> Self {
        Self {
            tool_calls: ran.tool_calls,
            ..Self::new(ran.text)
        }
    }
}

impl<'a> ToolRun<'a> {
    /// A run of this request, without tools but the request's.
    pub fn new(request: Request) -> Self {
        Self {
            request,
            steps: STEPS,
            own: BTreeMap::new(),
            granted: BTreeMap::new(),
        }
    }

    /// How often the model is asked at most. The last time it gets no tools, so that it answers.
    pub fn steps(mut self, steps: u32) -> Self {
        self.steps = steps.max(1);
        self
    }

    /// Lets the model call a function of the agent. What it answers, or why it fails, goes to the
    /// model.
    pub fn own(
        mut self,
        definition: ToolDefinition,
        run: impl Fn(&ToolCall) -> Result<String> + 'a,
    ) -> Self {
        self.own.insert(definition.name.clone(), Box::new(run));
        self.request.tools.push(definition);
        self
    }

    /// Lets the model call every tool that is granted. Names that models do not take are changed,
    /// and back when they are called. Where they cannot be listed, as in a replay that has no record
    /// of it, the model does without.
    pub fn granted(mut self) -> Self {
        let names = self.request.tools.iter().map(|tool| tool.name.clone());
        let mut taken: BTreeSet<String> = names.collect();
        let listed = tools::list().unwrap_or_else(|error| {
            log::warn(format!("going on without tools: {}", error.message));
            Vec::new()
        });
        for tool in listed {
            let name = names::for_model(tool.name(), &mut taken);
            self.request.tools.push(tool.definition_as(&name));
            self.granted.insert(name, tool.definition.name);
        }
        self
    }

    /// Asks, calls, and asks again. Calls of one answer are made in their order.
    ///
    /// # Errors
    ///
    /// If the model fails, or still calls tools when it gets none.
    pub fn run(mut self) -> Result<Ran> {
        let mut text = String::new();
        for step in 1..=self.steps {
            if step == self.steps && !self.request.tools.is_empty() {
                self.request.tool_choice = ToolChoice::Never;
            }
            let response = self.request.forward()?;
            text.push_str(&response.text());
            let calls = response.tool_calls();
            if calls.is_empty() {
                return Ok(Ran {
                    text,
                    tool_calls: Vec::new(),
                    steps: step,
                });
            }
            if step == self.steps {
                break;
            }
            let (ours, tool_calls): (Vec<_>, Vec<_>) =
                calls.into_iter().partition(|call| self.is_ours(call));
            let answers = ours.iter().map(|call| self.answer(call)).collect();
            // The client has to answer: the turn ends, and the model sees it all next time.
            if !tool_calls.is_empty() {
                return Ok(Ran {
                    text,
                    tool_calls,
                    steps: step,
                });
            }
            self.go_on(response, answers);
            separate(&mut text)?;
        }
        Err(Error::new(
            ErrorKind::LimitExceeded,
            format!("the model still calls tools after {} steps", self.steps),
        ))
    }

    fn is_ours(&self, call: &ToolCall) -> bool {
        let is_of_request = self.request.tools.iter().any(|tool| tool.name == call.name);
        // The model is told that there is no such tool.
        let is_unknown = !is_of_request;
        is_unknown || self.own.contains_key(&call.name) || self.granted.contains_key(&call.name)
    }

    fn go_on(&mut self, response: Response, answers: Vec<ToolAnswer>) {
        let messages = &mut self.request.messages;
        messages.push(response.into_message());
        messages.push(PromptMessage::tool_results(answers));
        // Once a tool that had to be called was called, the model may answer.
        self.request.tool_choice = ToolChoice::Auto;
    }

    /// Makes one call. What goes wrong is an answer too: the model reads it and may do better.
    fn answer(&self, call: &ToolCall) -> ToolAnswer {
        let title = self.granted.get(&call.name).unwrap_or(&call.name);
        show(call, title, TaskStatus::Running);
        let answer = self.make(call).unwrap_or_else(|error| {
            ToolAnswer::error(&call.id, format!("{}: {}", error.kind, error.message))
        });
        let status = match answer.is_error {
            true => TaskStatus::Failed,
            false => TaskStatus::Done,
        };
        show(call, title, status);
        answer
    }

    fn make(&self, call: &ToolCall) -> Result<ToolAnswer> {
        if let Some(run) = self.own.get(&call.name) {
            return Ok(ToolAnswer::text(&call.id, run(call)?));
        }
        let Some(name) = self.granted.get(&call.name) else {
            return Err(Error::not_found(format!(
                "there is no tool {:?}",
                call.name
            )));
        };
        // Models leave out arguments where a tool takes none.
        let arguments = match call.arguments_json.trim() {
            "" => "{}",
            arguments => arguments,
        };
        let outcome = call_json(name, arguments)?;
        Ok(ToolAnswer {
            call_id: call.id.clone(),
            output: outcome.output,
            is_error: outcome.is_error,
        })
    }
}

fn show(call: &ToolCall, title: &str, status: TaskStatus) {
    if let Err(error) = reply::progress(&call.id, title, status) {
        log::debug(error.message);
    }
}

/// Keeps what was said before a tool call apart from what is said after it.
fn separate(text: &mut String) -> Result<()> {
    if text.is_empty() || text.ends_with("\n\n") {
        return Ok(());
    }
    text.push_str("\n\n");
    reply::send_text("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::ContentPart;
    use crate::serde_json::json;
    use crate::testing::{self, Host};

    fn host() -> Host {
        let schema = json!({"type": "object"});
        Host::new()
            .tool("server/add", &schema, |arguments| {
                let sum =
                    arguments["a"].as_i64().unwrap_or(0) + arguments["b"].as_i64().unwrap_or(0);
                Ok(sum.to_string())
            })
            .tool("server/rm", &schema, |_| {
                Err(Error::new(ErrorKind::Denied, "no"))
            })
    }

    fn call(id: &str, name: &str, arguments: &str) -> ContentPart {
        ContentPart::ToolCall(ToolCall {
            id: id.into(),
            name: name.into(),
            arguments_json: arguments.into(),
        })
    }

    fn answers(host: &Host, request: usize) -> Vec<ToolAnswer> {
        let message = host.requests()[request].messages.last().unwrap().clone();
        let answer = |part| match part {
            ContentPart::ToolResult(answer) => Some(answer),
            _ => None,
        };
        message.content.into_iter().filter_map(answer).collect()
    }

    #[test]
    fn calls_of_one_answer_are_made_in_order_and_answered_together() {
        let calls = vec![
            call("1", "server_add", r#"{"a": 3, "b": 4}"#),
            call("2", "server_rm", ""),
            call("3", "nothing", "{}"),
            call("4", "own", "{}"),
        ];
        let host = host()
            .response(Ok(testing::response(calls)))
            .answer("Done.");
        let own = ToolDefinition::new("own", "Answers", &json!({"type": "object"}));
        let run = ToolRun::new(Request::new("default").user("go")).own(own, |_| Ok("mine".into()));
        let ran = run.granted().run().unwrap();
        assert_eq!((ran.text.as_str(), ran.steps), ("Done.", 2));
        let expected = [
            ToolAnswer::text("1", "7"),
            ToolAnswer::error("2", "denied: no"),
            ToolAnswer::error("3", "not-found: there is no tool \"nothing\""),
            ToolAnswer::text("4", "mine"),
        ];
        assert_eq!(answers(&host, 1), expected);
        let called: Vec<_> = host
            .tool_calls()
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(called, ["server/add", "server/rm"]);
        let shown: Vec<_> = host.tasks().into_iter().map(|task| task.status).collect();
        assert_eq!(shown.len(), 8);
        assert_eq!(host.tasks()[0].title, "server/add");
    }

    #[test]
    fn a_model_that_does_not_stop_is_stopped() {
        let mut host = host();
        for id in ["1", "2", "3"] {
            host = host.answer_call(id, "server_add", &json!({}));
        }
        let error = tools::run_tools(Request::new("default").user("go"), 3).unwrap_err();
        assert_eq!(error.kind, ErrorKind::LimitExceeded);
        assert!(error.message.contains("after 3 steps"), "{}", error.message);
        assert_eq!(host.tool_calls().len(), 2);
        assert_eq!(host.requests()[2].tool_choice, ToolChoice::Never);
    }

    #[test]
    fn tools_of_the_client_end_the_run() {
        let host = host().response(Ok(testing::response(vec![
            call("1", "server_add", "{}"),
            call("2", "open-door", "{}"),
        ])));
        let of_client = ToolDefinition::new("open-door", "Opens", &json!({"type": "object"}));
        let request = Request::new("default").user("go").tool(of_client);
        let ran = tools::run_tools(request, 8).unwrap();
        assert_eq!(ran.tool_calls[0].name, "open-door");
        assert_eq!(host.tool_calls().len(), 1);
    }
}
