//! Budgets: how much may be used, by whom, in which window of time.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{Path, Query, Unread};
use super::page::Items;
use super::views::{Amounts, BudgetView, Reserved};
use super::{Api, Caller, Code, Problem};
use crate::store::{BudgetLimits, BudgetRow, Scope, Span};

/// The longest scope, in bytes.
const MAX_SCOPE_BYTES: usize = 300;

/// What stands before the colon of a scope.
const KINDS: [&str; 5] = ["tenant", "channel", "user", "agent", "conversation"];

/// A budget to set. What is left out is not limited.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewBudget {
    window: Span,
    /// Calls of models.
    requests: Option<u64>,
    /// Tokens in and out.
    tokens: Option<u64>,
    /// Millionths of a dollar.
    cost_micro_usd: Option<u64>,
}

/// Which window.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Window {
    /// minute, hour, day, month or total; all without it.
    #[param(value_type = Option<String>)]
    window: Option<Span>,
}

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(set, remove))
}

/// All budgets and what is used of them.
#[utoipa::path(get, path = "/api/v1/budgets", tag = "usage",
    responses((status = 200, body = Items<BudgetView>)))]
async fn list(State(api): State<Api>, caller: Caller) -> Result<Json<Items<BudgetView>>, Problem> {
    caller.require(Scope::Read)?;
    let rows = api.host.store.budgets(&caller.tenant).await?;
    Ok(Json(Items::all(
        rows.into_iter().map(BudgetView::from).collect(),
    )))
}

/// Sets a budget: of a scope (`all`, `tenant:ID`, `channel:ID`, `user:ID`, `agent:NAME`,
/// `conversation:ID`) in one window. What was used in the window counts.
#[utoipa::path(put, path = "/api/v1/budgets/{scope}", tag = "usage", request_body = NewBudget,
    params(("scope" = String, Path, description = "Whose")),
    responses((status = 200, body = BudgetView)))]
async fn set(
    State(api): State<Api>,
    caller: Caller,
    Path(scope): Path<String>,
    body: Unread,
) -> Result<Json<BudgetView>, Problem> {
    caller.require(Scope::Admin)?;
    check_scope(&scope)?;
    let new: NewBudget = body.json().await?;
    let span = new.window;
    let store = &api.host.store;
    store
        .set_budget(&caller.tenant, &scope, span, new.limits()?)
        .await?;
    let rows = store.budgets(&caller.tenant).await?;
    let set = rows
        .into_iter()
        .find(|row| row.scope == scope && row.span == span);
    let set = set.ok_or_else(|| Problem::internal("a budget that was set is gone"))?;
    Ok(Json(set.into()))
}

/// Removes the budgets of a scope, or the one of a window.
#[utoipa::path(delete, path = "/api/v1/budgets/{scope}", tag = "usage",
    params(("scope" = String, Path, description = "Whose"), Window),
    responses((status = 204, description = "Removed")))]
async fn remove(
    State(api): State<Api>,
    caller: Caller,
    Path(scope): Path<String>,
    Query(Window { window }): Query<Window>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::Admin)?;
    let store = &api.host.store;
    match store.remove_budget(&caller.tenant, &scope, window).await? {
        0 => {
            let detail = format!("there is no such budget of {scope:?}");
            Err(Problem::new(Code::NotFound, detail))
        }
        _ => Ok(StatusCode::NO_CONTENT),
    }
}

impl NewBudget {
    fn limits(&self) -> Result<BudgetLimits, Problem> {
        let number = |limit: Option<u64>| {
            let limit = limit.map(i64::try_from).transpose();
            limit.map_err(|_| Problem::new(Code::InvalidRequest, "a limit is too large"))
        };
        let limits = BudgetLimits {
            requests: number(self.requests)?,
            tokens: number(self.tokens)?,
            cost_micro_usd: number(self.cost_micro_usd)?,
        };
        if limits == BudgetLimits::default() {
            let detail =
                "a budget has at least one of requests, tokens, cost_micro_usd; DELETE removes one";
            return Err(Problem::new(Code::InvalidRequest, detail));
        }
        Ok(limits)
    }
}

fn check_scope(scope: &str) -> Result<(), Problem> {
    let is_known = match scope.split_once(':') {
        None => scope == "all",
        Some((kind, id)) => KINDS.contains(&kind) && !id.is_empty(),
    };
    if is_known && scope.len() <= MAX_SCOPE_BYTES && !scope.chars().any(char::is_control) {
        return Ok(());
    }
    let detail = "a scope is all, tenant:ID, channel:ID, user:ID, agent:NAME or conversation:ID";
    Err(Problem::new(Code::InvalidRequest, detail))
}

impl From<BudgetRow> for BudgetView {
    fn from(row: BudgetRow) -> Self {
        Self {
            resets_at: row.resets_at(),
            scope: row.scope,
            window: row.span,
            requests: row.max_requests,
            tokens: row.max_tokens,
            cost_micro_usd: row.max_cost_micro_usd,
            used: Amounts {
                requests: row.requests,
                tokens: row.tokens,
                cost_micro_usd: row.cost_micro_usd,
            },
            reserved: Reserved {
                tokens: row.reserved_tokens,
                cost_micro_usd: row.reserved_cost_micro_usd,
            },
        }
    }
}
