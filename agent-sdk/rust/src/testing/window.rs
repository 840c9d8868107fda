//! The imports of the contract, answered by the host in memory. One module for each interface,
//! with the signatures of the generated bindings.

use super::with;
use crate::{Error, ErrorKind, Result};

pub(crate) mod config {
    use super::with;

    pub(crate) fn get(key: &str) -> Option<String> {
        with(|host| host.config.get(key).map(ToString::to_string))
    }

    pub(crate) fn get_all() -> String {
        with(|host| serde_json::json!(host.config).to_string())
    }
}

pub(crate) mod log {
    use super::with;
    use crate::log::Level;

    pub(crate) fn write(level: Level, message: &str, _fields: &[(String, String)]) {
        with(|host| host.logs.push((level, message.into())));
    }
}

pub(crate) mod events {
    use super::{Result, with};
    use crate::events::{Publication, ScheduleTime};

    pub(crate) fn publish(publication: &Publication) -> Result<String> {
        with(|host| {
            host.published.push(publication.clone());
            Ok(format!("event-{}", host.published.len()))
        })
    }

    /// The host in memory has no clock, so nobody waits in it.
    pub(crate) fn sleep_until(_at_ms: u64) -> Result<()> {
        Ok(())
    }

    /// The host in memory has no clock, so nothing is ever due.
    pub(crate) fn schedule(
        name: &str,
        when: &ScheduleTime,
        publication: &Publication,
    ) -> Result<()> {
        with(|host| {
            let scheduled = (when.clone(), publication.clone());
            host.schedules.insert(name.into(), scheduled);
            Ok(())
        })
    }

    pub(crate) fn unschedule(name: &str) -> Result<bool> {
        with(|host| Ok(host.schedules.remove(name).is_some()))
    }
}

pub(crate) mod agents {
    use super::{Error, Result, with};
    use crate::Reply;

    pub(crate) fn ask(agent: &str, text: &str) -> Result<Reply> {
        let colleagues = with(|host| {
            host.said_to_agents.push((agent.into(), text.into()));
            host.agents.clone()
        });
        match colleagues {
            Some(answer) => answer(agent, text),
            None => Err(Error::unavailable(
                "the test gave no answer with `Host::agents`",
            )),
        }
    }

    pub(crate) fn tell(agent: &str, text: &str) -> Result<String> {
        with(|host| {
            host.said_to_agents.push((agent.into(), text.into()));
            Ok(format!("turn-{}", host.said_to_agents.len()))
        })
    }
}

pub(crate) mod tools {
    use super::{Error, Result, with};
    use crate::ToolDefinition;
    use crate::llm::ToolOutput;
    use crate::tools::{Outcome, Tool};

    pub(crate) fn list_tools() -> Result<Vec<Tool>> {
        let tool = |name: &String, schema: &serde_json::Value| Tool {
            definition: ToolDefinition::new(name, "A tool of the test", schema),
            source: "testing".into(),
            read_only: false,
            destructive: false,
            needs_approval: false,
        };
        Ok(with(|host| {
            let tools = host.tools.iter();
            tools
                .map(|(name, (schema, _))| tool(name, schema))
                .collect()
        }))
    }

    /// The host in memory does not look at schemas.
    pub(crate) fn call(name: &str, arguments: &str) -> Result<Outcome> {
        let arguments: serde_json::Value = serde_json::from_str(arguments)?;
        let known = with(|host| {
            host.tool_calls.push((name.into(), arguments.clone()));
            host.tools.get(name).map(|(_, answer)| answer.clone())
        });
        let Some(answer) = known else {
            return Err(Error::not_found(format!("there is no tool `{name}`")));
        };
        Ok(Outcome {
            output: vec![ToolOutput::Text(answer(&arguments)?)],
            is_error: false,
            truncated: false,
        })
    }
}

pub(crate) mod http {
    use super::{Error, Result, with};
    use crate::http::{Request, Response};

    pub(crate) fn send(request: &Request) -> Result<Response> {
        let internet = with(|host| {
            host.http_requests.push(request.clone());
            host.internet.clone()
        });
        match internet {
            Some(internet) => internet(request),
            None => Err(Error::unavailable(
                "the test gave no answer with `Host::http`",
            )),
        }
    }
}

pub(crate) mod reply {
    use super::{Result, with};
    use crate::Message;
    use crate::llm::{self, Generation, Response};
    use crate::reply::{Outcome, Question, Task};

    pub(crate) fn interjections() -> Result<Vec<Message>> {
        Ok(with(|host| std::mem::take(&mut host.interjections)))
    }

    /// Nobody answers in time unless the test says who does.
    pub(crate) fn ask(question: &Question) -> Result<Outcome> {
        let person = with(|host| {
            host.questions.push(question.clone());
            host.person.clone()
        });
        Ok(person.map_or(Outcome::Expired, |answer| answer(question)))
    }

    pub(crate) fn send_text(text: &str) -> Result<()> {
        with(|host| host.sent.push(text.into()));
        Ok(())
    }

    pub(crate) fn forward(generation: Generation) -> Result<Response, llm::Error> {
        let response = generation.response()?;
        with(|host| host.sent.push(response.text()));
        Ok(response)
    }

    pub(crate) fn progress(task: &Task) -> Result<()> {
        with(|host| host.tasks.push(task.clone()));
        Ok(())
    }
}

pub(crate) mod state {
    use super::{Error, ErrorKind, Result, with};
    use crate::state::{Entry, Scope};

    pub(crate) fn get(scope: Scope, key: &str) -> Result<Option<Entry>> {
        with(|host| Ok(host.state.get(&(scope, key.into())).cloned()))
    }

    /// The host in memory has no clock, so nothing expires in it.
    pub(crate) fn set(
        scope: Scope,
        key: &str,
        value: &[u8],
        expires_at_ms: Option<u64>,
    ) -> Result<String> {
        with(|host| {
            host.writes += 1;
            let revision = host.writes.to_string();
            let entry = Entry {
                value: value.into(),
                revision: revision.clone(),
                expires_at_ms,
            };
            host.state.insert((scope, key.into()), entry);
            Ok(revision)
        })
    }

    pub(crate) fn compare_and_set(
        scope: Scope,
        key: &str,
        expected: Option<&str>,
        value: &[u8],
        ttl_ms: Option<u64>,
    ) -> Result<String> {
        let current = get(scope, key)?.map(|entry| entry.revision);
        if current.as_deref() != expected {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("`{key}` has changed"),
            ));
        }
        set(scope, key, value, ttl_ms)
    }

    pub(crate) fn remove(scope: Scope, key: &str) -> Result<bool> {
        with(|host| Ok(host.state.remove(&(scope, key.into())).is_some()))
    }

    pub(crate) fn list_keys(
        scope: Scope,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<String>> {
        let wanted = |key: &&String| key.starts_with(prefix) && Some(key.as_str()) > after;
        with(|host| {
            let of_scope = host.state.keys().filter(|(owner, _)| *owner == scope);
            let keys = of_scope.map(|(_, key)| key).filter(wanted);
            Ok(keys.take(limit as usize).cloned().collect())
        })
    }
}

pub(crate) mod llm {
    use std::cell::Cell;

    use super::with;
    use crate::llm::{
        Budget, CallStart, ContentPart, Delta, EmbedRequest, EmbedResponse, Error, ErrorKind,
        ModelInfo, Request, Response, StreamEvent,
    };

    pub(crate) fn generate(request: &Request) -> Result<Response, Error> {
        let (answer, model) = with(|host| {
            host.requests.push(request.clone());
            (host.answers.pop_front(), host.model.clone())
        });
        match (answer, model) {
            (Some(answer), _) => answer,
            (None, Some(model)) => Ok(model(request)),
            (None, None) => Err(Error::new(
                ErrorKind::ModelNotFound,
                "the test has no answer left: give one with `Host::answer` or `Host::model`",
            )),
        }
    }

    pub(crate) fn start(request: &Request) -> Result<Generation, Error> {
        let response = generate(request)?;
        Ok(Generation {
            response,
            read: Cell::new(0),
        })
    }

    /// All of them have everything to read, so the first will do.
    pub(crate) fn wait_any(generations: &[&Generation]) -> Result<u32, Error> {
        if generations.is_empty() {
            let message = "there is no generation to wait for";
            return Err(Error::new(ErrorKind::InvalidRequest, message));
        }
        Ok(0)
    }

    /// One axis, the length of the text: enough to tell vectors apart.
    pub(crate) fn embed(request: &EmbedRequest) -> Result<EmbedResponse, Error> {
        Ok(EmbedResponse {
            vectors: request
                .input
                .iter()
                .map(|text| vec![text.len() as f32])
                .collect(),
            model: "testing".into(),
            usage: super::super::usage(),
        })
    }

    pub(crate) fn list_models() -> Result<Vec<ModelInfo>, Error> {
        let [alias, provider, model] = ["default", "testing", "testing"].map(String::from);
        Ok(vec![ModelInfo {
            alias,
            provider,
            model,
        }])
    }

    /// Nothing is limited here.
    pub(crate) fn budgets() -> Result<Vec<Budget>, Error> {
        Ok(Vec::new())
    }

    /// An answer that is being made: here it is there from the start.
    #[derive(Debug)]
    pub struct Generation {
        response: Response,
        read: Cell<usize>,
    }

    impl Generation {
        /// The next `max` events (0 counts as 1); none means the end.
        pub fn next(&self, max: u32) -> Result<Vec<StreamEvent>, Error> {
            let events = events(&self.response);
            let batch: Vec<_> = events
                .into_iter()
                .skip(self.read.get())
                .take(max.max(1) as usize)
                .collect();
            self.read.set(self.read.get() + batch.len());
            Ok(batch)
        }

        /// The whole response.
        pub fn finish(which: Self) -> Result<Response, Error> {
            Ok(which.response)
        }

        /// Stops it; what came so far stays.
        pub fn cancel(&self) {
            self.read.set(usize::MAX);
        }
    }

    fn events(response: &Response) -> Vec<StreamEvent> {
        let parts = response.content.iter().zip(0_u32..);
        let mut events: Vec<_> = parts
            .flat_map(|(part, index)| part_events(part, index))
            .collect();
        events.push(StreamEvent::Usage(response.usage));
        events
    }

    fn part_events(part: &ContentPart, index: u32) -> Vec<StreamEvent> {
        match part {
            ContentPart::Text(text) => text
                .split_inclusive(' ')
                .map(|piece| {
                    StreamEvent::Text(Delta {
                        index,
                        text: piece.into(),
                    })
                })
                .collect(),
            ContentPart::ToolCall(call) => {
                let (id, name) = (call.id.clone(), call.name.clone());
                let text = call.arguments_json.clone();
                vec![
                    StreamEvent::ToolCallStart(CallStart { index, id, name }),
                    StreamEvent::ToolCallArguments(Delta { index, text }),
                    StreamEvent::ToolCallEnd(index),
                ]
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(feature = "testing")]
pub(crate) mod database {
    use super::{Result, with};
    use crate::database::{Outcome, RowSet, Statement, Value};

    pub(crate) fn query(sql: &str, params: &[Value]) -> Result<RowSet> {
        with(|host| host.database.query(sql, params))
    }

    pub(crate) fn execute(sql: &str, params: &[Value]) -> Result<Outcome> {
        with(|host| host.database.execute(sql, params))
    }

    pub(crate) fn batch(statements: &[Statement]) -> Result<Vec<Outcome>> {
        with(|host| host.database.batch(statements))
    }
}

#[cfg(not(feature = "testing"))]
pub(crate) mod database {
    use super::{Error, ErrorKind, Result};
    use crate::database::{Outcome, RowSet, Statement, Value};

    fn absent<T>() -> Result<T> {
        let advice = "switch on the feature `testing` of anchorhold-agent in dev-dependencies";
        Err(Error::new(ErrorKind::Unavailable, advice))
    }

    pub(crate) fn query(_sql: &str, _params: &[Value]) -> Result<RowSet> {
        absent()
    }

    pub(crate) fn execute(_sql: &str, _params: &[Value]) -> Result<Outcome> {
        absent()
    }

    pub(crate) fn batch(_statements: &[Statement]) -> Result<Vec<Outcome>> {
        absent()
    }
}
