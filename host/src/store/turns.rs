//! Turns: accepted with their message, begun, finished with their answer.

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteConnection;
use sqlx::{FromRow, QueryBuilder, Sqlite};

use super::{Durability, JournalEntry, LogLine, Store, UsageRow, conversations, journal, usage};
use crate::clock::now_ms;

/// What a turn answers.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
#[sqlx(rename_all = "lowercase")]
pub enum TurnKind {
    Chat,
    Event,
    Web,
}

/// Where a turn is in its life.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
#[sqlx(rename_all = "lowercase")]
pub enum TurnStatus {
    Queued,
    Running,
    Waiting,
    Completed,
    Failed,
    Cancelled,
}

impl TurnStatus {
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
    },
    /// The same request was accepted before, as this turn.
    Repeated { turn: String },
    /// The key was used before with another body.
    KeyReused,
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
    /// Entries that are not stored yet.
    pub journal: Vec<JournalEntry>,
    pub log: Vec<LogLine>,
    pub usage: Vec<UsageRow>,
}

/// A turn as stored.
#[derive(Debug, Clone, FromRow)]
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
    pub status: TurnStatus,
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
    pub conversation: Option<String>,
    pub status: Option<TurnStatus>,
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
        let operation = async move |db: &mut SqliteConnection| accept(db, &turn).await;
        self.write_then(durability, operation, accepted).await
    }

    /// Marks a turn as running and pins what it runs with.
    pub async fn begin_turn(
        &self,
        tenant: &str,
        id: &str,
        version: i64,
        digest: &str,
        limits: String,
        started_at: i64,
    ) -> Result<()> {
        let (tenant, id, digest) = (tenant.to_owned(), id.to_owned(), digest.to_owned());
        self.write(Durability::Written, async move |db| {
            sqlx::query(
                "UPDATE turns SET status = 'running', version = $3, digest = $4, limits = $5, started_at = $6
                 WHERE tenant_id = $1 AND id = $2 AND status = 'queued'",
            )
            .bind(&tenant)
            .bind(&id)
            .bind(version)
            .bind(&digest)
            .bind(&limits)
            .bind(started_at)
            .execute(&mut *db)
            .await?;
            Ok(())
        })
        .await
    }

    /// Stores the end of a turn with all that belongs to it, synced: after this
    /// the answer may be delivered.
    pub async fn finish_turn(&self, finished: FinishedTurn) -> Result<()> {
        let operation = async move |db: &mut SqliteConnection| finish(db, &finished).await;
        self.write(Durability::Synced, operation).await
    }

    /// One turn.
    pub async fn turn(&self, tenant: &str, id: &str) -> Result<Option<TurnRow>> {
        let row = sqlx::query_as("SELECT * FROM turns WHERE tenant_id = $1 AND id = $2")
            .bind(tenant)
            .bind(id)
            .fetch_optional(&self.reader)
            .await?;
        Ok(row)
    }

    /// Turns that match, newest first.
    pub async fn turns(&self, tenant: &str, filter: &TurnFilter) -> Result<Vec<TurnRow>> {
        let mut query: QueryBuilder<Sqlite> =
            QueryBuilder::new("SELECT * FROM turns WHERE tenant_id = ");
        query.push_bind(tenant);
        if let Some(agent) = &filter.agent {
            query.push(" AND agent = ").push_bind(agent);
        }
        if let Some(conversation) = &filter.conversation {
            query.push(" AND conversation = ").push_bind(conversation);
        }
        if let Some(status) = filter.status {
            query.push(" AND status = ").push_bind(status);
        }
        if let Some(before) = &filter.before {
            query.push(" AND id < ").push_bind(before);
        }
        query
            .push(" ORDER BY id DESC LIMIT ")
            .push_bind(i64::from(filter.limit));
        let rows = query.build_query_as().fetch_all(&self.reader).await?;
        self.settle().await?;
        Ok(rows)
    }

    /// Turns that an earlier process left unfinished, oldest first.
    pub async fn unfinished_turns(&self) -> Result<Vec<TurnRow>> {
        let rows = sqlx::query_as(
            "SELECT * FROM turns WHERE status IN ('queued', 'running') ORDER BY created_at, id",
        )
        .fetch_all(&self.reader)
        .await?;
        Ok(rows)
    }
}

async fn accept(db: &mut SqliteConnection, turn: &NewTurn) -> Result<Accepted> {
    if let Some(earlier) = claim_key(db, turn).await? {
        return Ok(earlier);
    }
    let mut query: QueryBuilder<Sqlite> = QueryBuilder::new("");
    if let Some(message) = &turn.message {
        conversations::push_question(&mut query, turn, message);
    }
    insert(&mut query, turn);
    let position = query.build_query_scalar().fetch_one(&mut *db).await?;
    Ok(Accepted::New { position })
}

/// Adds the turn; answers the position of its message. The statements before
/// it and this one are sent together: each trip to SQLite's thread costs more
/// than most statements.
fn insert(query: &mut QueryBuilder<Sqlite>, turn: &NewTurn) {
    query.push(
        "INSERT INTO turns (tenant_id, id, kind, agent, conversation, user_id, channel, status, seed, input, created_at, token, position)
         VALUES (",
    );
    let mut values = query.separated(", ");
    values
        .push_bind(&turn.tenant)
        .push_bind(&turn.id)
        .push_bind(turn.kind)
        .push_bind(&turn.agent)
        .push_bind(turn.message.as_ref().map(|message| &message.conversation))
        .push_bind(&turn.user)
        .push_bind(&turn.channel)
        .push("'queued'")
        .push_bind(hex::encode(turn.seed))
        .push_bind(&turn.input)
        .push_bind(now_ms())
        .push_bind(&turn.token);
    match &turn.message {
        Some(message) => {
            query
                .push(", (SELECT last_position FROM conversations WHERE tenant_id = ")
                .push_bind(&turn.tenant)
                .push(" AND id = ")
                .push_bind(&message.conversation)
                .push("))");
        }
        None => {
            query.push(", NULL)");
        }
    }
    query.push(" RETURNING position");
}

/// Takes the idempotency key, or says who has it.
async fn claim_key(db: &mut SqliteConnection, turn: &NewTurn) -> Result<Option<Accepted>> {
    let Some(idempotency) = &turn.idempotency else {
        return Ok(None);
    };
    let inserted = sqlx::query(
        "INSERT INTO idempotency_keys (tenant_id, token, key, body_hash, turn, created_at)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
    )
    .bind(&turn.tenant)
    .bind(&idempotency.token)
    .bind(&idempotency.key)
    .bind(&idempotency.body_hash)
    .bind(&turn.id)
    .bind(now_ms())
    .execute(&mut *db)
    .await?;
    if inserted.rows_affected() == 1 {
        return Ok(None);
    }
    let (body_hash, earlier): (String, String) = sqlx::query_as(
        "SELECT body_hash, turn FROM idempotency_keys WHERE tenant_id = $1 AND token = $2 AND key = $3",
    )
    .bind(&turn.tenant)
    .bind(&idempotency.token)
    .bind(&idempotency.key)
    .fetch_one(&mut *db)
    .await?;
    Ok(Some(if body_hash == idempotency.body_hash {
        Accepted::Repeated { turn: earlier }
    } else {
        Accepted::KeyReused
    }))
}

/// Stores an end in one trip to SQLite's thread, log lines apart, whose number
/// would make too many different statements.
async fn finish(db: &mut SqliteConnection, finished: &FinishedTurn) -> Result<()> {
    let (tenant, id) = (&finished.tenant, &finished.id);
    journal::append_log(db, tenant, id, &finished.log).await?;
    let mut query: QueryBuilder<Sqlite> = QueryBuilder::new("");
    journal::push(&mut query, tenant, id, &finished.journal);
    usage::push(&mut query, tenant, id, &finished.usage);
    if let Some(text) = &finished.text {
        conversations::push_answer(&mut query, tenant, id, text);
    }
    push_end(&mut query, finished);
    let updated: Option<String> = query.build_query_scalar().fetch_optional(&mut *db).await?;
    if updated.is_none() {
        bail!("turn {id} is not there or has ended already");
    }
    Ok(())
}

/// Ends the turn unless it has ended; answers its id if so.
fn push_end(query: &mut QueryBuilder<Sqlite>, finished: &FinishedTurn) {
    query
        .push("UPDATE turns SET status = ")
        .push_bind(finished.status)
        .push(", output = ")
        .push_bind(&finished.output)
        .push(", text = ")
        .push_bind(&finished.text)
        .push(", error = ")
        .push_bind(&finished.error)
        .push(", receipt = ")
        .push_bind(&finished.receipt)
        .push(", finished_at = ")
        .push_bind(now_ms())
        .push(" WHERE tenant_id = ")
        .push_bind(&finished.tenant)
        .push(" AND id = ")
        .push_bind(&finished.id)
        .push(" AND status NOT IN ('completed', 'failed', 'cancelled') RETURNING id");
}
