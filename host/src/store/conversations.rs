//! Conversations and their messages.
//!
//! The question of a turn has an even position and its answer the odd one after
//! it, so that a conversation reads in order whenever answers arrive.

use anyhow::Result;
use rusqlite::{Connection, params};

use super::Store;
use super::sql::{self, columns, values};
use super::turns::{FinishedTurn, NewMessage, NewTurn};

/// The position of the first message of a conversation.
pub const FIRST_POSITION: i64 = 2;

/// A message as stored.
#[derive(Debug, Clone)]
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

columns!(StoredMessage: id, position, role, author_id, author_name, text, turn, at);

impl Store {
    /// The latest `limit` messages before `position`, oldest first.
    pub async fn history(
        &self,
        tenant: &str,
        conversation: &str,
        position: i64,
        limit: u32,
    ) -> Result<Vec<StoredMessage>> {
        let mut rows: Vec<StoredMessage> = self
            .all(
                "SELECT id, position, role, author_id, author_name, text, turn, at FROM messages
             WHERE tenant_id = ?1 AND conversation = ?2 AND position < ?3
             ORDER BY position DESC LIMIT ?4",
                values![tenant, conversation, position, i64::from(limit)],
            )
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
        let rows = self
            .all(
                "SELECT id, position, role, author_id, author_name, text, turn, at FROM messages
             WHERE tenant_id = ?1 AND conversation = ?2 AND position > ?3
             ORDER BY position LIMIT ?4",
                values![tenant, conversation, after, i64::from(limit)],
            )
            .await?;
        self.settle().await?;
        Ok(rows)
    }

    /// Who answered last in a conversation; none if there is no such conversation.
    pub async fn agent_of_conversation(&self, tenant: &str, id: &str) -> Result<Option<String>> {
        let sql = "SELECT agent FROM conversations WHERE tenant_id = ?1 AND id = ?2";
        let agent: Option<(String,)> = self.one(sql, values![tenant, id]).await?;
        Ok(agent.map(|(agent,)| agent))
    }

    /// Whether a conversation exists, and whether this token spoke in it.
    pub async fn conversation_with(
        &self,
        tenant: &str,
        conversation: &str,
        token: &str,
    ) -> Result<Option<bool>> {
        let found: Option<(bool,)> = self
            .one(
                "SELECT EXISTS (SELECT 1 FROM turns t
                            WHERE t.tenant_id = ?1 AND t.conversation = ?2 AND t.token = ?3)
             FROM conversations WHERE tenant_id = ?1 AND id = ?2",
                values![tenant, conversation, token],
            )
            .await?;
        Ok(found.map(|(spoke,)| spoke))
    }
}

/// Adds the message of a turn; answers its position in its conversation.
pub(super) fn add_question(db: &Connection, turn: &NewTurn, message: &NewMessage) -> Result<i64> {
    let (position,): (i64,) = sql::only(
        db,
        "INSERT INTO conversations (tenant_id, id, agent, channel, user_id, last_position, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)
         ON CONFLICT (tenant_id, id) DO UPDATE SET
             last_position = conversations.last_position + 2, agent = excluded.agent, updated_at = excluded.updated_at
         RETURNING last_position",
        params![
            turn.tenant,
            message.conversation,
            turn.agent,
            turn.channel,
            turn.user.as_deref().unwrap_or_default(),
            FIRST_POSITION,
            turn.created_at,
        ],
    )?;
    sql::execute(
        db,
        "INSERT INTO messages (tenant_id, conversation, position, id, role, author_id, author_name, text, turn, at)
         VALUES (?1, ?2, ?3, ?4, 'user', ?5, ?6, ?7, ?8, ?9)",
        params![
            turn.tenant,
            message.conversation,
            position,
            message.id,
            turn.user,
            message.author_name,
            message.text,
            turn.id,
            turn.created_at,
        ],
    )?;
    Ok(position)
}

/// Adds the answer of a turn, right after its question.
pub(super) fn add_answer(db: &Connection, finished: &FinishedTurn, text: &str) -> Result<()> {
    sql::execute(
        db,
        "INSERT INTO messages (tenant_id, conversation, position, id, role, text, turn, at)
         SELECT tenant_id, conversation, position + 1, id || '-answer', 'assistant', ?3, id, ?4
         FROM turns WHERE tenant_id = ?1 AND id = ?2 AND position IS NOT NULL",
        params![finished.tenant, finished.id, text, finished.finished_at],
    )?;
    Ok(())
}
