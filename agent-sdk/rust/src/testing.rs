//! A host in memory for the unit tests of an agent, off wasm.
//!
//! Each thread has one: [`Host::new`] starts with an empty one, the helpers of this crate talk to
//! it, and the test then looks at what the agent did. The database needs the feature `testing`,
//! which an agent switches on among its `dev-dependencies`.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use serde::Serialize;
use serde_json::Value;

use crate::events::{Event, Publication, ScheduleTime};
use crate::guardrail::{Passage, Piece, Role, Stage};
use crate::llm::{self, ContentPart, FinishReason, Usage};
use crate::log::Level;
use crate::reply::{Outcome, Question, Task};
use crate::state::{Entry, Scope};
use crate::{Author, Message, PastMessage, Reply, Result, Speaker, ToolCall, http, web};

#[cfg(feature = "testing")]
mod database;
pub(crate) mod window;

type Model = Rc<dyn Fn(&llm::Request) -> llm::Response>;
type Internet = Rc<dyn Fn(&http::Request) -> Result<http::Response>>;
type Person = Rc<dyn Fn(&Question) -> Outcome>;
type ToolFn = Rc<dyn Fn(&Value) -> Result<String>>;
type Agents = Rc<dyn Fn(&str, &str) -> Result<Reply>>;

thread_local! {
    static CURRENT: Host = Host(Rc::default());
}

/// The host of this thread: what it is told to answer, and what it was asked.
pub struct Host(Rc<RefCell<Inner>>);

#[derive(Default)]
struct Inner {
    config: serde_json::Map<String, Value>,
    state: BTreeMap<(Scope, String), Entry>,
    writes: u64,
    answers: VecDeque<Result<llm::Response, llm::Error>>,
    model: Option<Model>,
    internet: Option<Internet>,
    person: Option<Person>,
    agents: Option<Agents>,
    requests: Vec<llm::Request>,
    http_requests: Vec<http::Request>,
    published: Vec<Publication>,
    schedules: BTreeMap<String, (ScheduleTime, Publication)>,
    sent: Vec<String>,
    tasks: Vec<Task>,
    questions: Vec<Question>,
    interjections: Vec<Message>,
    said_to_agents: Vec<(String, String)>,
    tools: BTreeMap<String, (Value, ToolFn)>,
    tool_calls: Vec<(String, Value)>,
    logs: Vec<(Level, String)>,
    #[cfg(feature = "testing")]
    database: database::Database,
}

/// What the window does with the host of this thread.
fn with<T>(act: impl FnOnce(&mut Inner) -> T) -> T {
    CURRENT.with(|host| act(&mut host.0.borrow_mut()))
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl Host {
    /// Makes the host of this thread an empty one.
    pub fn new() -> Self {
        with(|inner| *inner = Inner::default());
        CURRENT.with(|host| Self(host.0.clone()))
    }

    fn set(self, change: impl FnOnce(&mut Inner)) -> Self {
        change(&mut self.0.borrow_mut());
        self
    }

    /// Sets a key of the configuration.
    pub fn config(self, key: &str, value: impl Into<Value>) -> Self {
        self.set(|inner| {
            inner.config.insert(key.into(), value.into());
        })
    }

    /// Makes the model say this next. Answers are used in the order they were given.
    pub fn answer(self, text: impl Into<String>) -> Self {
        self.response(Ok(response(vec![ContentPart::Text(text.into())])))
    }

    /// Makes the model call this function next.
    pub fn answer_call(self, id: &str, name: &str, arguments: &Value) -> Self {
        let call = ToolCall {
            id: id.into(),
            name: name.into(),
            arguments_json: arguments.to_string(),
        };
        self.response(Ok(response(vec![ContentPart::ToolCall(call)])))
    }

    /// Makes the model answer this next, or fail.
    pub fn response(self, response: Result<llm::Response, llm::Error>) -> Self {
        self.set(|inner| inner.answers.push_back(response))
    }

    /// Makes the model answer by a function, once the answers in order are used up.
    pub fn model(self, model: impl Fn(&llm::Request) -> llm::Response + 'static) -> Self {
        self.set(|inner| inner.model = Some(Rc::new(model)))
    }

    /// Makes the outside answer by a function.
    pub fn http(
        self,
        internet: impl Fn(&http::Request) -> Result<http::Response> + 'static,
    ) -> Self {
        self.set(|inner| inner.internet = Some(Rc::new(internet)))
    }

    /// Makes people answer questions by a function; without it they expire.
    pub fn person(self, answer: impl Fn(&Question) -> Outcome + 'static) -> Self {
        self.set(|inner| inner.person = Some(Rc::new(answer)))
    }

    /// Lets a message come while the agent is at work.
    pub fn interjection(self, message: Message) -> Self {
        self.set(|inner| inner.interjections.push(message))
    }

    /// Makes other agents answer by a function of their name and what is said.
    pub fn agents(self, answer: impl Fn(&str, &str) -> Result<Reply> + 'static) -> Self {
        self.set(|inner| inner.agents = Some(Rc::new(answer)))
    }

    /// Connects a tool that answers by a function of its arguments.
    pub fn tool(
        self,
        name: &str,
        schema: &Value,
        answer: impl Fn(&Value) -> Result<String> + 'static,
    ) -> Self {
        self.set(|inner| {
            let tool: (Value, ToolFn) = (schema.clone(), Rc::new(answer));
            inner.tools.insert(name.into(), tool);
        })
    }

    /// The tools that were called, with their arguments.
    pub fn tool_calls(&self) -> Vec<(String, Value)> {
        self.0.borrow().tool_calls.clone()
    }

    /// What people were asked.
    pub fn questions(&self) -> Vec<Question> {
        self.0.borrow().questions.clone()
    }

    /// What was said to which agent.
    pub fn said_to_agents(&self) -> Vec<(String, String)> {
        self.0.borrow().said_to_agents.clone()
    }

    /// What the model was asked.
    pub fn requests(&self) -> Vec<llm::Request> {
        self.0.borrow().requests.clone()
    }

    /// What was asked of the outside.
    pub fn http_requests(&self) -> Vec<http::Request> {
        self.0.borrow().http_requests.clone()
    }

    /// The events that were published.
    pub fn published(&self) -> Vec<Publication> {
        self.0.borrow().published.clone()
    }

    /// What is scheduled, by name.
    pub fn schedules(&self) -> BTreeMap<String, (ScheduleTime, Publication)> {
        self.0.borrow().schedules.clone()
    }

    /// All text that the person was shown before the reply.
    pub fn sent_text(&self) -> String {
        self.0.borrow().sent.concat()
    }

    /// What the person was shown of the progress.
    pub fn tasks(&self) -> Vec<Task> {
        self.0.borrow().tasks.clone()
    }

    /// The lines that were logged.
    pub fn logs(&self) -> Vec<(Level, String)> {
        self.0.borrow().logs.clone()
    }
}

/// A whole answer of a model with these parts, for [`Host::model`].
pub fn response(content: Vec<ContentPart>) -> llm::Response {
    let calls = content
        .iter()
        .any(|part| matches!(part, ContentPart::ToolCall(_)));
    llm::Response {
        finish_reason: if calls {
            FinishReason::ToolCalls
        } else {
            FinishReason::Stop
        },
        content,
        usage: usage(),
        model: "testing".into(),
        provider: "testing".into(),
        attempts: 1,
        cached: false,
    }
}

fn usage() -> Usage {
    Usage {
        input_tokens: 1,
        output_tokens: 1,
        cache_read_tokens: 0,
        cache_write_tokens: 0,
        reasoning_tokens: 0,
        estimated: true,
        cost_micro_usd: Some(0),
    }
}

/// A message of one person in one conversation. Change its fields where it matters.
pub fn message(text: impl Into<String>) -> Message {
    Message {
        id: "message-1".into(),
        conversation: "conversation-1".into(),
        channel: "testing".into(),
        author: Author {
            id: "testing:ada".into(),
            name: Some("Ada".into()),
        },
        text: text.into(),
        at_ms: 1_000,
        attachments: Vec::new(),
        history: Vec::new(),
        client_tools: Vec::new(),
        client_tool_results: Vec::new(),
        context_json: "{}".into(),
    }
}

/// An earlier message, for the `history` of a message.
pub fn past(speaker: Speaker, text: impl Into<String>) -> PastMessage {
    PastMessage {
        speaker,
        text: text.into(),
        author: None,
        at_ms: 0,
    }
}

/// An event at its first delivery.
pub fn event(topic: impl Into<String>, data: &impl Serialize) -> Event {
    Event {
        id: "event-1".into(),
        topic: topic.into(),
        source: "testing".into(),
        data_json: serde_json::json!(data).to_string(),
        ordering_key: None,
        correlation: None,
        at_ms: 1_000,
        attempt: 1,
    }
}

/// What an agent says to a model, or the model to it.
pub fn passage(stage: Stage, texts: &[&str]) -> Passage {
    let role = match stage {
        Stage::Input => Role::User,
        Stage::Output => Role::Assistant,
    };
    let piece = |text: &&str| Piece {
        role,
        text: String::from(*text),
    };
    Passage {
        stage,
        pieces: texts.iter().map(piece).collect(),
        agent: "tested".into(),
        model: "default".into(),
        conversation: Some("conversation-1".into()),
        user: Some("testing:ada".into()),
    }
}

/// A web request.
pub fn web_request(method: &str, path: &str, body: impl Into<Vec<u8>>) -> web::Request {
    web::Request {
        method: method.into(),
        path: path.into(),
        query: None,
        headers: Vec::new(),
        body: body.into(),
        caller: None,
    }
}
