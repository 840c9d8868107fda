//! One turn in one fresh instance.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use wasmtime::component::{Instance, ResourceTable};
use wasmtime::{AsContextMut, Store, StoreContextMut};
use wasmtime_wasi::WasiCtx;

use super::bindings::{events, types, web};
use super::components::LoadedComponent;
use super::engine::Engine;
use super::failure::{Failure, FailureCode};
use super::limits::{KillSwitch, Limiter, within};
use super::wasi::{self, Stdio, Time, Timers};
use crate::capability::database::{Databases, Owner};
use crate::capability::llm::Generations;
use crate::guard::Guards;
use crate::inbox::Inbox;
use crate::llm::Gateway;
use crate::net::Outbound;
use crate::outbox::Doorbell;
use crate::store::{self, JournalPart, TurnKind};
use crate::telemetry::Telemetry;
use crate::tools::Tools;
use crate::turn::{Closed, Stop, Window};

/// What capabilities act on; shared by all turns.
pub struct Services {
    pub store: Arc<store::Store>,
    pub bus: Arc<crate::events::Bus>,
    pub gateway: Gateway,
    pub guards: Guards,
    pub databases: Databases,
    pub outbound: Outbound,
    pub tools: Tools,
    /// Takes in what agents say to each other. Filled in when it is built,
    /// which is after this: it makes turns, and turns use this.
    pub inbox: OnceLock<Weak<Inbox>>,
    /// A turn waits for a time, or for somebody until a time.
    pub timers: Notify,
    /// Rung when an answer is to be delivered.
    pub doorbell: Doorbell,
    /// Told of turns that ended.
    pub telemetry: Telemetry,
    /// Deepest that agents ask agents.
    pub max_hops: u32,
    /// Instances that wait for a whole answer of a model, and how many may.
    pub waiting: Waiting,
}

impl Services {
    /// Syncs the agent's database if the turn changed it: nothing that is told
    /// outside may rest on less than what is told.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    pub(crate) async fn sync_database(&self, window: &Window) -> Result<(), types::Error> {
        if !window.wrote_database() || window.is_replay() {
            return Ok(());
        }
        let owner = Owner {
            tenant: window.identity().tenant.clone(),
            agent: window.agent().name.clone(),
        };
        self.databases.sync(&owner).await
    }

    /// Syncs the agent's database before something happens outside that cannot
    /// be taken back: what was done before must not be gone after a power cut.
    ///
    /// # Errors
    ///
    /// If the disk fails; that ends the turn.
    pub(crate) async fn sync_before(&self, window: &Window) -> Result<(), Stop> {
        let synced = self.sync_database(window).await;
        synced.map_err(|error| Stop::Host(anyhow::anyhow!(error.message)))
    }
}

/// How many instances wait for models.
pub struct Waiting {
    now: AtomicU64,
    most: u64,
}

impl Waiting {
    /// None yet; `most` may keep on waiting.
    pub fn new(most: u64) -> Self {
        Self {
            now: AtomicU64::new(0),
            most,
        }
    }

    /// Waits as one more; answers what waiting gave.
    pub(crate) async fn during<T>(&self, wait: impl Future<Output = T>) -> T {
        struct One<'a>(&'a AtomicU64);
        impl Drop for One<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.now.fetch_add(1, Ordering::Relaxed);
        let _one = One(&self.now);
        wait.await
    }

    /// Whether more wait than may.
    pub(crate) fn are_many(&self) -> bool {
        self.now.load(Ordering::Relaxed) > self.most
    }
}

/// The data of a store: one turn.
pub struct HostState {
    pub(super) table: ResourceTable,
    pub(super) wasi: WasiCtx,
    pub(super) timers: Timers,
    limiter: Limiter,
    pub(crate) window: Window,
    pub(crate) generations: Generations,
    pub(crate) services: Arc<Services>,
    /// Calls of tools so far.
    pub(crate) tool_calls: u64,
}

impl HostState {
    pub(super) fn time(&mut self) -> Time<'_> {
        Time {
            window: &mut self.window,
            table: &mut self.table,
            timers: &mut self.timers,
        }
    }

    pub(crate) fn parts(
        &mut self,
    ) -> (
        &mut Window,
        &mut ResourceTable,
        &mut Generations,
        &Arc<Services>,
    ) {
        (
            &mut self.window,
            &mut self.table,
            &mut self.generations,
            &self.services,
        )
    }
}

/// What a turn is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Input {
    Chat(types::Message),
    Event(events::Event),
    Web(web::Request),
}

impl Input {
    /// What kind of turn it makes.
    pub fn kind(&self) -> TurnKind {
        match self {
            Self::Chat(_) => TurnKind::Chat,
            Self::Event(_) => TurnKind::Event,
            Self::Web(_) => TurnKind::Web,
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Output {
    Reply(types::Reply),
    Received,
    Response(web::Response),
}

/// A turn that has ended.
pub struct Finished {
    pub outcome: Result<Output, Failure>,
    pub(crate) closed: Closed,
}

impl Finished {
    /// What the turn recorded and did not store.
    pub fn journal(&self) -> &JournalPart {
        &self.closed.journal
    }
}

/// How a run of a turn ended.
pub enum Run {
    /// With the turn.
    Finished(Finished),
    /// The turn waits, and is to be run again when what it waits for is there.
    Suspended(Suspended),
}

/// What is left of a run that gave up its instance.
pub struct Suspended {
    pub(crate) closed: Closed,
}

/// Runs a turn: a fresh store, an instance, one call. Everything that goes wrong
/// is a failure of this turn only.
pub async fn run(
    engine: &Engine,
    services: Arc<Services>,
    window: Window,
    input: &Input,
    seed: [u8; 32],
    slice_fuel: u64,
    kill: &KillSwitch,
) -> Run {
    let agent = Arc::clone(window.agent());
    let started = Instant::now();
    let stdio = Stdio::new(agent.limits.log_bytes);
    let mut store = match new_store(engine, services, window, seed, slice_fuel, &stdio) {
        Ok(store) => store,
        Err((window, error)) => return Run::Finished(failed(*window, &error)),
    };
    let deadline = store.data().window.deadline().clone();
    let mut instantiated = Duration::ZERO;
    let outcome = {
        let work = call(&mut store, &agent.component, input, &mut instantiated);
        within(Box::pin(work), &deadline, kill).await
    };
    let is_suspended = matches!(&outcome, Ok(Err(error)) if is_suspension(error));
    let outcome = outcome_of(outcome, &store);
    let fuel = agent
        .limits
        .fuel
        .saturating_sub(store.get_fuel().unwrap_or(0));
    let mut state = store.into_data();
    state.generations.settle(&mut state.window);
    let outcome = sync_database(&state.window, &state.services, outcome).await;
    log_stdio(&mut state.window, &stdio);
    let mut closed = state.window.close();
    closed.receipt.fuel = fuel;
    closed.receipt.memory_peak_bytes = state.limiter.memory_peak as u64;
    closed.receipt.timing.instantiate_us = micros(instantiated);
    closed.receipt.timing.guest_us = micros(started.elapsed())
        .saturating_sub(closed.receipt.timing.host_us)
        .saturating_sub(closed.receipt.timing.instantiate_us);
    if is_suspended {
        return Run::Suspended(Suspended { closed });
    }
    Run::Finished(Finished { outcome, closed })
}

/// What came of a call, and of waiting for it.
pub(super) fn outcome_of<T>(
    outcome: Result<wasmtime::Result<Result<T, Failure>>, Failure>,
    store: &Store<HostState>,
) -> Result<T, Failure> {
    outcome?.unwrap_or_else(|error| {
        let limiter = &store.data().limiter;
        Err(Failure::of_trap(
            &error,
            limiter.memory_refused,
            limiter.table_refused,
        ))
    })
}

fn is_suspension(error: &wasmtime::Error) -> bool {
    matches!(error.downcast_ref::<Stop>(), Some(Stop::Suspended))
}

type NoStore = (Box<Window>, wasmtime::Error);

pub(super) fn new_store(
    engine: &Engine,
    services: Arc<Services>,
    window: Window,
    seed: [u8; 32],
    slice_fuel: u64,
    stdio: &Stdio,
) -> Result<Store<HostState>, NoStore> {
    let limits = window.agent().limits.clone();
    let state = HostState {
        table: ResourceTable::new(),
        wasi: wasi::context(seed, stdio),
        timers: Timers::new(),
        limiter: Limiter::new(limits.memory_bytes, limits.table_elements),
        window,
        generations: Generations::default(),
        services,
        tool_calls: 0,
    };
    let mut store = match Store::try_new(&engine.engine, state) {
        Ok(store) => store,
        Err(_) => unreachable!("the engine allocates a store"),
    };
    store.limiter(|state| &mut state.limiter);
    store.set_hostcall_fuel(usize::try_from(limits.host_call_bytes).unwrap_or(usize::MAX));
    let fueled = store
        .set_fuel(limits.fuel)
        .and_then(|()| store.fuel_async_yield_interval(Some(slice_fuel.max(1))));
    match fueled {
        Ok(()) => Ok(store),
        Err(error) => Err((Box::new(store.into_data().window), error)),
    }
}

fn failed(window: Window, error: &wasmtime::Error) -> Finished {
    Finished {
        outcome: Err(Failure::of_trap(error, false, false)),
        closed: window.close(),
    }
}

async fn call(
    store: &mut Store<HostState>,
    component: &LoadedComponent,
    input: &Input,
    instantiated: &mut Duration,
) -> wasmtime::Result<Result<Output, Failure>> {
    let started = Instant::now();
    let instance = match instantiate(store, component).await? {
        Ok(instance) => instance,
        Err(failure) => return Ok(Err(failure)),
    };
    *instantiated = started.elapsed();
    let (store, instance) = (store.as_context_mut(), &instance);
    match input {
        Input::Chat(message) => respond(store, instance, component, message).await,
        Input::Event(event) => receive(store, instance, component, event).await,
        Input::Web(request) => serve(store, instance, component, request).await,
    }
}

/// An instance, if there is room for one.
pub(super) async fn instantiate(
    store: &mut Store<HostState>,
    component: &LoadedComponent,
) -> wasmtime::Result<Result<Instance, Failure>> {
    match component.pre.instantiate_async(&mut *store).await {
        Ok(instance) => Ok(Ok(instance)),
        Err(error) if error.is::<wasmtime::PoolConcurrencyLimitError>() => Ok(Err(Failure::new(
            FailureCode::Busy,
            "Too many agents are running; try again shortly.",
        ))),
        Err(error) => Err(error),
    }
}

async fn respond(
    mut store: StoreContextMut<'_, HostState>,
    instance: &Instance,
    component: &LoadedComponent,
    message: &types::Message,
) -> wasmtime::Result<Result<Output, Failure>> {
    let Some(indices) = &component.chat else {
        return Ok(Err(lacks("chat")));
    };
    let guest = indices.load(&mut store, instance)?;
    let reply = guest.call_respond(&mut store, message).await?;
    let limit = store.data().window.agent().limits.output_bytes;
    Ok(reply.map_err(Failure::of_agent).and_then(|reply| {
        check_output(reply_bytes(&reply), limit)?;
        Ok(Output::Reply(reply))
    }))
}

async fn receive(
    mut store: StoreContextMut<'_, HostState>,
    instance: &Instance,
    component: &LoadedComponent,
    event: &events::Event,
) -> wasmtime::Result<Result<Output, Failure>> {
    let Some(indices) = &component.subscriber else {
        return Ok(Err(lacks("subscriber")));
    };
    let guest = indices.load(&mut store, instance)?;
    let received = guest.call_receive(&mut store, event).await?;
    Ok(received
        .map(|()| Output::Received)
        .map_err(Failure::of_agent))
}

async fn serve(
    mut store: StoreContextMut<'_, HostState>,
    instance: &Instance,
    component: &LoadedComponent,
    request: &web::Request,
) -> wasmtime::Result<Result<Output, Failure>> {
    let Some(indices) = &component.web else {
        return Ok(Err(lacks("web")));
    };
    let guest = indices.load(&mut store, instance)?;
    let response = guest.call_serve(&mut store, request).await?;
    let limit = store.data().window.agent().limits.output_bytes;
    Ok(response.map_err(Failure::of_agent).and_then(|response| {
        check_output(response.body.len(), limit)?;
        Ok(Output::Response(response))
    }))
}

/// The size of all that a reply carries.
fn reply_bytes(reply: &types::Reply) -> usize {
    let attachments = reply.attachments.iter().map(|attachment| {
        let source = match &attachment.source {
            types::MediaSource::Inline(bytes) => bytes.len(),
            types::MediaSource::Url(text) | types::MediaSource::Blob(text) => text.len(),
        };
        attachment.name.len() + attachment.mime_type.len() + source
    });
    let calls = reply
        .tool_calls
        .iter()
        .map(|call| call.id.len() + call.name.len() + call.arguments_json.len());
    reply.text.len()
        + reply.metadata_json.as_ref().map_or(0, String::len)
        + attachments.chain(calls).sum::<usize>()
}

fn check_output(bytes: usize, limit: u64) -> Result<(), Failure> {
    if bytes as u64 > limit {
        return Err(Failure::new(
            FailureCode::OutputLimit,
            format!("The agent's answer has {bytes} bytes; at most {limit} are allowed."),
        ));
    }
    Ok(())
}

pub(super) fn lacks(interface: &str) -> Failure {
    Failure::new(
        FailureCode::AgentUnavailable,
        format!("This agent does not export {interface:?}, so it cannot do this."),
    )
}

/// Syncs the agent's database if the turn changed it: what an answer tells of
/// must be as durable as the answer.
async fn sync_database(
    window: &Window,
    services: &Services,
    outcome: Result<Output, Failure>,
) -> Result<Output, Failure> {
    match services.sync_database(window).await {
        Ok(()) => outcome,
        Err(error) => Err(Failure::new(
            FailureCode::Internal,
            "The agent's database cannot be synced to disk.",
        )
        .with_detail(error.message)),
    }
}

pub(super) fn log_stdio(window: &mut Window, stdio: &Stdio) {
    for (level, capture) in [("info", &stdio.stdout), ("warn", &stdio.stderr)] {
        for line in capture.lines() {
            window.log(level, &line, "{}");
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
