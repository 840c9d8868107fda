//! When a turn runs: in order within its conversation, and only so many at a
//! time, of one agent and in all. What must wait waits in a bounded queue.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use super::runner::{Job, Replay, Replayed, Runner};
use crate::config;

/// A place in the queue. Who has none is busy.
pub struct Seat(#[expect(dead_code, reason = "held, then dropped")] OwnedSemaphorePermit);

/// Decides which turn runs when.
pub struct Scheduler {
    runner: Arc<Runner>,
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
    seat: Seat,
    since: Instant,
}

/// The places of one agent.
struct Places {
    size: u64,
    free: Arc<Semaphore>,
}

impl Scheduler {
    /// A scheduler that runs turns on `guests`.
    pub fn new(runner: Arc<Runner>, guests: Handle, turns: &config::Turns) -> Self {
        Self {
            runner,
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
        let waiting = Waiting {
            job: Box::new(job),
            seat,
            since: Instant::now(),
        };
        let Some(lane) = waiting.job.lane() else {
            return self.start(waiting, None);
        };
        {
            let mut lanes = self.lanes();
            if let Some(queue) = lanes.get_mut(&lane) {
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
                    this.run(waiting).await;
                    next = lane.as_ref().and_then(|lane| this.next_of(lane));
                }
            },
            &self.guests,
        );
    }

    async fn run(&self, waiting: Waiting) {
        let Waiting { job, seat, since } = waiting;
        let places = self.places_of(&job).await;
        let of_agent = match &places {
            Some(places) => Arc::clone(&places.free).acquire_owned().await.ok(),
            None => None,
        };
        let of_all = Arc::clone(&self.places).acquire_owned().await.ok();
        drop(seat);
        self.runner.run(&job, since.elapsed()).await;
        drop((of_agent, of_all));
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

impl Job {
    fn lane(&self) -> Option<Lane> {
        let conversation = self.identity.conversation.clone()?;
        Some((self.identity.tenant.clone(), conversation))
    }
}
