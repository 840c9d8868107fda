//! Questions that turns ask people, and their answers.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{Path, Query, Unread};
use super::messages::check_name;
use super::page::{Items, Page};
use super::turns::{no_such_turn, readable};
use super::views::{NewAnswer, QuestionView, TurnView};
use super::{Api, Caller, Code, Problem};
use crate::runtime::bindings::types;
use crate::store::{Scope, Store, WaitRow};
use crate::turn::{FeedEvent, Verdict};
use crate::waits::{Answer, Unanswerable, question_of};

/// How ids of people of Slack begin.
const SLACK: &str = "slack:";

/// The longest text of an answer, in bytes.
const MAX_TEXT_BYTES: usize = 64 << 10;

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(answer))
}

/// Questions that nobody has answered, oldest first.
#[utoipa::path(get, path = "/api/v1/questions", tag = "questions", params(Page),
    responses((status = 200, body = Items<QuestionView>)))]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(page): Query<Page>,
) -> Result<Json<Items<QuestionView>>, Problem> {
    caller.require(Scope::Read)?;
    let limit = page.limit();
    let store = &api.host.store;
    let rows = store.open_questions(&caller.tenant, page.after_name(), limit);
    let rows = rows.await?;
    let views = rows.iter().map(view).collect::<Result<Vec<_>, Problem>>()?;
    Ok(Json(Items::page(views, limit, |view| view.turn.clone())))
}

/// Answers the question of a turn. When this answers, the answer is stored and
/// the turn goes on.
#[utoipa::path(post, path = "/api/v1/turns/{turn}/answer", tag = "questions",
    params(("turn" = String, Path)), request_body = NewAnswer,
    responses((status = 202, body = TurnView)))]
pub(super) async fn answer(
    State(api): State<Api>,
    caller: Caller,
    Path(turn): Path<String>,
    body: Unread,
) -> Result<(StatusCode, Json<TurnView>), Problem> {
    caller.require(Scope::Chat)?;
    let new: NewAnswer = body.json().await?;
    let answer = answer_of(&caller, new)?;
    let answered = api.host.waits.answer(&caller.tenant, &turn, answer).await;
    if let Err(error) = answered {
        let is_seen = readable(&api, &caller, &turn).await.is_ok();
        return Err(refused(&turn, is_seen, error));
    }
    let view = TurnView::load(&api, &caller.tenant, &turn).await?;
    Ok((StatusCode::ACCEPTED, Json(view)))
}

/// A question as it is shown.
///
/// # Errors
///
/// If another version of the host wrote it.
pub(super) fn view(wait: &WaitRow) -> Result<QuestionView, Problem> {
    Ok(QuestionView {
        turn: wait.turn.clone(),
        call: wait.seq,
        question: question_of(wait)?,
        asked_at: wait.created_at,
    })
}

/// What a turn asks that waits, as those see it who watch.
///
/// # Errors
///
/// If the store fails, or another version of the host wrote the question.
pub(super) async fn asked(
    store: &Store,
    tenant: &str,
    turn: &str,
) -> Result<Option<FeedEvent>, Problem> {
    let wait = store.latest_question(tenant, turn).await?;
    let Some(wait) = wait.filter(|wait| wait.settled_at.is_none()) else {
        return Ok(None);
    };
    Ok(Some(FeedEvent::Asked {
        call: wait.seq,
        question: question_of(&wait)?,
    }))
}

fn answer_of(caller: &Caller, new: NewAnswer) -> Result<Answer, Problem> {
    let invalid = |message: &str| Problem::new(Code::InvalidRequest, message);
    let text = new.text.unwrap_or_default();
    if text.len() > MAX_TEXT_BYTES {
        let message = format!("the text is at most {MAX_TEXT_BYTES} bytes");
        return Err(Problem::new(Code::TooLarge, message));
    }
    check_name("user", new.user.as_deref())?;
    let verdict = match new.approve {
        Some(true) => Verdict::Approved(text),
        Some(false) => Verdict::Refused(text),
        None if text.is_empty() => return Err(invalid("say text, or approve true or false")),
        None => Verdict::Text(text),
    };
    Ok(Answer {
        call: new.call,
        verdict,
        by: author(caller, new.user)?,
    })
}

/// Who answers. For people of another channel only operators speak.
fn author(caller: &Caller, user: Option<String>) -> Result<types::Author, Problem> {
    let user = user.unwrap_or_else(|| caller.name.clone());
    if user.starts_with(SLACK) {
        caller.require(Scope::Admin)?;
        return Ok(types::Author {
            id: user,
            name: None,
        });
    }
    Ok(types::Author {
        id: format!("http:{user}"),
        name: Some(user),
    })
}

/// What is said of an answer that is not taken. Who may not see the turn does
/// not learn that it is there.
fn refused(turn: &str, is_seen: bool, error: Unanswerable) -> Problem {
    let code = match &error {
        Unanswerable::Host(cause) => return Problem::internal(cause),
        Unanswerable::NotAsked | Unanswerable::NotYours(_) if !is_seen => {
            return no_such_turn(turn);
        }
        Unanswerable::NotAsked | Unanswerable::Answered | Unanswerable::Expired => Code::Conflict,
        Unanswerable::NotYours(_) => Code::Forbidden,
        Unanswerable::Unfit(_) => Code::InvalidRequest,
    };
    Problem::new(code, format!("turn {turn}: {error}"))
}
