//! A conversation with an agent: one message, one answer, whatever happens to
//! the connection in between.

use std::time::Duration;

use anyhow::Result;
use reqwest::Method;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::screen::Screen;
use crate::channel::http::views::{NewAnswer, TurnView};
use crate::cli::client::Client;
use crate::cli::fault::{Exit, Fault};
use crate::cli::sse::{Event, Events};
use crate::cli::wire::{items, read, text};
use crate::store::TurnStatus;

/// How often a broken connection is taken up again for one answer.
const ATTEMPTS: u32 = 5;

/// A conversation.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) agent: String,
    pub(super) conversation: String,
    user: Option<String>,
    /// Whether the host knows the conversation.
    pub(super) is_known: bool,
    /// The last turn.
    pub(super) last: Option<String>,
    /// An answer under way that waits for an answer to its question.
    asked: Option<Answer>,
}

/// What came of a message.
pub(super) struct Outcome {
    pub(super) turn: TurnView,
    /// The turn as the API has it.
    pub(super) value: Value,
}

/// An answer under way.
struct Answer {
    events: Events,
    turn: Option<String>,
    seen: String,
}

impl Session {
    pub(super) fn new(
        client: Client,
        agent: String,
        conversation: Option<String>,
        user: Option<String>,
    ) -> Self {
        let is_known = conversation.is_some();
        let conversation = conversation.unwrap_or_else(new_conversation);
        Self {
            client,
            agent,
            conversation,
            user,
            is_known,
            last: None,
            asked: None,
        }
    }

    /// Whether the agent waits for an answer to a question.
    pub(super) fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// Forgets what was said.
    pub(super) fn begin_anew(&mut self) {
        self.conversation = new_conversation();
        self.is_known = false;
        self.asked = None;
    }

    /// Says something and shows the answer as it comes. Ctrl-c cancels the
    /// turn.
    pub(super) async fn say(&mut self, text: &str, screen: &mut Screen) -> Result<Outcome> {
        let key = Uuid::now_v7().to_string();
        let events = self
            .client
            .say(&self.agent, &key, &self.message(text))
            .await?;
        self.is_known = true;
        let answer = Answer {
            events,
            turn: None,
            seen: String::new(),
        };
        self.follow(answer, screen).await
    }

    /// Answers the question that the agent asks, and shows what comes of it.
    pub(super) async fn reply(&mut self, reply: NewAnswer, screen: &mut Screen) -> Result<Outcome> {
        let asked = self.asked.as_ref().and_then(|asked| asked.turn.clone());
        let turn = asked.ok_or_else(|| Fault::new(Exit::Failure, "nothing is asked"))?;
        let body = serde_json::to_value(NewAnswer {
            user: self.user.clone(),
            ..reply
        })?;
        let path = ["turns", &turn, "answer"];
        let _: Value = self.client.call(Method::POST, &path, Some(&body)).await?;
        match self.asked.take() {
            Some(answer) => self.follow(answer, screen).await,
            None => Err(Fault::new(Exit::Failure, "nothing is asked").into()),
        }
    }

    /// Shows an answer until it ends or the agent asks something.
    async fn follow(&mut self, mut answer: Answer, screen: &mut Screen) -> Result<Outcome> {
        let mut cancelled = false;
        loop {
            tokio::select! {
                event = answer.next(&self.client) => {
                    let event = event?;
                    self.last.clone_from(&answer.turn);
                    if let Some(outcome) = take(&event, screen)? {
                        screen.end();
                        if outcome.turn.status == TurnStatus::Waiting {
                            self.asked = Some(answer);
                        }
                        return Ok(outcome);
                    }
                }
                _ = tokio::signal::ctrl_c() => {
                    self.interrupt(answer.turn.as_deref(), &mut cancelled).await?;
                }
            }
        }
    }

    fn message(&self, text: &str) -> Value {
        let mut message = Map::new();
        message.insert("text".into(), text.into());
        message.insert("conversation".into(), self.conversation.as_str().into());
        if let Some(user) = &self.user {
            message.insert("user".into(), user.as_str().into());
        }
        message.into()
    }

    /// The first ctrl-c cancels the turn, the second stops waiting for that.
    async fn interrupt(&self, turn: Option<&str>, cancelled: &mut bool) -> Result<()> {
        if std::mem::replace(cancelled, true) {
            return Err(Fault::new(Exit::TurnFailed, "interrupted").into());
        }
        eprintln!();
        let turn = match turn {
            Some(turn) => turn.to_owned(),
            None => self.latest_turn().await?,
        };
        let path = ["turns", &turn, "cancel"];
        // A turn that has just ended cannot be cancelled, and need not be.
        let _ = self.client.call::<Value>(Method::POST, &path, None).await;
        Ok(())
    }

    /// The turn that waits to be run has not told its id yet.
    async fn latest_turn(&self) -> Result<String> {
        let query = [("conversation", self.conversation.as_str()), ("limit", "1")];
        let turns: Value = self.client.get(&["turns"], &query).await?;
        Ok(items(&turns)
            .first()
            .map(|turn| text(turn, "turn"))
            .unwrap_or_default())
    }
}

impl Answer {
    /// The next event. A connection that broke is taken up again where it was.
    async fn next(&mut self, client: &Client) -> Result<Event> {
        let mut attempts = 0;
        loop {
            let broke = match self.events.next().await {
                Ok(Some(event)) => {
                    self.note(&event);
                    return Ok(event);
                }
                Ok(None) => anyhow::anyhow!("the answer broke off"),
                Err(error) => error,
            };
            let Some(turn) = self.turn.clone().filter(|_| attempts < ATTEMPTS) else {
                return Err(Fault::new(Exit::Unreachable, format!("{broke:#}")).into());
            };
            tokio::time::sleep(Duration::from_millis(200 << attempts)).await;
            attempts += 1;
            if let Ok(events) = client.resume(&turn, &self.seen).await {
                self.events = events;
            }
        }
    }

    fn note(&mut self, event: &Event) {
        self.seen.clone_from(&event.id);
        if let Ok(data) = serde_json::from_str::<Value>(&event.data) {
            let turn = text(&data, "turn");
            self.turn = Some(turn)
                .filter(|turn| !turn.is_empty())
                .or(self.turn.take());
        }
    }
}

/// Shows an event; answers the outcome if it is the last one, or a question.
fn take(event: &Event, screen: &mut Screen) -> Result<Option<Outcome>> {
    let value: Value = serde_json::from_str(&event.data).unwrap_or_default();
    screen.show(&event.name, &value);
    match event.name.as_str() {
        "turn.completed" | "turn.failed" | "turn.cancelled" => Ok(Some(Outcome {
            turn: ended(&event.name, &value)?,
            value,
        })),
        "approval.requested" => {
            let turn = json!({"turn": value["turn"]});
            Ok(Some(Outcome {
                turn: ended("turn.waiting", &turn)?,
                value,
            }))
        }
        _ => Ok(None),
    }
}

/// The turn of a last event. A host that cannot read it any more says only how
/// it ended.
fn ended(event: &str, value: &Value) -> Result<TurnView> {
    let status = event.trim_start_matches("turn.");
    let mut turn = json!({"kind": "chat", "status": status, "agent": "", "channel": "",
        "created_at": 0});
    if let (Some(turn), Some(said)) = (turn.as_object_mut(), value.as_object()) {
        turn.extend(said.clone());
    }
    read(&turn)
}

fn new_conversation() -> String {
    Uuid::now_v7().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::FailureCode;

    #[test]
    fn a_turn_has_ended_as_its_last_event_says() {
        let bare = json!({"turn": "t", "error": {"code": "trap", "message": "It crashed."}});
        let turn = ended("turn.failed", &bare).unwrap();
        assert_eq!(
            (turn.status, turn.error.unwrap().code),
            (TurnStatus::Failed, FailureCode::Trap)
        );
        let whole = json!({"turn": "t", "status": "completed", "text": "hi"});
        let turn = ended("turn.completed", &whole).unwrap();
        assert_eq!(turn.status, TurnStatus::Completed);
    }
}
