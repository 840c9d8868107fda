//! Tokens: who may call. A token is shown when it is made and never again.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth;
use super::extract::{Path, Unread};
use super::page::Items;
use super::{Api, Caller, Code, Problem};
use crate::store::{Scope, TokenRow};

const MAX_NAME_BYTES: usize = 100;

/// A token to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewToken {
    /// Who will use it, for people to read; at most 100 bytes.
    name: String,
    scopes: Vec<Scope>,
}

/// A token that was just made.
#[derive(Serialize, ToSchema)]
struct MadeToken {
    id: String,
    /// Shown this once.
    token: String,
    name: String,
    scopes: Vec<Scope>,
}

/// What is kept of a token.
#[derive(Serialize, ToSchema)]
struct TokenView {
    id: String,
    name: String,
    scopes: Vec<Scope>,
    created_at: i64,
    revoked_at: Option<i64>,
}

impl From<TokenRow> for TokenView {
    fn from(row: TokenRow) -> Self {
        Self {
            scopes: row.scopes(),
            id: row.id,
            name: row.name,
            created_at: row.created_at,
            revoked_at: row.revoked_at,
        }
    }
}

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(make))
        .routes(routes!(list))
        .routes(routes!(revoke))
}

/// Makes a token.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "tokens", request_body = NewToken,
    responses((status = 201, body = MadeToken)))]
async fn make(
    State(api): State<Api>,
    caller: Caller,
    body: Unread,
) -> Result<(StatusCode, Json<MadeToken>), Problem> {
    caller.require(Scope::Admin)?;
    let NewToken { name, mut scopes } = body.json().await?;
    check_name(&name)?;
    scopes.sort_unstable();
    scopes.dedup();
    if scopes.is_empty() {
        let detail = "name at least one scope: chat, read, write, admin";
        return Err(Problem::new(Code::InvalidRequest, detail));
    }
    let (id, token) = auth::create(&api.host.store, &caller.tenant, &name, &scopes).await?;
    let token = token.expose_secret().to_owned();
    Ok((
        StatusCode::CREATED,
        Json(MadeToken {
            id,
            token,
            name,
            scopes,
        }),
    ))
}

/// All tokens, oldest first, also revoked ones.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "tokens",
    responses((status = 200, body = Items<TokenView>)))]
async fn list(State(api): State<Api>, caller: Caller) -> Result<Json<Items<TokenView>>, Problem> {
    caller.require(Scope::Admin)?;
    let rows = api.host.store.tokens(&caller.tenant).await?;
    Ok(Json(Items::all(
        rows.into_iter().map(TokenView::from).collect(),
    )))
}

/// Revokes a token; what it began goes on.
#[utoipa::path(delete, path = "/api/v1/tokens/{token}", tag = "tokens",
    params(("token" = String, Path, description = "Its id")),
    responses((status = 204, description = "Revoked")))]
async fn revoke(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::Admin)?;
    match api.host.store.revoke_token(&caller.tenant, &id).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => {
            let detail = format!("there is no token {id:?} that could be revoked");
            Err(Problem::new(Code::NotFound, detail))
        }
    }
}

fn check_name(name: &str) -> Result<(), Problem> {
    let has_control = name.chars().any(char::is_control);
    if name.trim().is_empty() || name.len() > MAX_NAME_BYTES || has_control {
        let detail =
            format!("a token's name is 1 to {MAX_NAME_BYTES} bytes without control characters");
        return Err(Problem::new(Code::InvalidRequest, detail));
    }
    Ok(())
}
