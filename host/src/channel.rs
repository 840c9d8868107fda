//! Ways in and out, one file or folder for each.

pub mod http;
pub(crate) mod slack;
