//! What people think of an answer: by a thumb on it, or by the buttons below it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::access;
use super::lanes::Trouble;
use super::message::{Visit, author_id};
use crate::store::{NewFeedback, Rating};

/// What the buttons are known by.
pub(super) const ACTION: &str = "anchorhold_feedback";

/// What a button says.
#[derive(Debug, Serialize, Deserialize)]
struct Button {
    turn: String,
    rating: Rating,
}

/// The buttons below the answer of a turn
/// (docs.slack.dev/reference/block-kit/block-elements/feedback-buttons-element).
pub(super) fn buttons(turn: &str) -> Value {
    let button = |text: &str, rating| {
        let button = Button {
            turn: turn.to_owned(),
            rating,
        };
        json!({"text": {"type": "plain_text", "text": text}, "value": json!(button).to_string()})
    };
    json!({"type": "context_actions", "elements": [{
        "type": "feedback_buttons", "action_id": ACTION,
        "positive_button": button("Good", Rating::Up), "negative_button": button("Bad", Rating::Down),
    }]})
}

/// A button below an answer was pressed.
///
/// # Errors
///
/// Why it was not dealt with.
pub(super) async fn pressed(visit: &Visit<'_>) -> Result<(), Trouble> {
    let value = visit.payload["actions"][0]["value"].as_str();
    let button: Button = serde_json::from_str(value.unwrap_or_default())
        .map_err(|_| Trouble::Never("a button has no value of ours".to_owned()))?;
    let container = &visit.payload["container"];
    let channel = container["channel_id"].as_str().unwrap_or_default();
    let said = match give(visit, visit.user(), channel, &button).await? {
        Ok(()) => "Thank you: your feedback is stored with the answer.".to_owned(),
        Err(why) => why,
    };
    let arguments = json!({
        "channel": channel, "thread_ts": container["thread_ts"], "user": visit.user(), "text": said,
    });
    visit.say_alone(&arguments).await
}

/// A thumb on a message; nothing where it is no answer.
///
/// # Errors
///
/// Why it was not dealt with.
pub(super) async fn reacted(
    visit: &Visit<'_>,
    user: &str,
    name: &str,
    (channel, ts): (&str, &str),
) -> Result<(), Trouble> {
    let rating = match name.split("::").next() {
        Some("+1" | "thumbsup") => Rating::Up,
        Some("-1" | "thumbsdown") => Rating::Down,
        _ => return Ok(()),
    };
    let (store, tenant) = (&visit.slack.host.store, &visit.item.tenant_id);
    let Some(turn) = store.turn_of_slack_post(tenant, channel, ts).await? else {
        return Ok(());
    };
    let button = Button { turn, rating };
    give(visit, user, channel, &button).await.map(drop)
}

/// Stores it; else why not, for who gave it.
async fn give(
    visit: &Visit<'_>,
    user: &str,
    channel: &str,
    button: &Button,
) -> Result<Result<(), String>, Trouble> {
    let (host, tenant) = (&visit.slack.host, &visit.item.tenant_id);
    let turn = host.store.turn_summary(tenant, &button.turn).await?;
    let Some(turn) = turn else {
        return Ok(Err("This answer is too old.".to_owned()));
    };
    let person = access::person(visit.slack, user).await?;
    let place = (channel, channel.starts_with('D'));
    if let Err(why) = access::may(visit, &turn.agent, (user, &person), place).await? {
        visit.denied(user, (channel, &turn.agent), &why).await;
        return Ok(Err(why));
    }
    let feedback = NewFeedback {
        tenant: tenant.clone(),
        turn: turn.id,
        user: author_id(user),
        rating: button.rating,
        comment: None,
    };
    let given = crate::feedback::give(&host.services, feedback).await;
    given.map_err(|error| Trouble::Later(error.into()))?;
    Ok(Ok(()))
}
