//! Questions of agents: buttons where there is something to choose, the thread
//! where there is something to say. Who clicks is checked at every click, and an
//! answer takes the place of the buttons.

use std::sync::Arc;

use anyhow::anyhow;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tracing::{error, info};

use super::courier::Target;
use super::lanes::Trouble;
use super::message::author_id;
use super::web::Refused;
use super::{Slack, markdown, mrkdwn};
use crate::runtime::bindings::types;
use crate::store::{DEFAULT_TENANT, SlackPostState};
use crate::turn::{Expects, Question, Verdict};
use crate::waits::{Answer, Unanswerable, question_of};

/// What our buttons are known by.
const ACTION: &str = "anchorhold_answer";

/// Where questions stand among the parts of an answer.
const FIRST_PART: i64 = 1_000_000;

/// Slack's limits: buttons of a block, and characters on one.
const MOST_BUTTONS: usize = 25;
const MOST_ON_BUTTON: usize = 75;

/// What a button says.
#[derive(Debug, Serialize, Deserialize)]
struct Button {
    turn: String,
    call: i64,
    /// The choice by its number, or yes and no.
    choice: Option<usize>,
    approve: Option<bool>,
}

/// Asks in the thread, once.
pub(super) async fn ask(
    slack: &Slack,
    (tenant, turn): (&str, &str),
    target: &Target,
    call: i64,
    question: &Question,
) {
    let store = &slack.host.store;
    let part = FIRST_PART + call;
    match store
        .begin_slack_post(tenant, turn, part, &target.channel)
        .await
    {
        Ok(Some(post)) if post.state == SlackPostState::Done => return,
        Ok(_) => {}
        Err(error) => {
            error!(error = %format!("{error:#}"), "a question cannot be asked in Slack");
            return;
        }
    }
    let arguments = json!({
        "channel": target.channel, "thread_ts": target.thread_ts,
        "text": markdown::plain(&question.text), "blocks": blocks(turn, call, question),
        "unfurl_links": false, "unfurl_media": false,
    });
    let posted = match slack.web.call("chat.postMessage", &arguments).await {
        Ok(answer) => {
            let ts = answer["ts"].as_str().unwrap_or_default().to_owned();
            store.slack_posted(tenant, turn, part, &ts).await
        }
        Err(refused) => {
            // It can be answered by the API and the command line all the same.
            error!(error = %refused, turn, "a question could not be asked in Slack; `anchorhold turns answer` takes the answer");
            store.slack_not_posted(tenant, turn, part).await
        }
    };
    if let Err(error) = posted {
        error!(error = %format!("{error:#}"), "what became of a question cannot be stored");
    }
}

/// A question with its buttons.
pub(super) fn blocks(turn: &str, call: i64, question: &Question) -> Vec<Value> {
    let mut blocks = vec![said(&question.text)];
    let button = |text: &str, style: Option<&str>, choice, approve| {
        let value = Button {
            turn: turn.to_owned(),
            call,
            choice,
            approve,
        };
        let number = choice.map_or(usize::from(approve == Some(true)), |choice| choice + 2);
        let text: String = text.chars().take(MOST_ON_BUTTON).collect();
        let mut button = json!({
            "type": "button", "action_id": format!("{ACTION}_{number}"),
            "text": {"type": "plain_text", "text": text}, "value": json!(value).to_string(),
        });
        if let Some(style) = style {
            button["style"] = style.into();
        }
        button
    };
    let buttons: Vec<Value> = match question.expects {
        Expects::Approval => vec![
            button("Approve", Some("primary"), None, Some(true)),
            button("Deny", Some("danger"), None, Some(false)),
        ],
        Expects::Choice => {
            let choices = question.choices.iter().take(MOST_BUTTONS).enumerate();
            choices
                .map(|(number, text)| button(text, None, Some(number), None))
                .collect()
        }
        Expects::Text => Vec::new(),
    };
    if buttons.is_empty() {
        let text = "Answer in this thread.";
        blocks.push(json!({"type": "context", "elements": [{"type": "plain_text", "text": text}]}));
    } else {
        blocks.push(json!({"type": "actions", "elements": buttons}));
    }
    blocks
}

fn said(text: &str) -> Value {
    let text: String = text.chars().take(super::MAX_BLOCK).collect();
    json!({"type": "markdown", "text": markdown::safe(&text)})
}

/// Deals with a click.
///
/// # Errors
///
/// Why it was not dealt with.
pub(super) async fn clicked(slack: &Arc<Slack>, payload: &Value) -> Result<(), Trouble> {
    let action = &payload["actions"][0];
    let is_ours = action["action_id"]
        .as_str()
        .is_some_and(|id| id.starts_with(ACTION));
    if payload["type"] != "block_actions" || !is_ours {
        info!(
            kind = payload["type"].as_str(),
            "Slack sent a click that this host does not know"
        );
        return Ok(());
    }
    let button = action["value"].as_str().unwrap_or_default();
    let button: Button = serde_json::from_str(button)
        .map_err(|_| Trouble::Never("a button has no value of ours".to_owned()))?;
    let user = payload["user"]["id"].as_str().unwrap_or_default();
    let turn = button.turn.as_str();
    let wait = slack
        .host
        .store
        .latest_question(DEFAULT_TENANT, turn)
        .await?;
    slack.follow_waiting(DEFAULT_TENANT, turn).await?;
    let question = wait.as_ref().map(question_of).transpose()?;
    let (verdict, word) = verdict(&button, question.as_ref());
    let answer = Answer {
        call: Some(button.call),
        verdict,
        by: types::Author {
            id: author_id(user),
            name: payload["user"]["name"].as_str().map(str::to_owned),
        },
    };
    match slack.host.waits.answer(DEFAULT_TENANT, turn, answer).await {
        Ok(()) => {
            let outcome = format!("{} by <@{user}>", mrkdwn::escape(&word));
            close(slack, payload, &outcome).await
        }
        Err(Unanswerable::Host(error)) => Err(Trouble::Later(error)),
        Err(Unanswerable::NotYours(_)) => {
            let why = "This question is not for you to answer.";
            tell(slack, payload, user, why).await
        }
        Err(why @ Unanswerable::Unfit(_)) => tell(slack, payload, user, &why.to_string()).await,
        Err(why) => close(slack, payload, &format!("Closed: {why}")).await,
    }
}

/// What a button says, for the turn and for people.
fn verdict(button: &Button, question: Option<&Question>) -> (Verdict, String) {
    match (button.approve, button.choice) {
        (Some(true), _) => (Verdict::Approved(String::new()), "Approved".to_owned()),
        (Some(false), _) => (Verdict::Refused(String::new()), "Denied".to_owned()),
        (None, choice) => {
            let choices = question.map(|question| question.choices.as_slice());
            let chosen = choices.and_then(|choices| choices.get(choice?)).cloned();
            let chosen = chosen.unwrap_or_default();
            let word = format!("“{chosen}”, said");
            (Verdict::Text(chosen), word)
        }
    }
}

/// Puts what became of a question in the place of its buttons.
async fn close(slack: &Slack, payload: &Value, outcome: &str) -> Result<(), Trouble> {
    if payload["container"]["is_ephemeral"] == true {
        // It is no message that can be updated: its address is good for that.
        let url = payload["response_url"].as_str().unwrap_or_default();
        let body = json!({"replace_original": true, "text": outcome});
        if let Err(why) = slack.web.respond(url, &body).await {
            info!(%why, "what became of a question is not shown");
        }
        return Ok(());
    }
    let (container, message) = (&payload["container"], &payload["message"]);
    let mut blocks = message["blocks"].as_array().cloned().unwrap_or_default();
    blocks.retain(|block| block["type"] != "actions");
    blocks.push(json!({"type": "context", "elements": [{"type": "mrkdwn", "text": outcome}]}));
    let arguments = json!({
        "channel": container["channel_id"], "ts": container["message_ts"],
        "text": message["text"], "blocks": blocks,
    });
    said_or_later(slack.web.call("chat.update", &arguments).await)
}

/// Says something to who clicked alone.
async fn tell(slack: &Slack, payload: &Value, user: &str, text: &str) -> Result<(), Trouble> {
    let container = &payload["container"];
    let arguments = json!({
        "channel": container["channel_id"], "thread_ts": container["thread_ts"], "user": user, "text": text,
    });
    said_or_later(slack.web.call("chat.postEphemeral", &arguments).await)
}

/// The answer is stored by now; that it is shown is tried again where nothing
/// happened.
fn said_or_later(said: Result<Value, Refused>) -> Result<(), Trouble> {
    match said {
        Ok(_) | Err(Refused::Failed { .. } | Refused::Unsure(_)) => Ok(()),
        Err(refused) => Err(Trouble::Later(anyhow!(refused))),
    }
}

/// Takes a text as the answer to a question of this conversation that waits for
/// one from this person; false if there is none.
///
/// # Errors
///
/// If the store fails.
pub(super) async fn answered(
    slack: &Arc<Slack>,
    conversation: &str,
    author: &types::Author,
    text: &str,
) -> Result<bool, Trouble> {
    let store = &slack.host.store;
    for turn in store.unfinished_of(DEFAULT_TENANT, conversation).await? {
        let wait = store.latest_question(DEFAULT_TENANT, &turn).await?;
        let Some(wait) = wait.filter(|wait| wait.settled_at.is_none()) else {
            continue;
        };
        let question = question_of(&wait)?;
        let verdict = Verdict::Text(text.to_owned());
        if question.check(&verdict).is_err() || !question.who.contains(&author.id) {
            continue;
        }
        let answer = Answer {
            call: Some(wait.seq),
            verdict,
            by: author.clone(),
        };
        slack.follow_waiting(DEFAULT_TENANT, &turn).await?;
        match slack.host.waits.answer(DEFAULT_TENANT, &turn, answer).await {
            Ok(()) => return Ok(true),
            Err(Unanswerable::Host(error)) => return Err(Trouble::Later(error)),
            Err(_) => {}
        }
    }
    Ok(false)
}
