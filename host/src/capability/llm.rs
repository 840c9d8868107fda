//! `llm`: language models. The effect is the gateway's; this file passes the
//! window, with the most that each call can take.

mod bill;
mod cached;
mod generations;

use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::{HasData, Resource, ResourceTable};
use wasmtime::format_err;

use crate::gate::Gate;
use crate::guard::{Guard, Guards, Whose};
use crate::llm::Gateway;
use crate::registry::Grant;
use crate::runtime::bindings::llm;
use crate::runtime::{HostState, Waiting};
use crate::store::{Estimate, Store, UsageRow};
use crate::turn::{Call, Commit, Long, PATIENCE, Window};

pub use generations::{GenerationHandle, Generations};

use bill::{left_of, parked, refused, unknown_budgets, usage_of_answer, usage_of_texts};
use cached::{Slot, usage_of_hit};
use generations::{CutOff, Making, Open, too_many_open};

/// So long an instance waits for a model where many do: a burst must not touch
/// the memory of thousands.
const SHORT_PATIENCE: Duration = Duration::from_millis(20);

/// The event of a guest's call, before anything is done about it.
pub const ASKED: &str = "llm asked";

/// The view of a turn that `llm` needs.
pub(crate) struct Llm<'a> {
    window: &'a mut Window,
    table: &'a mut ResourceTable,
    generations: &'a mut Generations,
    gateway: &'a Gateway,
    guards: &'a Guards,
    store: &'a Arc<Store>,
    waiting: &'a Waiting,
}

pub(crate) struct HasLlm;

impl HasData for HasLlm {
    type Data<'a> = Llm<'a>;
}

impl<'a> Llm<'a> {
    pub(crate) fn of(state: &'a mut HostState) -> Self {
        let (window, table, generations, services) = state.parts();
        Self {
            window,
            table,
            generations,
            gateway: &services.gateway,
            guards: &services.guards,
            store: &services.store,
            waiting: &services.waiting,
        }
    }

    /// Answers with what was answered before.
    async fn give_again(
        &mut self,
        request: &llm::Request,
        response: llm::Response,
    ) -> wasmtime::Result<Result<llm::Response, llm::Error>> {
        let window = &mut *self.window;
        let call = Call {
            kind: "llm.generate",
            grant: Some(Grant::Llm(&request.model)),
            args: request,
        };
        let (seq, started) = (window.next_call(), Instant::now());
        let usage = usage_of_hit(&response, seq);
        let given = async { Ok(response) };
        let answer = window.perform(call, Commit::Later, given).await?;
        if answer.is_ok() {
            window.charge(usage, started.elapsed());
        }
        Ok(answer)
    }

    /// What requests of this agent and their answers must pass.
    fn guard(&self) -> Guard {
        let identity = self.window.identity();
        self.guards.of(Whose {
            tenant: identity.tenant.clone(),
            agent: self.window.agent().name.clone(),
            conversation: identity.conversation.clone(),
            user: identity.user.clone(),
        })
    }

    fn id(&self, handle: &Resource<GenerationHandle>) -> wasmtime::Result<u32> {
        Ok(self.table.get(handle)?.id)
    }
}

impl llm::Host for Llm<'_> {
    async fn generate(
        &mut self,
        request: llm::Request,
    ) -> wasmtime::Result<Result<llm::Response, llm::Error>> {
        tracing::trace!(name: ASKED, model = request.model);
        let guard = self.guard();
        let slot = Slot::of(&request, self.window, self.gateway, &guard).await;
        if let Some(slot) = slot.as_ref().filter(|_| !self.window.is_next_recorded())
            && let Some(response) = slot.look_up(self.store).await
        {
            return self.give_again(&request, response).await;
        }
        let Self {
            window,
            generations,
            gateway,
            waiting,
            store,
            ..
        } = self;
        let call = Call {
            kind: "llm.generate",
            grant: Some(Grant::Llm(&request.model)),
            args: &request,
        };
        let seq = window.next_call();
        let estimate = gateway.estimate_of_answer(&request);
        let none_open = generations.is_empty();
        let (gate, making) = (Gate::default(), &mut generations.making);
        let effect = || {
            let beginning = gateway.begin(request.clone(), &guard, gate.clone());
            waiting.during(async move {
                let making = making.insert(Making::new(beginning?, seq));
                making.beginning.answer().await
            })
        };
        let patience = patience(waiting);
        let may_park = || none_open && waiting.are_many();
        let commit = charged(estimate.as_ref(), &gate);
        let long = window.perform_long(call, commit, effect, patience, may_park);
        match long.await? {
            Long::Unanswered(call) => {
                let making = generations.making.take();
                let making = making.ok_or_else(|| format_err!("nobody was asked"))?;
                let bill = window.next_usage(UsageRow::default());
                let keep = slot.map(|slot| (slot, Arc::clone(store)));
                Err(window
                    .park(parked(call, making.beginning, bill, keep))
                    .into())
            }
            Long::Answered(answer) => {
                if let Some(made) = generations.making.take() {
                    let row = usage_of_answer(&made.beginning, &answer, seq);
                    window.charge(row, made.started.elapsed());
                    if let Some(slot) = slot {
                        slot.keep(store, &answer).await;
                    }
                }
                Ok(answer)
            }
        }
    }

    async fn start(
        &mut self,
        request: llm::Request,
    ) -> wasmtime::Result<Result<Resource<GenerationHandle>, llm::Error>> {
        tracing::trace!(name: ASKED, model = request.model);
        let guard = self.guard();
        let Self {
            window,
            generations,
            gateway,
            table,
            ..
        } = self;
        let is_full = generations.is_full();
        let id = generations.next_id();
        let call = Call {
            kind: "llm.start",
            grant: Some(Grant::Llm(&request.model)),
            args: &request,
        };
        let (seq, started) = (window.next_call(), Instant::now());
        let (estimate, gate) = (gateway.estimate(&request), Gate::default());
        // What cannot be opened reserves nothing.
        let commit = if is_full {
            Commit::Later
        } else {
            charged(estimate.as_ref(), &gate)
        };
        let mut generation = None;
        let made = &mut generation;
        let effect = |_| {
            let beginning = if is_full {
                Err(too_many_open())
            } else {
                gateway.begin_stream(request.clone(), &guard, gate.clone())
            };
            // Boxed as everything that is handed on from a guest's stack.
            Box::pin(async move {
                *made = Some(beginning?.accepted().await?);
                Ok(())
            })
        };
        let answer = window.perform_placed(call, commit, effect).await?;
        if let Err(error) = answer {
            charge_refused(window, estimate.as_ref(), seq, started);
            return Ok(Err(error));
        }
        let is_cut_off = generation.is_none() && !window.is_replay();
        let open = Open {
            generation,
            started,
            call: seq,
            estimate,
            cut_off: is_cut_off.then_some(CutOff {
                request,
                guard,
                read: false,
                refused: None,
            }),
        };
        generations.insert(id, open);
        Ok(Ok(table.push(GenerationHandle { id })?))
    }

    async fn wait_any(
        &mut self,
        handles: Vec<Resource<GenerationHandle>>,
    ) -> wasmtime::Result<Result<u32, llm::Error>> {
        let ids = handles
            .iter()
            .map(|handle| self.id(handle))
            .collect::<wasmtime::Result<Vec<u32>>>()?;
        let Self {
            window,
            generations,
            gateway,
            ..
        } = self;
        let call = Call {
            kind: "llm.wait-any",
            grant: None,
            args: &ids,
        };
        for id in &ids {
            generations.pay_again(*id, window, gateway).await?;
        }
        window.asks_of(ids.iter().any(|id| generations.is_made(*id)));
        let effect = generations.any_ready(&ids, gateway);
        Ok(window.perform(call, Commit::Later, effect).await?)
    }

    async fn embed(
        &mut self,
        request: llm::EmbedRequest,
    ) -> wasmtime::Result<Result<llm::EmbedResponse, llm::Error>> {
        let guard = self.guard();
        let Self {
            window, gateway, ..
        } = self;
        let call = Call {
            kind: "llm.embed",
            grant: Some(Grant::Llm(&request.model)),
            args: &request,
        };
        let (seq, started) = (window.next_call(), Instant::now());
        let estimate = gateway.estimate_of_texts(&request);
        let effect = gateway.embed(request.clone(), &guard);
        // Nobody waits at it: nothing of this is prepared.
        let gate = Gate::default();
        let commit = charged(estimate.as_ref(), &gate);
        let answer = window.perform(call, commit, effect).await?;
        match (&answer, estimate) {
            (Ok(response), Some(estimate)) if window.has_reserved(seq) => {
                let charge = gateway.charge(&request.model, &response.usage);
                let row = usage_of_texts(estimate, response, seq, charge);
                window.charge(row, started.elapsed());
            }
            (Err(_), estimate) => charge_refused(window, estimate.as_ref(), seq, started),
            (Ok(_), _) => {}
        }
        Ok(answer)
    }

    async fn budgets(&mut self) -> wasmtime::Result<Result<Vec<llm::Budget>, llm::Error>> {
        let call = Call {
            kind: "llm.budgets",
            grant: None,
            args: &(),
        };
        let mut budgets = vec![self.window.left()];
        let (store, account) = (self.store, self.window.account());
        let effect = async {
            let rows = store.budgets_of(&account).await;
            let rows = rows.map_err(|error| unknown_budgets(&error))?;
            budgets.extend(rows.iter().map(left_of));
            Ok(budgets)
        };
        Ok(self.window.perform(call, Commit::Later, effect).await?)
    }

    async fn list_models(&mut self) -> wasmtime::Result<Result<Vec<llm::ModelInfo>, llm::Error>> {
        let Self {
            window, gateway, ..
        } = self;
        let agent = Arc::clone(window.agent());
        let call = Call {
            kind: "llm.list-models",
            grant: None,
            args: &(),
        };
        let effect = async {
            let allowed = |model: &llm::ModelInfo| agent.grants.allows(Grant::Llm(&model.alias));
            Ok::<_, llm::Error>(gateway.models().into_iter().filter(allowed).collect())
        };
        Ok(window.perform(call, Commit::Later, effect).await?)
    }
}

impl llm::HostGeneration for Llm<'_> {
    async fn next(
        &mut self,
        handle: Resource<GenerationHandle>,
        max: u32,
    ) -> wasmtime::Result<Result<Vec<llm::StreamEvent>, llm::Error>> {
        let id = self.id(&handle)?;
        let Self {
            window,
            generations,
            gateway,
            ..
        } = self;
        let call = Call {
            kind: "llm.next",
            grant: None,
            args: &(id, max),
        };
        generations.pay_again(id, window, gateway).await?;
        window.asks_of(generations.is_made(id));
        let effect = generations.next(id, max.clamp(1, 1_000) as usize, gateway);
        let answer = window.perform(call, Commit::Later, effect).await?;
        generations.has_read(id);
        Ok(answer)
    }

    async fn finish(
        &mut self,
        handle: Resource<GenerationHandle>,
    ) -> wasmtime::Result<Result<llm::Response, llm::Error>> {
        let id = self.table.delete(handle)?.id;
        let Self {
            window,
            generations,
            gateway,
            ..
        } = self;
        let call = Call {
            kind: "llm.finish",
            grant: None,
            args: &id,
        };
        generations.pay_again(id, window, gateway).await?;
        window.asks_of(generations.is_made(id));
        let effect = generations.finish(id, gateway);
        let answer = window.perform(call, Commit::Later, effect).await?;
        generations.close(id, window);
        Ok(answer)
    }

    async fn cancel(&mut self, handle: Resource<GenerationHandle>) -> wasmtime::Result<()> {
        self.window.enter()?;
        let id = self.id(&handle)?;
        self.generations.cancel(id);
        Ok(())
    }

    async fn drop(&mut self, handle: Resource<GenerationHandle>) -> wasmtime::Result<()> {
        let id = self.table.delete(handle)?.id;
        self.generations.close(id, self.window);
        Ok(())
    }
}

/// How long an instance waits for a whole answer.
fn patience(waiting: &Waiting) -> Duration {
    if waiting.are_many() {
        SHORT_PATIENCE
    } else {
        PATIENCE
    }
}

/// Nothing to reserve for a model that is not there: the gateway says so.
fn charged<'a>(estimate: Option<&'a Estimate>, gate: &'a Gate) -> Commit<'a> {
    estimate.map_or(Commit::Intent, |estimate| Commit::Charged(estimate, gate))
}

/// Gives back what was set aside for a call that came to nothing.
fn charge_refused(window: &mut Window, estimate: Option<&Estimate>, call: i64, started: Instant) {
    if let Some(estimate) = estimate
        && window.has_reserved(call)
    {
        window.charge(refused(estimate, call), started.elapsed());
    }
}
