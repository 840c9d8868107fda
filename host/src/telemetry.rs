//! Traces and metrics of turns for an OpenTelemetry collector.
//!
//! A trace is a view of what is stored: when a turn has ended, its row, journal
//! and bill are read and become spans, so that a turn that crashed, waited for
//! days or gave up its instance is one trace like any other. Names follow the
//! semantic conventions for generative AI, as of their development in 2026.

mod export;
mod spans;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, Sender};
use tokio::task::JoinHandle;
use tracing::warn;

use crate::config;
use crate::store::Store;
use export::Exporter;
use spans::Recorded;
pub(crate) use spans::is_traceparent;

/// Ended turns that wait to be told of; when there are more, they are left out.
const QUEUE: usize = 4_096;

/// How long the end of the host waits for what is still to be sent.
const PATIENCE: Duration = Duration::from_secs(5);

/// A turn that ended.
struct Ended {
    tenant: String,
    turn: String,
}

/// Tells a collector of turns; without an address it does nothing.
pub struct Telemetry(Mutex<Option<Worker>>);

struct Worker {
    queue: Sender<Ended>,
    task: JoinHandle<()>,
    exporter: Arc<Exporter>,
}

impl Telemetry {
    /// Starts to tell, if there is somebody to tell.
    ///
    /// # Errors
    ///
    /// If the address cannot be used.
    pub fn start(config: &config::Telemetry, store: &Arc<Store>, io: &Handle) -> Result<Self> {
        let Some(endpoint) = &config.endpoint else {
            return Ok(Self(Mutex::new(None)));
        };
        let exporter = Arc::new(Exporter::new(endpoint, config, io.clone())?);
        let (queue, mut ended) = mpsc::channel::<Ended>(QUEUE);
        let (store, content, to) = (Arc::clone(store), config.content, Arc::clone(&exporter));
        let task = io.spawn(async move {
            while let Some(Ended { tenant, turn }) = ended.recv().await {
                match Recorded::load(&store, &tenant, &turn).await {
                    Ok(recorded) => to.tell(&recorded, content),
                    Err(error) => {
                        let error = format!("{error:#}");
                        warn!(turn, error, "a turn is in no trace: it cannot be read");
                    }
                }
            }
        });
        let worker = Worker {
            queue,
            task,
            exporter,
        };
        Ok(Self(Mutex::new(Some(worker))))
    }

    /// A turn has ended.
    pub fn ended(&self, tenant: &str, turn: &str) {
        let worker = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(worker) = worker.as_ref() else {
            return;
        };
        let ended = Ended {
            tenant: tenant.to_owned(),
            turn: turn.to_owned(),
        };
        if worker.queue.try_send(ended).is_err() {
            metrics::counter!("anchorhold_telemetry_dropped_total").increment(1);
        }
    }

    /// Sends what is still to be sent, as far as there is time.
    pub async fn close(&self) {
        let worker = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Worker {
            queue,
            task,
            exporter,
        }) = worker
        else {
            return;
        };
        // What is queued is read first.
        drop(queue);
        let _ = tokio::time::timeout(PATIENCE, task).await;
        // The last batch is sent by threads of their own.
        let closing = tokio::task::spawn_blocking(move || exporter.close());
        let _ = tokio::time::timeout(PATIENCE, closing).await;
    }
}
