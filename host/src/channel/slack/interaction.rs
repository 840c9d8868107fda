//! Clicks and forms, by what they are about.

use tracing::info;

use super::lanes::Trouble;
use super::message::Visit;
use super::{feedback, question};

/// Deals with a click or a form.
///
/// # Errors
///
/// Why it was not dealt with.
pub(super) async fn deal_with(visit: &Visit<'_>) -> Result<(), Trouble> {
    let payload = visit.payload;
    let name = match payload["type"].as_str() {
        Some("block_actions") => &payload["actions"][0]["action_id"],
        Some("view_submission") => &payload["view"]["callback_id"],
        _ => &payload["type"],
    };
    let name = name.as_str().unwrap_or_default();
    match payload["type"].as_str() {
        Some("block_actions") if name.starts_with(question::ANSWER) => {
            question::clicked(visit).await
        }
        Some("block_actions") if name == question::SAY => question::form(visit).await,
        Some("block_actions") if name == feedback::ACTION => feedback::pressed(visit).await,
        Some("view_submission") if name == question::SAY => question::said(visit).await,
        kind => {
            info!(
                kind,
                name, "Slack sent a click that this host does not know"
            );
            Ok(())
        }
    }
}
