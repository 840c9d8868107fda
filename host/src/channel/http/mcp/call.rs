//! One call of a tool as a turn: taken in like any message, cancelled with the
//! call, answered with what was stored.

use std::sync::Arc;

use axum::http::HeaderMap;
use rmcp::model::{
    CallToolResult, ContentBlock, JsonObject, ProgressNotificationParam, ProgressToken,
};
use rmcp::service::{Peer, RequestContext};
use rmcp::{ErrorData, RoleServer};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::messages::{NewMessage, check, inbound};
use super::super::turns::{TurnView, own_conversation};
use super::super::watched::Watched;
use super::super::{Api, Caller, Code, Problem};
use super::tools::internal;
use crate::inbox::{Admitted, Inbound};
use crate::registry::{ChatTrigger, WhenBusy};
use crate::store::{Scope, TurnStatus};
use crate::turn::{Feed, FeedEvent};

const CHANNEL: &str = "mcp";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    text: String,
    conversation: Option<String>,
}

/// A call of a tool.
pub(super) struct Call<'a> {
    pub(super) api: &'a Api,
    pub(super) caller: Caller,
    /// Of the request that carries the call.
    pub(super) headers: HeaderMap,
    pub(super) agent: String,
}

impl Call<'_> {
    /// What comes of it. What a model can mend or tell a person is a result;
    /// that there is no such tool is an error of the protocol.
    pub(super) async fn answer(
        &self,
        arguments: JsonObject,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        let agents = &self.api.host.agents;
        let trigger = agents.chat_trigger(&self.caller.tenant, &self.agent).await;
        let Some(trigger) = trigger.map_err(|error| internal(&error))? else {
            let message = format!("there is no tool {:?}; tools/list lists them", self.agent);
            return Err(ErrorData::invalid_params(message, None));
        };
        let answered = match self.begin(arguments, &trigger).await {
            Ok(feed) => self.end(feed, context).await,
            Err(problem) => Err(problem),
        };
        Ok(answered.unwrap_or_else(|problem| refused(&problem)))
    }

    async fn begin(
        &self,
        arguments: JsonObject,
        trigger: &ChatTrigger,
    ) -> Result<Arc<Feed>, Problem> {
        let message = self.message(arguments).await?;
        let agent = self.agent.clone();
        let inbound = Inbound {
            only_if_idle: trigger.when_busy == WhenBusy::Refuse,
            ..inbound(CHANNEL, &self.caller, agent, message, &self.headers, None)
        };
        let inbox = &self.api.host.inbox;
        let seat = inbox.seat().ok_or_else(Problem::busy)?;
        let admitted = inbox.admit(inbound, seat).await;
        match admitted.map_err(|error| Problem::not_taken(&error))? {
            Admitted::Turn(feed) => Ok(feed),
            Admitted::Busy(turn) => Err(Problem::busy_with(&turn)),
            // Without an idempotency key nothing is repeated.
            Admitted::Repeated(_) | Admitted::KeyReused => Err(Problem::internal(
                "a call without a key was taken for another",
            )),
        }
    }

    async fn message(&self, arguments: JsonObject) -> Result<NewMessage, Problem> {
        let arguments: Arguments = serde_json::from_value(Value::Object(arguments))
            .map_err(|error| Problem::new(Code::InvalidRequest, format!("arguments: {error}")))?;
        let message = NewMessage {
            text: arguments.text,
            conversation: arguments.conversation,
            user: None,
            callback: None,
        };
        check(&message)?;
        // A token that only chats does not join the conversations of others.
        if let Some(conversation) = &message.conversation
            && !self.caller.may(Scope::Read)
        {
            own_conversation(self.api, &self.caller, conversation).await?;
        }
        Ok(message)
    }

    /// Waits for the end, as long as the client does.
    async fn end(
        &self,
        feed: Arc<Feed>,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Problem> {
        let mut watched = Watched::new(&self.api.host, &self.caller.tenant, feed);
        let feed = Arc::clone(watched.feed());
        let shown = async {
            if let Some(token) = context.meta.get_progress_token() {
                show(&feed, &context.peer, token).await;
            }
            feed.rested().await;
        };
        tokio::select! {
            () = shown => {}
            () = context.ct.cancelled() => {
                let detail = "the call was cancelled, and the turn with it";
                return Err(Problem::new(Code::Conflict, detail).about(&feed.turn));
            }
        }
        watched.leave();
        if !feed.has_ended() {
            self.api.host.store.settle().await?;
        }
        let view = TurnView::load(self.api, &self.caller.tenant, &feed.turn).await?;
        Ok(result(&view))
    }
}

/// Tells the client what a person would see, piece by piece.
async fn show(feed: &Arc<Feed>, peer: &Peer<RoleServer>, token: ProgressToken) {
    let mut reader = feed.read(0);
    let mut progress = 0.0;
    while let Some((_, event)) = reader.next().await {
        let text = match event {
            FeedEvent::Text { text } => text,
            FeedEvent::ToolStarted { title, .. } => title,
            FeedEvent::Waiting => return,
            event if event.is_last() => return,
            _ => continue,
        };
        progress += 1.0;
        let piece = ProgressNotificationParam::new(token.clone(), progress).with_message(text);
        if peer.notify_progress(piece).await.is_err() {
            return;
        }
    }
}

fn result(view: &TurnView) -> CallToolResult {
    let (text, is_error) = match (&view.error, view.status) {
        (Some(failure), _) => (failure.message.clone(), true),
        (None, TurnStatus::Completed) => (view.text.clone().unwrap_or_default(), false),
        (None, _) => {
            let text = format!(
                "the agent asked a person and waits; the answer will be in turn {0}: GET /api/v1/turns/{0}, POST /api/v1/turns/{0}/answer",
                view.turn
            );
            (text, true)
        }
    };
    // Some clients show a model nothing but the structured content.
    let mut named = json!({"text": text, "turn": view.turn});
    if let Some(conversation) = &view.conversation {
        named["conversation"] = conversation.as_str().into();
    }
    let mut result = if is_error {
        failed(&text)
    } else {
        CallToolResult::success(vec![ContentBlock::text(text)])
    };
    result.structured_content = Some(named);
    result
}

/// What did not become a turn, or is no answer of one.
fn refused(problem: &Problem) -> CallToolResult {
    let text = problem.detail();
    let mut result = failed(text);
    result.structured_content = problem
        .turn()
        .map(|turn| json!({"text": text, "turn": turn}));
    result
}

fn failed(sentence: &str) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(sentence)])
}
