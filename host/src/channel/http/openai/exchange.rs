//! One request as a turn: taken in like any message, cancelled when the client
//! goes, and its end as it was stored.

use std::sync::Arc;

use axum::http::HeaderMap;

use super::super::auth::Caller;
use super::super::messages::{check_name, traceparent};
use super::super::watched::Watched;
use super::super::{Api, Problem};
use super::error::ApiError;
use super::input::Question;
use crate::clock::now_ms;
use crate::codec;
use crate::inbox::{Admitted, Inbound};
use crate::registry::WhenBusy;
use crate::runtime::bindings::types;
use crate::runtime::{Failure, Input, Output};
use crate::store::{TurnRow, TurnStatus};
use crate::turn::{Feed, Receipt};

const CHANNEL: &str = "openai";

/// What is asked of whom.
pub(super) struct Exchange {
    pub(super) agent: String,
    /// For whom the client speaks; the token's own name without it.
    pub(super) user: Option<String>,
    /// Continues a conversation; a new one begins without it.
    pub(super) conversation: Option<String>,
    pub(super) question: Question,
    pub(super) tools: Vec<types::ToolDefinition>,
    /// What the request says on how to answer, JSON.
    pub(super) wishes: serde_json::Value,
}

impl Exchange {
    /// Takes it in; it runs then.
    pub(super) async fn begin(
        self,
        api: &Api,
        caller: &Caller,
        headers: &HeaderMap,
    ) -> Result<Running, ApiError> {
        check_name("user", self.user.as_deref())?;
        let agents = &api.host.agents;
        let trigger = agents.chat_trigger(&caller.tenant, &self.agent).await?;
        let trigger = trigger.ok_or_else(|| ApiError::no_model(&self.agent))?;
        let agent = self.agent.clone();
        let inbound = Inbound {
            only_if_idle: trigger.when_busy == WhenBusy::Refuse,
            ..self.inbound(caller, headers)
        };
        let seat = api.host.inbox.seat().ok_or_else(Problem::busy)?;
        let admitted = api.host.inbox.admit(inbound, seat).await;
        match admitted.map_err(|error| Problem::not_taken(&error))? {
            Admitted::Turn(feed) => Ok(Running {
                api: api.clone(),
                tenant: caller.tenant.clone(),
                agent,
                created_at: now_ms(),
                watched: Watched::new(&api.host, &caller.tenant, feed),
            }),
            Admitted::Busy(turn) => Err(Problem::busy_with(&turn).into()),
            // Without an idempotency key nothing is repeated.
            Admitted::Repeated(_) | Admitted::KeyReused => {
                Err(Problem::internal("a request without a key was taken for another").into())
            }
        }
    }

    fn inbound(self, caller: &Caller, headers: &HeaderMap) -> Inbound {
        let user = self.user.unwrap_or_else(|| caller.name.clone());
        let author = types::Author {
            id: format!("{CHANNEL}:{user}"),
            name: Some(user),
        };
        let context_json = self.question.context(&self.wishes, traceparent(headers));
        let conversation = self.conversation;
        Inbound {
            tenant: caller.tenant.clone(),
            agent: self.agent,
            channel: CHANNEL.to_owned(),
            user: Some(author.id.clone()),
            token: Some(caller.token.clone()),
            input: Input::Chat(types::Message {
                attachments: self.question.attachments,
                history: self.question.history,
                client_tools: self.tools,
                client_tool_results: self.question.results,
                context_json,
                ..types::Message::new(CHANNEL, conversation, author, self.question.text)
            }),
            idempotency: None,
            delivery: None,
            parent: None,
            callback: None,
            only_if_idle: false,
        }
    }
}

/// A turn that a client waits for. When that goes, the turn is cancelled.
pub(super) struct Running {
    api: Api,
    tenant: String,
    pub(super) agent: String,
    /// Milliseconds since 1970.
    pub(super) created_at: i64,
    watched: Watched,
}

/// How a turn came out.
pub(super) struct Answer {
    pub(super) turn: String,
    pub(super) agent: String,
    pub(super) conversation: Option<String>,
    pub(super) created_at: i64,
    pub(super) reply: types::Reply,
    pub(super) receipt: Receipt,
}

impl Running {
    pub(super) fn turn(&self) -> &str {
        &self.feed().turn
    }

    pub(super) fn feed(&self) -> &Arc<Feed> {
        self.watched.feed()
    }

    /// Waits for the end.
    pub(super) async fn answer(&mut self) -> Result<Answer, ApiError> {
        self.feed().rested().await;
        if !self.feed().has_ended() {
            self.leave();
            self.api.host.store.settle().await?;
            return Err(ApiError::waits(self.turn()));
        }
        self.end().await
    }

    /// The end that was just told of.
    pub(super) async fn end(&mut self) -> Result<Answer, ApiError> {
        self.leave();
        load(&self.api, &self.tenant, self.turn()).await
    }

    /// It goes on without the client.
    pub(super) fn leave(&mut self) {
        self.watched.leave();
    }
}

/// The end of a turn, as it was stored.
pub(super) async fn load(api: &Api, tenant: &str, turn: &str) -> Result<Answer, ApiError> {
    let row = api.host.store.turn(tenant, turn).await?;
    let row = row.ok_or_else(|| Problem::internal("a turn that ended is gone"))?;
    Answer::of(row)
}

impl Answer {
    fn of(row: TurnRow) -> Result<Self, ApiError> {
        if let Some(error) = &row.error {
            let failure: Failure = serde_json::from_str(error).map_err(Problem::internal)?;
            return Err(ApiError::of_failure(&row.id, &failure));
        }
        if row.status != TurnStatus::Completed {
            return Err(ApiError::waits(&row.id));
        }
        let output = row.output.as_deref().map(codec::decode::<Output>);
        let reply = match output.transpose()? {
            Some(Output::Reply(reply)) => reply,
            _ => return Err(Problem::internal("a turn of this channel has no reply").into()),
        };
        let receipt = row.receipt.as_deref().map(serde_json::from_str);
        Ok(Self {
            receipt: receipt
                .transpose()
                .map_err(Problem::internal)?
                .unwrap_or_default(),
            turn: row.id,
            agent: row.agent,
            conversation: row.conversation,
            created_at: row.created_at,
            reply,
        })
    }
}
