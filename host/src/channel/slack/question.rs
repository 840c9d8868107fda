//! Questions of agents: buttons where there is something to choose, a form or the
//! thread where there is something to say. What became of a question takes the
//! place of its buttons, wherever it was answered.

mod click;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tracing::{error, warn};

use super::answer::METADATA;
use super::courier::{Target, find_ours, unsure_for, until_it_is_sure};
use super::lanes::Trouble;
use super::message::AUTHOR;
use super::web::Refused;
use super::{Slack, markdown, mrkdwn};
use crate::codec;
use crate::runtime::bindings::{reply, types};
use crate::store::{DEFAULT_TENANT, SlackPost, SlackPostState, WaitRow};
use crate::turn::{Expects, Question, Verdict};
use crate::waits::{Answer, Unanswerable, question_of};

pub(super) use click::{clicked, form, said};

/// What our buttons are known by: those that answer, and those behind which there
/// is a form.
pub(super) const ANSWER: &str = "anchorhold_answer";
pub(super) const SAY: &str = "anchorhold_say";

/// Where questions stand among the parts of an answer.
const FIRST_PART: i64 = 1_000_000;

/// How often a question is asked until Slack takes it, and how long to wait where
/// Slack cannot be reached.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_secs(5);

/// What is shown of a question where there are several.
const MOST_IN_LIST: usize = 1_000;

/// A line below a message takes 3,000 characters, escaped.
const MOST_OF_REASON: usize = 500;

/// The most characters on a button. A block takes 25 of them, and a question has
/// fewer choices.
const MOST_ON_BUTTON: usize = 75;

/// What a button says.
#[derive(Debug, Serialize, Deserialize)]
struct Button {
    turn: String,
    call: i64,
    /// The choice by its number, or yes and no.
    choice: Option<usize>,
    approve: Option<bool>,
    /// Set in forms: it was clicked on the home tab.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_home: bool,
}

impl Button {
    fn of(value: &Value) -> Result<Self, Trouble> {
        let value = value.as_str().unwrap_or_default();
        serde_json::from_str(value)
            .map_err(|_| Trouble::Never("a button has no value of ours".to_owned()))
    }
}

/// Asks in the thread, once.
pub(super) async fn ask(
    slack: &Slack,
    (tenant, turn): (&str, &str),
    target: &Target,
    call: i64,
    question: &Question,
) {
    if let Err(error) = try_to_ask(slack, (tenant, turn), target, call, question).await {
        let error = format!("{error:#}");
        // It can be answered by the API and the command line all the same.
        error!(
            error,
            turn,
            "a question could not be asked in Slack; `anchorhold turns answer --user slack:ID` takes the answer"
        );
    }
}

async fn try_to_ask(
    slack: &Slack,
    (tenant, turn): (&str, &str),
    target: &Target,
    call: i64,
    question: &Question,
) -> Result<()> {
    let store = &slack.host.store;
    let part = FIRST_PART + call;
    let arguments = json!({
        "channel": target.channel, "thread_ts": target.thread_ts,
        "text": markdown::plain(&question.text),
        "blocks": blocks(turn, call, question),
        "unfurl_links": false, "unfurl_media": false,
        "metadata": {"event_type": METADATA, "event_payload": {"turn": turn, "part": part}},
    });
    let mut refused = None;
    for _ in 0..TRIES {
        let known = store.begin_slack_post(tenant, turn, part, &target.channel);
        match known.await? {
            Some(post) if post.state == SlackPostState::Done => return Ok(()),
            Some(post) => {
                if let Some(ts) = look_for(slack, target, &post).await {
                    return store.slack_posted(tenant, turn, part, &ts).await;
                }
            }
            None => {}
        }
        let wait = match slack.web.call("chat.postMessage", &arguments).await {
            Ok(answer) => {
                let ts = answer["ts"].as_str().unwrap_or_default();
                return store.slack_posted(tenant, turn, part, ts).await;
            }
            // What is written down stays: nobody knows.
            Err(Refused::Unsure(_)) => {
                tokio::time::sleep(until_it_is_sure(slack)).await;
                continue;
            }
            Err(Refused::Limited(wait)) => wait,
            Err(Refused::Unreachable(why)) => {
                refused = Some(Refused::Unreachable(why));
                PAUSE
            }
            Err(why @ Refused::Failed { .. }) => {
                store.slack_not_posted(tenant, turn, part).await?;
                return Err(why.into());
            }
        };
        store.slack_not_posted(tenant, turn, part).await?;
        tokio::time::sleep(wait).await;
    }
    let why = refused.unwrap_or_else(|| Refused::Unsure("too often".to_owned()));
    Err(why.into())
}

/// Finds a question that may stand there, when Slack can know.
async fn look_for(slack: &Slack, target: &Target, post: &SlackPost) -> Option<String> {
    let wait = unsure_for(slack, post.begun_at).unwrap_or_default();
    tokio::time::sleep(wait).await;
    let part = (post.turn.as_str(), post.part);
    match find_ours(slack, target, part, post.begun_at).await {
        Ok(found) => found,
        Err(error) => {
            warn!(%error, turn = post.turn, "a question may stand in Slack twice");
            None
        }
    }
}

/// A question in a list. What is not shown whole is not decided there.
pub(super) fn listed(turn: &str, call: i64, question: &Question) -> Vec<Value> {
    let is_whole = question.text.chars().count() <= MOST_IN_LIST;
    let shown: String = question.text.chars().take(MOST_IN_LIST).collect();
    let shown = markdown::plain(&shown);
    let text = if is_whole {
        shown
    } else {
        format!("{shown}…\n_It is long: decide in its thread._")
    };
    let mut blocks = vec![json!({"type": "section", "text": {"type": "mrkdwn", "text": text}})];
    if is_whole {
        blocks.push(json!({"type": "actions", "elements": buttons(turn, call, question)}));
    }
    blocks
}

/// A question with its buttons.
fn blocks(turn: &str, call: i64, question: &Question) -> Vec<Value> {
    let mut blocks = vec![
        asked(&question.text),
        json!({"type": "actions", "elements": buttons(turn, call, question)}),
    ];
    if question.expects == Expects::Text {
        let text = "Or say it in the thread.";
        blocks.push(json!({"type": "context", "elements": [{"type": "plain_text", "text": text}]}));
    }
    blocks
}

/// What answers a question.
fn buttons(turn: &str, call: i64, question: &Question) -> Vec<Value> {
    let button = |id: &str, text: &str, choice, approve| {
        let value = Button {
            turn: turn.to_owned(),
            call,
            choice,
            approve,
            is_home: false,
        };
        let text: String = text.chars().take(MOST_ON_BUTTON).collect();
        let mut button = json!({
            "type": "button", "action_id": id, "value": json!(value).to_string(),
            "text": {"type": "plain_text", "text": text},
        });
        match approve {
            Some(true) => button["style"] = "primary".into(),
            Some(false) => button["style"] = "danger".into(),
            None => {}
        }
        button
    };
    let answer = |number: usize| format!("{ANSWER}_{number}");
    match question.expects {
        Expects::Approval => vec![
            button(&answer(1), "Approve", None, Some(true)),
            button(&answer(0), "Deny", None, Some(false)),
            button(SAY, "Deny, and say why", None, Some(false)),
        ],
        Expects::Choice => {
            let choices = question.choices.iter().enumerate();
            choices
                .map(|(number, text)| button(&answer(number + 2), text, Some(number), None))
                .collect()
        }
        Expects::Text => vec![button(SAY, "Answer", None, None)],
    }
}

fn asked(text: &str) -> Value {
    let mut pieces = markdown::pieces(&markdown::safe(text), super::MAX_BLOCK).into_iter();
    let mut shown = pieces.next().unwrap_or_default();
    if pieces.next().is_some() {
        shown.push_str("\n\n_The question is longer than Slack shows: `anchorhold turns questions` has it whole._");
    }
    json!({"type": "markdown", "text": shown})
}

/// Puts what became of a question in the place of its buttons, in its thread.
/// Answers that in a few words; none if it is open.
///
/// # Errors
///
/// Why that was not done.
pub(super) async fn close(
    slack: &Slack,
    tenant: &str,
    turn: &str,
    call: i64,
) -> Result<Option<String>, Trouble> {
    let store = &slack.host.store;
    let wait = store.wait(tenant, turn, call).await?;
    let Some(wait) = wait.filter(|wait| wait.settled_at.is_some()) else {
        return Ok(None);
    };
    let question = question_of(&wait)?;
    let outcome = outcome(&wait, &question);
    let Some(post) = store.slack_post(tenant, turn, FIRST_PART + call).await? else {
        return Ok(Some(outcome));
    };
    let below = json!({"type": "context", "elements": [{"type": "mrkdwn", "text": outcome}]});
    let arguments = json!({
        "channel": post.channel, "ts": post.ts,
        "text": markdown::plain(&question.text), "blocks": [asked(&question.text), below],
    });
    updated(slack.web.call("chat.update", &arguments).await)?;
    Ok(Some(outcome))
}

/// The same for a turn that goes on or has ended (`is_over`): its question was
/// answered, wherever, by nobody in time, or is not open any more.
pub(super) async fn close_answered(
    slack: &Slack,
    tenant: &str,
    turn: &str,
    call: i64,
    is_over: bool,
) {
    for _ in 0..TRIES {
        let closed = match close(slack, tenant, turn, call).await {
            Ok(None) if is_over => close_unanswered(slack, tenant, turn, call).await,
            Ok(_) => return,
            Err(error) => Err(error),
        };
        match closed {
            Ok(()) => return,
            Err(Trouble::Never(why)) => {
                error!(why, turn, "what became of a question is not shown");
                return;
            }
            Err(Trouble::Later(error)) => {
                let error = format!("{error:#}");
                warn!(error, turn, "what became of a question is not shown yet");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// The turn that asked has ended without an answer.
async fn close_unanswered(
    slack: &Slack,
    tenant: &str,
    turn: &str,
    call: i64,
) -> Result<(), Trouble> {
    let store = &slack.host.store;
    let Some(post) = store.slack_post(tenant, turn, FIRST_PART + call).await? else {
        return Ok(());
    };
    let text = "This question is closed.";
    let block = json!({"type": "context", "elements": [{"type": "plain_text", "text": text}]});
    let arguments = json!({
        "channel": post.channel, "ts": post.ts, "text": text, "blocks": [block],
    });
    updated(slack.web.call("chat.update", &arguments).await)
}

/// How a wait ended; none if it cannot be read.
fn ended(wait: &WaitRow) -> Option<reply::Outcome> {
    let outcome = codec::decode(wait.outcome.as_deref().unwrap_or_default());
    let outcome: Result<reply::Outcome, types::Error> = outcome.ok()?;
    outcome.ok()
}

/// What became of a question, in Slack's marks.
fn outcome(wait: &WaitRow, question: &Question) -> String {
    match (ended(wait), question.expects) {
        (Some(reply::Outcome::Refused(answer)), _) if !answer.text.is_empty() => {
            let why = short(&answer.text);
            format!("Denied by {}: {why}", called(&answer.by))
        }
        (Some(reply::Outcome::Refused(answer)), _) => format!("Denied by {}", called(&answer.by)),
        (Some(reply::Outcome::Answered(answer)), Expects::Approval) => {
            format!("Approved by {}", called(&answer.by))
        }
        (Some(reply::Outcome::Answered(answer)), Expects::Choice) => {
            let choice = short(&answer.text);
            format!("“{choice}”, said {}", called(&answer.by))
        }
        (Some(reply::Outcome::Answered(answer)), Expects::Text) => {
            format!("Answered by {}", called(&answer.by))
        }
        (Some(reply::Outcome::Expired), _) => "Nobody answered in time.".to_owned(),
        (None, _) => "Closed.".to_owned(),
    }
}

/// What is shown of what somebody said.
fn short(text: &str) -> String {
    let kept: String = text.chars().take(MOST_OF_REASON).collect();
    let rest = if kept.len() < text.len() { "…" } else { "" };
    mrkdwn::escape(&kept) + rest
}

fn called(author: &types::Author) -> String {
    match author.id.strip_prefix(AUTHOR) {
        Some(user) => format!("<@{user}>"),
        None => mrkdwn::escape(author.name.as_deref().unwrap_or(&author.id)),
    }
}

/// The answer is stored by now; that it is shown can be tried again.
fn updated(said: Result<Value, Refused>) -> Result<(), Trouble> {
    match said {
        Ok(_) => Ok(()),
        Err(refused @ Refused::Failed { .. }) => {
            warn!(error = %refused, "what became of a question is not shown");
            Ok(())
        }
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
