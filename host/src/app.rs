//! The host: everything shared, built once, in the order in which the parts
//! need each other.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::capability::database::Databases;
use crate::clock::now_ms;
use crate::config::Config;
use crate::events::{Bus, Dispatcher, Schedules, of_host};
use crate::guard::Guards;
use crate::inbox::Inbox;
use crate::llm::Gateway;
use crate::net::Outbound;
use crate::outbox::Doorbell;
use crate::registry::{FolderWatch, Hooks, Registry};
use crate::retention;
use crate::runtime::{Agents, Checks, Components, Engine, Services, Waiting};
use crate::store::{DEFAULT_TENANT, Store};
use crate::telemetry::Telemetry;
use crate::tools::Tools;
use crate::turn::{Feeds, Job, Runner, Scheduler};
use crate::waits::Waits;

/// Agents' databases that stay open.
const OPEN_DATABASES: usize = 64;

/// How often expired state is removed and metrics are tidied up.
const HOUSEKEEPING: Duration = Duration::from_secs(15);

/// A running host without its channels.
pub struct Host {
    pub config: Config,
    pub store: Arc<Store>,
    pub registry: Arc<Registry>,
    pub agents: Arc<Agents>,
    pub inbox: Arc<Inbox>,
    pub feeds: Arc<Feeds>,
    pub runner: Arc<Runner>,
    pub scheduler: Arc<Scheduler>,
    pub waits: Arc<Waits>,
    pub bus: Arc<Bus>,
    pub services: Arc<Services>,
    /// None where another host of this process has the recorder.
    pub metrics: Option<PrometheusHandle>,
    folder: Mutex<Option<FolderWatch>>,
    stop: CancellationToken,
    guests: GuestThreads,
}

impl Host {
    /// Opens the data folder and starts everything that runs by itself: the
    /// watch over the plugins folder, the delivery of events, what an earlier
    /// process left to do.
    ///
    /// # Errors
    ///
    /// If something in the configuration or on disk makes that impossible; the
    /// message says what to change.
    pub async fn start(config: Config) -> Result<Arc<Self>> {
        let store = Arc::new(Store::open(
            &config.storage.data_dir,
            config.storage.readers,
        )?);
        let engine = Engine::new(&config.limits, &config.turns)?;
        let compiled = config.registry.max_compiled_bytes;
        let components = Arc::new(Components::new(engine.clone(), store.data_dir(), compiled)?);
        let agents = Arc::new(Agents::new(
            Arc::clone(&store),
            Arc::clone(&components),
            config.registry.clone(),
            config.limits.clone(),
        ));
        let services = Arc::new(services(&config, &store)?);
        let hooks = Arc::new(RuntimeHooks {
            agents: Arc::clone(&agents),
            components,
            bus: Arc::clone(&services.bus),
        });
        let registry = Registry::new(Arc::clone(&store), config.registry.clone(), hooks)?;
        let feeds = Arc::new(Feeds::default());
        let guests = GuestThreads::start(config.turns.threads)?;
        run_checks(&config, &engine, &agents, &services, &guests);
        let runner = Arc::new(Runner::new(
            engine,
            Arc::clone(&services),
            Arc::clone(&agents),
            Arc::clone(&feeds),
            config.turns.slice_fuel,
        ));
        let (scheduler, inbox) = message_path(&config, &services, &runner, &feeds, &guests);
        let waits = Arc::new(Waits::new(
            Arc::clone(&services),
            Arc::clone(&scheduler),
            now_ms,
        ));
        let host = Arc::new(Self {
            config,
            store,
            registry: Arc::new(registry),
            agents,
            inbox,
            feeds,
            runner,
            scheduler,
            waits,
            bus: Arc::clone(&services.bus),
            services,
            metrics: install_metrics(),
            folder: Mutex::default(),
            stop: CancellationToken::new(),
            guests,
        });
        host.take_up_unfinished().await?;
        host.start_tasks().await?;
        Ok(host)
    }

    /// Finishes what runs and closes everything.
    pub async fn stop(&self) {
        self.drain().await;
        self.close().await;
    }

    /// Finishes what runs, as far as `[server] drain_timeout_ms` allows. What is
    /// not finished is taken up at the next start. Until `close`, channels can
    /// still read the answers that they owe.
    pub async fn drain(&self) {
        self.tell("system.stopping").await;
        self.stop.cancel();
        if let Some(folder) = self.folder.lock().await.take() {
            folder.stop().await;
        }
        let patience = Duration::from_millis(self.config.server.drain_timeout_ms);
        if !self.scheduler.drain(patience).await {
            warn!(
                turns = self.scheduler.load(),
                "stopping with turns that have not ended"
            );
        }
    }

    /// Closes everything; what runs is cut off.
    pub async fn close(&self) {
        self.guests.stop();
        self.services.telemetry.close().await;
        self.store.close().await;
    }

    /// Waits until what lay in the plugins folder at the start has been looked
    /// at: from then on an agent that is not there will not come by itself.
    pub async fn settled(&self) {
        if let Some(folder) = self.folder.lock().await.as_ref() {
            folder.settled().await;
        }
    }

    /// Cancelled when the host stops.
    pub fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    async fn start_tasks(self: &Arc<Self>) -> Result<()> {
        let dispatcher = Arc::new(Dispatcher::new(
            Arc::clone(&self.store),
            Arc::clone(&self.inbox),
            Arc::clone(&self.feeds),
            Arc::clone(&self.bus),
            self.config.events.clone(),
        ));
        tokio::spawn(dispatcher.run(self.stopping()));
        tokio::spawn(Arc::clone(&self.waits).run(self.stopping()));
        let schedules = Schedules::new(
            Arc::clone(&self.store),
            Arc::clone(&self.registry),
            Arc::clone(&self.bus),
            now_ms,
        );
        tokio::spawn(schedules.run(self.stopping()));
        let folder = FolderWatch::start(Arc::clone(&self.registry), DEFAULT_TENANT).await?;
        *self.folder.lock().await = Some(folder);
        let host = Arc::clone(self);
        tokio::spawn(async move { host.keep_house().await });
        self.tell("system.started").await;
        Ok(())
    }

    /// Publishes an event about the host itself.
    async fn tell(&self, topic: &str) {
        let data = serde_json::json!({ "version": env!("CARGO_PKG_VERSION") });
        let event = of_host(DEFAULT_TENANT, topic, &data);
        if let Err(error) = self.bus.publish(&self.store, event).await {
            warn!(topic, error = %format!("{error:#}"), "an event of the host was not stored");
        }
    }

    async fn keep_house(&self) {
        let mut ticks = tokio::time::interval(HOUSEKEEPING);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            self.feeds.forget_unread();
            if let Some(metrics) = &self.metrics {
                metrics.run_upkeep();
            }
            if let Err(error) = self.store.remove_expired_state().await {
                warn!(error = %format!("{error:#}"), "expired state cannot be removed");
            }
            if let Err(error) = retention::sweep(&self.store, &self.config.retention).await {
                warn!(error = %format!("{error:#}"), "what is old cannot be removed");
            }
        }
    }

    /// Turns that an earlier process left unfinished go on: those that it was
    /// running by running again against their journals.
    async fn take_up_unfinished(&self) -> Result<()> {
        let rows = self
            .store
            .unfinished_turns()
            .await
            .context("reading unfinished turns")?;
        if !rows.is_empty() {
            info!(turns = rows.len(), "taking up turns of an earlier process");
        }
        for row in rows {
            let feed = self.feeds.open_again(&row.id, row.attempts);
            let job = Job::of_row(&row, feed)?;
            if let Some(seat) = self.scheduler.wait_for_seat().await {
                self.scheduler.enqueue(job, seat);
            }
        }
        for (tenant, turn) in self.store.turns_to_wake().await? {
            self.scheduler.wake(&tenant, &turn).await?;
        }
        Ok(())
    }
}

/// What messages go through on their way to the runner, and messages of agents
/// to agents, too.
fn message_path(
    config: &Config,
    services: &Services,
    runner: &Arc<Runner>,
    feeds: &Arc<Feeds>,
    guests: &GuestThreads,
) -> (Arc<Scheduler>, Arc<Inbox>) {
    let store = &services.store;
    let scheduler = Arc::new(Scheduler::new(
        Arc::clone(runner),
        Arc::clone(store),
        Arc::clone(feeds),
        guests.handle(),
        &config.turns,
    ));
    let inbox = Arc::new(Inbox::new(
        Arc::clone(store),
        Arc::clone(&scheduler),
        Arc::clone(feeds),
    ));
    // Nothing else fills it in.
    let _ = services.inbox.set(Arc::downgrade(&inbox));
    (scheduler, inbox)
}

/// From now on components among the guardrails are asked.
fn run_checks(
    config: &Config,
    engine: &Engine,
    agents: &Arc<Agents>,
    services: &Arc<Services>,
    guests: &GuestThreads,
) {
    services.guards.run_by(Checks::new(
        engine.clone(),
        Arc::clone(agents),
        services,
        guests.handle(),
        config.turns.slice_fuel,
    ));
}

/// What capabilities act on.
fn services(config: &Config, store: &Arc<Store>) -> Result<Services> {
    let io = Handle::current();
    Ok(Services {
        store: Arc::clone(store),
        bus: Arc::new(Bus::new(&config.events)),
        gateway: Gateway::new(&config.llm, io.clone())?,
        guards: Guards::new(&config.guardrails)?,
        databases: Databases::new(store.data_dir().join("databases"), OPEN_DATABASES),
        tools: Tools::new(&config.tools, &io)?,
        outbound: Outbound::new(config.secrets.clone(), io)?,
        inbox: OnceLock::new(),
        timers: Notify::new(),
        doorbell: Doorbell::default(),
        telemetry: Telemetry::start(&config.telemetry, store, &Handle::current())?,
        max_hops: config.turns.max_hops,
        waiting: Waiting::new(config.turns.waiting_instances),
    })
}

fn install_metrics() -> Option<PrometheusHandle> {
    PrometheusBuilder::new().install_recorder().ok()
}

/// What the registry makes the runtime do.
struct RuntimeHooks {
    agents: Arc<Agents>,
    components: Arc<Components>,
    bus: Arc<Bus>,
}

impl Hooks for RuntimeHooks {
    fn changed(&self, tenant: &str, agent: &str) {
        self.agents.forget(tenant, agent);
        // Whoever subscribes is told.
        self.bus.wake();
    }

    fn prepare(&self, digest: &str) -> BoxFuture<'_, Result<()>> {
        let digest = digest.to_owned();
        async move { self.components.prepare(&digest).await }.boxed()
    }
}

/// The threads that run guests. They serve no socket, so a guest that computes
/// delays nobody but other guests, and those only by a slice.
struct GuestThreads(std::sync::Mutex<Option<Runtime>>, Handle);

impl GuestThreads {
    fn start(threads: usize) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("guest")
            // A guest that computes is polled once a slice; the defaults would
            // look at timers and at wakers from outside every 61 and 31 slices.
            .event_interval(2)
            .global_queue_interval(2)
            .enable_all()
            .build()
            .context("cannot start the threads for guests")?;
        let handle = runtime.handle().clone();
        Ok(Self(std::sync::Mutex::new(Some(runtime)), handle))
    }

    fn handle(&self) -> Handle {
        self.1.clone()
    }

    fn stop(&self) {
        let runtime = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take();
        if let Some(runtime) = runtime {
            runtime.shutdown_background();
        }
    }
}

impl Drop for GuestThreads {
    fn drop(&mut self) {
        self.stop();
    }
}
