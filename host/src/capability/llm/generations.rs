//! The generations that a turn has open, and each on the bill once, however it
//! ends.

use std::collections::BTreeMap;
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::select_all;
use wasmtime::component::{Resource, ResourceTable};

use super::bill::{refused, usage_of};
use crate::guard::Guard;
use crate::llm::{Beginning, Gateway, Generation};
use crate::runtime::bindings::llm;
use crate::store::{Estimate, Exceeded, UsageStatus};
use crate::turn::{Refusable, Stop, Window};

/// Generations of a turn that may be open at once.
const MAX_OPEN: usize = 8;

/// An answer that is being made, as the guest holds it.
pub struct GenerationHandle {
    pub(super) id: u32,
}

/// The generations of a turn.
#[derive(Default)]
pub struct Generations {
    open: BTreeMap<u32, Open>,
    opened: u32,
    /// A whole answer that is waited for.
    pub(super) making: Option<Making>,
}

/// A whole answer that is being made, and the place of the call for it.
pub(super) struct Making {
    pub(super) beginning: Beginning,
    pub(super) call: i64,
    pub(super) started: Instant,
}

impl Making {
    pub(super) fn new(beginning: Beginning, call: i64) -> Self {
        Self {
            beginning,
            call,
            started: Instant::now(),
        }
    }
}

pub(super) struct Open {
    /// None while it is answered from the record.
    pub(super) generation: Option<Generation>,
    pub(super) started: Instant,
    /// The call that started it.
    pub(super) call: i64,
    pub(super) estimate: Option<Estimate>,
    pub(super) cut_off: Option<CutOff>,
}

/// A generation that a crash cut off.
pub(super) struct CutOff {
    pub(super) request: llm::Request,
    pub(super) guard: Guard,
    /// The guest has read of it, so that it cannot begin again.
    pub(super) read: bool,
    /// What has not enough left to begin it again.
    pub(super) refused: Option<Exceeded>,
}

impl GenerationHandle {
    /// Takes the handle from the guest and answers its id.
    pub(in crate::capability) fn take(
        table: &mut ResourceTable,
        handle: Resource<Self>,
    ) -> wasmtime::Result<u32> {
        Ok(table.delete(handle)?.id)
    }
}

impl Generations {
    /// Whether none is open.
    pub(in crate::capability) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether no other may be opened.
    pub(super) fn is_full(&self) -> bool {
        self.open.len() >= MAX_OPEN
    }

    /// The id of the next generation. Taken before its effect, so that ids are
    /// the same in a turn that is answered from its record.
    pub(super) fn next_id(&mut self) -> u32 {
        self.opened += 1;
        self.opened
    }

    pub(super) fn insert(&mut self, id: u32, open: Open) {
        self.open.insert(id, open);
    }

    /// Sets money aside for a generation that a crash cut off and that the next
    /// call begins again.
    pub(in crate::capability) async fn pay_again(
        &mut self,
        id: u32,
        window: &mut Window,
        gateway: &Gateway,
    ) -> Result<(), Stop> {
        let Some(open) = self.open.get_mut(&id) else {
            return Ok(());
        };
        let (None, Some(cut_off)) = (&open.generation, &mut open.cut_off) else {
            return Ok(());
        };
        if cut_off.read || window.has_reserved(open.call) || window.is_next_recorded() {
            return Ok(());
        }
        let Some(estimate) = gateway.estimate(&cut_off.request) else {
            return Ok(());
        };
        cut_off.refused = window.reserve_again(open.call, &estimate).await?.err();
        open.estimate = Some(estimate);
        Ok(())
    }

    /// The generation; one that a crash cut off before the guest read of it
    /// begins again.
    async fn live(&mut self, id: u32, gateway: &Gateway) -> Result<&mut Generation, llm::Error> {
        let ended = || misused("this generation has ended");
        let open = self.open.get_mut(&id).ok_or_else(ended)?;
        if let (None, Some(cut_off)) = (&open.generation, &open.cut_off) {
            if cut_off.read {
                return Err(interrupted());
            }
            if let Some(exceeded) = &cut_off.refused {
                return Err(llm::Error::over_budget(exceeded));
            }
            let begun = gateway.start(cut_off.request.clone(), &cut_off.guard);
            open.generation = Some(begun.await?);
        }
        open.generation.as_mut().ok_or_else(ended)
    }

    /// Whether a generation is being made, and not answered from the record.
    pub(in crate::capability) fn is_made(&self, id: u32) -> bool {
        self.open
            .get(&id)
            .is_some_and(|open| open.generation.is_some())
    }

    /// The guest has what was read of a generation.
    pub(super) fn has_read(&mut self, id: u32) {
        if let Some(Open {
            generation: None,
            cut_off: Some(cut_off),
            ..
        }) = self.open.get_mut(&id)
        {
            cut_off.read = true;
        }
    }

    pub(super) async fn next(
        &mut self,
        id: u32,
        max: usize,
        gateway: &Gateway,
    ) -> Result<Vec<llm::StreamEvent>, llm::Error> {
        self.live(id, gateway).await?.next(max).await
    }

    pub(super) async fn finish(
        &mut self,
        id: u32,
        gateway: &Gateway,
    ) -> Result<llm::Response, llm::Error> {
        self.live(id, gateway).await?.finish().await
    }

    pub(super) fn cancel(&mut self, id: u32) {
        let open = self.open.get_mut(&id);
        if let Some(generation) = open.and_then(|open| open.generation.as_mut()) {
            generation.cancel();
        }
    }

    /// The place among `ids` of one that has something to read.
    pub(super) async fn any_ready(
        &mut self,
        ids: &[u32],
        gateway: &Gateway,
    ) -> Result<u32, llm::Error> {
        for (place, id) in ids.iter().enumerate() {
            // What cannot go on says so when it is read.
            if self.open.contains_key(id) && self.live(*id, gateway).await.is_err() {
                return Ok(u32::try_from(place).unwrap_or(u32::MAX));
            }
        }
        let waits: Vec<_> = self
            .open
            .iter_mut()
            .filter_map(|(id, open)| {
                let place = ids.iter().position(|wanted| wanted == id)?;
                let generation = open.generation.as_mut()?;
                let ready = async move {
                    generation.ready().await;
                    place
                };
                Some(ready.boxed())
            })
            .collect();
        if waits.is_empty() {
            return Err(misused("wait-any needs a generation that is open"));
        }
        let (place, _, _) = select_all(waits).await;
        Ok(u32::try_from(place).unwrap_or(u32::MAX))
    }

    /// Takes a generation out and puts it on the bill.
    pub(in crate::capability) fn close(&mut self, id: u32, window: &mut Window) {
        let Some(open) = self.open.remove(&id) else {
            return;
        };
        let took = open.started.elapsed();
        match (open.generation, open.estimate) {
            (Some(generation), _) => {
                let row = usage_of(&generation, open.call, generation.status());
                window.charge(row, took);
            }
            (None, Some(estimate)) if window.has_reserved(open.call) => {
                window.charge(refused(&estimate, open.call), took);
            }
            (None, _) => {}
        }
    }

    /// Puts what is still open on the bill and cancels it: the turn has ended.
    pub(crate) fn settle(&mut self, window: &mut Window) {
        for id in self.open.keys().copied().collect::<Vec<_>>() {
            self.close(id, window);
        }
        if let Some(making) = self.making.take() {
            let generation = making.beginning.generation();
            let row = usage_of(generation, making.call, UsageStatus::Cancelled);
            window.charge(row, making.started.elapsed());
        }
    }

    /// Waits for the end of a generation, handing each piece of visible text
    /// to `show`.
    pub(in crate::capability) async fn forward(
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

fn interrupted() -> llm::Error {
    llm::Error {
        kind: llm::ErrorKind::StreamInterrupted,
        retry: llm::RetryClass::SameRequest,
        ..llm::Error::denied("the host stopped while this answer was being read".to_owned())
    }
}

pub(super) fn too_many_open() -> llm::Error {
    misused(&format!(
        "at most {MAX_OPEN} generations of a turn are open at once; finish or drop one first"
    ))
}

fn misused(message: &str) -> llm::Error {
    llm::Error {
        kind: llm::ErrorKind::InvalidRequest,
        ..llm::Error::denied(message.to_owned())
    }
}
