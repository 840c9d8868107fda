//! When a turn runs: in order within its conversation, and only so many at a
//! time, of one agent and in all. What must wait waits in a bounded queue.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;
use tracing::error;

use super::feed::{FeedEvent, Feeds};
use super::runner::{Job, Replay, Replayed, Rested, Runner, Start};
use crate::config;
use crate::killpoint;
use crate::runtime::Input;
use crate::store::{Store, TurnRow, Woken};

/// A place in the queue. Who has none is busy.
pub struct Seat(#[expect(dead_code, reason = "held, then dropped")] OwnedSemaphorePermit);

/// Decides which turn runs when.
pub struct Scheduler {
    runner: Arc<Runner>,
    store: Arc<Store>,
    feeds: Arc<Feeds>,
    /// The threads that run guests; sockets are served elsewhere.
    guests: Handle,
    seats: Arc<Semaphore>,
    places: Arc<Semaphore>,
    lanes: Mutex<HashMap<Lane, VecDeque<Waiting>>>,
    agent_places: Mutex<HashMap<String, Weak<Places>>>,
    tasks: TaskTracker,
}

/// Tenant and conversation.
type Lane = (String, String);

struct Waiting {
    /// Boxed, because each future through which it goes would keep its size.
    job: Box<Job>,
    /// None for a turn that was accepted long ago.
    seat: Option<Seat>,
    since: Instant,
}

/// The places of one agent.
struct Places {
    size: u64,
    free: Arc<Semaphore>,
}

impl Scheduler {
    /// A scheduler that runs turns on `guests`.
    pub fn new(
        runner: Arc<Runner>,
        store: Arc<Store>,
        feeds: Arc<Feeds>,
        guests: Handle,
        turns: &config::Turns,
    ) -> Self {
        Self {
            runner,
            store,
            feeds,
            guests,
            seats: Arc::new(Semaphore::new(turns.queue.clamp(1, Semaphore::MAX_PERMITS))),
            places: Arc::new(Semaphore::new(turns.concurrent.max(1) as usize)),
            lanes: Mutex::default(),
            agent_places: Mutex::default(),
            tasks: TaskTracker::new(),
        }
    }

    /// Takes a place in the queue; none if it is full.
    pub fn seat(&self) -> Option<Seat> {
        Arc::clone(&self.seats).try_acquire_owned().ok().map(Seat)
    }

    /// Waits for a place in the queue, for turns that are stored already.
    pub async fn wait_for_seat(&self) -> Option<Seat> {
        Arc::clone(&self.seats).acquire_owned().await.ok().map(Seat)
    }

    /// Lets a turn run when it is its turn. Turns of one conversation run in
    /// the order of these calls.
    pub fn enqueue(self: &Arc<Self>, job: Job, seat: Seat) {
        let waiting = Waiting::new(job, Some(seat));
        let Some(lane) = waiting.job.lane() else {
            return self.start(waiting, None);
        };
        {
            let mut lanes = self.lanes();
            if let Some(queue) = lanes.get_mut(&lane) {
                let ahead = queue.len() as u64 + 1;
                waiting.job.feed.push(FeedEvent::Queued { ahead });
                queue.push_back(waiting);
                return;
            }
            lanes.insert(lane.clone(), VecDeque::new());
        }
        self.start(waiting, Some(lane));
    }

    /// Runs an ended turn again from its journal, on the threads that run
    /// guests.
    ///
    /// # Errors
    ///
    /// As [`Runner::replay`].
    pub async fn replay(&self, tenant: &str, turn: &str, how: Replay) -> Result<Replayed> {
        let (runner, tenant, turn) = (Arc::clone(&self.runner), tenant.to_owned(), turn.to_owned());
        self.guests
            .spawn(async move { runner.replay(&tenant, &turn, how).await })
            .await?
    }

    /// Changes the words of a message whose turn is queued behind another; false
    /// if there is none.
    pub fn correct(&self, turn: &str, text: &str) -> bool {
        let mut lanes = self.lanes();
        let mut queued = lanes.values_mut().flatten();
        let found = queued.find(|waiting| waiting.job.identity.turn == turn);
        let Some(Input::Chat(message)) = found.map(|waiting| &mut waiting.job.input) else {
            return false;
        };
        text.clone_into(&mut message.text);
        true
    }

    /// Lets a waiting turn go on if what it waits for is there. May be said more
    /// often than is needed.
    ///
    /// # Errors
    ///
    /// If the store fails; the turn is woken at the next start then.
    pub async fn wake(self: &Arc<Self>, tenant: &str, turn: &str) -> Result<()> {
        if let Some(feed) = self.feeds.get(turn) {
            feed.nudge.notify_one();
        }
        let this = Arc::clone(self);
        let woken = move |woken: &Option<Woken>| {
            if let Some(woken) = woken {
                this.take_up(woken, false);
            }
        };
        self.store.wake(tenant, turn, false, woken).await
    }

    /// Stops a turn that has not ended, and the turns that it waits for.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub async fn cancel(self: &Arc<Self>, tenant: &str, turn: &str) -> Result<()> {
        self.pull(turn);
        let asked = self.store.turns_asked(tenant, turn).await?;
        let (this, id) = (Arc::clone(self), turn.to_owned());
        let woken = move |woken: &Option<Woken>| match woken {
            Some(woken) => this.take_up(woken, true),
            // It may have been taken up a moment ago.
            None => this.pull(&id),
        };
        self.store.wake(tenant, turn, true, woken).await?;
        for asked in asked {
            Box::pin(self.cancel(tenant, &asked)).await?;
        }
        Ok(())
    }

    fn pull(&self, turn: &str) {
        if let Some(feed) = self.feeds.get(turn) {
            feed.kill.pull();
        }
    }

    /// Tells those who wait for a turn that its message was taken up.
    pub fn taken_up(&self, turn: &str) {
        if let Some(feed) = self.feeds.get(turn) {
            feed.push(FeedEvent::Completed);
            self.feeds.close(turn);
        }
    }

    /// Runs a turn that was woken, and after it what came behind it meanwhile.
    fn take_up(self: &Arc<Self>, woken: &Woken, to_cancel: bool) {
        killpoint::reached(killpoint::Place::Woken);
        let Some(first) = self.job_of(&woken.turn, Start::Woken) else {
            return;
        };
        if to_cancel {
            first.feed.kill.pull();
        }
        let lane = first.lane().filter(|_| woken.holds_conversation);
        if let Some(lane) = &lane {
            let behind = woken.behind.iter();
            let jobs = behind.filter_map(|row| self.job_of(row, Start::First));
            let behind = jobs.map(|job| Waiting::new(job, None)).collect();
            self.lanes().insert(lane.clone(), behind);
        }
        self.start(Waiting::new(first, None), lane);
    }

    fn job_of(&self, row: &TurnRow, start: Start) -> Option<Job> {
        let feed = self
            .feeds
            .open_again(&row.id, row.attempts + row.suspensions);
        match Job::of_row(row, feed) {
            // One that began in an earlier process goes on where that was.
            Ok(job) if row.version.is_some() && start == Start::First => Some(job),
            Ok(job) => Some(Job { start, ..job }),
            Err(error) => {
                error!(turn = row.id, error = %format!("{error:#}"), "a stored turn cannot be read");
                None
            }
        }
    }

    /// Turns that run or wait.
    pub fn load(&self) -> usize {
        self.tasks.len()
    }

    /// Waits until nothing runs, at most `timeout`; answers whether that came.
    pub async fn drain(&self, timeout: Duration) -> bool {
        self.tasks.close();
        tokio::time::timeout(timeout, self.tasks.wait())
            .await
            .is_ok()
    }

    fn start(self: &Arc<Self>, first: Waiting, lane: Option<Lane>) {
        let this = Arc::clone(self);
        self.tasks.spawn_on(
            async move {
                let mut next = Some(first);
                while let Some(waiting) = next {
                    if this.run(waiting).await != Rested::Ended {
                        // Its conversation is let go, and taken up when it wakes.
                        return;
                    }
                    next = lane.as_ref().and_then(|lane| this.next_of(lane));
                }
            },
            &self.guests,
        );
    }

    async fn run(self: &Arc<Self>, waiting: Waiting) -> Rested {
        let Waiting { job, seat, since } = waiting;
        if job.feed.has_ended() {
            // Its message was taken up by the turn before it.
            self.feeds.close(&job.identity.turn);
            return Rested::Ended;
        }
        let places = self.places_of(&job).await;
        let of_agent = match &places {
            Some(places) => Arc::clone(&places.free).acquire_owned().await.ok(),
            None => None,
        };
        let of_all = Arc::clone(&self.places).acquire_owned().await.ok();
        drop(seat);
        let (this, lane) = (Arc::clone(self), job.lane());
        let let_go = move |_: &bool| {
            if let Some(lane) = &lane {
                // What is behind is stored.
                this.lanes().remove(lane);
            }
        };
        let rested = self.runner.run(&job, since.elapsed(), let_go).await;
        drop((of_agent, of_all));
        let next = match (&job.parent, rested) {
            (Some(parent), Rested::Ended) => Some(&parent.turn),
            (_, Rested::Waiting { ready: true }) => Some(&job.identity.turn),
            _ => None,
        };
        if let Some(turn) = next
            && let Err(error) = self.wake(&job.identity.tenant, turn).await
        {
            error!(turn, error = %format!("{error:#}"), "a turn cannot be woken; it is at the next start");
        }
        rested
    }

    /// The places of the job's agent; none if it cannot be loaded, which the
    /// runner will say.
    async fn places_of(&self, job: &Job) -> Option<Arc<Places>> {
        let tenant = &job.identity.tenant;
        let size = self
            .runner
            .agents()
            .concurrent_turns(tenant, &job.agent)
            .await?;
        let key = format!("{tenant}/{}", job.agent);
        let mut all = self
            .agent_places
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = all
            .get(&key)
            .and_then(Weak::upgrade)
            .filter(|places| places.size == size)
        {
            return Some(places);
        }
        all.retain(|_, places| places.strong_count() > 0);
        let permits = usize::try_from(size)
            .unwrap_or(usize::MAX)
            .clamp(1, Semaphore::MAX_PERMITS);
        let places = Arc::new(Places {
            size,
            free: Arc::new(Semaphore::new(permits)),
        });
        all.insert(key, Arc::downgrade(&places));
        Some(places)
    }

    /// The next turn of a conversation; without one its lane closes.
    fn next_of(&self, lane: &Lane) -> Option<Waiting> {
        let mut lanes = self.lanes();
        let next = lanes.get_mut(lane).and_then(VecDeque::pop_front);
        if next.is_none() {
            lanes.remove(lane);
        }
        next
    }

    fn lanes(&self) -> MutexGuard<'_, HashMap<Lane, VecDeque<Waiting>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn new(job: Job, seat: Option<Seat>) -> Self {
        Self {
            job: Box::new(job),
            seat,
            since: Instant::now(),
        }
    }
}

impl Job {
    fn lane(&self) -> Option<Lane> {
        let conversation = self.identity.conversation.clone()?;
        Some((self.identity.tenant.clone(), conversation))
    }
}
