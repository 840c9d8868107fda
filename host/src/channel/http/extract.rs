//! What handlers take from a request. It is axum's, but for what is answered
//! when a request does not have it: a problem document.

use std::convert::Infallible;

use axum::body::HttpBody;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::Problem;

/// Parts of the path, decoded.
pub(super) struct Path<T>(pub(super) T);

/// The query.
pub(super) struct Query<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::from_request_parts(parts, state).await?;
        Ok(Self(path.0))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = axum::extract::Query::from_request_parts(parts, state).await?;
        Ok(Self(query.0))
    }
}

/// A body that is read when the caller is known to be allowed to send it.
pub(super) struct Unread(Request);

impl Unread {
    /// Reads it as JSON.
    pub(super) async fn json<T: DeserializeOwned>(self) -> Result<T, Problem> {
        let body = axum::Json::from_request(self.0, &()).await?;
        Ok(body.0)
    }

    /// The same, for a body that may be left out.
    pub(super) async fn json_or_default<T: DeserializeOwned + Default>(self) -> Result<T, Problem> {
        if self.0.body().is_end_stream() {
            return Ok(T::default());
        }
        self.json().await
    }
}

impl<S: Send + Sync> FromRequest<S> for Unread {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        Ok(Self(request))
    }
}
