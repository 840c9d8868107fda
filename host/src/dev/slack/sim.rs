//! The world in its lock, and what happens around it: what changed is told to those who watch,
//! and what is to be delivered is put on its way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;
use tokio::sync::{broadcast, oneshot, watch};
use tokio::time::Instant;

use super::socket::Sockets;
use super::world::{Change, World};
use super::{Options, deliver};
use crate::clock::now_ms;
use crate::net;

/// How many changes wait for one who watches; more, and they look again at everything.
const WATCHED: usize = 4_096;

pub(super) struct Sim {
    world: Mutex<World>,
    revision: watch::Sender<u64>,
    pub(super) changes: broadcast::Sender<Change>,
    pub(super) options: Options,
    pub(super) client: reqwest::Client,
    pub(super) sockets: Sockets,
    /// Who waits for which envelope to be acknowledged.
    pub(super) envelopes: Mutex<HashMap<String, oneshot::Sender<Option<Value>>>>,
    /// Deliveries that are held back.
    pub(super) held: Mutex<Vec<usize>>,
}

impl Sim {
    pub(super) fn new(world: World, options: Options) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            world: Mutex::new(world),
            revision: watch::channel(0).0,
            changes: broadcast::channel(WATCHED).0,
            options,
            client: net::api_client()?,
            sockets: Sockets::default(),
            envelopes: Mutex::default(),
            held: Mutex::default(),
        }))
    }

    /// Does something with the world, as it is now.
    pub(super) fn with<T>(self: &Arc<Self>, work: impl FnOnce(&mut World) -> T) -> T {
        let (result, outbox, revision) = {
            let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
            world.tick(now_ms() * 1_000);
            let result = work(&mut world);
            // Within the lock, so that they are seen in the order in which they happened.
            for change in std::mem::take(&mut world.changes) {
                // Nobody may be watching.
                let _ = self.changes.send(change);
            }
            let outbox = std::mem::take(&mut world.outbox);
            (result, outbox, world.revision)
        };
        for n in outbox {
            deliver::start(self, n);
        }
        self.revision
            .send_if_modified(|seen| std::mem::replace(seen, revision) != revision);
        result
    }

    /// Looks at the world until there is something to see, or the time is over.
    pub(super) async fn wait<T>(
        self: &Arc<Self>,
        patience: Duration,
        mut look: impl FnMut(&mut World) -> Option<T>,
    ) -> Option<T> {
        let deadline = Instant::now() + patience;
        let mut revision = self.revision.subscribe();
        loop {
            revision.mark_unchanged();
            if let Some(found) = self.with(&mut look) {
                return Some(found);
            }
            let changed = tokio::time::timeout_at(deadline, revision.changed()).await;
            if !matches!(changed, Ok(Ok(()))) {
                return None;
            }
        }
    }
}
