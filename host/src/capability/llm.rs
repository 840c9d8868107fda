//! `llm`: language models. The effect is the gateway's; this file keeps the
//! generations a turn has open and puts each on the bill once, however it ends.

#![expect(
    clippy::result_large_err,
    reason = "the contract's error is a record; one is made per failed call, not per item"
)]

use std::collections::BTreeMap;
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::select_all;
use wasmtime::component::{HasData, Resource, ResourceTable};

use crate::clock::now_ms;
use crate::llm::{Gateway, Generation};
use crate::registry::Grant;
use crate::runtime::HostState;
use crate::runtime::bindings::llm;
use crate::store::UsageRow;
use crate::turn::{Call, Commit, Refusable, Window};

/// Generations of a turn that may be open at once.
const MAX_OPEN: usize = 8;

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
    /// None in a turn that is answered from its record.
    generation: Option<Generation>,
    started: Instant,
}

impl Generations {
    /// The id of the next generation. Taken before its effect, so that ids are
    /// the same in a turn that is answered from its record.
    fn next_id(&mut self) -> u32 {
        self.opened += 1;
        self.opened
    }

    fn add(&mut self, id: u32, generation: Option<Generation>, started: Instant) {
        let open = Open {
            generation,
            started,
        };
        self.open.insert(id, open);
    }

    fn live(&mut self, id: u32) -> Result<&mut Generation, llm::Error> {
        self.open
            .get_mut(&id)
            .and_then(|open| open.generation.as_mut())
            .ok_or_else(|| internal("this generation has ended"))
    }

    /// Takes a generation out and puts it on the bill.
    pub(super) fn close(&mut self, id: u32, window: &mut Window) {
        let Some(Open {
            generation: Some(generation),
            started,
        }) = self.open.remove(&id)
        else {
            return;
        };
        let usage = generation.usage();
        let number = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
        let row = UsageRow {
            seq: 0,
            agent: String::new(),
            user_id: None,
            channel: String::new(),
            provider: generation.provider().to_owned(),
            model: generation.model().to_owned(),
            input_tokens: number(usage.input_tokens),
            output_tokens: number(usage.output_tokens),
            estimated: usage.estimated,
            cost_micro_usd: usage.cost_micro_usd.map(number),
            at: now_ms(),
        };
        window.charge(row, started.elapsed());
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
        mut show: impl FnMut(String),
    ) -> Result<llm::Response, llm::Error> {
        let generation = self.live(id)?;
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
            ..
        } = self;
        let call = Call {
            kind: "llm.generate",
            grant: Some(Grant::Llm(&request.model)),
            args: &request,
        };
        let id = generations.next_id();
        let effect = async {
            let started = Instant::now();
            let generation = gateway.start(request.clone()).await?;
            generations.add(id, Some(generation), started);
            generations.live(id)?.finish().await
        };
        let answer = window.perform(call, Commit::Intent, effect).await?;
        generations.close(id, window);
        Ok(answer)
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
        } = self;
        let full = generations.open.len() >= MAX_OPEN;
        let id = generations.next_id();
        let call = Call {
            kind: "llm.start",
            grant: Some(Grant::Llm(&request.model)),
            args: &request,
        };
        let started = Instant::now();
        let mut generation = None;
        let effect = async {
            if full {
                return Err(too_many_open());
            }
            generation = Some(gateway.start(request.clone()).await?);
            Ok(())
        };
        let answer = window.perform(call, Commit::Intent, effect).await?;
        Ok(match answer {
            Ok(()) => {
                generations.add(id, generation, started);
                Ok(table.push(GenerationHandle { id })?)
            }
            Err(error) => Err(error),
        })
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
            ..
        } = self;
        let call = Call {
            kind: "llm.wait-any",
            grant: None,
            args: &ids,
        };
        let effect = async {
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
        let answer = self
            .window
            .perform(call, Commit::Intent, self.gateway.embed(request.clone()))
            .await?;
        if let Ok(response) = &answer
            && !self.window.is_replay()
        {
            let provider = self.gateway.provider_of(&request.model);
            let row = embed_usage(provider.unwrap_or_default(), response);
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
            ..
        } = self;
        let call = Call {
            kind: "llm.next",
            grant: None,
            args: &(id, max),
        };
        let effect = async {
            generations
                .live(id)?
                .next(max.clamp(1, 1_000) as usize)
                .await
        };
        Ok(window.perform(call, Commit::Later, effect).await?)
    }

    async fn finish(
        &mut self,
        handle: Resource<GenerationHandle>,
    ) -> wasmtime::Result<Result<llm::Response, llm::Error>> {
        let id = self.table.delete(handle)?.id;
        let Self {
            window,
            generations,
            ..
        } = self;
        let call = Call {
            kind: "llm.finish",
            grant: None,
            args: &id,
        };
        let effect = async { generations.live(id)?.finish().await };
        let answer = window.perform(call, Commit::Later, effect).await?;
        generations.close(id, window);
        Ok(answer)
    }

    async fn cancel(&mut self, handle: Resource<GenerationHandle>) -> wasmtime::Result<()> {
        self.window.enter()?;
        let id = self.id(&handle)?;
        if let Ok(generation) = self.generations.live(id) {
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

fn embed_usage(provider: &str, response: &llm::EmbedResponse) -> UsageRow {
    let number = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
    UsageRow {
        seq: 0,
        agent: String::new(),
        user_id: None,
        channel: String::new(),
        provider: provider.to_owned(),
        model: response.model.clone(),
        input_tokens: number(response.usage.input_tokens),
        output_tokens: 0,
        estimated: response.usage.estimated,
        cost_micro_usd: response.usage.cost_micro_usd.map(number),
        at: now_ms(),
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
