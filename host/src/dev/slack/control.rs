//! The control API, `/sim/…`: the state to look at and to wait for, what people do, and what is
//! to go wrong. The page and the tests use it; the app does not.

mod actions;
mod look;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::sim::Sim;
use super::world::{EventFault, Fault, Refusal};

type Shared = State<Arc<Sim>>;

pub(super) fn router() -> Router<Arc<Sim>> {
    Router::new()
        .route("/state", get(look::state))
        .route("/changes", get(look::changes))
        .route("/messages", get(look::messages))
        .route("/calls", get(look::calls))
        .route("/deliveries", get(look::deliveries))
        .route("/sockets", get(look::sockets))
        .route("/act", post(act))
        .route("/settings", post(set))
        .route("/faults", post(add_fault).delete(clear_faults))
        .route(
            "/event-faults",
            post(add_event_fault).delete(clear_event_faults),
        )
        .route("/files/{id}", get(file))
}

/// What a request was refused with.
struct Refused(Refusal);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self(Refusal { error, extra }) = self;
        let body = json!({"ok": false, "error": error, "extra": extra});
        (StatusCode::BAD_REQUEST, Json(body)).into_response()
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

type Answer = Result<Json<Value>, Refused>;

/// The body as JSON, with what is wrong with it.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|error| {
        Refused(Refusal::with(
            "invalid_body",
            json!({"detail": error.to_string()}),
        ))
    })
}

async fn act(State(sim): Shared, body: Bytes) -> Answer {
    Ok(Json(actions::act(&sim, read(&body)?).await?))
}

async fn set(State(sim): Shared, body: Bytes) -> Answer {
    let fields: Value = read(&body)?;
    let settings = sim.with(|world| world.set(&fields).map(|()| world.settings.clone()))?;
    Ok(Json(json!({"ok": true, "settings": settings})))
}

async fn add_fault(State(sim): Shared, body: Bytes) -> Answer {
    let fault: Fault = read(&body)?;
    sim.with(|world| world.faults.push(fault));
    Ok(Json(json!({"ok": true})))
}

async fn clear_faults(State(sim): Shared) -> Answer {
    sim.with(|world| world.faults.clear());
    Ok(Json(json!({"ok": true})))
}

async fn add_event_fault(State(sim): Shared, body: Bytes) -> Answer {
    let fault: EventFault = read(&body)?;
    sim.with(|world| world.event_faults.push(fault));
    Ok(Json(json!({"ok": true})))
}

async fn clear_event_faults(State(sim): Shared) -> Answer {
    sim.with(|world| world.event_faults.clear());
    Ok(Json(json!({"ok": true})))
}

/// A file as people get it. It is never shown as a page of this origin.
async fn file(State(sim): Shared, Path(id): Path<String>) -> Result<Response, Refused> {
    let (name, bytes) = sim.with(|world| {
        let file = world.file(&id)?;
        Ok::<_, Refusal>((file.name.clone(), file.bytes.clone()))
    })?;
    let plain: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || ".-_".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{plain}\""),
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    Ok((headers, bytes).into_response())
}
