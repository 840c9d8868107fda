//! The inbox: whatever is to become a turn is stored here first, and only then
//! acknowledged by its channel.

use std::sync::Arc;

use anyhow::Result;
use rand::Rng;
use uuid::Uuid;

use crate::clock::now_ms;
use crate::codec;
use crate::killpoint;
use crate::runtime::Input;
use crate::store::{
    Accepted, DeliveryKey, Durability, Idempotency, NewMessage, NewTurn, Parent, Store,
};
use crate::turn::{Feed, FeedEvent, Feeds, Identity, Job, Scheduler, Seat, Start};

/// Something that came in.
pub struct Inbound {
    pub tenant: String,
    pub agent: String,
    pub channel: String,
    pub user: Option<String>,
    /// The id of the token that it came by.
    pub token: Option<String>,
    pub input: Input,
    pub idempotency: Option<Idempotency>,
    /// The delivery of an event that it is.
    pub delivery: Option<DeliveryKey>,
    /// The turn that asks for it.
    pub parent: Option<Parent>,
    /// Where the answer is to be delivered, for its channel.
    pub callback: Option<String>,
    /// It is not taken in while another turn of its conversation has not ended.
    pub only_if_idle: bool,
}

/// What became of it.
pub enum Admitted {
    /// It is a turn now, stored, and will run.
    Turn(Arc<Feed>),
    /// The same request came before and is this turn.
    Repeated(String),
    /// The idempotency key was used before with another body.
    KeyReused,
    /// It was not taken in: this turn of its conversation has not ended.
    Busy(String),
}

/// Takes in messages, events and requests.
pub struct Inbox {
    store: Arc<Store>,
    scheduler: Arc<Scheduler>,
    feeds: Arc<Feeds>,
}

impl Inbox {
    /// An inbox whose turns run by `scheduler`.
    pub fn new(store: Arc<Store>, scheduler: Arc<Scheduler>, feeds: Arc<Feeds>) -> Self {
        Self {
            store,
            scheduler,
            feeds,
        }
    }

    /// A place in the queue; none means busy.
    pub fn seat(&self) -> Option<Seat> {
        self.scheduler.seat()
    }

    /// Waits for a place in the queue; none when the host stops.
    pub async fn wait_for_seat(&self) -> Option<Seat> {
        self.scheduler.wait_for_seat().await
    }

    /// Stores what came in, synced, and lets it run.
    ///
    /// # Errors
    ///
    /// If the store fails; then nothing was taken in.
    pub async fn admit(&self, inbound: Inbound, seat: Seat) -> Result<Admitted> {
        self.store_and_run(inbound, seat, Durability::Synced).await
    }

    /// The same without waiting for the disk, for a channel whose only
    /// acknowledgment is the answer: the answer is stored after the message, so
    /// the sync that it waits for covers both. Whoever acknowledges sooner must
    /// wait for [`Store::settle`] first.
    ///
    /// # Errors
    ///
    /// As `admit`.
    pub async fn admit_until_answered(&self, inbound: Inbound, seat: Seat) -> Result<Admitted> {
        self.store_and_run(inbound, seat, Durability::Written).await
    }

    /// The message of a turn was taken up by the turn before it.
    pub fn taken_up(&self, turn: &str) {
        self.scheduler.taken_up(turn);
    }

    /// Tells of a turn whether it was told to stop.
    pub fn is_to_stop(&self) -> impl Fn(&str) -> bool + Send + 'static {
        let feeds = Arc::clone(&self.feeds);
        move |turn| feeds.get(turn).is_some_and(|feed| feed.kill.is_pulled())
    }

    /// Makes a turn of what came in, to be stored by the caller together with
    /// something else. The second answer lets it run and is called when it is
    /// stored.
    ///
    /// # Errors
    ///
    /// If it cannot be represented.
    pub fn prepare(
        &self,
        inbound: Inbound,
        seat: Seat,
    ) -> Result<(NewTurn, impl FnOnce(&Accepted) + Send + 'static)> {
        let (turn, job) = new_job(inbound)?;
        let run = self.when_accepted(job, seat);
        Ok((turn, run))
    }

    async fn store_and_run(
        &self,
        inbound: Inbound,
        seat: Seat,
        durability: Durability,
    ) -> Result<Admitted> {
        let (turn, job) = new_job(inbound)?;
        let feed = Arc::clone(&job.feed);
        let run = self.when_accepted(job, seat);
        let accepted = self.store.accept_turn(turn, durability, run).await;
        Ok(match accepted? {
            Accepted::New { .. } => Admitted::Turn(feed),
            Accepted::Repeated { turn } => Admitted::Repeated(turn),
            Accepted::KeyReused => Admitted::KeyReused,
            Accepted::Busy { turn } => Admitted::Busy(turn),
        })
    }

    /// Lets a turn run when it is accepted; behind one that waits it is stored
    /// only, and runs after that.
    fn when_accepted(&self, job: Job, seat: Seat) -> impl FnOnce(&Accepted) + Send + 'static {
        let (scheduler, feeds) = (Arc::clone(&self.scheduler), Arc::clone(&self.feeds));
        move |accepted| {
            let Accepted::New { position, behind } = *accepted else {
                return;
            };
            feeds.add(&job.feed);
            if behind {
                job.feed.push(FeedEvent::Waiting);
                return;
            }
            killpoint::reached(killpoint::Place::Accepted);
            scheduler.enqueue(Job { position, ..job }, seat);
        }
    }
}

fn new_job(inbound: Inbound) -> Result<(NewTurn, Job)> {
    let turn = new_turn(&Uuid::now_v7().to_string(), &inbound)?;
    let message = turn.message.as_ref();
    let job = Job {
        identity: Identity {
            tenant: inbound.tenant,
            turn: turn.id.clone(),
            channel: inbound.channel,
            conversation: message.map(|message| message.conversation.clone()),
            user: inbound.user,
            hops: inbound.parent.as_ref().map_or(0, |parent| parent.hops),
        },
        agent: inbound.agent,
        seed: turn.seed,
        position: None,
        input: inbound.input,
        token: turn.token.clone(),
        parent: inbound.parent,
        callback: inbound.callback,
        created_at: turn.created_at,
        start: Start::First,
        feed: Arc::new(Feed::new(turn.id.clone())),
    };
    Ok((turn, job))
}

fn new_turn(id: &str, inbound: &Inbound) -> Result<NewTurn> {
    let mut seed = [0; 32];
    rand::rng().fill_bytes(&mut seed);
    let message = match &inbound.input {
        Input::Chat(message) => Some(NewMessage {
            id: message.id.clone(),
            conversation: message.conversation.clone(),
            author_name: message.author.name.clone(),
            text: message.text.clone(),
        }),
        Input::Event(_) | Input::Web(_) => None,
    };
    Ok(NewTurn {
        tenant: inbound.tenant.clone(),
        id: id.to_owned(),
        kind: inbound.input.kind(),
        agent: inbound.agent.clone(),
        channel: inbound.channel.clone(),
        user: inbound.user.clone(),
        token: inbound.token.clone(),
        seed,
        input: codec::encode(&inbound.input)?,
        message,
        idempotency: inbound.idempotency.clone(),
        delivery: inbound.delivery.clone(),
        parent: inbound.parent.clone(),
        callback: inbound.callback.clone(),
        only_if_idle: inbound.only_if_idle,
        created_at: now_ms(),
    })
}
