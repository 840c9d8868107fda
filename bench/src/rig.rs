//! A host in this process and what it takes to run turns through its runtime alone: through the
//! window with its real services, the journal kept in memory, without inbox, scheduler and store.

use std::sync::Arc;
use std::time::Duration;

use anchorhold::app::Host;
use anchorhold::clock::now_ms;
use anchorhold::config::{Config, Limits};
use anchorhold::runtime::bindings::types;
use anchorhold::runtime::{
    self, Agents, Components, Deadline, Engine, FailureCode, Finished, Input, KillSwitch, Output,
    ResolvedAgent, Run,
};
use anchorhold::store::DEFAULT_TENANT;
use anchorhold::turn::{Feed, Identity, Journal, Window};
use anyhow::{Result, anyhow, bail};

use crate::place::Place;

/// Fuel of a slice as `[turns] slice_fuel` has it by default.
const SLICE_FUEL: u64 = 500_000;

pub(crate) struct Rig {
    pub(crate) host: Arc<Host>,
    pub(crate) agents: Agents,
    engine: Engine,
}

impl Rig {
    /// A host that has these agents.
    pub(crate) async fn start(place: &Place, agents: &[&str]) -> Result<Self> {
        for agent in agents {
            place.plug(agent)?;
        }
        let host = Host::start(place.config("")?).await?;
        for agent in agents {
            while host
                .agents
                .chat_trigger(DEFAULT_TENANT, agent)
                .await?
                .is_none()
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        Self::beside(host)
    }

    /// An engine and a cache of our own beside those of the host, which it keeps to itself.
    pub(crate) fn beside(host: Arc<Host>) -> Result<Self> {
        let Config {
            limits,
            turns,
            registry,
            ..
        } = host.config.clone();
        let engine = Engine::new(&limits, &turns)?;
        let most = registry.max_compiled_bytes;
        let components = Components::new(engine.clone(), host.store.data_dir(), most)?;
        let store = Arc::clone(&host.store);
        let agents = Agents::new(store, Arc::new(components), registry, limits);
        Ok(Self {
            host,
            agents,
            engine,
        })
    }

    pub(crate) async fn resolve(&self, agent: &str) -> Result<Arc<ResolvedAgent>> {
        let loaded = self.agents.resolve(DEFAULT_TENANT, agent).await;
        Ok(loaded.map_err(|failure| anyhow!("{failure:?}"))?.agent)
    }

    /// One turn of an agent.
    pub(crate) async fn turn(
        &self,
        agent: &Arc<ResolvedAgent>,
        message: &types::Message,
        kill: &KillSwitch,
    ) -> Finished {
        self.run(agent, message, kill, Journal::live(None)).await
    }

    /// The same with a journal of its own.
    pub(crate) async fn run(
        &self,
        agent: &Arc<ResolvedAgent>,
        message: &types::Message,
        kill: &KillSwitch,
        journal: Journal,
    ) -> Finished {
        let identity = Identity {
            tenant: DEFAULT_TENANT.to_owned(),
            turn: message.id.clone(),
            channel: message.channel.clone(),
            conversation: Some(message.conversation.clone()),
            user: Some(message.author.id.clone()),
            hops: 0,
        };
        let feed = Arc::new(Feed::new(message.id.clone()));
        let window = Window::new(
            identity,
            Arc::clone(agent),
            Arc::clone(&self.host.store),
            feed,
            journal,
            now_ms().unsigned_abs() * 1_000_000,
            Deadline::after_ms(agent.limits.wall_ms),
        );
        let services = Arc::clone(&self.host.services);
        let input = Input::Chat(message.clone());
        let run = runtime::run(
            &self.engine,
            services,
            window,
            &input,
            [7; 32],
            SLICE_FUEL,
            kill,
        );
        match run.await {
            Run::Finished(finished) => finished,
            Run::Suspended(_) => unreachable!("nothing that is measured waits"),
        }
    }

    /// One turn that has to end well.
    pub(crate) async fn answer(
        &self,
        agent: &Arc<ResolvedAgent>,
        message: &types::Message,
    ) -> Result<()> {
        let finished = self.turn(agent, message, &KillSwitch::default()).await;
        match finished.outcome {
            Ok(Output::Reply(_)) => Ok(()),
            Ok(_) => bail!("no reply"),
            Err(failure) => bail!("{failure:?}"),
        }
    }
}

/// The code a turn failed with.
pub(crate) fn code(finished: &Finished) -> Option<FailureCode> {
    finished.outcome.as_ref().err().map(|failure| failure.code)
}

/// The same agent with another deadline and fuel enough to reach it.
pub(crate) fn with_deadline(agent: &ResolvedAgent, wall_ms: u64) -> Arc<ResolvedAgent> {
    Arc::new(agent.with_limits(Limits {
        wall_ms,
        fuel: u64::MAX / 4,
        ..agent.limits.clone()
    }))
}

pub(crate) fn message(text: &str) -> types::Message {
    let author = types::Author {
        id: "http:bench".to_owned(),
        name: Some("bench".to_owned()),
    };
    types::Message::new("http", None, author, text.to_owned())
}
