//! Where agents come from: components by folder or upload, their manifests,
//! and the rows that say which agent runs which component with what.

mod grants;
mod manifest;

pub use grants::{Grant, Grants, Missing, Permit, parse_grants};
pub use manifest::{ChatTrigger, Manifest, Triggers, Wants};
