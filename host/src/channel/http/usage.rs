//! Usage: what model calls took and cost.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::Query;
use super::page::Items;
use super::{Api, Caller, Code, Problem};
use crate::store::{Scope, UsageBy, UsageFilter, UsageGroup};

/// Which calls, and what they are summed up by.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Milliseconds since 1970; from the beginning without it.
    since_ms: Option<i64>,
    /// Up to and without this time.
    until_ms: Option<i64>,
    /// Some of agent, user, model, channel, day, with commas between; agent,model without it.
    by: Option<String>,
}

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(usage))
}

/// Sums of model calls; with `accept: text/csv` as a table.
#[utoipa::path(get, path = "/api/v1/usage", tag = "usage", params(Wanted),
    responses((status = 200, body = Items<UsageGroup>)))]
async fn usage(
    State(api): State<Api>,
    caller: Caller,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.require(Scope::Read)?;
    let by = wanted.by.as_deref().unwrap_or("agent,model");
    let by = by.split(',').map(by_name).collect::<Result<Vec<_>, _>>()?;
    let filter = UsageFilter {
        since: wanted.since_ms.unwrap_or_default(),
        until: wanted.until_ms,
        user: None,
    };
    let groups = api.host.store.usage(&caller.tenant, &by, &filter).await?;
    let accepts = headers.get(header::ACCEPT);
    if accepts.is_some_and(|accepts| accepts.as_bytes().starts_with(b"text/csv")) {
        let table = table(&groups).map_err(|error| Problem::internal(error.to_string()))?;
        let headers = [(header::CONTENT_TYPE, "text/csv; charset=utf-8")];
        return Ok((headers, table).into_response());
    }
    Ok(Json(Items::all(groups)).into_response())
}

fn by_name(name: &str) -> Result<UsageBy, Problem> {
    Ok(match name.trim() {
        "agent" => UsageBy::Agent,
        "user" => UsageBy::User,
        "model" => UsageBy::Model,
        "channel" => UsageBy::Channel,
        "day" => UsageBy::Day,
        _ => {
            let detail = format!("usage is by agent, user, model, channel or day, not {name:?}");
            return Err(Problem::new(Code::InvalidRequest, detail));
        }
    })
}

/// With a column for everything, whatever it is by.
fn table(groups: &[UsageGroup]) -> Result<Vec<u8>, csv::Error> {
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record([
        "day",
        "agent",
        "user",
        "channel",
        "provider",
        "model",
        "calls",
        "failed_calls",
        "input_tokens",
        "output_tokens",
        "cost_micro_usd",
        "unpriced_calls",
    ])?;
    for group in groups {
        let names = [
            &group.day,
            &group.agent,
            &group.user,
            &group.channel,
            &group.provider,
            &group.model,
        ];
        let numbers = [
            group.calls,
            group.failed_calls,
            group.input_tokens,
            group.output_tokens,
            group.cost_micro_usd,
            group.unpriced_calls,
        ];
        let names = names.map(|name| cell(name.as_deref().unwrap_or_default()));
        table.write_record(names.into_iter().chain(numbers.map(|n| n.to_string())))?;
    }
    table
        .into_inner()
        .map_err(|error| error.into_error().into())
}

/// Spreadsheets take a text for a formula that begins like one, and users name
/// themselves.
fn cell(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    format!("{}{text}", if is_formula { "'" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_no_formulas() {
        let group = UsageGroup {
            agent: Some("a,\"b\"".to_owned()),
            user: Some("=1+1".to_owned()),
            calls: 2,
            ..UsageGroup::default()
        };
        let table = String::from_utf8(table(&[group]).unwrap()).unwrap();
        assert_eq!(
            table.lines().nth(1),
            Some(",\"a,\"\"b\"\"\",'=1+1,,,,2,0,0,0,0,0")
        );
    }
}
