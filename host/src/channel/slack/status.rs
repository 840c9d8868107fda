//! How Slack does, for operators.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::store::SlackKind;

/// What is counted.
#[derive(Debug, Default)]
pub(super) struct Status {
    sockets: AtomicUsize,
}

impl Status {
    pub(super) fn socket_opened(&self) {
        let open = self.sockets.fetch_add(1, Ordering::Relaxed) + 1;
        metrics::gauge!("anchorhold_slack_sockets").set(open as f64);
    }

    pub(super) fn socket_closed(&self) {
        let open = self.sockets.fetch_sub(1, Ordering::Relaxed) - 1;
        metrics::gauge!("anchorhold_slack_sockets").set(open as f64);
    }
}

/// Nothing works until somebody does something about it.
pub(super) fn broken() {
    metrics::gauge!("anchorhold_slack_broken").set(1.0);
}

pub(super) fn received(kind: SlackKind, is_new: bool) {
    let kind = match kind {
        SlackKind::Event => "event",
        SlackKind::Command => "command",
        SlackKind::Interaction => "interaction",
    };
    let name = if is_new {
        "anchorhold_slack_received_total"
    } else {
        "anchorhold_slack_duplicates_total"
    };
    metrics::counter!(name, "kind" => kind).increment(1);
}
