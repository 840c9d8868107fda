//! What waiting turns wait for, and turns on their way into waiting and out of
//! it.
//!
//! A wait is stored together with the journal entry of the call that waits. Its
//! outcome is stored once; the turn is woken after that, which may be done
//! again at every start.

use anyhow::Result;
use rusqlite::{Connection, params};

use super::sql::{self, columns, stored_as_text, values};
use super::{
    Accepted, Durability, JournalPart, NewEvent, NewTurn, Store, TurnRow, TurnStatus, events,
    journal, outbox, turns,
};
use crate::clock::now_ms;

/// What a turn can wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitKind {
    /// A person's answer.
    Question,
    /// A time.
    Time,
    /// The end of another turn.
    Turn,
}

stored_as_text!(WaitKind: Question = "question", Time = "time", Turn = "turn");

/// A wait that begins.
#[derive(Debug, Clone)]
pub struct NewWait {
    pub tenant: String,
    pub turn: String,
    /// The call that waits.
    pub seq: i64,
    pub kind: WaitKind,
    /// What is asked, JSON.
    pub question: Option<String>,
    /// When the time has come or the question expires, milliseconds since 1970.
    pub due_at: Option<i64>,
}

/// A wait as stored.
#[derive(Debug, Clone)]
pub struct WaitRow {
    pub tenant_id: String,
    pub turn: String,
    pub seq: i64,
    pub kind: WaitKind,
    pub question: Option<String>,
    pub due_at: Option<i64>,
    pub outcome: Option<Vec<u8>>,
    pub created_at: i64,
    pub settled_at: Option<i64>,
}

columns!(WaitRow: tenant_id, turn, seq, kind, question, due_at, outcome, created_at, settled_at);

const WAIT: &str = "tenant_id, turn, seq, kind, question, due_at, outcome, created_at, settled_at";

/// A turn that goes on, and the messages of its conversation that came
/// meanwhile, oldest first.
#[derive(Debug)]
pub struct Woken {
    pub turn: TurnRow,
    /// Whether it is the one that its conversation waits for.
    pub holds_conversation: bool,
    pub behind: Vec<TurnRow>,
}

impl Store {
    /// Stores that a turn waits, with what its journal has to store, and the
    /// turn that it waits for, if it is one. `begun` runs after the commit, as
    /// in [`Store::accept_turn`].
    ///
    /// # Errors
    ///
    /// If the store fails; then nothing has begun.
    pub async fn begin_wait<C>(
        &self,
        wait: NewWait,
        child: Option<NewTurn>,
        part: JournalPart,
        begun: C,
    ) -> Result<()>
    where
        C: FnOnce(&Option<Accepted>) + Send + 'static,
    {
        // What people see must not come again after a power cut.
        let durability = match wait.kind {
            WaitKind::Question => Durability::Synced,
            WaitKind::Time | WaitKind::Turn => Durability::Written,
        };
        let operation = move |db: &Connection| {
            journal::append(db, &wait.tenant, &wait.turn, &part)?;
            let accepted = match &child {
                Some(child) => Some(turns::accept(db, child)?),
                None => None,
            };
            let child = child.as_ref().map(|child| &child.id);
            sql::execute(
                db,
                "INSERT INTO waits (tenant_id, turn, seq, kind, question, child, due_at, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![wait.tenant, wait.turn, wait.seq, wait.kind, wait.question, child, wait.due_at, now_ms()],
            )?;
            Ok(accepted)
        };
        self.write_then(durability, operation, begun).await?;
        Ok(())
    }

    /// Stores a turn that another one tells something, with what the journal of
    /// that has to store.
    ///
    /// # Errors
    ///
    /// If the store fails; then nothing has begun.
    pub async fn accept_told<C>(&self, told: NewTurn, part: JournalPart, accepted: C) -> Result<()>
    where
        C: FnOnce(&Accepted) + Send + 'static,
    {
        let operation = move |db: &Connection| {
            if let Some(parent) = &told.parent {
                journal::append(db, &told.tenant, &parent.turn, &part)?;
            }
            turns::accept(db, &told)
        };
        self.write_then(Durability::Written, operation, accepted)
            .await?;
        Ok(())
    }

    /// A wait of a turn.
    pub async fn wait(&self, tenant: &str, turn: &str, seq: i64) -> Result<Option<WaitRow>> {
        let sql =
            format!("SELECT {WAIT} FROM waits WHERE tenant_id = ?1 AND turn = ?2 AND seq = ?3");
        self.one(sql, values![tenant, turn, seq]).await
    }

    /// The latest question of a turn, answered or not.
    pub async fn latest_question(&self, tenant: &str, turn: &str) -> Result<Option<WaitRow>> {
        let sql = format!(
            "SELECT {WAIT} FROM waits WHERE tenant_id = ?1 AND turn = ?2 AND kind = 'question'
             ORDER BY seq DESC LIMIT 1"
        );
        self.one(sql, values![tenant, turn]).await
    }

    /// Questions that nobody has answered, oldest first, after the turn `after`.
    pub async fn open_questions(
        &self,
        tenant: &str,
        after: &str,
        limit: u32,
    ) -> Result<Vec<WaitRow>> {
        let sql = format!(
            "SELECT {WAIT} FROM waits
             WHERE tenant_id = ?1 AND turn > ?2 AND settled_at IS NULL AND kind = 'question'
             ORDER BY turn LIMIT ?3"
        );
        self.all(sql, values![tenant, after, i64::from(limit)])
            .await
    }

    /// Stores how a wait ended, and publishes `news` of it; answers whether it was
    /// still open. If it was not, nothing changes.
    pub async fn settle_wait(
        &self,
        wait: &WaitRow,
        outcome: Vec<u8>,
        news: Option<NewEvent>,
        durability: Durability,
    ) -> Result<bool> {
        let (tenant, turn, seq) = (wait.tenant_id.clone(), wait.turn.clone(), wait.seq);
        self.write(durability, move |db: &Connection| {
            let settled = sql::execute(
                db,
                "UPDATE waits SET outcome = ?4, settled_at = ?5
                 WHERE tenant_id = ?1 AND turn = ?2 AND seq = ?3 AND settled_at IS NULL",
                params![tenant, turn, seq, outcome, now_ms()],
            )?;
            if settled == 1
                && let Some(news) = &news
            {
                events::publish(db, news)?;
            }
            Ok(settled == 1)
        })
        .await
    }

    /// Waits whose time has come, oldest first.
    pub async fn due_waits(&self, now: i64, limit: u32) -> Result<Vec<WaitRow>> {
        let sql = format!(
            "SELECT {WAIT} FROM waits WHERE settled_at IS NULL AND due_at <= ?1 ORDER BY due_at LIMIT ?2"
        );
        self.all(sql, values![now, i64::from(limit)]).await
    }

    /// When the next wait is due, in milliseconds since 1970.
    pub async fn next_wait_at(&self) -> Result<Option<i64>> {
        let sql = "SELECT min(due_at) FROM waits WHERE settled_at IS NULL AND due_at IS NOT NULL";
        let at: Option<(Option<i64>,)> = self.one(sql, values![]).await?;
        Ok(at.and_then(|(at,)| at))
    }

    /// Turns that wait for nothing any more: an earlier process ended before it
    /// woke them.
    pub async fn turns_to_wake(&self) -> Result<Vec<(String, String)>> {
        let sql = "SELECT tenant_id, id FROM turns t WHERE status = 'waiting'
                   AND NOT EXISTS (SELECT 1 FROM waits w WHERE w.tenant_id = t.tenant_id AND w.turn = t.id
                                   AND w.settled_at IS NULL)";
        self.all(sql, values![]).await
    }

    /// Makes a running turn a waiting one, after a run that took `fuel` and left
    /// `part` to store. Answers whether what it waits for is there by now. `suspended` runs after the
    /// commit, in the order in which messages are accepted.
    ///
    /// # Errors
    ///
    /// If the store fails; the turn counts as running then.
    pub async fn suspend<C>(
        &self,
        tenant: &str,
        turn: &str,
        fuel: u64,
        part: JournalPart,
        suspended: C,
    ) -> Result<bool>
    where
        C: FnOnce(&bool) + Send + 'static,
    {
        let (tenant, turn) = (tenant.to_owned(), turn.to_owned());
        let fuel = i64::try_from(fuel).unwrap_or(i64::MAX);
        let operation = move |db: &Connection| {
            journal::append(db, &tenant, &turn, &part)?;
            sql::execute(
                db,
                "UPDATE turns SET status = 'waiting', suspensions = suspensions + 1, rerun_fuel = rerun_fuel + ?3
                 WHERE tenant_id = ?1 AND id = ?2 AND status = 'running'",
                params![tenant, turn, fuel],
            )?;
            has_open_wait(db, &tenant, &turn).map(|open| !open)
        };
        self.write_then(Durability::Written, operation, suspended)
            .await
    }

    /// The turns that a turn waits for.
    pub async fn turns_asked(&self, tenant: &str, turn: &str) -> Result<Vec<String>> {
        let sql = "SELECT child FROM waits
                   WHERE tenant_id = ?1 AND turn = ?2 AND settled_at IS NULL AND child IS NOT NULL";
        let rows: Vec<(String,)> = self.all(sql, values![tenant, turn]).await?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// Makes a waiting turn a running one, if what it waits for is there. With
    /// `anyway` also one that still waits, or that is behind one that waits. `woken` runs after the commit, in the order in
    /// which messages are accepted.
    ///
    /// # Errors
    ///
    /// If the store fails; the turn waits then.
    pub async fn wake<C>(&self, tenant: &str, turn: &str, anyway: bool, woken: C) -> Result<()>
    where
        C: FnOnce(&Option<Woken>) + Send + 'static,
    {
        let (tenant, turn) = (tenant.to_owned(), turn.to_owned());
        let operation = move |db: &Connection| {
            if !anyway && has_open_wait(db, &tenant, &turn)? {
                return Ok(None);
            }
            wake(db, &tenant, &turn, anyway)
        };
        self.write_then(Durability::Written, operation, woken)
            .await?;
        Ok(())
    }
}

fn has_open_wait(db: &Connection, tenant: &str, turn: &str) -> Result<bool> {
    let (open,): (bool,) = sql::only(
        db,
        "SELECT EXISTS (SELECT 1 FROM waits WHERE tenant_id = ?1 AND turn = ?2 AND settled_at IS NULL)",
        params![tenant, turn],
    )?;
    Ok(open)
}

fn wake(db: &Connection, tenant: &str, turn: &str, anyway: bool) -> Result<Option<Woken>> {
    let found: Option<TurnRow> = sql::one(
        db,
        "SELECT * FROM turns WHERE tenant_id = ?1 AND id = ?2 AND status IN ('waiting', 'queued')",
        params![tenant, turn],
    )?;
    let Some(turn) = found else { return Ok(None) };
    let holds_conversation = turn.status == TurnStatus::Waiting;
    let may_go_on = holds_conversation || (anyway && is_behind(db, &turn)?);
    if !may_go_on {
        return Ok(None);
    }
    sql::execute(
        db,
        "UPDATE turns SET status = 'running' WHERE tenant_id = ?1 AND id = ?2",
        params![tenant, turn.id],
    )?;
    let behind = match &turn.conversation {
        Some(conversation) if holds_conversation => sql::all(
            db,
            "SELECT * FROM turns WHERE tenant_id = ?1 AND conversation = ?2 AND status = 'queued' ORDER BY position",
            params![tenant, conversation],
        )?,
        _ => Vec::new(),
    };
    Ok(Some(Woken {
        turn,
        holds_conversation,
        behind,
    }))
}

fn is_behind(db: &Connection, turn: &TurnRow) -> Result<bool> {
    match &turn.conversation {
        Some(conversation) => turns::is_waiting(db, &turn.tenant_id, conversation),
        None => Ok(false),
    }
}

impl Store {
    /// Ends the queued turns of a conversation, because a turn that runs takes up
    /// their messages, together with what the journal of that has to store, which
    /// `recorded` makes of them. Those that are to be stopped are left to that.
    /// Answers what it ended.
    pub async fn take_interjections<S, F>(
        &self,
        taker: Taker,
        is_to_stop: S,
        recorded: F,
    ) -> Result<Vec<TurnRow>>
    where
        S: Fn(&str) -> bool + Send + 'static,
        F: Fn(&[TurnRow]) -> Result<JournalPart> + Send + 'static,
    {
        let operation = move |db: &Connection| {
            let mut queued: Vec<TurnRow> = sql::all(
                db,
                // That of the taker may be queued still: its beginning is stored late.
                "SELECT * FROM turns WHERE tenant_id = ?1 AND conversation = ?2 AND agent = ?3 AND status = 'queued'
                   AND version IS NULL AND id <> ?4 ORDER BY position LIMIT ?5",
                params![taker.tenant, taker.conversation, taker.agent, taker.turn, MAX_INTERJECTIONS],
            )?;
            queued.retain(|turn| !is_to_stop(&turn.id));
            for turn in &queued {
                steer(db, turn, &taker)?;
            }
            journal::append(db, &taker.tenant, &taker.turn, &recorded(&queued)?)?;
            Ok(queued)
        };
        self.write(Durability::Written, operation).await
    }
}

/// Ends a turn whose message another one takes up.
fn steer(db: &Connection, turn: &TurnRow, taker: &Taker) -> Result<()> {
    let now = now_ms();
    sql::execute(
        db,
        "UPDATE turns SET status = 'completed', steered = ?3, finished_at = ?4, receipt = '{}'
         WHERE tenant_id = ?1 AND id = ?2",
        params![taker.tenant, turn.id, taker.turn, now],
    )?;
    match &turn.callback {
        Some(target) => outbox::send(db, &taker.tenant, &turn.id, target, now),
        None => Ok(()),
    }
}

/// Messages that a turn takes up at a time.
const MAX_INTERJECTIONS: i64 = 20;

/// A turn that takes up messages.
#[derive(Debug, Clone)]
pub struct Taker {
    pub tenant: String,
    pub turn: String,
    pub agent: String,
    pub conversation: String,
}

/// Stores how a turn ended for the one that waits for it.
pub(super) fn settle_parent(
    db: &Connection,
    tenant: &str,
    child: &str,
    outcome: &[u8],
) -> Result<()> {
    sql::execute(
        db,
        "UPDATE waits SET outcome = ?3, settled_at = ?4
         WHERE tenant_id = ?1 AND child = ?2 AND settled_at IS NULL",
        params![tenant, child, outcome, now_ms()],
    )?;
    Ok(())
}

/// A turn that has ended waits for nothing.
pub(super) fn close(db: &Connection, tenant: &str, turn: &str) -> Result<()> {
    sql::execute(
        db,
        "DELETE FROM waits WHERE tenant_id = ?1 AND turn = ?2 AND settled_at IS NULL",
        params![tenant, turn],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests;
