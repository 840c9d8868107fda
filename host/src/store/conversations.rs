//! Conversations and their messages.
//!
//! The question of a turn has an even position and its answer the odd one after
//! it, so that a conversation reads in order whenever answers arrive.

use anyhow::Result;
use sqlx::{FromRow, QueryBuilder, Sqlite};

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

    /// Whether a conversation exists, and whether this token spoke in it.
    pub async fn conversation_with(
        &self,
        tenant: &str,
        conversation: &str,
        token: &str,
    ) -> Result<Option<bool>> {
        let found: Option<(bool,)> = sqlx::query_as(
            "SELECT EXISTS (SELECT 1 FROM turns t
                            WHERE t.tenant_id = $1 AND t.conversation = $2 AND t.token = $3)
             FROM conversations WHERE tenant_id = $1 AND id = $2",
        )
        .bind(tenant)
        .bind(conversation)
        .bind(token)
        .fetch_optional(&self.reader)
        .await?;
        Ok(found.map(|(spoke,)| spoke))
    }
}

/// Adds the message of a turn, at the next position of its conversation.
pub(super) fn push_question(
    query: &mut QueryBuilder<Sqlite>,
    turn: &NewTurn,
    message: &NewMessage,
) {
    let now = now_ms();
    query.push(
        "INSERT INTO conversations (tenant_id, id, agent, channel, user_id, last_position, created_at, updated_at)
         VALUES (",
    );
    let mut values = query.separated(", ");
    values
        .push_bind(&turn.tenant)
        .push_bind(&message.conversation)
        .push_bind(&turn.agent)
        .push_bind(&turn.channel)
        .push_bind(turn.user.as_deref().unwrap_or_default())
        .push("2")
        .push_bind(now)
        .push_bind(now);
    query.push(
        ") ON CONFLICT (tenant_id, id) DO UPDATE SET
             last_position = conversations.last_position + 2, agent = excluded.agent, updated_at = excluded.updated_at;
         INSERT INTO messages (tenant_id, conversation, position, id, role, author_id, author_name, text, turn, at)
         SELECT tenant_id, id, last_position, ",
    );
    let mut values = query.separated(", ");
    values
        .push_bind(&message.id)
        .push("'user'")
        .push_bind(&turn.user)
        .push_bind(&message.author_name)
        .push_bind(&message.text)
        .push_bind(&turn.id)
        .push_bind(now);
    query
        .push(" FROM conversations WHERE tenant_id = ")
        .push_bind(&turn.tenant)
        .push(" AND id = ")
        .push_bind(&message.conversation)
        .push(";\n");
}

/// Adds the answer of a turn, right after its question.
pub(super) fn push_answer(query: &mut QueryBuilder<Sqlite>, tenant: &str, turn: &str, text: &str) {
    query
        .push(
            "INSERT INTO messages (tenant_id, conversation, position, id, role, text, turn, at)
             SELECT tenant_id, conversation, position + 1, id || '-answer', 'assistant', ",
        )
        .push_bind(text)
        .push(", id, ")
        .push_bind(now_ms())
        .push(" FROM turns WHERE tenant_id = ")
        .push_bind(tenant)
        .push(" AND id = ")
        .push_bind(turn)
        .push(" AND position IS NOT NULL;\n");
}
