//! Turns: accepted with their message, begun, finished with their answer.

mod correct;

use std::sync::Arc;

use anyhow::{Result, bail};
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::sql::{self, columns, stored_as_text, values};
use super::{
    Durability, JournalPart, Rating, Store, budgets, conversations, deliveries, journal, outbox,
    waits,
};
pub use correct::Corrected;

/// What a turn answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TurnKind {
    Chat,
    Event,
    Web,
}

/// Where a turn is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TurnStatus {
    Queued,
    Running,
    Waiting,
    Completed,
    Failed,
    Cancelled,
}

impl TurnStatus {
    /// The name in the database and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing will change any more.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// A turn to accept.
#[derive(Debug, Clone)]
pub struct NewTurn {
    pub tenant: String,
    pub id: String,
    pub kind: TurnKind,
    pub agent: String,
    pub channel: String,
    pub user: Option<String>,
    /// The id of the token that it came by.
    pub token: Option<String>,
    /// Seed of the guest's randomness.
    pub seed: [u8; 32],
    /// The message, event or request, encoded.
    pub input: Vec<u8>,
    /// The conversation and the text to keep, for a message of a person.
    pub message: Option<NewMessage>,
    pub idempotency: Option<Idempotency>,
    /// The delivery of an event that it is.
    pub delivery: Option<DeliveryKey>,
    /// The turn that asked for it.
    pub parent: Option<Parent>,
    /// Where the answer is to be delivered, for its channel.
    pub callback: Option<String>,
    /// It is not taken in while another turn of its conversation has not ended.
    pub only_if_idle: bool,
    /// Milliseconds since 1970.
    pub created_at: i64,
}

/// A turn that asked for another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    pub turn: String,
    /// How many turns that asked are above the one it asked for.
    pub hops: i64,
}

/// An event and the agent that it goes to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeliveryKey {
    /// The position of the event.
    pub event: i64,
    pub agent: String,
}

/// The message that a turn answers.
#[derive(Debug, Clone)]
pub struct NewMessage {
    pub id: String,
    pub conversation: String,
    pub author_name: Option<String>,
    pub text: String,
}

/// A client's promise that equal requests are one.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// Whose key it is: the id of the caller's token.
    pub token: String,
    pub key: String,
    /// SHA-256 of what was asked, hex.
    pub body_hash: String,
}

/// What became of a turn that was to be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// Stored; it is to be run.
    New {
        /// Position of its message in the conversation.
        position: Option<i64>,
        /// A turn before it waits, so that it runs after that.
        behind: bool,
    },
    /// The same request was accepted before, as this turn.
    Repeated { turn: String },
    /// The key was used before with another body.
    KeyReused,
    /// Another turn of the conversation has not ended.
    Busy { turn: String },
}

/// The end of a turn.
#[derive(Debug, Clone)]
pub struct FinishedTurn {
    pub tenant: String,
    pub id: String,
    pub status: TurnStatus,
    pub output: Option<Vec<u8>>,
    /// The answer's text, for a turn that answers a person.
    pub text: Option<String>,
    /// The error, JSON.
    pub error: Option<String>,
    /// The receipt, JSON.
    pub receipt: String,
    /// What is not stored yet.
    pub journal: JournalPart,
    /// What the turn that waits for it gets, encoded.
    pub for_parent: Option<Vec<u8>>,
    /// Where the answer is to be delivered, for its channel.
    pub callback: Option<String>,
    /// It went on after a wait or the end of a process, and the delivery of the
    /// event that it is may wait for it.
    pub went_on: bool,
    /// Milliseconds since 1970.
    pub finished_at: i64,
}

/// What is told of a turn.
#[derive(Debug, Clone)]
pub struct TurnSummary {
    pub id: String,
    pub kind: TurnKind,
    pub agent: String,
    pub version: Option<i64>,
    pub conversation: Option<String>,
    pub user_id: Option<String>,
    pub channel: String,
    pub token: Option<String>,
    /// The turn that asked for it.
    pub parent: Option<String>,
    /// The turn that took up its message.
    pub steered: Option<String>,
    pub status: TurnStatus,
    /// How often it was started.
    pub attempts: i64,
    pub text: Option<String>,
    pub error: Option<String>,
    pub receipt: Option<String>,
    pub created_at: i64,
    pub started_at: Option<i64>,
    pub finished_at: Option<i64>,
}

stored_as_text!(TurnKind: Chat = "chat", Event = "event", Web = "web");
stored_as_text!(TurnStatus: Queued = "queued", Running = "running", Waiting = "waiting",
    Completed = "completed", Failed = "failed", Cancelled = "cancelled");
columns!(TurnSummary: id, kind, agent, version, conversation, user_id, channel, token, parent, steered, status, attempts, text,
    error, receipt, created_at, started_at, finished_at);
columns!(TurnRow: tenant_id, id, kind, agent, version, digest, limits, conversation, user_id, channel, token,
    parent, hops, callback, status, attempts, suspensions, rerun_fuel, seed, position, input, output, text, error, receipt,
    created_at, started_at, finished_at);

const SUMMARY: &str =
    "id, kind, agent, version, conversation, user_id, channel, token, parent, steered, status, attempts, text, error,
     receipt, created_at, started_at, finished_at";

/// A turn as stored.
#[derive(Debug, Clone)]
pub struct TurnRow {
    pub tenant_id: String,
    pub id: String,
    pub kind: TurnKind,
    pub agent: String,
    pub version: Option<i64>,
    pub digest: Option<String>,
    pub limits: Option<String>,
    pub conversation: Option<String>,
    pub user_id: Option<String>,
    pub channel: String,
    pub token: Option<String>,
    /// The turn that asked for it.
    pub parent: Option<String>,
    /// How many turns that asked are above it.
    pub hops: i64,
    /// Where the answer is to be delivered, for its channel.
    pub callback: Option<String>,
    pub status: TurnStatus,
    /// How often it was started.
    pub attempts: i64,
    /// How often it gave up its instance to wait.
    pub suspensions: i64,
    /// The fuel of those runs.
    pub rerun_fuel: i64,
    pub seed: String,
    pub position: Option<i64>,
    pub input: Vec<u8>,
    pub output: Option<Vec<u8>>,
    pub text: Option<String>,
    pub error: Option<String>,
    pub receipt: Option<String>,
    pub created_at: i64,
    pub started_at: Option<i64>,
    pub finished_at: Option<i64>,
}

/// Which turns to list; newest first.
#[derive(Debug, Clone, Default)]
pub struct TurnFilter {
    pub agent: Option<String>,
    /// Only turns of this person.
    pub user: Option<String>,
    pub conversation: Option<String>,
    pub status: Option<TurnStatus>,
    /// Only turns accepted at this time or later, milliseconds since 1970.
    pub since: Option<i64>,
    /// Only turns accepted before this time.
    pub until: Option<i64>,
    /// Only turns that somebody rated so.
    pub feedback: Option<Rating>,
    /// Only turns before this id.
    pub before: Option<String>,
    pub limit: u32,
}

impl Store {
    /// Stores a turn and its message. `accepted` runs in the order in which
    /// turns were accepted, before the caller is told.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub async fn accept_turn<C>(
        &self,
        turn: NewTurn,
        durability: Durability,
        accepted: C,
    ) -> Result<Accepted>
    where
        C: FnOnce(&Accepted) + Send + 'static,
    {
        let operation = move |db: &Connection| accept(db, &turn);
        self.write_then(durability, operation, accepted).await
    }

    /// Stores the end of a turn with all that belongs to it, synced: after this
    /// the answer may be delivered.
    pub async fn finish_turn(&self, finished: Arc<FinishedTurn>) -> Result<()> {
        let operation = move |db: &Connection| finish(db, &finished);
        self.write(Durability::Synced, operation).await
    }

    /// What is told of a turn.
    pub async fn turn_summary(&self, tenant: &str, id: &str) -> Result<Option<TurnSummary>> {
        let sql = format!("SELECT {SUMMARY} FROM turns WHERE tenant_id = ?1 AND id = ?2");
        self.one(sql, values![tenant, id]).await
    }

    /// A turn with all that is needed to run it.
    pub async fn turn(&self, tenant: &str, id: &str) -> Result<Option<TurnRow>> {
        let sql = "SELECT * FROM turns WHERE tenant_id = ?1 AND id = ?2";
        self.one(sql, values![tenant, id]).await
    }

    /// What a turn ended with, encoded; none where it did not.
    pub async fn turn_output(&self, tenant: &str, id: &str) -> Result<Option<Vec<u8>>> {
        let sql = "SELECT output FROM turns WHERE tenant_id = ?1 AND id = ?2";
        let output: Option<(Option<Vec<u8>>,)> = self.one(sql, values![tenant, id]).await?;
        Ok(output.and_then(|(output,)| output))
    }

    /// The turn that took an idempotency key.
    pub async fn turn_of_key(
        &self,
        tenant: &str,
        token: &str,
        key: &str,
    ) -> Result<Option<String>> {
        let sql =
            "SELECT turn FROM idempotency_keys WHERE tenant_id = ?1 AND token = ?2 AND key = ?3";
        let turn: Option<(String,)> = self.one(sql, values![tenant, token, key]).await?;
        Ok(turn.map(|(turn,)| turn))
    }

    /// The turns of a channel that have not ended, oldest first.
    pub async fn unfinished_of_channel(&self, channel: &str) -> Result<Vec<TurnRow>> {
        let sql = "SELECT * FROM turns WHERE channel = ?1
                     AND status IN ('queued', 'running', 'waiting') ORDER BY rowid";
        self.all(sql, values![channel]).await
    }

    /// The turns of a conversation that have not ended, oldest first.
    pub async fn unfinished_of(&self, tenant: &str, conversation: &str) -> Result<Vec<String>> {
        let sql = "SELECT id FROM turns WHERE tenant_id = ?1 AND conversation = ?2
                     AND status IN ('queued', 'running', 'waiting') ORDER BY id";
        let turns: Vec<(String,)> = self.all(sql, values![tenant, conversation]).await?;
        Ok(turns.into_iter().map(|(turn,)| turn).collect())
    }

    /// Turns that match, newest first.
    pub async fn turns(&self, tenant: &str, filter: &TurnFilter) -> Result<Vec<TurnSummary>> {
        let mut values = values![tenant, i64::from(filter.limit)];
        let mut wanted = String::new();
        for (condition, value) in [
            ("agent =", filter.agent.as_deref()),
            ("user_id =", filter.user.as_deref()),
            ("conversation =", filter.conversation.as_deref()),
            ("status =", filter.status.map(TurnStatus::name)),
            ("id <", filter.before.as_deref()),
        ] {
            if let Some(value) = value {
                values.push(sql::owned(&value));
                wanted.push_str(&format!(" AND {condition} ?{}", values.len()));
            }
        }
        for (condition, time) in [
            ("created_at >=", filter.since),
            ("created_at <", filter.until),
        ] {
            if let Some(time) = time {
                values.push(sql::owned(&time));
                wanted.push_str(&format!(" AND {condition} ?{}", values.len()));
            }
        }
        if let Some(rating) = filter.feedback {
            values.push(sql::owned(&rating));
            wanted.push_str(&format!(
                " AND EXISTS (SELECT 1 FROM feedback f WHERE f.tenant_id = turns.tenant_id AND f.turn = turns.id
                   AND f.rating = ?{})",
                values.len()
            ));
        }
        let sql = format!(
            "SELECT {SUMMARY} FROM turns WHERE tenant_id = ?1{wanted} ORDER BY id DESC LIMIT ?2"
        );
        let rows = self.all(sql, values).await?;
        self.settle().await?;
        Ok(rows)
    }

    /// Counts another start of a turn that an earlier process left unfinished.
    pub async fn start_again(&self, tenant: &str, id: &str) -> Result<()> {
        let (tenant, id) = (tenant.to_owned(), id.to_owned());
        self.write(Durability::Written, move |db: &Connection| {
            let sql = "UPDATE turns SET attempts = max(attempts, 1) + 1, status = 'running'
                       WHERE tenant_id = ?1 AND id = ?2 AND status IN ('queued', 'running')";
            sql::execute(db, sql, params![tenant, id])?;
            Ok(())
        })
        .await
    }

    /// Turns that an earlier process left unfinished, in the order in which they
    /// were accepted, whatever the clock said then; those behind a waiting turn
    /// go on with that.
    pub async fn unfinished_turns(&self) -> Result<Vec<TurnRow>> {
        let sql = "SELECT * FROM turns t WHERE status IN ('queued', 'running')
                     AND NOT EXISTS (SELECT 1 FROM turns w WHERE w.tenant_id = t.tenant_id
                                     AND w.conversation = t.conversation AND w.status = 'waiting')
                   ORDER BY rowid";
        self.all(sql, values![]).await
    }
}

pub(super) fn accept(db: &Connection, turn: &NewTurn) -> Result<Accepted> {
    if let Some(earlier) = claim_key(db, turn)? {
        return Ok(earlier);
    }
    if let Some(busy) = busy_with(db, turn)? {
        release_key(db, turn)?;
        return Ok(Accepted::Busy { turn: busy });
    }
    let position = match &turn.message {
        Some(message) => Some(conversations::add_question(db, turn, message)?),
        None => None,
    };
    let conversation = turn.message.as_ref().map(|message| &message.conversation);
    sql::execute(
        db,
        "INSERT INTO turns (tenant_id, id, kind, agent, conversation, user_id, channel, status, seed, input,
             created_at, token, position, parent, hops, callback)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'queued', ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        params![
            turn.tenant,
            turn.id,
            turn.kind,
            turn.agent,
            conversation,
            turn.user,
            turn.channel,
            hex::encode(turn.seed),
            turn.input,
            turn.created_at,
            turn.token,
            position,
            turn.parent.as_ref().map(|parent| &parent.turn),
            turn.parent.as_ref().map_or(0, |parent| parent.hops),
            turn.callback,
        ],
    )?;
    if let Some(delivery) = &turn.delivery {
        deliveries::begin_delivery(db, delivery, &turn.id)?;
    }
    let behind = match conversation {
        Some(conversation) => is_waiting(db, &turn.tenant, conversation)?,
        None => false,
    };
    Ok(Accepted::New { position, behind })
}

/// Whether a turn of the conversation waits.
pub(super) fn is_waiting(db: &Connection, tenant: &str, conversation: &str) -> Result<bool> {
    let (waiting,): (bool,) = sql::only(
        db,
        "SELECT EXISTS (SELECT 1 FROM turns WHERE tenant_id = ?1 AND conversation = ?2 AND status = 'waiting')",
        params![tenant, conversation],
    )?;
    Ok(waiting)
}

/// The turn that keeps this one from being taken in.
fn busy_with(db: &Connection, turn: &NewTurn) -> Result<Option<String>> {
    let (true, Some(message)) = (turn.only_if_idle, &turn.message) else {
        return Ok(None);
    };
    let found: Option<(String,)> = sql::one(
        db,
        "SELECT id FROM turns WHERE tenant_id = ?1 AND conversation = ?2
           AND status IN ('queued', 'running', 'waiting') ORDER BY id LIMIT 1",
        params![turn.tenant, message.conversation],
    )?;
    Ok(found.map(|(id,)| id))
}

/// Takes the idempotency key, or says who has it.
fn claim_key(db: &Connection, turn: &NewTurn) -> Result<Option<Accepted>> {
    let Some(idempotency) = &turn.idempotency else {
        return Ok(None);
    };
    let Idempotency {
        token,
        key,
        body_hash,
    } = idempotency;
    let inserted = sql::execute(
        db,
        "INSERT INTO idempotency_keys (tenant_id, token, key, body_hash, turn, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
        params![turn.tenant, token, key, body_hash, turn.id, turn.created_at],
    )?;
    if inserted == 1 {
        return Ok(None);
    }
    let (known, earlier): (String, String) = sql::only(
        db,
        "SELECT body_hash, turn FROM idempotency_keys WHERE tenant_id = ?1 AND token = ?2 AND key = ?3",
        params![turn.tenant, token, key],
    )?;
    Ok(Some(if known == *body_hash {
        Accepted::Repeated { turn: earlier }
    } else {
        Accepted::KeyReused
    }))
}

/// Gives back the key of a turn that is not taken in.
fn release_key(db: &Connection, turn: &NewTurn) -> Result<()> {
    sql::execute(
        db,
        "DELETE FROM idempotency_keys WHERE tenant_id = ?1 AND turn = ?2",
        params![turn.tenant, turn.id],
    )?;
    Ok(())
}

fn finish(db: &Connection, finished: &FinishedTurn) -> Result<()> {
    let (tenant, id) = (&finished.tenant, &finished.id);
    journal::append(db, tenant, id, &finished.journal)?;
    budgets::settle_leftovers(db, tenant, id)?;
    if let Some(text) = &finished.text {
        conversations::add_answer(db, finished, text)?;
    }
    if !end(db, finished)? {
        bail!("turn {id} is not there or has ended already");
    }
    if let Some(outcome) = &finished.for_parent {
        waits::settle_parent(db, tenant, id, outcome)?;
    }
    if finished.status != TurnStatus::Completed {
        waits::close(db, tenant, id)?;
    }
    if let Some(target) = &finished.callback {
        outbox::send(db, tenant, id, target, finished.finished_at)?;
    }
    if finished.went_on {
        deliveries::resume(db, id)?;
    }
    Ok(())
}

/// Ends the turn unless it has ended; answers whether it did.
fn end(db: &Connection, finished: &FinishedTurn) -> Result<bool> {
    let updated = sql::execute(
        db,
        "UPDATE turns SET status = ?3, output = ?4, text = ?5, error = ?6, receipt = ?7, finished_at = ?8
         WHERE tenant_id = ?1 AND id = ?2 AND status NOT IN ('completed', 'failed', 'cancelled')",
        params![
            finished.tenant,
            finished.id,
            finished.status,
            finished.output,
            finished.text,
            finished.error,
            finished.receipt,
            finished.finished_at,
        ],
    )?;
    Ok(updated == 1)
}

#[cfg(test)]
mod tests;
