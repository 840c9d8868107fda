//! A message is changed before its turn begins.

use anyhow::Result;
use rusqlite::{Connection, params};

use super::is_waiting;
use crate::store::{Durability, Store, sql};

/// What became of a change of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Corrected {
    /// It is stored, and its turn is queued in this process, or just begins.
    Queued,
    /// It is stored, and its turn is read again when it begins.
    Behind,
    /// Its turn has begun.
    Not,
}

impl Store {
    /// Changes the words of a message whose turn is queued, `input` being that
    /// message encoded.
    pub async fn correct_turn(
        &self,
        tenant: &str,
        turn: &str,
        input: Vec<u8>,
        text: &str,
    ) -> Result<Corrected> {
        let (tenant, turn, text) = (tenant.to_owned(), turn.to_owned(), text.to_owned());
        self.write(Durability::Synced, move |db: &Connection| {
            let changed: Option<(Option<String>,)> = sql::one(
                db,
                "UPDATE turns SET input = ?3 WHERE tenant_id = ?1 AND id = ?2 AND status = 'queued'
                 RETURNING conversation",
                params![tenant, turn, input],
            )?;
            let Some((conversation,)) = changed else {
                return Ok(Corrected::Not);
            };
            sql::execute(
                db,
                "UPDATE messages SET text = ?3 WHERE tenant_id = ?1 AND turn = ?2 AND role = 'user'",
                params![tenant, turn, text],
            )?;
            let is_behind = match &conversation {
                Some(conversation) => is_waiting(db, &tenant, conversation)?,
                None => false,
            };
            Ok(if is_behind {
                Corrected::Behind
            } else {
                Corrected::Queued
            })
        })
        .await
    }
}
