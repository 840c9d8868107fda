//! Lists, page by page.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Code, Problem};

const DEFAULT_PAGE: u32 = 50;
const MAX_PAGE: u32 = 500;

/// A list, or a page of one: `next` is the cursor of the next page.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct Items<T> {
    pub(crate) items: Vec<T>,
    pub(crate) next: Option<String>,
}

impl<T> Items<T> {
    /// A whole list.
    pub(super) fn all(items: Vec<T>) -> Self {
        Self { items, next: None }
    }

    /// A page of at most `limit`; a full one may have a next.
    pub(super) fn page(items: Vec<T>, limit: u32, cursor: impl FnOnce(&T) -> String) -> Self {
        let is_full = items.len() == limit as usize;
        let next = items.last().filter(|_| is_full).map(cursor);
        Self { items, next }
    }

    /// The same list of other things.
    pub(super) fn map<U>(self, change: impl FnMut(T) -> U) -> Items<U> {
        Items {
            items: self.items.into_iter().map(change).collect(),
            next: self.next,
        }
    }
}

/// A page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// How many items, at most 500; 50 without it.
    limit: Option<u32>,
    /// `next` of the page before.
    pub(super) cursor: Option<String>,
}

impl Page {
    /// How many items, within bounds.
    pub(super) fn limit(&self) -> u32 {
        page_size(self.limit)
    }

    /// The name that the page begins after; none at the beginning.
    pub(super) fn after_name(&self) -> &str {
        self.cursor.as_deref().unwrap_or_default()
    }

    /// The position that the page begins before, of a list that has the newest
    /// first; beyond all at the beginning.
    pub(super) fn before_position(&self) -> Result<i64, Problem> {
        self.cursor.as_deref().map_or(Ok(i64::MAX), position)
    }

    /// The position that the page begins after; 0 at the beginning.
    pub(super) fn after_position(&self) -> Result<i64, Problem> {
        self.cursor.as_deref().map_or(Ok(0), position)
    }
}

pub(super) fn page_size(limit: Option<u32>) -> u32 {
    limit.unwrap_or(DEFAULT_PAGE).clamp(1, MAX_PAGE)
}

/// A position that `next` gave.
pub(super) fn position(cursor: &str) -> Result<i64, Problem> {
    cursor.parse().map_err(|_| unknown_cursor())
}

pub(super) fn unknown_cursor() -> Problem {
    Problem::new(Code::InvalidRequest, "this cursor is none that a list gave")
}
