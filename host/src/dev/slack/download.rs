//! Files as the app gets them: with its token and the scope, else Slack sends
//! whoever asks to a page to log in.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use futures_util::stream;
use serde_json::json;

use super::server::{bearer, cut_off};
use super::sim::Sim;
use super::world::{Call, FaultKind, World};

pub(super) const LOGIN: &str = "<!DOCTYPE html><title>Sign in</title>";

pub(super) async fn download(
    State(sim): State<Arc<Sim>>,
    Path((id, _)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let token = bearer(&headers);
    let (fault, found) = sim.with(|world| {
        let found = find(world, &id, token.as_deref());
        let fault = world.take_fault("download");
        note(world, &id, token.is_some(), found.is_some(), fault.as_ref());
        (fault, found)
    });
    match fault {
        Some(FaultKind::Status { status }) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            return status.into_response();
        }
        Some(FaultKind::Hang { ms }) => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            return cut_off();
        }
        Some(FaultKind::Close | FaultKind::Lost) => return cut_off(),
        Some(FaultKind::Redirect { to }) => {
            return (StatusCode::FOUND, [(header::LOCATION, to)]).into_response();
        }
        Some(FaultKind::Login) => return Html(LOGIN).into_response(),
        Some(FaultKind::Longer { bytes }) => return longer(found, bytes),
        Some(FaultKind::Ratelimited { .. } | FaultKind::Error { .. }) | None => {}
    }
    match found {
        Some((kind, bytes)) => ([(header::CONTENT_TYPE, kind)], bytes).into_response(),
        None => (StatusCode::FOUND, [(header::LOCATION, "/login")]).into_response(),
    }
}

/// Type and content of a file, for who may have it.
fn find(world: &World, id: &str, token: Option<&str>) -> Option<(String, Vec<u8>)> {
    let may = token == Some(&world.setup.bot_token) && world.settings.has_scope("files:read");
    let file = world.file(id).ok().filter(|_| may)?;
    Some((file.mimetype.clone(), file.bytes.clone()))
}

/// Writes it down as a call, so that a test can see who asked with a token.
fn note(world: &mut World, id: &str, has_token: bool, ok: bool, fault: Option<&FaultKind>) {
    let at_ms = world.now / 1_000;
    world.called(Call {
        n: 0,
        at_ms,
        method: "download".to_owned(),
        args: json!({"file": id, "token": has_token}),
        ok: ok && fault.is_none(),
        error: None,
        fault: fault.map(|fault| json!(fault)["kind"].as_str().unwrap_or_default().to_owned()),
    });
}

/// Chunks, so that nothing says how long it is.
fn longer(found: Option<(String, Vec<u8>)>, more: usize) -> Response {
    let (kind, bytes) = found.unwrap_or_default();
    let chunks = [Bytes::from(bytes), Bytes::from(vec![b'x'; more])];
    let body = Body::from_stream(stream::iter(chunks.map(Ok::<_, std::io::Error>)));
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}
