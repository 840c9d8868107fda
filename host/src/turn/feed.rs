//! What a person sees of a running turn, for everybody who watches it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::runtime::{Failure, KillSwitch};
use crate::store::TurnSummary;

/// One thing to see. Its place in the feed, from 1, is its event id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum FeedEvent {
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

    /// Adds an event. Pieces of text that nobody has read yet are joined.
    pub fn push(&self, event: FeedEvent) {
        let length = {
            let mut events = self.events();
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

    /// Waits for the last event.
    pub async fn ended(self: &Arc<Self>) {
        let mut length = self.length.subscribe();
        loop {
            if self.events().last().is_some_and(FeedEvent::is_last)
                || length.changed().await.is_err()
            {
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
    /// Opens the feed of a turn.
    pub fn open(&self, turn: &str) -> Arc<Feed> {
        let feed = Arc::new(Feed::new(turn.to_owned()));
        self.map().insert(turn.to_owned(), Arc::clone(&feed));
        feed
    }

    /// Opens the feed of a turn that was started `starts` times before.
    pub fn open_again(&self, turn: &str, starts: i64) -> Arc<Feed> {
        let feed = Arc::new(Feed::again(turn.to_owned(), starts));
        self.map().insert(turn.to_owned(), Arc::clone(&feed));
        feed
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
