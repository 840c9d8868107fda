//! What a person sees of a running turn, for everybody who watches it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

use super::question::Question;
use crate::runtime::{Failure, KillSwitch};
use crate::store::TurnSummary;

/// One thing to see. Its place in the feed, from 1, is its event id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum FeedEvent {
    /// Messages of the same conversation are answered before it.
    #[serde(rename = "turn.queued")]
    Queued { ahead: u64 },
    #[serde(rename = "turn.started")]
    Started,
    #[serde(rename = "text.delta")]
    Text { text: String },
    /// Forget the text so far.
    #[serde(rename = "text.reset")]
    Reset,
    #[serde(rename = "tool.started")]
    ToolStarted { id: String, title: String },
    #[serde(rename = "tool.completed")]
    ToolCompleted {
        id: String,
        title: String,
        failed: bool,
        detail: Option<String>,
    },
    /// A person is asked; `call` is the place of the question in its turn.
    #[serde(rename = "approval.requested")]
    Asked { call: i64, question: Question },
    /// The turn gave up its instance and goes on when what it waits for is there.
    #[serde(rename = "turn.waiting")]
    Waiting,
    #[serde(rename = "turn.completed")]
    Completed,
    #[serde(rename = "turn.failed")]
    Failed { error: Failure },
    #[serde(rename = "turn.cancelled")]
    Cancelled,
}

impl FeedEvent {
    /// Whether nothing comes after it.
    pub fn is_last(&self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Failed { .. } | Self::Cancelled
        )
    }
}

/// The feed of one turn.
pub struct Feed {
    pub turn: String,
    pub kill: KillSwitch,
    /// What the turn waits for may be there.
    pub nudge: Notify,
    /// How much of what a guest shows by itself was shown: a run that repeats
    /// another shows only what comes after that.
    shown_calls: AtomicU64,
    events: Mutex<Vec<FeedEvent>>,
    length: watch::Sender<usize>,
    end: OnceLock<TurnSummary>,
    /// The id before that of the first event. Another start of a turn gets a
    /// higher one, so that who followed an earlier start is told to forget it.
    base: usize,
}

/// More events than a start of a turn has.
const IDS_OF_A_START: usize = 1_000_000_000;

impl Feed {
    /// An empty feed.
    pub fn new(turn: String) -> Self {
        Self {
            turn,
            kill: KillSwitch::default(),
            nudge: Notify::new(),
            shown_calls: AtomicU64::new(0),
            events: Mutex::default(),
            length: watch::Sender::new(0),
            end: OnceLock::new(),
            base: 0,
        }
    }

    /// The feed of a turn that was started `starts` times before.
    fn again(turn: String, starts: i64) -> Self {
        let starts = usize::try_from(starts).unwrap_or(0);
        let feed = Self {
            base: starts.saturating_mul(IDS_OF_A_START),
            ..Self::new(turn)
        };
        if starts > 0 {
            feed.push(FeedEvent::Reset);
        }
        feed
    }

    /// Adds an event; nothing comes after the last. Pieces of text that nobody
    /// has read yet are joined.
    pub fn push(&self, event: FeedEvent) {
        let length = {
            let mut events = self.events();
            if events.last().is_some_and(FeedEvent::is_last) {
                return;
            }
            match (events.last_mut(), event) {
                (Some(FeedEvent::Text { text }), FeedEvent::Text { text: more })
                    if self.length.receiver_count() == 0 =>
                {
                    text.push_str(&more);
                }
                (_, event) => events.push(event),
            }
            events.len()
        };
        self.length.send_replace(length);
    }

    /// A run begins; the first one is told.
    pub fn begin(&self) {
        let has_begun = self.events().contains(&FeedEvent::Started);
        if !has_begun {
            self.push(FeedEvent::Started);
        }
    }

    /// Adds what the guest shows by its `call`-th call that shows something,
    /// unless an earlier run of the turn showed it here.
    pub fn show(&self, call: u64, event: FeedEvent) {
        if self.shown_calls.fetch_max(call, Ordering::Relaxed) < call {
            self.push(event);
        }
    }

    /// The text as it was shown.
    pub fn shown_text(&self) -> String {
        let mut shown = String::new();
        for event in self.events().iter() {
            match event {
                FeedEvent::Text { text } => shown.push_str(text),
                FeedEvent::Reset => shown.clear(),
                _ => {}
            }
        }
        shown
    }

    /// Makes what was shown the final text: adds what is missing, or starts
    /// again where something else was shown.
    pub fn settle_text(&self, text: &str) {
        let shown = self.shown_text();
        match text.strip_prefix(shown.as_str()) {
            Some("") => {}
            Some(rest) => self.push(FeedEvent::Text {
                text: rest.to_owned(),
            }),
            None => {
                self.push(FeedEvent::Reset);
                self.push(FeedEvent::Text {
                    text: text.to_owned(),
                });
            }
        }
    }

    /// Reads the feed from after the event `after`.
    pub fn read(self: &Arc<Self>, after: usize) -> Reader {
        Reader {
            feed: Arc::clone(self),
            length: self.length.subscribe(),
            next: after.saturating_sub(self.base),
        }
    }

    /// Says what is stored of the turn by now, before its last event.
    pub fn end(&self, summary: TurnSummary) {
        // A turn ends once.
        let _ = self.end.set(summary);
    }

    /// What is stored of the turn, if its end is.
    pub fn summary(&self) -> Option<&TurnSummary> {
        self.end.get()
    }

    /// Whether nothing comes any more.
    pub fn has_ended(&self) -> bool {
        self.events().last().is_some_and(FeedEvent::is_last)
    }

    /// Waits for the last event.
    pub async fn ended(self: &Arc<Self>) {
        self.reached(FeedEvent::is_last).await;
    }

    /// Waits until the turn has ended or given up its instance to wait.
    pub async fn rested(self: &Arc<Self>) {
        let rests = |event: &FeedEvent| event.is_last() || *event == FeedEvent::Waiting;
        self.reached(rests).await;
    }

    async fn reached(&self, is_reached: impl Fn(&FeedEvent) -> bool) {
        let mut length = self.length.subscribe();
        while !self.events().last().is_some_and(&is_reached) {
            if length.changed().await.is_err() {
                return;
            }
        }
    }

    fn events(&self) -> MutexGuard<'_, Vec<FeedEvent>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who watches.
pub struct Reader {
    feed: Arc<Feed>,
    length: watch::Receiver<usize>,
    next: usize,
}

impl Reader {
    /// The next event and its id; none after the last.
    pub async fn next(&mut self) -> Option<(usize, FeedEvent)> {
        loop {
            {
                let events = self.feed.events();
                if let Some(event) = events.get(self.next) {
                    self.next += 1;
                    return Some((self.feed.base + self.next, event.clone()));
                }
                if events.last().is_some_and(FeedEvent::is_last) {
                    return None;
                }
            }
            self.length.changed().await.ok()?;
        }
    }
}

/// The feeds of turns that have not ended.
#[derive(Default)]
pub struct Feeds(Mutex<HashMap<String, Arc<Feed>>>);

impl Feeds {
    /// Adds the feed of a turn that is new.
    pub fn add(&self, feed: &Arc<Feed>) {
        self.map().insert(feed.turn.clone(), Arc::clone(feed));
    }

    /// The feed of a turn that was started `starts` times before: the one that
    /// is open, or another.
    pub fn open_again(&self, turn: &str, starts: i64) -> Arc<Feed> {
        let open = || Arc::new(Feed::again(turn.to_owned(), starts));
        let mut feeds = self.map();
        Arc::clone(feeds.entry(turn.to_owned()).or_insert_with(open))
    }

    /// The feed of a turn that waits: the one that is open, or another, in which
    /// `events` are said.
    pub fn open_at_rest(&self, turn: &str, starts: i64, events: Vec<FeedEvent>) -> Arc<Feed> {
        let mut feeds = self.map();
        if let Some(feed) = feeds.get(turn) {
            return Arc::clone(feed);
        }
        let feed = Arc::new(Feed::again(turn.to_owned(), starts));
        events.into_iter().for_each(|event| feed.push(event));
        feed.push(FeedEvent::Waiting);
        feeds.insert(turn.to_owned(), Arc::clone(&feed));
        feed
    }

    /// The feed of a turn that waits now; it is forgotten where nobody reads
    /// it, so that waiting takes no memory. `held` by how many it is known
    /// besides.
    pub fn rest(&self, feed: &Arc<Feed>, held: usize) {
        feed.push(FeedEvent::Waiting);
        let mut feeds = self.map();
        if Arc::strong_count(feed) <= held + 1 {
            feeds.remove(&feed.turn);
        }
    }

    /// Forgets the feeds of waiting turns that nobody reads any more.
    pub fn forget_unread(&self) {
        let is_resting = |feed: &Feed| feed.events().last() == Some(&FeedEvent::Waiting);
        self.map()
            .retain(|_, feed| Arc::strong_count(feed) > 1 || !is_resting(feed));
    }

    /// The feed of a turn that has not ended.
    pub fn get(&self, turn: &str) -> Option<Arc<Feed>> {
        self.map().get(turn).cloned()
    }

    /// Forgets a feed; those who read it read on to its end.
    pub fn close(&self, turn: &str) {
        self.map().remove(turn);
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<Feed>> {
        self.map().values().cloned().collect()
    }

    fn map(&self) -> MutexGuard<'_, HashMap<String, Arc<Feed>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> FeedEvent {
        FeedEvent::Text {
            text: text.to_owned(),
        }
    }

    #[tokio::test]
    async fn what_differs_from_the_final_text_is_reset() {
        let feed = Arc::new(Feed::new("t".into()));
        feed.push(text("hel"));
        feed.settle_text("hello");
        assert_eq!(feed.shown_text(), "hello");
        feed.settle_text("goodbye");
        assert_eq!(feed.shown_text(), "goodbye");
        feed.push(FeedEvent::Completed);
        let mut reader = feed.read(0);
        let mut events = Vec::new();
        while let Some((_, event)) = reader.next().await {
            events.push(event);
        }
        assert_eq!(
            events,
            [
                text("hello"),
                FeedEvent::Reset,
                text("goodbye"),
                FeedEvent::Completed
            ]
        );
    }

    #[tokio::test]
    async fn a_feed_ends_once() {
        let feed = Arc::new(Feed::new("t".into()));
        for event in [FeedEvent::Completed, FeedEvent::Cancelled, text("late")] {
            feed.push(event);
        }
        let mut reader = feed.read(0);
        assert_eq!(reader.next().await, Some((1, FeedEvent::Completed)));
        assert_eq!(reader.next().await, None);
    }

    #[tokio::test]
    async fn two_who_begin_to_watch_a_waiting_turn_see_it_once() {
        let feeds = Feeds::default();
        let open = || feeds.open_at_rest("t", 0, vec![text("asked")]);
        let (first, second) = (open(), open());
        assert!(Arc::ptr_eq(&first, &second));
        let mut reader = second.read(0);
        assert_eq!(reader.next().await, Some((1, text("asked"))));
        assert_eq!(reader.next().await, Some((2, FeedEvent::Waiting)));
        first.push(FeedEvent::Completed);
        assert_eq!(reader.next().await, Some((3, FeedEvent::Completed)));
    }

    #[tokio::test]
    async fn a_reader_goes_on_where_it_was() {
        let feed = Arc::new(Feed::new("t".into()));
        let mut first = feed.read(0);
        feed.push(FeedEvent::Started);
        feed.push(text("a"));
        feed.push(text("b"));
        assert_eq!(first.next().await, Some((1, FeedEvent::Started)));
        let mut second = feed.read(2);
        assert_eq!(second.next().await, Some((3, text("b"))));
        feed.push(FeedEvent::Cancelled);
        assert_eq!(second.next().await, Some((4, FeedEvent::Cancelled)));
        assert_eq!(second.next().await, None);
    }
}
