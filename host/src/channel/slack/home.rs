//! The app's home tab: whom a person may ask, what waits for them, their threads
//! and their spend. And what may be asked, where a person opens the conversation
//! with the app (docs.slack.dev/surfaces/app-home).

use futures_util::future::join_all;
use serde_json::{Value, json};
use tracing::{debug, info};

use super::command::{self, told};
use super::lanes::Trouble;
use super::message::Visit;
use super::web::Refused;
use super::{CHANNEL, access, markdown, question};
use crate::clock::now_ms;
use crate::format::ago;
use crate::store::TurnSummary;

/// Where a person talks to the app alone, whatever its id.
const DIRECT: (&str, bool) = ("", true);

/// Threads that are shown, and turns that are looked through for them.
const MOST_THREADS: usize = 5;
const MOST_TURNS: u32 = 50;

/// Slack's limit is 3,000.
const MOST_IN_SECTION: usize = 2_900;

/// What is shown of what somebody said.
const MOST_OF_MESSAGE: usize = 80;

/// Shows the home tab to a person, as things are now.
///
/// # Errors
///
/// Why it was not shown.
pub(super) async fn show(visit: &Visit<'_>, user: &str) -> Result<(), Trouble> {
    let view = json!({"type": "home", "blocks": blocks(visit, user).await?});
    let arguments = json!({"user_id": user, "view": view});
    match visit.slack.web.call("views.publish", &arguments).await {
        Ok(_) | Err(Refused::Unsure(_)) => Ok(()),
        Err(refused @ Refused::Failed { .. }) => {
            visit.slack.note(&refused).await;
            info!(error = %refused, "the home tab is not shown; `anchorhold slack setup` says what the app needs");
            Ok(())
        }
        Err(refused) => Err(Trouble::Later(refused.into())),
    }
}

/// Offers what may be asked first, in the conversation with the app.
pub(super) async fn prompt(visit: &Visit<'_>, channel: &str) {
    let prompts = &visit.slack.config.prompts;
    if prompts.is_empty() {
        return;
    }
    // Named with a thread it would silently do nothing.
    let arguments = json!({"channel_id": channel, "prompts": prompts});
    let method = "assistant.threads.setSuggestedPrompts";
    if let Err(error) = visit.slack.web.call(method, &arguments).await {
        debug!(%error, "Slack shows no suggested prompts");
    }
}

async fn blocks(visit: &Visit<'_>, user: &str) -> Result<Vec<Value>, Trouble> {
    let person = access::person(visit.slack, user).await?;
    let agents = command::usable(visit, (user, &person), DIRECT).await?;
    let mut blocks = Vec::new();
    let questions = command::questions(visit, user).await?;
    if !questions.is_empty() {
        blocks.push(header("Waiting for you"));
        let listed = questions
            .iter()
            .flat_map(|(turn, call, asked)| question::listed(turn, *call, asked));
        blocks.extend(listed);
    }
    if agents.is_empty() {
        let refusal = command::refusal(visit, (user, &person), DIRECT).await?;
        blocks.push(section(&refusal));
        return Ok(blocks);
    }
    blocks.extend([header("Agents"), section(&told::agents(&agents))]);
    let spend = format!(
        "{}\n{}",
        told::usage(visit, user).await?,
        told::budget(visit, user, &agents).await?
    );
    blocks.extend([
        header("Recent threads"),
        section(&threads(visit, user).await?),
        header("Spend"),
        section(&spend),
        header("Help"),
        section(command::HELP),
    ]);
    Ok(blocks)
}

/// The threads in which somebody asked last.
async fn threads(visit: &Visit<'_>, user: &str) -> Result<String, Trouble> {
    let begins = format!("{CHANNEL}:{}:", visit.install.id);
    let mut turns: Vec<(TurnSummary, String)> = Vec::new();
    for turn in command::turns(visit, user, None, MOST_TURNS).await? {
        let Some(conversation) = turn.conversation.clone() else {
            continue;
        };
        let is_shown = turns.iter().any(|(_, known)| *known == conversation);
        if conversation.starts_with(&begins) && !is_shown && turns.len() < MOST_THREADS {
            turns.push((turn, conversation));
        }
    }
    if turns.is_empty() {
        return Ok("None yet.".to_owned());
    }
    let now = now_ms();
    let lines = turns.iter().map(async |(turn, conversation)| {
        let place = conversation.strip_prefix(&begins).unwrap_or_default();
        let began = began(visit, conversation).await?;
        let title = match link(visit, place).await {
            Some(link) => format!("<{link}|{began}>"),
            None => began,
        };
        let when = ago(turn.created_at, now);
        Ok::<_, Trouble>(format!("• *{}* {title}, {when}", turn.agent))
    });
    let lines: Result<Vec<_>, _> = join_all(lines).await.into_iter().collect();
    Ok(lines?.join("\n"))
}

/// The first words of a conversation.
async fn began(visit: &Visit<'_>, conversation: &str) -> Result<String, Trouble> {
    let store = &visit.slack.host.store;
    let first = store.messages(&visit.item.tenant_id, conversation, 0, 1);
    let first = first.await?.pop();
    let text = first.map(|message| message.text).unwrap_or_default();
    let line = text.lines().find(|line| !line.trim().is_empty());
    let words = line.unwrap_or("a message").chars();
    let words: String = words.take(MOST_OF_MESSAGE).collect();
    // A bar would end the name of a link.
    Ok(markdown::plain(&words).replace('|', "/"))
}

/// Where a thread is, by its channel and time.
async fn link(visit: &Visit<'_>, place: &str) -> Option<String> {
    let (channel, root) = place.split_once(':')?;
    let arguments = json!({"channel": channel, "message_ts": root});
    let answer = visit.slack.web.call("chat.getPermalink", &arguments).await;
    let link = answer.ok()?["permalink"].as_str()?.to_owned();
    // It stands between the marks of a link.
    (!link.contains(['|', '>'])).then_some(link)
}

fn header(text: &str) -> Value {
    json!({"type": "header", "text": {"type": "plain_text", "text": text}})
}

fn section(text: &str) -> Value {
    let text: String = text.chars().take(MOST_IN_SECTION).collect();
    json!({"type": "section", "text": {"type": "mrkdwn", "text": text}})
}
