//! Answers to questions by buttons and forms. Who clicks is checked at every
//! click.

use super::*;
use crate::channel::slack::message::{Visit, author_id};
use crate::channel::slack::{command, home};

/// The most characters that are said in a form; Slack's limit.
const MOST_SAID: usize = 3_000;

/// Slack's limit of a text in a form.
const MOST_IN_FORM: usize = 2_900;

/// Where in a form the text is.
const FIELD: &str = "said";

/// Deals with a button that answers.
///
/// # Errors
///
/// Why it was not dealt with.
pub(in crate::channel::slack) async fn clicked(visit: &Visit<'_>) -> Result<(), Trouble> {
    let button = Button::of(&visit.payload["actions"][0]["value"])?;
    let verdict = match (button.approve, button.choice) {
        (Some(true), _) => Verdict::Approved(String::new()),
        (Some(false), _) => Verdict::Refused(String::new()),
        (None, choice) => {
            let wait = wait(visit, &button).await?;
            let question = wait.as_ref().map(question_of).transpose()?;
            let choices = question.map(|question| question.choices);
            let chosen = choices.and_then(|choices| choices.into_iter().nth(choice?));
            Verdict::Text(chosen.unwrap_or_default())
        }
    };
    answer(visit, &button, verdict).await
}

/// Deals with a button behind which there is a form: opens it.
///
/// # Errors
///
/// Why it was not dealt with.
pub(in crate::channel::slack) async fn form(visit: &Visit<'_>) -> Result<(), Trouble> {
    let value = &visit.payload["actions"][0]["value"];
    let mut button = Button::of(value)?;
    let wait = wait(visit, &button).await?;
    let Some(wait) = wait.filter(|wait| wait.settled_at.is_none()) else {
        return shown(visit, &button, "This question is closed.").await;
    };
    let question = question_of(&wait)?;
    if !question.who.contains(&author_id(visit.user())) {
        return not_theirs(visit, &button).await;
    }
    let label = match button.approve {
        Some(_) => "Why not?",
        None => "Your answer",
    };
    button.is_home = visit.payload["view"]["type"] == "home";
    let metadata = serde_json::to_string(&button).context("a button as JSON")?;
    let text = |text: &str| json!({"type": "plain_text", "text": text});
    let asked: String = question.text.chars().take(MOST_IN_FORM).collect();
    let view = json!({
        "type": "modal", "callback_id": SAY, "private_metadata": metadata,
        "title": text("Answer"), "submit": text("Send"), "close": text("Cancel"),
        "blocks": [
            {"type": "section", "text": text(&asked)},
            {"type": "input", "block_id": FIELD, "label": text(label), "element": {
                "type": "plain_text_input", "action_id": FIELD, "multiline": true,
                "min_length": 1, "max_length": MOST_SAID, "focus_on_load": true,
            }},
        ],
    });
    let arguments = json!({"trigger_id": visit.payload["trigger_id"], "view": view});
    if let Err(refused) = visit.slack.web.call("views.open", &arguments).await {
        // A trigger is good for three seconds: later is too late.
        error!(error = %refused, "a form could not be opened");
        let why = "Slack did not open the form. Try again, or say it in the thread.";
        return tell(visit, &button, why).await;
    }
    Ok(())
}

/// Deals with a form that was sent.
///
/// # Errors
///
/// Why it was not dealt with.
pub(in crate::channel::slack) async fn said(visit: &Visit<'_>) -> Result<(), Trouble> {
    let view = &visit.payload["view"];
    let button = Button::of(&view["private_metadata"])?;
    let text = view["state"]["values"][FIELD][FIELD]["value"].as_str();
    let text = text.unwrap_or_default().to_owned();
    let verdict = match button.approve {
        Some(false) => Verdict::Refused(text),
        Some(true) => Verdict::Approved(text),
        None => Verdict::Text(text),
    };
    answer(visit, &button, verdict).await
}

async fn wait(visit: &Visit<'_>, button: &Button) -> Result<Option<WaitRow>, Trouble> {
    let store = &visit.slack.host.store;
    let wait = store.wait(&visit.item.tenant_id, &button.turn, button.call);
    Ok(wait.await?)
}

async fn answer(visit: &Visit<'_>, button: &Button, verdict: Verdict) -> Result<(), Trouble> {
    let (slack, tenant) = (visit.slack, visit.item.tenant_id.as_str());
    slack.follow_waiting(tenant, &button.turn).await?;
    let answer = Answer {
        call: Some(button.call),
        verdict,
        by: types::Author {
            id: author_id(visit.user()),
            name: visit.payload["user"]["name"].as_str().map(str::to_owned),
        },
    };
    match slack.host.waits.answer(tenant, &button.turn, answer).await {
        Ok(()) => shown(visit, button, "Answered.").await,
        Err(Unanswerable::Host(error)) => Err(Trouble::Later(error)),
        Err(Unanswerable::NotYours(_)) => not_theirs(visit, button).await,
        Err(why @ Unanswerable::Unfit(_)) => tell(visit, button, &why.to_string()).await,
        Err(why) => {
            let why = format!("Closed: {why}.");
            if visit.payload["type"] == "view_submission" {
                tell(visit, button, &why).await?;
            }
            shown(visit, button, &why).await
        }
    }
}

async fn not_theirs(visit: &Visit<'_>, button: &Button) -> Result<(), Trouble> {
    let why = "This question is not for you to answer.";
    let channel = visit.payload["container"]["channel_id"].as_str();
    let store = &visit.slack.host.store;
    let turn = store
        .turn_summary(&visit.item.tenant_id, &button.turn)
        .await?;
    let agent = turn.map(|turn| turn.agent).unwrap_or_default();
    let place = (channel.unwrap_or_default(), agent.as_str());
    visit.denied(visit.user(), place, why).await;
    tell(visit, button, why).await
}

/// Shows what became of a question where it stands, and where it was clicked.
async fn shown(visit: &Visit<'_>, button: &Button, otherwise: &str) -> Result<(), Trouble> {
    let tenant = &visit.item.tenant_id;
    let outcome = close(visit.slack, tenant, &button.turn, button.call).await?;
    let container = &visit.payload["container"];
    let is_home = visit.payload["view"]["type"] == "home";
    if is_home || button.is_home || container["type"] == "view" {
        return home::show(visit, visit.user()).await;
    }
    if outcome.is_none() || container["is_ephemeral"] == true {
        // It is no message that can be updated: its address is good for that.
        let url = visit.payload["response_url"].as_str().unwrap_or_default();
        let text = outcome.as_deref().unwrap_or(otherwise);
        let mut body = json!({"replace_original": true, "text": text});
        if container["is_ephemeral"] == true {
            // A list: the rest of it stays.
            let done = json!({"type": "mrkdwn", "text": text});
            let mut blocks = vec![json!({"type": "context", "elements": [done]})];
            for (turn, call, question) in &command::questions(visit, visit.user()).await? {
                blocks.extend(listed(turn, *call, question));
            }
            body["blocks"] = blocks.into();
        }
        if let Err(why) = visit.slack.web.respond(url, &body).await {
            error!(%why, "what became of a question is not shown");
        }
    }
    Ok(())
}

/// Says something to who clicked alone: where they clicked, or from a form in the
/// thread of the turn.
async fn tell(visit: &Visit<'_>, button: &Button, text: &str) -> Result<(), Trouble> {
    let container = &visit.payload["container"];
    let mut arguments = json!({
        "channel": container["channel_id"], "thread_ts": container["thread_ts"],
        "user": visit.user(), "text": text,
    });
    if container["channel_id"].is_null() {
        let store = &visit.slack.host.store;
        let turn = store.turn(&visit.item.tenant_id, &button.turn).await?;
        let Some(target) = turn.and_then(|turn| Target::of(&turn)) else {
            return Ok(());
        };
        arguments["channel"] = target.channel.into();
        arguments["thread_ts"] = target.thread_ts.into();
    }
    visit.say_alone(&arguments).await
}
