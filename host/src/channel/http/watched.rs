//! A turn that a client waits for. When the client goes, the turn is cancelled.

use std::sync::Arc;

use crate::app::Host;
use crate::turn::Feed;

/// Cancels its turn when it is dropped before the end.
pub(super) struct Watched {
    host: Arc<Host>,
    tenant: String,
    feed: Arc<Feed>,
    is_over: bool,
}

impl Watched {
    pub(super) fn new(host: &Arc<Host>, tenant: &str, feed: Arc<Feed>) -> Self {
        Self {
            host: Arc::clone(host),
            tenant: tenant.to_owned(),
            feed,
            is_over: false,
        }
    }

    pub(super) fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// It goes on without the client.
    pub(super) fn leave(&mut self) {
        self.is_over = true;
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // When the host stops it is the host that goes; the turn goes on at the next start.
        if self.is_over || self.feed.has_ended() || self.host.stopping().is_cancelled() {
            return;
        }
        let (host, tenant, turn) = (
            Arc::clone(&self.host),
            self.tenant.clone(),
            self.feed.turn.clone(),
        );
        tokio::spawn(async move {
            if let Err(error) = host.scheduler.cancel(&tenant, &turn).await {
                tracing::warn!(turn, error = %format!("{error:#}"), "a turn that nobody waits for was not cancelled");
            }
        });
    }
}
