//! What a client says, in the contract's words.
//!
//! Chat completions carry a whole conversation each time, responses only what is
//! new. Both become the last thing that the person said, what was said before,
//! and results of the client's own tools.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::ApiError;
use crate::runtime::bindings::types;

/// The longest text of one message, in bytes.
const MAX_TEXT_BYTES: usize = 256 << 10;

/// The most messages, tools and results of a request.
const MAX_ITEMS: usize = 1_000;

/// Text, or parts of it and of other media.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Content {
    Text(String),
    Parts(Vec<Part>),
}

/// A part of a message, of chat completions or of responses.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Part {
    #[serde(alias = "input_text", alias = "output_text")]
    Text {
        text: String,
    },
    Refusal {
        refusal: String,
    },
    #[serde(alias = "input_image")]
    ImageUrl {
        image_url: Image,
    },
    #[serde(alias = "input_file")]
    File {
        #[serde(default)]
        file: Option<File>,
        #[serde(flatten)]
        bare: File,
    },
}

/// An image by address, in either form.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Image {
    Bare(String),
    Object { url: String },
}

/// A file by value.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct File {
    filename: Option<String>,
    file_data: Option<String>,
}

/// A tool that the client brings along, of chat completions (`function`) or of
/// responses (flat).
#[derive(Debug, Deserialize)]
pub(super) struct Tool {
    #[serde(rename = "type")]
    kind: String,
    function: Option<Function>,
    name: Option<String>,
    description: Option<String>,
    parameters: Option<Value>,
    strict: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Function {
    name: String,
    description: Option<String>,
    parameters: Option<Value>,
    strict: Option<bool>,
}

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// The client itself, on how to answer.
    Instructor,
    User,
    Assistant,
}

/// What was said, one thing after the other.
#[derive(Debug)]
pub(super) enum Said {
    Message(Who, Content),
    /// The model called a tool of the client.
    Call(types::ToolCall),
    /// What came of it, by the call's id.
    Result(String, String),
}

/// What an agent is asked.
#[derive(Debug, Default)]
pub(super) struct Question {
    pub(super) instructions: String,
    pub(super) text: String,
    pub(super) attachments: Vec<types::Attachment>,
    pub(super) history: Vec<types::PastMessage>,
    pub(super) results: Vec<types::ToolResult>,
}

impl Question {
    /// Takes apart what was said: what comes behind the assistant's last words
    /// is asked now. `known` are calls of the turn before.
    pub(super) fn of(
        said: Vec<Said>,
        mut known: Vec<types::ToolCall>,
        param: &'static str,
    ) -> Result<Self, ApiError> {
        if said.len() > MAX_ITEMS {
            let message = format!("at most {MAX_ITEMS} messages fit into a request");
            return Err(ApiError::invalid(param, message));
        }
        let is_assistant =
            |said: &Said| matches!(said, Said::Message(Who::Assistant, _) | Said::Call(_));
        let now = said.iter().rposition(is_assistant).map_or(0, |at| at + 1);
        let mut question = Self::default();
        for (at, said) in said.into_iter().enumerate() {
            match said {
                Said::Call(call) => known.push(call),
                Said::Message(Who::Instructor, content) => {
                    append(&mut question.instructions, &content.text());
                }
                Said::Message(who, content) if at < now => question.remember(who, &content),
                Said::Message(_, content) => question.ask(content, param)?,
                Said::Result(id, text) if at >= now => {
                    let call = known.iter().find(|call| call.id == id).cloned();
                    let call = call.ok_or_else(|| {
                        ApiError::invalid(param, format!("there was no tool call {id:?}"))
                    })?;
                    question.results.push(types::ToolResult {
                        call,
                        text,
                        is_error: false,
                    });
                }
                Said::Result(..) => {}
            }
        }
        question.check(param)
    }

    fn remember(&mut self, who: Who, content: &Content) {
        let text = content.text();
        if text.is_empty() {
            return;
        }
        let speaker = match who {
            Who::Assistant => types::Speaker::Assistant,
            Who::User | Who::Instructor => types::Speaker::User,
        };
        self.history.push(types::PastMessage {
            speaker,
            text,
            author: None,
            at_ms: 0,
        });
    }

    fn ask(&mut self, content: Content, param: &'static str) -> Result<(), ApiError> {
        append(&mut self.text, &content.text());
        let Content::Parts(parts) = content else {
            return Ok(());
        };
        for part in parts {
            let attachment = part.attachment();
            let attachment = attachment.map_err(|why| ApiError::invalid(param, why))?;
            self.attachments.extend(attachment);
        }
        Ok(())
    }

    fn check(self, param: &'static str) -> Result<Self, ApiError> {
        if self.text.len() > MAX_TEXT_BYTES || self.instructions.len() > MAX_TEXT_BYTES {
            let message = format!("a text is at most {MAX_TEXT_BYTES} bytes");
            return Err(ApiError::invalid(param, message));
        }
        let is_empty = self.text.trim().is_empty() && self.attachments.is_empty();
        if is_empty && self.results.is_empty() {
            let message = "the last message has to be of the user, or results of tools";
            return Err(ApiError::invalid(param, message));
        }
        Ok(self)
    }

    /// What the channel knows besides, for agents that care.
    pub(super) fn context(&self, wishes: &Value, traceparent: Option<&str>) -> String {
        let mut context = json!({"instructions": self.instructions, "wishes": wishes});
        if let Some(traceparent) = traceparent {
            context["traceparent"] = traceparent.into();
        }
        context.to_string()
    }
}

fn append(text: &mut String, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push_str("\n\n");
    }
    text.push_str(more);
}

impl Content {
    /// The texts of it.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Parts(parts) => {
                let texts = parts.iter().filter_map(|part| match part {
                    Part::Text { text } => Some(text.as_str()),
                    Part::Refusal { refusal } => Some(refusal.as_str()),
                    Part::ImageUrl { .. } | Part::File { .. } => None,
                });
                texts.collect::<Vec<_>>().join("\n")
            }
        }
    }
}

impl Part {
    fn attachment(self) -> Result<Option<types::Attachment>, String> {
        Ok(Some(match self {
            Self::Text { .. } | Self::Refusal { .. } => return Ok(None),
            Self::ImageUrl {
                image_url: Image::Bare(url) | Image::Object { url },
            } => {
                if url.starts_with("data:") {
                    from_data_url("image", &url)?
                } else {
                    types::Attachment {
                        name: "image".to_owned(),
                        mime_type: "image/*".to_owned(),
                        source: types::MediaSource::Url(url),
                    }
                }
            }
            Self::File { file, bare } => {
                let File {
                    filename,
                    file_data,
                } = file.unwrap_or(bare);
                let data =
                    file_data.ok_or("a file needs file_data; files are not kept by id here")?;
                let name = filename.unwrap_or_else(|| "file".to_owned());
                from_data_url(&name, &data)?
            }
        }))
    }
}

/// `data:TYPE;base64,…`, or bare base64.
fn from_data_url(name: &str, url: &str) -> Result<types::Attachment, String> {
    let (mime_type, data) = match url.strip_prefix("data:") {
        None => ("application/octet-stream", url),
        Some(rest) => rest
            .split_once(";base64,")
            .ok_or("a data URL has to be base64")?,
    };
    let bytes = STANDARD.decode(data).map_err(|_| "it is not base64")?;
    Ok(types::Attachment {
        name: name.to_owned(),
        mime_type: mime_type.to_owned(),
        source: types::MediaSource::Inline(bytes),
    })
}

/// The client's own tools.
pub(super) fn tools(tools: Vec<Tool>) -> Result<Vec<types::ToolDefinition>, ApiError> {
    if tools.len() > MAX_ITEMS {
        return Err(ApiError::invalid("tools", "these are too many tools"));
    }
    tools.into_iter().map(Tool::definition).collect()
}

impl Tool {
    fn definition(self) -> Result<types::ToolDefinition, ApiError> {
        if self.kind != "function" {
            let message = format!(
                "tools of type {:?} are not offered; an agent has tools of its own",
                self.kind
            );
            return Err(ApiError::invalid("tools", message));
        }
        let function = match (self.function, self.name) {
            (Some(function), _) => function,
            (None, Some(name)) => Function {
                name,
                description: self.description,
                parameters: self.parameters,
                strict: self.strict,
            },
            (None, None) => return Err(ApiError::invalid("tools", "a tool needs a name")),
        };
        let parameters = function
            .parameters
            .filter(|schema| !schema.is_null())
            .unwrap_or_else(|| json!({"type": "object", "properties": {}}));
        Ok(types::ToolDefinition {
            name: function.name,
            description: function.description,
            input_schema_json: parameters.to_string(),
            strict: function.strict.unwrap_or(false),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(who: Who, text: &str) -> Said {
        Said::Message(who, Content::Text(text.to_owned()))
    }

    fn call(id: &str) -> types::ToolCall {
        types::ToolCall {
            id: id.to_owned(),
            name: "f".to_owned(),
            arguments_json: "{}".to_owned(),
        }
    }

    #[test]
    fn what_is_behind_the_last_answer_is_asked() {
        let said = vec![
            say(Who::Instructor, "Be brief."),
            say(Who::User, "one"),
            say(Who::Assistant, "1"),
            say(Who::User, "two"),
            say(Who::User, "three"),
        ];
        let question = Question::of(said, Vec::new(), "messages").unwrap();
        assert_eq!(question.instructions, "Be brief.");
        assert_eq!(question.text, "two\n\nthree");
        let history: Vec<_> = question
            .history
            .iter()
            .map(|past| past.text.as_str())
            .collect();
        assert_eq!(history, ["one", "1"]);
    }

    #[test]
    fn results_find_their_calls() {
        let said = vec![
            say(Who::User, "add"),
            Said::Call(call("a")),
            Said::Result("a".to_owned(), "3".to_owned()),
        ];
        let question = Question::of(said, Vec::new(), "messages").unwrap();
        assert_eq!(question.results[0].call.id, "a");
        assert_eq!(question.results[0].text, "3");
        let orphan = vec![Said::Result("b".to_owned(), "3".to_owned())];
        assert!(Question::of(orphan, vec![call("a")], "input").is_err());
        let known = vec![Said::Result("a".to_owned(), "3".to_owned())];
        assert!(Question::of(known, vec![call("a")], "input").is_ok());
    }

    #[test]
    fn nothing_asked_is_refused() {
        for said in [
            vec![],
            vec![say(Who::User, "  ")],
            vec![say(Who::User, "one"), say(Who::Assistant, "1")],
            vec![say(Who::Instructor, "Be brief.")],
        ] {
            assert!(Question::of(said, Vec::new(), "messages").is_err());
        }
    }

    #[test]
    fn media_are_read_in_either_form() {
        let parts = json!([
            {"type": "text", "text": "look"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAEC"}},
            {"type": "input_image", "image_url": "https://example.com/a.png"},
            {"type": "input_file", "filename": "a.txt", "file_data": "data:text/plain;base64,aGk="},
            {"type": "file", "file": {"filename": "b.txt", "file_data": "aGk="}},
        ]);
        let content: Content = serde_json::from_value(parts).unwrap();
        let question =
            Question::of(vec![Said::Message(Who::User, content)], Vec::new(), "input").unwrap();
        let kinds: Vec<_> = question
            .attachments
            .iter()
            .map(|attachment| attachment.mime_type.as_str())
            .collect();
        assert_eq!(
            kinds,
            [
                "image/png",
                "image/*",
                "text/plain",
                "application/octet-stream"
            ]
        );
        for bad in ["data:image/png,AAEC", "data:image/png;base64,*"] {
            assert!(from_data_url("x", bad).is_err(), "{bad}");
        }
    }
}
