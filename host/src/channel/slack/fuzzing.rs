//! What Slack sends, whatever that is, and what agents say to people in Slack.

use serde_json::Value;

use super::event::{self, Own};
use super::http::form;
use super::{MAX_BLOCK, lanes, markdown, mrkdwn};
use crate::store::SlackKind;

/// A payload, a form, the text of a message and an answer.
pub(crate) fn anything(text: &str) {
    let payload: Value = serde_json::from_str(text).unwrap_or_default();
    for payload in [&payload, &form(text.as_bytes())] {
        let own = Own {
            user: "U1",
            bot: Some("B1"),
            app: Some("A1"),
        };
        let _ = (event::heard(payload, &own), event::keys(payload));
        let _ = event::origin(payload);
        for kind in [SlackKind::Event, SlackKind::Command, SlackKind::Interaction] {
            assert!(lanes::lane(kind, payload).contains('/'));
        }
    }
    let _ = mrkdwn::read(text, "U1");
    let safe = markdown::safe(text);
    assert!(!safe.contains("<!") && !safe.contains("<@"), "{safe}");
    for piece in markdown::pieces(&safe, MAX_BLOCK) {
        assert!(piece.chars().count() <= MAX_BLOCK);
    }
}
