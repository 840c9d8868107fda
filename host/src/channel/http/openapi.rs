//! The API described for programs, made of the same list as the router.

use std::sync::LazyLock;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, Ref, ResponseBuilder};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Api, Problem};

/// The scheme of all endpoints that do not say otherwise.
const BEARER: &str = "bearer";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Anchorhold",
        description = "Agents as sandboxed WebAssembly components. Besides what is listed here, whatever is sent below `/agents/{name}/` is answered by the agent of that name, if it exports `web`."
    ),
    components(schemas(Problem)),
    modifiers(&Bearer),
    security(("bearer" = []))
)]
struct Described;

/// Tokens in the `authorization` header.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A token from `anchorhold token create`."))
            .build();
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme(BEARER, SecurityScheme::Http(scheme));
    }
}

/// The document, once it was asked for.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let mut openapi = super::documented().into_openapi();
    for operation in openapi.paths.paths.values_mut().flat_map(operations) {
        add_problem(operation);
        name_after_tag(operation);
    }
    openapi.to_json().unwrap_or_default()
});

/// A router without routes but its own, that others are merged into.
pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Described::openapi()).routes(routes!(openapi))
}

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "host", security(()),
    responses((status = 200, description = "An OpenAPI document", content_type = "application/json")))]
async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT.as_str()).into_response()
}

fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut path.get,
        &mut path.put,
        &mut path.post,
        &mut path.delete,
    ]
    .into_iter()
    .flatten()
}

/// What every endpoint answers when it does not do what was asked.
fn add_problem(operation: &mut Operation) {
    let content = Content::new(Some(Ref::from_schema_name("Problem")));
    let problem = ResponseBuilder::new()
        .description("A problem (RFC 9457)")
        .content("application/problem+json", content);
    let responses = &mut operation.responses.responses;
    responses.insert("default".to_owned(), problem.build().into());
}

/// Names are unique in the document, as functions are in their modules.
fn name_after_tag(operation: &mut Operation) {
    let tag = operation.tags.iter().flatten().next();
    if let (Some(tag), Some(name)) = (tag, &operation.operation_id) {
        operation.operation_id = Some(format!("{tag}-{}", name.replace('_', "-")));
    }
}
