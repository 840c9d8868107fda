//! `agents`: what agents say to each other. The other turn, the wait for it and
//! the journal entry are stored in one transaction, so that a turn that is run
//! again asks once.

use std::sync::Arc;

use anyhow::Result;
use wasmtime::component::HasData;

use super::error;
use super::llm::Generations;
use crate::inbox::{Inbound, Inbox};
use crate::registry::Grant;
use crate::runtime::bindings::{agents, types};
use crate::runtime::{HostState, Input, Services};
use crate::store::{Accepted, Durability, NewTurn, NewWait, Parent, WaitKind};
use crate::turn::{Call, Recorder, Window};

/// The longest text, in bytes.
const MAX_TEXT_BYTES: usize = 256 << 10;

pub(super) struct Agents<'a> {
    pub(super) window: &'a mut Window,
    pub(super) generations: &'a Generations,
    pub(super) services: &'a Arc<Services>,
}

pub(super) struct HasAgents;

impl HasData for HasAgents {
    type Data<'a> = Agents<'a>;
}

/// A turn of the other agent, and what lets it run when it is stored.
type Prepared = (NewTurn, Box<dyn FnOnce(&Accepted) + Send>);

impl<'a> Agents<'a> {
    pub(super) fn of(state: &'a mut HostState) -> Self {
        let (window, _, generations, services) = state.parts();
        Self {
            window,
            generations,
            services,
        }
    }

    fn errand(&self, agent: &str, text: &str) -> Errand {
        let identity = self.window.identity();
        let asker = &self.window.agent().name;
        let author = types::Author {
            id: format!("agent:{asker}"),
            name: Some(asker.clone()),
        };
        Errand {
            services: Arc::clone(self.services),
            inbound: Inbound {
                tenant: identity.tenant.clone(),
                agent: agent.to_owned(),
                channel: CHANNEL.to_owned(),
                user: identity.user.clone(),
                token: None,
                input: Input::Chat(types::Message::new(CHANNEL, None, author, text.to_owned())),
                idempotency: None,
                delivery: None,
                parent: Some(Parent {
                    turn: identity.turn.clone(),
                    hops: identity.hops + 1,
                }),
                callback: None,
                only_if_idle: false,
            },
        }
    }
}

const CHANNEL: &str = "agents";

/// Something that is to be said to another agent.
struct Errand {
    services: Arc<Services>,
    inbound: Inbound,
}

impl Errand {
    /// Makes a turn of it, unless it cannot be said.
    async fn prepare(self) -> Result<Result<Prepared, types::Error>> {
        if let Err(refusal) = self.check().await? {
            return Ok(Err(refusal));
        }
        let busy = || error(types::ErrorKind::Unavailable, "too much waits to be run");
        let Some(inbox) = self.inbox() else {
            return Ok(Err(busy()));
        };
        let Some(seat) = inbox.seat() else {
            return Ok(Err(busy()));
        };
        let (turn, run) = inbox.prepare(self.inbound, seat)?;
        Ok(Ok((turn, Box::new(run))))
    }

    async fn check(&self) -> Result<Result<(), types::Error>> {
        let Inbound {
            tenant,
            agent,
            input,
            parent,
            ..
        } = &self.inbound;
        let hops = parent.as_ref().map_or(0, |parent| parent.hops);
        if hops > i64::from(self.services.max_hops) {
            let message = format!(
                "agents ask each other at most {} deep; see [turns] max_hops",
                self.services.max_hops
            );
            return Ok(Err(error(types::ErrorKind::LimitExceeded, message)));
        }
        if let Input::Chat(message) = input
            && (message.text.trim().is_empty() || message.text.len() > MAX_TEXT_BYTES)
        {
            let message = format!("the text is 1 to {MAX_TEXT_BYTES} bytes");
            return Ok(Err(error(types::ErrorKind::InvalidInput, message)));
        }
        let known = self.services.store.agent_version(tenant, agent, None);
        Ok(match known.await? {
            Some(_) => Ok(()),
            None => Err(error(
                types::ErrorKind::NotFound,
                format!("there is no agent {agent:?} that answers"),
            )),
        })
    }

    fn inbox(&self) -> Option<Arc<Inbox>> {
        self.services.inbox.get()?.upgrade()
    }
}

impl agents::Host for Agents<'_> {
    async fn ask(
        &mut self,
        agent: String,
        text: String,
    ) -> wasmtime::Result<Result<types::Reply, types::Error>> {
        self.services.sync_before(self.window).await?;
        let errand = self.errand(&agent, &text);
        let (store, identity) = (
            Arc::clone(&self.services.store),
            self.window.identity().clone(),
        );
        let call = Call {
            kind: "agents.ask",
            grant: Some(Grant::Agents(&agent)),
            args: &(&agent, &text),
        };
        let begin = |seq, part| async move {
            let (turn, run) = match errand.prepare().await? {
                Ok(prepared) => prepared,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let wait = NewWait {
                tenant: identity.tenant,
                turn: identity.turn,
                seq,
                kind: WaitKind::Turn,
                question: None,
                due_at: None,
            };
            let begun = |accepted: &Option<Accepted>| {
                if let Some(accepted) = accepted {
                    run(accepted);
                }
            };
            store.begin_wait(wait, Some(turn), part, begun).await?;
            Ok(Ok(()))
        };
        let may_suspend = self.generations.is_empty();
        Ok(self.window.wait(call, may_suspend, None, begin).await?)
    }

    async fn tell(
        &mut self,
        agent: String,
        text: String,
    ) -> wasmtime::Result<Result<String, types::Error>> {
        let errand = self.errand(&agent, &text);
        let store = Arc::clone(&self.services.store);
        let (tenant, teller) = {
            let identity = self.window.identity();
            (identity.tenant.clone(), identity.turn.clone())
        };
        let call = Call {
            kind: "agents.tell",
            grant: Some(Grant::Agents(&agent)),
            args: &(&agent, &text),
        };
        let effect = |recorder: Recorder<String, types::Error>| async move {
            let (turn, run) = match errand.prepare().await? {
                Ok(prepared) => prepared,
                Err(refusal) => {
                    let refused = Err(refusal);
                    store
                        .append_journal(
                            &tenant,
                            &teller,
                            recorder.part(&refused)?,
                            Durability::Written,
                        )
                        .await?;
                    return Ok(refused);
                }
            };
            let told = Ok(turn.id.clone());
            let part = recorder.part(&told)?;
            store.accept_told(turn, part, run).await?;
            Ok(told)
        };
        Ok(self.window.perform_stored(call, effect).await?)
    }
}
