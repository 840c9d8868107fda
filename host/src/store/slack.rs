//! What the Slack channel keeps: installs, what came in, and which messages in
//! Slack are the answer of which turn.

use anyhow::Result;
use rusqlite::{Connection, params};

use super::sql::{self, columns, stored_as_text, values};
use super::{Durability, RETENTION_BATCH, Store};
use crate::clock::now_ms;

/// A workspace or an enterprise in which the app is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlackInstall {
    pub tenant_id: String,
    /// The enterprise of an org-wide install, else the team.
    pub id: String,
    pub name: String,
    pub app: Option<String>,
    pub bot_user: String,
    pub bot: Option<String>,
    /// As Slack lists them.
    pub scopes: String,
    /// Why it does not work.
    pub error: Option<String>,
}

/// What sort of thing came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlackKind {
    Event,
    Command,
    Interaction,
}

/// Something that came in.
#[derive(Debug, Clone)]
pub struct SlackDelivery {
    pub tenant: String,
    pub kind: SlackKind,
    /// What has the same is dealt with one after the other.
    pub lane: String,
    /// As it came, JSON.
    pub payload: String,
    /// By which a second delivery of the same is known.
    pub keys: Vec<String>,
    /// Its name in the app's manifest.
    pub heard: Option<&'static str>,
}

/// The same as stored.
#[derive(Debug, Clone)]
pub struct SlackItem {
    pub position: i64,
    pub tenant_id: String,
    pub kind: SlackKind,
    pub lane: String,
    pub payload: String,
    pub received_at: i64,
}

/// How far a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlackPostState {
    /// It was about to be sent, and nobody knows whether it was.
    Begun,
    /// It is there, and shows an answer that is being made.
    Growing,
    Done,
}

/// A message with an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlackPost {
    pub turn: String,
    pub part: i64,
    pub channel: String,
    /// Empty where nobody knows whether it was sent.
    pub ts: String,
    pub state: SlackPostState,
    pub begun_at: i64,
}

stored_as_text!(SlackKind: Event = "event", Command = "command", Interaction = "interaction");
columns!(SlackInstall: tenant_id, id, name, app, bot_user, bot, scopes, error);
columns!(SlackItem: position, tenant_id, kind, lane, payload, received_at);
stored_as_text!(SlackPostState: Begun = "begun", Growing = "growing", Done = "done");
columns!(SlackPost: turn, part, channel, ts, state, begun_at);

impl Store {
    /// Keeps what is known of an install.
    pub async fn set_slack_install(&self, install: SlackInstall) -> Result<()> {
        self.write(Durability::Written, move |db: &Connection| {
            let SlackInstall { tenant_id, id, .. } = &install;
            sql::execute(
                db,
                "INSERT INTO slack_installs (tenant_id, id, name, app, bot_user, bot, scopes, error, updated_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                 ON CONFLICT (tenant_id, id) DO UPDATE SET name = excluded.name, app = excluded.app,
                     bot_user = excluded.bot_user, bot = excluded.bot, scopes = excluded.scopes,
                     error = excluded.error, updated_at = excluded.updated_at",
                params![tenant_id, id, install.name, install.app, install.bot_user, install.bot, install.scopes,
                    install.error, now_ms()],
            )?;
            Ok(())
        })
        .await
    }

    /// Where the app is installed.
    pub async fn slack_installs(&self, tenant: &str) -> Result<Vec<SlackInstall>> {
        let sql =
            "SELECT tenant_id, id, name, app, bot_user, bot, scopes, error FROM slack_installs
                   WHERE tenant_id = ?1 ORDER BY id";
        self.all(sql, values![tenant]).await
    }

    /// What came so far, by name, and when it did last (within a minute), in
    /// milliseconds since 1970.
    pub async fn slack_heard(&self, tenant: &str) -> Result<Vec<(String, i64)>> {
        let sql = "SELECT name, at FROM slack_heard WHERE tenant_id = ?1 ORDER BY name";
        self.all(sql, values![tenant]).await
    }

    /// Stores what came in, synced; false if the same came before.
    pub async fn take_slack(&self, delivery: SlackDelivery) -> Result<bool> {
        self.write(Durability::Synced, move |db: &Connection| {
            take(db, &delivery)
        })
        .await
    }

    /// What is still to be dealt with, after the position `after`.
    pub async fn pending_slack(&self, after: i64, limit: u32) -> Result<Vec<SlackItem>> {
        let sql = "SELECT position, tenant_id, kind, lane, payload, received_at FROM slack_inbox
                   WHERE status = 'pending' AND position > ?1 ORDER BY position LIMIT ?2";
        self.all(sql, values![after, i64::from(limit)]).await
    }

    /// It was dealt with, or could not be: then it is kept for the operator.
    pub async fn settle_slack(&self, position: i64, error: Option<String>) -> Result<()> {
        self.write(Durability::Written, move |db: &Connection| {
            sql::execute(
                db,
                "UPDATE slack_inbox SET status = CASE WHEN ?2 IS NULL THEN 'done' ELSE 'failed' END,
                     payload = CASE WHEN ?2 IS NULL THEN '' ELSE payload END, error = ?2 WHERE position = ?1",
                params![position, error],
            )?;
            Ok(())
        })
        .await
    }

    /// Says that a part of an answer is about to be sent; answers what is known
    /// of it if that was said before.
    pub async fn begin_slack_post(
        &self,
        tenant: &str,
        turn: &str,
        part: i64,
        channel: &str,
    ) -> Result<Option<SlackPost>> {
        let (tenant, turn, channel) = (tenant.to_owned(), turn.to_owned(), channel.to_owned());
        self.write(Durability::Written, move |db: &Connection| {
            let known = sql::one(
                db,
                "SELECT turn, part, channel, ts, state, begun_at FROM slack_posts
                 WHERE tenant_id = ?1 AND turn = ?2 AND part = ?3",
                params![tenant, turn, part],
            )?;
            if known.is_none() {
                sql::execute(
                    db,
                    "INSERT INTO slack_posts (tenant_id, turn, part, channel, ts, state, begun_at)
                     VALUES (?1, ?2, ?3, ?4, '', 'begun', ?5)",
                    params![tenant, turn, part, channel, now_ms()],
                )?;
            }
            Ok(known)
        })
        .await
    }

    /// A part of an answer is in Slack.
    pub async fn slack_posted(&self, tenant: &str, turn: &str, part: i64, ts: &str) -> Result<()> {
        let place = (tenant, turn, part);
        self.set_slack_post(place, ts, SlackPostState::Done).await
    }

    /// A part of an answer is in Slack and not whole yet.
    pub async fn slack_grows(&self, tenant: &str, turn: &str, part: i64, ts: &str) -> Result<()> {
        let place = (tenant, turn, part);
        self.set_slack_post(place, ts, SlackPostState::Growing)
            .await
    }

    async fn set_slack_post(
        &self,
        (tenant, turn, part): (&str, &str, i64),
        ts: &str,
        state: SlackPostState,
    ) -> Result<()> {
        let (tenant, turn, ts) = (tenant.to_owned(), turn.to_owned(), ts.to_owned());
        self.write(Durability::Written, move |db: &Connection| {
            sql::execute(
                db,
                "UPDATE slack_posts SET ts = ?4, state = ?5, begun_at = ?6
                 WHERE tenant_id = ?1 AND turn = ?2 AND part = ?3",
                params![tenant, turn, part, ts, state, now_ms()],
            )?;
            Ok(())
        })
        .await
    }

    /// Nothing was sent: it may be begun again.
    pub async fn slack_not_posted(&self, tenant: &str, turn: &str, part: i64) -> Result<()> {
        let (tenant, turn) = (tenant.to_owned(), turn.to_owned());
        self.write(Durability::Written, move |db: &Connection| {
            sql::execute(
                db,
                "DELETE FROM slack_posts WHERE tenant_id = ?1 AND turn = ?2 AND part = ?3 AND state = 'begun'",
                params![tenant, turn, part],
            )?;
            Ok(())
        })
        .await
    }

    /// Where a part of an answer is in Slack; none if it is not.
    pub async fn slack_post(
        &self,
        tenant: &str,
        turn: &str,
        part: i64,
    ) -> Result<Option<SlackPost>> {
        let sql = "SELECT turn, part, channel, ts, state, begun_at FROM slack_posts
                   WHERE tenant_id = ?1 AND turn = ?2 AND part = ?3 AND state <> 'begun'";
        self.one(sql, values![tenant, turn, part]).await
    }

    /// Whose answer a message is.
    pub async fn turn_of_slack_post(
        &self,
        tenant: &str,
        channel: &str,
        ts: &str,
    ) -> Result<Option<String>> {
        let sql = "SELECT turn FROM slack_posts WHERE tenant_id = ?1 AND channel = ?2 AND ts = ?3
                   AND turn NOT LIKE 'command:%'";
        let turn: Option<(String,)> = self.one(sql, values![tenant, channel, ts]).await?;
        Ok(turn.map(|(turn,)| turn))
    }

    /// Removes what was dealt with before this time; answers how much.
    pub async fn remove_slack(&self, before: i64) -> Result<usize> {
        self.write(Durability::Written, move |db: &Connection| {
            let batch = RETENTION_BATCH as i64;
            let items = sql::execute(
                db,
                "DELETE FROM slack_inbox WHERE position IN (SELECT position FROM slack_inbox
                     WHERE status <> 'pending' AND received_at < ?1 LIMIT ?2)",
                params![before, batch],
            )?;
            let claims = sql::execute(
                db,
                "DELETE FROM slack_claims WHERE (tenant_id, key) IN
                     (SELECT tenant_id, key FROM slack_claims WHERE at < ?1 LIMIT ?2)",
                params![before, batch],
            )?;
            // Those of turns go with them.
            let commands = sql::execute(
                db,
                "DELETE FROM slack_posts WHERE rowid IN (SELECT rowid FROM slack_posts
                     WHERE turn LIKE 'command:%' AND begun_at < ?1 LIMIT ?2)",
                params![before, batch],
            )?;
            Ok(items.max(claims).max(commands))
        })
        .await
    }
}

fn take(db: &Connection, delivery: &SlackDelivery) -> Result<bool> {
    // Also of what came already: a mention comes as two events.
    if let Some(name) = delivery.heard {
        sql::execute(
            db,
            "INSERT INTO slack_heard (tenant_id, name, at) VALUES (?1, ?2, ?3)
             ON CONFLICT (tenant_id, name) DO UPDATE SET at = excluded.at WHERE at < excluded.at - 60000",
            params![delivery.tenant, name, now_ms()],
        )?;
    }
    let mut is_new = true;
    for key in &delivery.keys {
        let claimed = sql::execute(
            db,
            "INSERT INTO slack_claims (tenant_id, key, at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            params![delivery.tenant, key, now_ms()],
        )?;
        is_new &= claimed == 1;
    }
    if !is_new {
        return Ok(false);
    }
    sql::execute(
        db,
        "INSERT INTO slack_inbox (tenant_id, kind, lane, payload, status, received_at)
         VALUES (?1, ?2, ?3, ?4, 'pending', ?5)",
        params![
            delivery.tenant,
            delivery.kind,
            delivery.lane,
            delivery.payload,
            now_ms()
        ],
    )?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::DEFAULT_TENANT;
    use crate::store::testing::open;

    fn delivery(keys: &[&str]) -> SlackDelivery {
        SlackDelivery {
            tenant: DEFAULT_TENANT.to_owned(),
            kind: SlackKind::Event,
            lane: "C1/1.0".to_owned(),
            payload: "{}".to_owned(),
            keys: keys.iter().map(ToString::to_string).collect(),
            heard: Some("message.im"),
        }
    }

    #[tokio::test]
    async fn what_shares_any_key_is_the_same() {
        let (_folder, store) = open();
        assert!(store.take_slack(delivery(&["ev:1", "ts:9"])).await.unwrap());
        assert!(!store.take_slack(delivery(&["ev:1", "ts:9"])).await.unwrap());
        assert!(
            !store
                .take_slack(delivery(&["ev:2", "ts:9", "id:a"]))
                .await
                .unwrap()
        );
        // What a duplicate brings is known from then on.
        assert!(
            !store
                .take_slack(delivery(&["ev:3", "ts:10", "id:a"]))
                .await
                .unwrap()
        );
        assert!(
            store
                .take_slack(delivery(&["ev:4", "ts:11"]))
                .await
                .unwrap()
        );
        let pending = store.pending_slack(0, 10).await.unwrap();
        assert_eq!(pending.len(), 2);
        let mention = SlackDelivery {
            heard: Some("app_mention"),
            ..delivery(&["ev:5", "ts:11"])
        };
        assert!(!store.take_slack(mention).await.unwrap());
        let heard = store.slack_heard(DEFAULT_TENANT).await.unwrap();
        let heard: Vec<_> = heard.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(heard, ["app_mention", "message.im"]);
    }

    #[tokio::test]
    async fn what_is_done_is_forgotten_but_for_its_keys() {
        let (_folder, store) = open();
        store.take_slack(delivery(&["a"])).await.unwrap();
        store.take_slack(delivery(&["b"])).await.unwrap();
        let items = store.pending_slack(0, 10).await.unwrap();
        store.settle_slack(items[0].position, None).await.unwrap();
        let why = Some("cannot be read".to_owned());
        store.settle_slack(items[1].position, why).await.unwrap();
        assert!(store.pending_slack(0, 10).await.unwrap().is_empty());
        assert!(!store.take_slack(delivery(&["a"])).await.unwrap());
        assert_eq!(store.remove_slack(now_ms() + 1).await.unwrap(), 2);
        assert!(store.take_slack(delivery(&["a"])).await.unwrap());
    }

    #[tokio::test]
    async fn a_post_is_begun_once() {
        let (_folder, store) = open();
        let begin = async || {
            let begun = store.begin_slack_post(DEFAULT_TENANT, "t", 0, "C1");
            begun.await.unwrap()
        };
        assert_eq!(begin().await, None);
        assert_eq!(begin().await.unwrap().ts, "");
        store
            .slack_not_posted(DEFAULT_TENANT, "t", 0)
            .await
            .unwrap();
        assert_eq!(begin().await, None);
        store
            .slack_posted(DEFAULT_TENANT, "t", 0, "5.1")
            .await
            .unwrap();
        store
            .slack_not_posted(DEFAULT_TENANT, "t", 0)
            .await
            .unwrap();
        assert_eq!(begin().await.unwrap().ts, "5.1");
        let turn = store.turn_of_slack_post(DEFAULT_TENANT, "C1", "5.1").await;
        assert_eq!(turn.unwrap().as_deref(), Some("t"));
    }
}
