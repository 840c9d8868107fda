//! Language models: a builder for requests, and readers for what comes back.

use serde_json::Value;

pub use crate::bindings::imports::anchorhold::agent::llm::{
    Budget, CacheHint, CacheScope, CallStart, ContentPart, Delta, EmbedRequest, EmbedResponse,
    Error, ErrorKind, FinishReason, InputKind, JsonSchema, Media, ModelInfo, PromptMessage,
    Reasoning, ReasoningEffort, Request, Response, ResponseFormat, RetryClass, Role, StreamEvent,
    ToolAnswer, ToolChoice, ToolOutput, Usage,
};
use crate::window::llm as host;
pub use crate::window::llm::Generation;
use crate::{
    Attachment, MediaSource, Message, PastMessage, Result, Speaker, ToolCall, ToolDefinition,
    ToolResult, reply,
};

/// How many events [`Generation::events`] asks for at a time.
const BATCH: u32 = 64;

/// Waits until one of these (at least one) has something to read, or has ended, and answers its
/// place.
pub fn wait_any(generations: &[&Generation]) -> Result<usize, Error> {
    host::wait_any(generations).map(|place| place as usize)
}

/// Turns texts into vectors, in order.
pub fn embed(request: &EmbedRequest) -> Result<EmbedResponse, Error> {
    host::embed(request)
}

/// The models that this agent may use; none without the grant.
pub fn list_models() -> Result<Vec<ModelInfo>, Error> {
    host::list_models()
}

/// What is left of the budgets that this turn counts for.
pub fn budgets() -> Result<Vec<Budget>, Error> {
    host::budgets()
}

impl Request {
    /// A request to the model that the operator calls `model`, for example `default`.
    pub fn new(model: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            messages: Vec::new(),
            tools: Vec::new(),
            tool_choice: ToolChoice::Auto,
            parallel_tool_calls: None,
            response_format: ResponseFormat::Text,
            max_output_tokens: None,
            temperature: None,
            top_p: None,
            stop: Vec::new(),
            seed: None,
            reasoning: None,
            deadline_ms: None,
            cache: None,
        }
    }

    /// Adds a system prompt.
    pub fn system(self, text: impl Into<String>) -> Self {
        self.prompt(PromptMessage::text(Role::System, text))
    }

    /// Adds what the person says.
    pub fn user(self, text: impl Into<String>) -> Self {
        self.prompt(PromptMessage::text(Role::User, text))
    }

    /// Adds what the model is to have said.
    pub fn assistant(self, text: impl Into<String>) -> Self {
        self.prompt(PromptMessage::text(Role::Assistant, text))
    }

    /// Adds the messages before this one, as many as the manifest asks for.
    pub fn history(mut self, message: &Message) -> Self {
        self.messages
            .extend(message.history.iter().map(|past| match past.speaker {
                Speaker::User => PromptMessage::text(Role::User, &past.text),
                Speaker::Assistant => PromptMessage::text(Role::Assistant, &past.text),
            }));
        self
    }

    /// Adds the message itself with its attachments; those that are text as text, because few
    /// models take files of it.
    pub fn message(self, message: &Message) -> Self {
        let mut content = Vec::new();
        // Providers refuse a text that is empty, but a message may be a file alone.
        if !message.text.is_empty() || message.attachments.is_empty() {
            content.push(ContentPart::Text(message.text.clone()));
        }
        content.extend(message.attachments.iter().map(attached));
        self.prompt(PromptMessage {
            role: Role::User,
            content,
            cache: None,
        })
    }

    /// Adds what came of the client's tools, behind the calls it came of: models want to see both.
    /// Without results it adds nothing.
    pub fn client_tool_results(self, message: &Message) -> Self {
        let results = &message.client_tool_results;
        if results.is_empty() {
            return self;
        }
        let calls = results.iter().map(|result| result.call.clone());
        self.prompt(PromptMessage::tool_calls(calls))
            .prompt(PromptMessage::tool_results(
                results.iter().map(ToolAnswer::from),
            ))
    }

    /// Adds any message.
    pub fn prompt(mut self, message: PromptMessage) -> Self {
        self.messages.push(message);
        self
    }

    /// Lets the model call this function.
    pub fn tool(self, tool: ToolDefinition) -> Self {
        self.tools([tool])
    }

    /// Lets the model call these functions.
    pub fn tools(mut self, tools: impl IntoIterator<Item = ToolDefinition>) -> Self {
        self.tools.extend(tools);
        self
    }

    /// Makes the model answer with JSON that fits `schema`.
    pub fn json_schema(mut self, name: impl Into<String>, schema: &Value) -> Self {
        self.response_format = ResponseFormat::JsonSchema(JsonSchema {
            name: name.into(),
            schema_json: schema.to_string(),
            strict: true,
        });
        self
    }

    /// Bounds the length of the answer.
    pub fn max_output_tokens(mut self, tokens: u32) -> Self {
        self.max_output_tokens = Some(tokens);
        self
    }

    /// Sets the temperature.
    pub fn temperature(mut self, temperature: f64) -> Self {
        self.temperature = Some(temperature);
        self
    }

    /// Takes an answer that was given before to the same request, for nothing; only for
    /// [`Request::generate`]. `scope` says to whom it may have been given.
    pub fn cached(mut self, scope: CacheScope) -> Self {
        self.cache = Some(scope);
        self
    }

    /// Asks and waits for the whole answer.
    pub fn generate(&self) -> Result<Response, Error> {
        host::generate(self)
    }

    /// Asks and answers as soon as the provider accepted.
    pub fn start(&self) -> Result<Generation, Error> {
        host::start(self)
    }

    /// Asks, shows the person the text while it is made, and answers the whole response.
    pub fn forward(&self) -> Result<Response, Error> {
        reply::forward(self.start()?)
    }
}

fn attached(attachment: &Attachment) -> ContentPart {
    let text = match &attachment.source {
        MediaSource::Inline(bytes) if is_text(&attachment.mime_type) => {
            std::str::from_utf8(bytes).ok()
        }
        _ => None,
    };
    match text {
        Some(text) => ContentPart::Text(format!("File {}:\n{text}", attachment.name)),
        None => media(attachment),
    }
}

fn is_text(mime_type: &str) -> bool {
    let kind = mime_type.split(';').next().unwrap_or_default().trim();
    const KINDS: [&str; 4] = [
        "application/json",
        "application/toml",
        "application/xml",
        "application/yaml",
    ];
    kind.starts_with("text/") || kind.ends_with("+json") || KINDS.contains(&kind)
}

fn media(attachment: &Attachment) -> ContentPart {
    ContentPart::Media(Media {
        mime_type: attachment.mime_type.clone(),
        source: attachment.source.clone(),
        name: Some(attachment.name.clone()),
    })
}

impl PromptMessage {
    /// A message of text.
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self {
            role,
            content: vec![ContentPart::Text(text.into())],
            cache: None,
        }
    }

    /// A message in which the model calls tools.
    pub fn tool_calls(calls: impl IntoIterator<Item = ToolCall>) -> Self {
        let content = calls.into_iter().map(ContentPart::ToolCall).collect();
        Self {
            role: Role::Assistant,
            content,
            cache: None,
        }
    }

    /// A message with the results of tools.
    pub fn tool_results(answers: impl IntoIterator<Item = ToolAnswer>) -> Self {
        let content = answers.into_iter().map(ContentPart::ToolResult).collect();
        Self {
            role: Role::Tool,
            content,
            cache: None,
        }
    }

    /// Its text, without the other parts.
    pub fn as_text(&self) -> String {
        text_of(&self.content)
    }
}

impl From<&PastMessage> for PromptMessage {
    fn from(past: &PastMessage) -> Self {
        match past.speaker {
            Speaker::User => Self::text(Role::User, &past.text),
            Speaker::Assistant => Self::text(Role::Assistant, &past.text),
        }
    }
}

impl ToolAnswer {
    /// What a tool answered.
    pub fn text(call_id: impl Into<String>, text: impl Into<String>) -> Self {
        let output = vec![ToolOutput::Text(text.into())];
        Self {
            call_id: call_id.into(),
            output,
            is_error: false,
        }
    }

    /// Why a tool failed, for the model to read.
    pub fn error(call_id: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            is_error: true,
            ..Self::text(call_id, text)
        }
    }
}

impl From<&ToolResult> for ToolAnswer {
    fn from(result: &ToolResult) -> Self {
        Self {
            is_error: result.is_error,
            ..Self::text(&result.call.id, &result.text)
        }
    }
}

impl Response {
    /// Its text, without the other parts.
    pub fn text(&self) -> String {
        text_of(&self.content)
    }

    /// The functions that the model wants to be called.
    pub fn tool_calls(&self) -> Vec<ToolCall> {
        let call = |part: &ContentPart| match part {
            ContentPart::ToolCall(call) => Some(call.clone()),
            _ => None,
        };
        self.content.iter().filter_map(call).collect()
    }

    /// The message to put before the results of its tool calls.
    pub fn into_message(self) -> PromptMessage {
        PromptMessage {
            role: Role::Assistant,
            content: self.content,
            cache: None,
        }
    }
}

fn text_of(content: &[ContentPart]) -> String {
    let text = |part: &ContentPart| match part {
        ContentPart::Text(text) => Some(text.clone()),
        _ => None,
    };
    content.iter().filter_map(text).collect()
}

impl Generation {
    /// Reads event by event until the end.
    pub fn events(&self) -> Events<'_> {
        Events {
            generation: self,
            batch: Vec::new().into_iter(),
            ended: false,
        }
    }

    /// Waits for the end and answers the whole response.
    pub fn response(self) -> Result<Response, Error> {
        Self::finish(self)
    }
}

/// The events of a generation; the last item may be an error.
pub struct Events<'a> {
    generation: &'a Generation,
    batch: std::vec::IntoIter<StreamEvent>,
    ended: bool,
}

impl Iterator for Events<'_> {
    type Item = Result<StreamEvent, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(event) = self.batch.next() {
            return Some(Ok(event));
        }
        if self.ended {
            return None;
        }
        match self.generation.next(BATCH) {
            Ok(batch) => {
                self.ended = batch.is_empty();
                self.batch = batch.into_iter();
                self.batch.next().map(Ok)
            }
            Err(error) => {
                self.ended = true;
                Some(Err(error))
            }
        }
    }
}

impl Error {
    /// An error of this kind that trying again would not cure; for tests and fallbacks.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            retry: RetryClass::Never,
            retry_after_ms: None,
            message: message.into(),
            provider: None,
            http_status: None,
            attempts: 1,
            usage: None,
            detail_json: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Host;

    #[test]
    fn reads_a_stream_to_its_end() {
        let _host = Host::new().answer("one two");
        let generation = Request::new("default").user("count").start().unwrap();
        let mut text = String::new();
        for event in generation.events() {
            if let StreamEvent::Text(delta) = event.unwrap() {
                text.push_str(&delta.text);
            }
        }
        assert_eq!(text, "one two");
        assert_eq!(generation.response().unwrap().text(), "one two");
    }

    #[test]
    fn a_batch_of_none_counts_as_one() {
        let _host = Host::new().answer("one two");
        let generation = Request::new("default").start().unwrap();
        assert_eq!(generation.next(0).unwrap().len(), 1);
    }

    #[test]
    fn files_of_text_go_as_text() {
        let file = |name: &str, kind: &str, bytes: &[u8]| Attachment {
            name: name.to_owned(),
            mime_type: kind.to_owned(),
            source: MediaSource::Inline(bytes.to_vec()),
        };
        let message = Message {
            attachments: vec![
                file("a.csv", "text/csv; charset=utf-8", b"1,2"),
                file("a.txt", "text/plain", b"\xff"),
                file("a.png", "image/png", b"png"),
            ],
            ..crate::testing::message("")
        };
        let request = Request::new("default").message(&message);
        let [csv, broken, image] = request.messages[0].content.as_slice() else {
            panic!("an empty text is left out");
        };
        assert!(matches!(csv, ContentPart::Text(text) if text == "File a.csv:\n1,2"));
        assert!(matches!(broken, ContentPart::Media(_)) && matches!(image, ContentPart::Media(_)));
    }

    #[test]
    fn waiting_for_nothing_is_an_error() {
        let _host = Host::new().answer("one");
        let generation = Request::new("default").start().unwrap();
        assert_eq!(wait_any(&[&generation]).unwrap(), 0);
        assert_eq!(wait_any(&[]).unwrap_err().kind, ErrorKind::InvalidRequest);
    }

    #[test]
    fn results_of_the_client_come_behind_their_calls() {
        let mut message = crate::testing::message("");
        let request = Request::new("default").client_tool_results(&message);
        assert!(request.messages.is_empty());

        let call = ToolCall {
            id: "call-1".into(),
            name: "open-door".into(),
            arguments_json: "{}".into(),
        };
        message.client_tool_results = vec![ToolResult {
            call: call.clone(),
            text: "locked".into(),
            is_error: true,
        }];
        let request = Request::new("default").client_tool_results(&message);
        let expected = [
            PromptMessage::tool_calls([call]),
            PromptMessage::tool_results([ToolAnswer::error("call-1", "locked")]),
        ];
        assert_eq!(request.messages, expected);
    }

    #[test]
    fn answers_run_out_with_an_error() {
        let _host = Host::new();
        let error = Request::new("default").generate().unwrap_err();
        assert!(error.message.contains("no answer"), "{error}");
    }
}
