//! What people think of answers: one rating for each turn and person; a later
//! one replaces it.

use anyhow::Result;
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::sql::{self, columns, stored_as_text, values};
use super::{Durability, Store, events};
use crate::clock::now_ms;
use crate::events::user_feedback;

/// Whether an answer was good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Rating {
    Up,
    Down,
}

stored_as_text!(Rating: Up = "up", Down = "down");

/// What a person thinks of an answer.
#[derive(Debug, Clone)]
pub struct NewFeedback {
    pub tenant: String,
    pub turn: String,
    /// Whose it is.
    pub user: String,
    pub rating: Rating,
    pub comment: Option<String>,
}

/// The same as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feedback {
    pub position: i64,
    pub turn: String,
    /// Whose answer it was.
    pub agent: String,
    pub user_id: String,
    pub rating: Rating,
    pub comment: Option<String>,
    /// Milliseconds since 1970.
    pub at: i64,
}

columns!(Feedback: position, turn, agent, user_id, rating, comment, at);

/// Which feedback to list; newest first.
#[derive(Debug, Clone, Default)]
pub struct FeedbackFilter {
    pub turn: Option<String>,
    pub agent: Option<String>,
    pub rating: Option<Rating>,
    /// Only what was said at this time or later, milliseconds since 1970.
    pub since: Option<i64>,
    /// Only what is before this position.
    pub before: Option<i64>,
    pub limit: u32,
}

impl Store {
    /// Stores what a person thinks of an answer, and publishes that there is
    /// feedback; none if there is no such turn.
    ///
    /// # Errors
    ///
    /// If the store fails; then nothing has changed.
    pub async fn set_feedback(&self, new: NewFeedback) -> Result<Option<Feedback>> {
        self.write(Durability::Synced, move |db: &Connection| set(db, &new))
            .await
    }

    /// Feedback that matches, newest first.
    pub async fn feedback(&self, tenant: &str, filter: &FeedbackFilter) -> Result<Vec<Feedback>> {
        let FeedbackFilter {
            turn,
            agent,
            rating,
            since,
            before,
            limit,
        } = filter;
        let sql = "SELECT f.position, f.turn, t.agent, f.user_id, f.rating, f.comment, f.at
             FROM feedback f JOIN turns t ON t.tenant_id = f.tenant_id AND t.id = f.turn
             WHERE f.tenant_id = ?1 AND (?2 IS NULL OR f.turn = ?2) AND (?3 IS NULL OR t.agent = ?3)
               AND (?4 IS NULL OR f.rating = ?4) AND (?5 IS NULL OR f.at >= ?5)
               AND (?6 IS NULL OR f.position < ?6)
             ORDER BY f.position DESC LIMIT ?7";
        let limit = i64::from(*limit);
        self.all(
            sql,
            values![tenant, turn, agent, rating, since, before, limit],
        )
        .await
    }
}

fn set(db: &Connection, new: &NewFeedback) -> Result<Option<Feedback>> {
    let NewFeedback {
        tenant,
        turn,
        user,
        rating,
        comment,
    } = new;
    let agent: Option<(String,)> = sql::one(
        db,
        "SELECT agent FROM turns WHERE tenant_id = ?1 AND id = ?2",
        params![tenant, turn],
    )?;
    let Some((agent,)) = agent else {
        return Ok(None);
    };
    sql::execute(
        db,
        "DELETE FROM feedback WHERE tenant_id = ?1 AND turn = ?2 AND user_id = ?3",
        params![tenant, turn, user],
    )?;
    let at = now_ms();
    let (position,): (i64,) = sql::only(
        db,
        "INSERT INTO feedback (tenant_id, turn, user_id, rating, comment, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) RETURNING position",
        params![tenant, turn, user, rating, comment, at],
    )?;
    events::publish(db, &user_feedback(tenant, &agent, turn, *rating))?;
    Ok(Some(Feedback {
        position,
        turn: turn.clone(),
        agent,
        user_id: user.clone(),
        rating: *rating,
        comment: comment.clone(),
        at,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{accept, finished, new_turn, open};
    use crate::store::{DEFAULT_TENANT, TurnFilter};

    fn by(user: &str, rating: Rating) -> NewFeedback {
        NewFeedback {
            tenant: DEFAULT_TENANT.to_owned(),
            turn: "t".to_owned(),
            user: user.to_owned(),
            rating,
            comment: None,
        }
    }

    async fn all(store: &Store) -> Vec<(String, Rating)> {
        let filter = FeedbackFilter {
            limit: 10,
            ..FeedbackFilter::default()
        };
        let rows = store.feedback(DEFAULT_TENANT, &filter).await.unwrap();
        rows.into_iter()
            .map(|row| (row.user_id, row.rating))
            .collect()
    }

    #[tokio::test]
    async fn a_person_rates_a_turn_once_and_may_think_again() {
        let (_folder, store) = open();
        assert_eq!(
            store.set_feedback(by("ada", Rating::Up)).await.unwrap(),
            None
        );
        accept(&store, new_turn("t")).await;
        for (user, rating) in [
            ("ada", Rating::Up),
            ("bob", Rating::Up),
            ("ada", Rating::Down),
        ] {
            let set = store.set_feedback(by(user, rating)).await.unwrap();
            assert_eq!(set.unwrap().agent, "a");
        }
        let expected = [("ada", Rating::Down), ("bob", Rating::Up)];
        assert_eq!(
            all(&store).await,
            expected.map(|(user, rating)| (user.to_owned(), rating))
        );
        let told = store.events(DEFAULT_TENANT, Some("user.feedback"), 0, 9);
        let told: Vec<String> = told
            .await
            .unwrap()
            .into_iter()
            .map(|event| event.data)
            .collect();
        assert_eq!(told.len(), 3);
        assert_eq!(told[2], r#"{"agent":"a","turn":"t","rating":"down"}"#);
    }

    #[tokio::test]
    async fn turns_are_found_by_feedback_which_goes_with_them() {
        let (_folder, store) = open();
        for id in ["t", "other"] {
            accept(&store, new_turn(id)).await;
        }
        store.set_feedback(by("ada", Rating::Down)).await.unwrap();
        let found = async |rating| {
            let filter = TurnFilter {
                feedback: Some(rating),
                limit: 10,
                ..TurnFilter::default()
            };
            let rows = store.turns(DEFAULT_TENANT, &filter).await.unwrap();
            rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
        };
        assert_eq!(found(Rating::Down).await, ["t"]);
        assert_eq!(found(Rating::Up).await, Vec::<String>::new());
        let end = std::sync::Arc::new(finished("t"));
        store.finish_turn(end).await.unwrap();
        assert_eq!(store.remove_turns(3).await.unwrap(), 1);
        let left = store.write(Durability::Written, |db: &Connection| {
            sql::only::<(i64,)>(db, "SELECT count(*) FROM feedback", params![])
        });
        assert_eq!(left.await.unwrap(), (0,));
    }
}
