//! Conversations and their messages.
//!
//! The question of a turn has an even position and its answer the odd one after
//! it, so that a conversation reads in order whenever answers arrive.

use anyhow::Result;
use sqlx::FromRow;
use sqlx::sqlite::SqliteConnection;

use super::Store;
use super::turns::{NewMessage, NewTurn};
use crate::clock::now_ms;

/// A message as stored.
#[derive(Debug, Clone, FromRow)]
pub struct StoredMessage {
    pub id: String,
    pub position: i64,
    pub role: String,
    pub author_id: Option<String>,
    pub author_name: Option<String>,
    pub text: String,
    pub turn: String,
    pub at: i64,
}

impl Store {
    /// The latest `limit` messages before `position`, oldest first.
    pub async fn history(
        &self,
        tenant: &str,
        conversation: &str,
        position: i64,
        limit: u32,
    ) -> Result<Vec<StoredMessage>> {
        let mut rows: Vec<StoredMessage> = sqlx::query_as(
            "SELECT id, position, role, author_id, author_name, text, turn, at FROM messages
             WHERE tenant_id = $1 AND conversation = $2 AND position < $3
             ORDER BY position DESC LIMIT $4",
        )
        .bind(tenant)
        .bind(conversation)
        .bind(position)
        .bind(i64::from(limit))
        .fetch_all(&self.reader)
        .await?;
        rows.reverse();
        Ok(rows)
    }

    /// Messages after `position`, oldest first.
    pub async fn messages(
        &self,
        tenant: &str,
        conversation: &str,
        after: i64,
        limit: u32,
    ) -> Result<Vec<StoredMessage>> {
        let rows = sqlx::query_as(
            "SELECT id, position, role, author_id, author_name, text, turn, at FROM messages
             WHERE tenant_id = $1 AND conversation = $2 AND position > $3
             ORDER BY position LIMIT $4",
        )
        .bind(tenant)
        .bind(conversation)
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(&self.reader)
        .await?;
        self.settle().await?;
        Ok(rows)
    }

    /// Whether the conversation exists.
    pub async fn has_conversation(&self, tenant: &str, conversation: &str) -> Result<bool> {
        let found: Option<(i64,)> =
            sqlx::query_as("SELECT 1 FROM conversations WHERE tenant_id = $1 AND id = $2")
                .bind(tenant)
                .bind(conversation)
                .fetch_optional(&self.reader)
                .await?;
        Ok(found.is_some())
    }
}

/// Adds the message of a turn; answers its position.
pub(super) async fn append_question(
    db: &mut SqliteConnection,
    turn: &NewTurn,
    message: &NewMessage,
) -> Result<i64> {
    let now = now_ms();
    let (position,): (i64,) = sqlx::query_as(
        "INSERT INTO conversations (tenant_id, id, agent, channel, user_id, last_position, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, 2, $6, $6)
         ON CONFLICT (tenant_id, id) DO UPDATE SET
             last_position = conversations.last_position + 2, agent = excluded.agent, updated_at = excluded.updated_at
         RETURNING last_position",
    )
    .bind(&turn.tenant)
    .bind(&message.conversation)
    .bind(&turn.agent)
    .bind(&turn.channel)
    .bind(turn.user.as_deref().unwrap_or_default())
    .bind(now)
    .fetch_one(&mut *db)
    .await?;
    sqlx::query(
        "INSERT INTO messages (tenant_id, conversation, position, id, role, author_id, author_name, text, turn, at)
         VALUES ($1, $2, $3, $4, 'user', $5, $6, $7, $8, $9)",
    )
    .bind(&turn.tenant)
    .bind(&message.conversation)
    .bind(position)
    .bind(&message.id)
    .bind(&turn.user)
    .bind(&message.author_name)
    .bind(&message.text)
    .bind(&turn.id)
    .bind(now)
    .execute(&mut *db)
    .await?;
    Ok(position)
}

/// Adds the answer of a turn, right after its question.
pub(super) async fn append_answer(
    db: &mut SqliteConnection,
    tenant: &str,
    turn: &str,
    text: &str,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO messages (tenant_id, conversation, position, id, role, text, turn, at)
         SELECT tenant_id, conversation, position + 1, id || '-answer', 'assistant', $3, id, $4
         FROM turns WHERE tenant_id = $1 AND id = $2 AND position IS NOT NULL",
    )
    .bind(tenant)
    .bind(turn)
    .bind(text)
    .bind(now_ms())
    .execute(&mut *db)
    .await?;
    Ok(())
}
