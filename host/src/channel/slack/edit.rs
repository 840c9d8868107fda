//! Edits of messages. What is not begun is asked as it is now; what is begun gets
//! the edit as a correction, after its answer or, where the agent takes more
//! messages meanwhile, before. What is answered stays answered.

use serde_json::Value;

use super::access;
use super::event::{ChannelType, Message};
use super::lanes::Trouble;
use super::message::{Place, Visit, author_id, key};
use super::{CHANNEL, files, mrkdwn};
use crate::codec;
use crate::runtime::Input;
use crate::store::{Corrected, TurnStatus, TurnSummary};

/// Somebody changed the words of a message, known by its channel and time.
///
/// # Errors
///
/// Why that was not dealt with.
pub(super) async fn correct(
    visit: &Visit<'_>,
    (channel, ts): (&str, &str),
    user: &str,
    text: &str,
) -> Result<(), Trouble> {
    let (store, tenant) = (&visit.slack.host.store, &visit.item.tenant_id);
    let turn = store
        .turn_of_key(tenant, CHANNEL, &key(channel, ts))
        .await?;
    let Some(turn) = turn else {
        return Ok(());
    };
    let Some(turn) = store.turn_summary(tenant, &turn).await? else {
        return Ok(());
    };
    let is_theirs = turn.user_id.as_deref() == Some(&author_id(user));
    let Some(place) = place(visit, &turn).filter(|_| is_theirs && !turn.status.is_final()) else {
        return Ok(());
    };
    let words = mrkdwn::read(text, &visit.install.bot_user);
    let words = without_name(&words, &turn.agent).to_owned();
    let message = message(visit, channel, user, &place, text);
    let person = access::person(visit.slack, user).await?;
    if let Some(why) = visit
        .refusal(&turn.agent, &message, &person, &words)
        .await?
    {
        return visit.whisper(&message, &place, &why).await;
    }
    if turn.status == TurnStatus::Queued && replace(visit, &turn, &words).await? {
        return Ok(());
    }
    let words = format!("Correction of what I said before: {words}");
    visit
        .begin(message, place, &turn.agent, words, person.name)
        .await
}

/// Changes the words of a message whose turn has not begun; false if it has.
async fn replace(visit: &Visit<'_>, turn: &TurnSummary, words: &str) -> Result<bool, Trouble> {
    let (host, tenant) = (&visit.slack.host, &visit.item.tenant_id);
    let Some(row) = host.store.turn(tenant, &turn.id).await? else {
        return Ok(false);
    };
    let mut input: Input = codec::decode(&row.input)?;
    let Input::Chat(message) = &mut input else {
        return Ok(false);
    };
    let context: Value = serde_json::from_str(&message.context_json).unwrap_or_default();
    let unread = context["slack"]["unread_files"].as_array().into_iter();
    let unread = unread.flatten().filter_map(Value::as_str);
    let unread: Vec<_> = unread.map(str::to_owned).collect();
    message.text = files::with_lines(words, &unread);
    let text = message.text.clone();
    let input = codec::encode(&input)?;
    let corrected = host.store.correct_turn(tenant, &turn.id, input, &text);
    Ok(match corrected.await? {
        Corrected::Behind => true,
        Corrected::Queued => host.scheduler.correct(&turn.id, &text),
        Corrected::Not => false,
    })
}

/// The edit as a message of its own, at its own time.
fn message(visit: &Visit<'_>, channel: &str, user: &str, place: &Place, text: &str) -> Message {
    let event = &visit.payload["event"];
    let ts = event["ts"].as_str().or(event["event_ts"].as_str());
    Message {
        channel: channel.to_owned(),
        channel_type: if channel.starts_with('D') {
            ChannelType::Im
        } else {
            ChannelType::Channel
        },
        ts: ts.unwrap_or_default().to_owned(),
        thread_ts: Some(place.root.clone()),
        user: user.to_owned(),
        text: text.to_owned(),
        client_msg_id: None,
        files: Vec::new(),
        bot_id: None,
        mentions_us: true,
        context: None,
    }
}

/// Where a turn's conversation stands.
fn place(visit: &Visit<'_>, turn: &TurnSummary) -> Option<Place> {
    let install = visit.install.id.clone();
    let begins = format!("{CHANNEL}:{install}:");
    let rest = turn.conversation.as_deref()?.strip_prefix(&begins)?;
    let (channel, root) = rest.split_once(':')?;
    Some(Place {
        install,
        channel: channel.to_owned(),
        root: root.to_owned(),
    })
}

/// The words without the agent's name before them.
fn without_name<'a>(words: &'a str, agent: &str) -> &'a str {
    match words.trim_start().split_once(':') {
        Some((name, rest)) if name.eq_ignore_ascii_case(agent) => rest.trim_start(),
        _ => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_agent_is_no_word() {
        assert_eq!(without_name(" Notes: buy milk", "notes"), "buy milk");
        assert_eq!(without_name("at 10:30", "notes"), "at 10:30");
        assert_eq!(without_name("hello", "notes"), "hello");
    }
}
