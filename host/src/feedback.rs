//! What people think of answers, by whatever channel they say it.

use thiserror::Error;

use crate::runtime::Services;
use crate::store::{Feedback, NewFeedback};

/// The longest comment, in bytes.
pub const MAX_COMMENT_BYTES: usize = 4 << 10;

/// Why feedback is not taken.
#[derive(Debug, Error)]
pub enum Untaken {
    #[error("there is no turn {0:?}")]
    NoSuchTurn(String),
    #[error("a comment is at most {MAX_COMMENT_BYTES} bytes")]
    TooLong,
    #[error(transparent)]
    Host(#[from] anyhow::Error),
}

/// Takes what a person thinks of an answer, in place of what they thought
/// before. When this returns it is stored.
///
/// # Errors
///
/// Why it is not taken.
pub async fn give(services: &Services, new: NewFeedback) -> Result<Feedback, Untaken> {
    let comment = new.comment.as_deref().unwrap_or_default();
    if comment.len() > MAX_COMMENT_BYTES {
        return Err(Untaken::TooLong);
    }
    let turn = new.turn.clone();
    let given = services.store.set_feedback(new).await?;
    // Whoever subscribes is told.
    services.bus.wake();
    given.ok_or(Untaken::NoSuchTurn(turn))
}
