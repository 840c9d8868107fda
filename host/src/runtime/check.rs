//! Components that look at what is said to models and by them, each in a fresh instance outside
//! of any turn.
//!
//! It has the limits and the configuration of its agent, `config` and `log`, and nothing else:
//! what a turn records cannot be recorded here. It asks no model, so no check leads to another.

use std::sync::{Arc, Weak};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;
use wasmtime::Store;

use super::agents::{Agents, ResolvedAgent};
use super::bindings::guardrail::{Passage, Verdict};
use super::engine::Engine;
use super::failure::{Failure, FailureCode};
use super::instance::{HostState, Services, instantiate, lacks, log_stdio, new_store, outcome_of};
use super::limits::{Deadline, KillSwitch, within};
use super::wasi::Stdio;
use crate::clock::now_ms;
use crate::guard::Checker;
use crate::store::LogLine;
use crate::turn::{Comparison, Feed, Identity, Journal, Window};

/// Checks that run at once; others wait. Their instances are besides those of turns, which wait
/// for them.
pub(super) const CHECKS_AT_ONCE: u32 = 16;

/// Runs checks.
pub struct Checks {
    engine: Engine,
    agents: Arc<Agents>,
    /// Which have this.
    services: Weak<Services>,
    guests: Handle,
    slice_fuel: u64,
    places: Semaphore,
}

impl Checks {
    /// Runs them on the threads `guests`.
    pub fn new(
        engine: Engine,
        agents: Arc<Agents>,
        services: &Arc<Services>,
        guests: Handle,
        slice_fuel: u64,
    ) -> Arc<Self> {
        Arc::new(Self {
            engine,
            agents,
            services: Arc::downgrade(services),
            guests,
            slice_fuel,
            places: Semaphore::new(CHECKS_AT_ONCE as usize),
        })
    }

    async fn resolve(&self, tenant: &str, component: &str) -> Result<Arc<ResolvedAgent>, Failure> {
        Ok(self.agents.resolve(tenant, component).await?.agent)
    }

    async fn look(
        &self,
        tenant: &str,
        component: &str,
        passage: Passage,
    ) -> Result<Verdict, Failure> {
        let stopping = || Failure::new(FailureCode::Interrupted, "The host is stopping.");
        let services = self.services.upgrade().ok_or_else(stopping)?;
        let _place = self.places.acquire().await.map_err(|_| stopping())?;
        let agent = self.resolve(tenant, component).await?;
        let window = window(tenant, agent, &services);
        let (engine, slice_fuel) = (self.engine.clone(), self.slice_fuel);
        let run =
            async move { Box::pin(run(&engine, services, window, &passage, slice_fuel)).await };
        let task = AbortOnDropHandle::new(self.guests.spawn(run));
        task.await.unwrap_or_else(|_| Err(stopping()))
    }
}

impl Checker for Checks {
    fn deciding(&self, tenant: &str, component: &str) -> BoxFuture<'_, Option<String>> {
        let (tenant, component) = (tenant.to_owned(), component.to_owned());
        async move {
            let agent = self.resolve(&tenant, &component).await.ok()?;
            let config = serde_json::to_string(&agent.config).ok()?;
            Some(format!("{} {config}", agent.digest))
        }
        .boxed()
    }

    fn check(
        &self,
        tenant: &str,
        component: &str,
        passage: Passage,
    ) -> BoxFuture<'_, Result<Verdict, String>> {
        let (tenant, component) = (tenant.to_owned(), component.to_owned());
        async move {
            let verdict = self.look(&tenant, &component, passage).await;
            verdict.map_err(|failure| sentence(&failure))
        }
        .boxed()
    }
}

/// A failure for operators.
fn sentence(failure: &Failure) -> String {
    let detail = failure.detail.as_deref().and_then(|all| all.lines().next());
    match detail {
        Some(detail) => format!("{:?}: {} ({detail})", failure.code, failure.message),
        None => format!("{:?}: {}", failure.code, failure.message),
    }
}

fn window(tenant: &str, agent: Arc<ResolvedAgent>, services: &Services) -> Window {
    let identity = Identity {
        tenant: tenant.to_owned(),
        turn: format!("check-{}", uuid::Uuid::now_v7()),
        channel: "guardrail".to_owned(),
        conversation: None,
        user: None,
        hops: 0,
    };
    let feed = Arc::new(Feed::new(identity.turn.clone()));
    let journal = Journal::compare(Vec::new(), Comparison::of_no_turn());
    let deadline = Deadline::after_ms(agent.limits.wall_ms);
    let now_ns = now_ms().unsigned_abs().saturating_mul(1_000_000);
    let store = Arc::clone(&services.store);
    Window::new(identity, agent, store, feed, journal, now_ns, deadline)
}

async fn run(
    engine: &Engine,
    services: Arc<Services>,
    window: Window,
    passage: &Passage,
    slice_fuel: u64,
) -> Result<Verdict, Failure> {
    let agent = Arc::clone(window.agent());
    let deadline = window.deadline().clone();
    let stdio = Stdio::new(agent.limits.log_bytes);
    // The same texts get the same verdict.
    let seed = [0; 32];
    let mut store = new_store(engine, services, window, seed, slice_fuel, &stdio)
        .map_err(|(_, error)| Failure::of_trap(&error, false, false))?;
    let work = Box::pin(call(&mut store, &agent, passage));
    let outcome = within(work, &deadline, &KillSwitch::default()).await;
    let verdict = outcome_of(outcome, &store);
    let mut window = store.into_data().window;
    log_stdio(&mut window, &stdio);
    for line in window.close().journal.log {
        tell(&agent.name, &line);
    }
    verdict
}

async fn call(
    store: &mut Store<HostState>,
    agent: &ResolvedAgent,
    passage: &Passage,
) -> wasmtime::Result<Result<Verdict, Failure>> {
    let Some(indices) = &agent.component.guardrail else {
        return Ok(Err(lacks("guardrail")));
    };
    let instance = match instantiate(store, &agent.component).await? {
        Ok(instance) => instance,
        Err(failure) => return Ok(Err(failure)),
    };
    let guest = indices.load(&mut *store, &instance)?;
    let verdict = guest.call_check(&mut *store, passage).await?;
    Ok(verdict.map_err(Failure::of_agent))
}

/// Says a line of a component to the operator: there is no turn to keep it with.
fn tell(component: &str, line: &LogLine) {
    let LogLine {
        level,
        message,
        fields,
        ..
    } = line;
    match level.as_str() {
        "error" | "warn" => tracing::warn!(component, level, fields, "{message}"),
        "info" => tracing::info!(component, fields, "{message}"),
        _ => tracing::debug!(component, fields, "{message}"),
    }
}
