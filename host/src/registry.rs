//! Where agents come from: components by folder or upload, their manifests,
//! and the rows that say which agent runs which component with what.

mod manifest;

pub use manifest::{ChatTrigger, Manifest, Triggers, Wants};
