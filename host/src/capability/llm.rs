//! `llm`: language models. The effect is the gateway's; this file keeps the
//! generations a turn has open and puts each on the bill once, however it ends.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either, select, select_all};
use wasmtime::component::{HasData, Resource, ResourceTable};

use crate::clock::now_ms;
use crate::llm::{Beginning, Gateway, Generation, Target, estimate, tokens_of};
use crate::registry::Grant;
use crate::runtime::bindings::llm;
use crate::runtime::{HostState, Waiting};
use crate::store::{JournalPart, UsageRow};
use crate::turn::{Call, Commit, Long, PATIENCE, Parked, ParkedCall, Refusable, Window};

/// Generations of a turn that may be open at once.
const MAX_OPEN: usize = 8;

/// So long an instance waits for a model where many do: a burst must not touch
/// the memory of thousands.
const SHORT_PATIENCE: Duration = Duration::from_millis(20);

/// An answer that is being made, as the guest holds it.
pub struct GenerationHandle {
    id: u32,
}

/// The generations of a turn.
#[derive(Default)]
pub struct Generations {
    open: BTreeMap<u32, Open>,
    opened: u32,
}

struct Open {
    /// None while it is answered from the record.
    generation: Option<Generation>,
    started: Instant,
    /// The call that started it.
    call: i64,
    cut_off: Option<CutOff>,
}

/// A generation that a crash cut off.
struct CutOff {
    request: llm::Request,
    /// The guest has read of it, so that it cannot begin again.
    read: bool,
    /// What the attempt cost that was lost, as far as can be known.
    lost: Option<UsageRow>,
}

impl Generations {
    /// Whether none is open.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// The id of the next generation. Taken before its effect, so that ids are
    /// the same in a turn that is answered from its record.
    fn next_id(&mut self) -> u32 {
        self.opened += 1;
        self.opened
    }

    /// The generation; one that a crash cut off before the guest read of it
    /// begins again.
    async fn live(&mut self, id: u32, gateway: &Gateway) -> Result<&mut Generation, llm::Error> {
        let ended = || internal("this generation has ended");
        let open = self.open.get_mut(&id).ok_or_else(ended)?;
        if let (None, Some(cut_off)) = (&open.generation, &open.cut_off) {
            if cut_off.read {
                return Err(interrupted());
            }
            open.generation = Some(gateway.start(cut_off.request.clone()).await?);
        }
        open.generation.as_mut().ok_or_else(ended)
    }

    /// Whether a generation is being made, and not answered from the record.
    pub(super) fn is_made(&self, id: u32) -> bool {
        self.open
            .get(&id)
            .is_some_and(|open| open.generation.is_some())
    }

    /// The guest has what was read of a generation.
    fn has_read(&mut self, id: u32) {
        if let Some(Open {
            generation: None,
            cut_off: Some(cut_off),
            ..
        }) = self.open.get_mut(&id)
        {
            cut_off.read = true;
        }
    }

    /// Takes a generation out and puts it on the bill.
    pub(super) fn close(&mut self, id: u32, window: &mut Window) {
        let Some(open) = self.open.remove(&id) else {
            return;
        };
        if let Some(lost) = open.cut_off.and_then(|cut_off| cut_off.lost) {
            window.charge(lost, Duration::ZERO);
        }
        let Some(generation) = open.generation else {
            return;
        };
        let row = usage_of(&generation, open.call);
        window.charge(row, open.started.elapsed());
    }

    /// Puts what is still open on the bill and cancels it: the turn has ended.
    pub(crate) fn settle(&mut self, window: &mut Window) {
        for id in self.open.keys().copied().collect::<Vec<_>>() {
            self.close(id, window);
        }
    }

    /// Waits for the end of a generation, handing each piece of visible text
    /// to `show`.
    pub(super) async fn forward(
        &mut self,
        id: u32,
        gateway: &Gateway,
        mut show: impl FnMut(String),
    ) -> Result<llm::Response, llm::Error> {
        let generation = self.live(id, gateway).await?;
        loop {
            let events = generation.next(64).await?;
            if events.is_empty() {
                return generation.finish().await;
            }
            for event in events {
                if let llm::StreamEvent::Text(delta) = event {
                    show(delta.text);
                }
            }
        }
    }
}

/// The view of a turn that `llm` needs.
pub(crate) struct Llm<'a> {
    window: &'a mut Window,
    table: &'a mut ResourceTable,
    generations: &'a mut Generations,
    gateway: &'a Gateway,
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
            waiting: &services.waiting,
        }
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
        let Self {
            window,
            generations,
            gateway,
            waiting,
            ..
        } = self;
        let call = Call {
            kind: "llm.generate",
            grant: Some(Grant::Llm(&request.model)),
            args: &request,
        };
        let (seq, started) = (window.next_call(), Instant::now());
        let mut making = None;
        let effect = waiting.during(async {
            let beginning = making.insert(gateway.begin(request.clone())?);
            beginning.answer().await
        });
        let patience = if waiting.are_many() {
            SHORT_PATIENCE
        } else {
            PATIENCE
        };
        let may_park = || generations.is_empty() && waiting.are_many();
        let long = window.perform_long(call, effect, patience, may_park);
        let long = long.await?;
        if window.repeats() {
            charge_lost(window, lost(gateway, &request, seq));
        }
        match (long, making) {
            (Long::Unanswered(call), Some(making)) => {
                let lost = lost(gateway, &request, seq).map(|row| window.next_usage(row));
                let bill = window.next_usage(UsageRow::default());
                Err(window.park(parked(call, making, bill, lost)).into())
            }
            (Long::Unanswered(_), None) => Err(wasmtime::format_err!("nobody was asked")),
            (Long::Answered(answer), made) => {
                if let Some(accepted) = made.as_ref().and_then(Beginning::generation) {
                    window.charge(usage_of(accepted, seq), started.elapsed());
                }
                Ok(answer)
            }
        }
    }

    async fn start(
        &mut self,
        request: llm::Request,
    ) -> wasmtime::Result<Result<Resource<GenerationHandle>, llm::Error>> {
        let Self {
            window,
            generations,
            gateway,
            table,
            ..
        } = self;
        let full = generations.open.len() >= MAX_OPEN;
        let id = generations.next_id();
        let call = Call {
            kind: "llm.start",
            grant: Some(Grant::Llm(&request.model)),
            args: &request,
        };
        let started = Instant::now();
        let seq = window.next_call();
        let mut generation = None;
        let effect = async {
            if full {
                return Err(too_many_open());
            }
            generation = Some(gateway.start(request.clone()).await?);
            Ok(())
        };
        let answer = window.perform(call, Commit::Intent, effect).await?;
        if window.repeats() {
            charge_lost(window, lost(gateway, &request, seq));
        }
        if let Err(error) = answer {
            return Ok(Err(error));
        }
        let is_cut_off = generation.is_none() && !window.is_replay();
        let open = Open {
            generation,
            started,
            call: seq,
            cut_off: is_cut_off.then(|| CutOff {
                lost: lost(gateway, &request, seq).filter(|_| !window.is_paid(seq)),
                request,
                read: false,
            }),
        };
        generations.open.insert(id, open);
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
        window.asks_of(ids.iter().any(|id| generations.is_made(*id)));
        let effect = async {
            for (place, id) in ids.iter().enumerate() {
                // What cannot go on says so when it is read.
                let is_open = generations.open.contains_key(id);
                if is_open && generations.live(*id, gateway).await.is_err() {
                    return Ok(u32::try_from(place).unwrap_or(u32::MAX));
                }
            }
            let waits: Vec<_> = generations
                .open
                .iter_mut()
                .filter_map(|(id, open)| {
                    let place = ids.iter().position(|wanted| wanted == id)?;
                    let generation = open.generation.as_mut()?;
                    Some(
                        async move {
                            generation.ready().await;
                            place
                        }
                        .boxed(),
                    )
                })
                .collect();
            if waits.is_empty() {
                return Err(internal("wait-any needs a generation that is open"));
            }
            let (place, _, _) = select_all(waits).await;
            Ok(u32::try_from(place).unwrap_or(u32::MAX))
        };
        Ok(window.perform(call, Commit::Later, effect).await?)
    }

    async fn embed(
        &mut self,
        request: llm::EmbedRequest,
    ) -> wasmtime::Result<Result<llm::EmbedResponse, llm::Error>> {
        let call = Call {
            kind: "llm.embed",
            grant: Some(Grant::Llm(&request.model)),
            args: &request,
        };
        let started = Instant::now();
        let seq = self.window.next_call();
        let mut performed = false;
        let effect = async {
            performed = true;
            self.gateway.embed(request.clone()).await
        };
        let answer = self.window.perform(call, Commit::Intent, effect).await?;
        let target = self.gateway.target(&request.model);
        if self.window.repeats() {
            let tokens = estimate(request.input.iter().map(String::len).sum());
            let row = target.clone().map(|target| lost_row(target, tokens, seq));
            charge_lost(self.window, row);
        }
        if let (true, Ok(response), Some(target)) = (performed, &answer, target) {
            let row = embed_usage(target, response, seq);
            self.window.charge(row, started.elapsed());
        }
        Ok(answer)
    }

    async fn list_models(&mut self) -> wasmtime::Result<Result<Vec<llm::ModelInfo>, llm::Error>> {
        let Self {
            window, gateway, ..
        } = self;
        let agent = std::sync::Arc::clone(window.agent());
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
        window.asks_of(generations.is_made(id));
        let effect = async {
            let generation = generations.live(id, gateway).await?;
            generation.next(max.clamp(1, 1_000) as usize).await
        };
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
        window.asks_of(generations.is_made(id));
        let effect = async { generations.live(id, gateway).await?.finish().await };
        let answer = window.perform(call, Commit::Later, effect).await?;
        generations.close(id, window);
        Ok(answer)
    }

    async fn cancel(&mut self, handle: Resource<GenerationHandle>) -> wasmtime::Result<()> {
        self.window.enter()?;
        let id = self.id(&handle)?;
        let open = self.generations.open.get_mut(&id);
        if let Some(generation) = open.and_then(|open| open.generation.as_mut()) {
            generation.cancel();
        }
        Ok(())
    }

    async fn drop(&mut self, handle: Resource<GenerationHandle>) -> wasmtime::Result<()> {
        let id = self.table.delete(handle)?.id;
        self.generations.close(id, self.window);
        Ok(())
    }
}

impl GenerationHandle {
    /// Takes the handle from the guest and answers its id.
    pub(super) fn take(table: &mut ResourceTable, handle: Resource<Self>) -> wasmtime::Result<u32> {
        Ok(table.delete(handle)?.id)
    }
}

/// A call that goes on without an instance: at its end, or when it is cut off,
/// there is its entry if it was answered, and what it cost: `lost` if it was cut
/// off before the provider said anything.
fn parked(
    call: ParkedCall,
    mut making: Beginning,
    bill: UsageRow,
    lost: Option<UsageRow>,
) -> Parked {
    Box::new(move |cut_off: BoxFuture<'static, ()>| {
        async move {
            let mut part = JournalPart::default();
            let answer = select(making.answer().boxed(), cut_off).await;
            if let Either::Left((answer, _)) = &answer {
                part.entries.push(call.entry(answer)?);
            }
            let is_cut_off = matches!(answer, Either::Right(_));
            drop(answer);
            let made = making.generation().map(|made| UsageRow {
                seq: bill.seq,
                agent: bill.agent,
                user_id: bill.user_id,
                channel: bill.channel,
                ..usage_of(made, call.seq())
            });
            part.usage.extend(made.or(lost.filter(|_| is_cut_off)));
            Ok(part)
        }
        .boxed()
    })
}

/// What a generation costs as far as is known.
fn usage_of(generation: &Generation, call: i64) -> UsageRow {
    let usage = generation.usage();
    let number = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
    UsageRow {
        call,
        provider: generation.provider().to_owned(),
        model: generation.model().to_owned(),
        input_tokens: number(usage.input_tokens),
        output_tokens: number(usage.output_tokens),
        estimated: usage.estimated,
        cost_micro_usd: usage.cost_micro_usd.map(number),
        at: now_ms(),
        ..UsageRow::default()
    }
}

/// What a call cost that a crash cut off: what it said is counted, and nothing
/// is known of an answer.
fn lost(gateway: &Gateway, request: &llm::Request, call: i64) -> Option<UsageRow> {
    let target = gateway.target(&request.model)?;
    Some(lost_row(target, tokens_of(request), call))
}

fn lost_row(target: Target, input_tokens: u64, call: i64) -> UsageRow {
    UsageRow {
        call,
        provider: target.provider,
        model: target.model,
        input_tokens: i64::try_from(input_tokens).unwrap_or(i64::MAX),
        estimated: true,
        cost_micro_usd: target.free.then_some(0),
        at: now_ms(),
        ..UsageRow::default()
    }
}

fn charge_lost(window: &mut Window, row: Option<UsageRow>) {
    if let Some(row) = row {
        window.charge(row, Duration::ZERO);
    }
}

fn embed_usage(target: Target, response: &llm::EmbedResponse, call: i64) -> UsageRow {
    let number = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
    UsageRow {
        call,
        provider: target.provider,
        model: response.model.clone(),
        input_tokens: number(response.usage.input_tokens),
        estimated: response.usage.estimated,
        cost_micro_usd: response.usage.cost_micro_usd.map(number),
        at: now_ms(),
        ..UsageRow::default()
    }
}

fn interrupted() -> llm::Error {
    llm::Error {
        kind: llm::ErrorKind::StreamInterrupted,
        retry: llm::RetryClass::SameRequest,
        ..llm::Error::denied("the host stopped while this answer was being read".to_owned())
    }
}

fn internal(message: &str) -> llm::Error {
    llm::Error {
        kind: llm::ErrorKind::InvalidRequest,
        ..llm::Error::denied(message.to_owned())
    }
}

fn too_many_open() -> llm::Error {
    internal(&format!(
        "at most {MAX_OPEN} generations of a turn are open at once; finish or drop one first"
    ))
}
