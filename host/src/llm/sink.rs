//! Where a provider puts its answer, piece by piece. A full buffer makes it wait, so a slow
//! reader slows the provider and not the memory of the host.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use crate::runtime::bindings::llm as wire;

use super::draft::{CallPiece, Draft, TooLong};
use super::failure::failure;
use super::price::Tariff;
use crate::guard::AnswerScreen;

/// What travels from the provider's task to the reader. Small, because a
/// channel makes room for 32 at once.
pub(super) enum Item {
    Event(Box<wire::StreamEvent>),
    End(Box<Result<wire::Response, wire::Error>>),
}

/// Why a piece could not be put down; the provider stops and answers with it.
pub(crate) type Closed = wire::Error;

/// Tells the reader that the provider accepted, or why it did not.
pub(super) type Accepted = oneshot::Sender<Result<(), Box<wire::Error>>>;

/// The other end of it.
pub(super) type Verdict = oneshot::Receiver<Result<(), Box<wire::Error>>>;

/// The provider's end of one call.
pub(crate) struct Sink {
    draft: Arc<Mutex<Draft>>,
    items: mpsc::Sender<Item>,
    accepted: Option<Accepted>,
    /// What looks at the text before anybody sees it.
    screen: Option<AnswerScreen>,
    accepted_at: Option<Instant>,
}

impl Sink {
    pub(super) fn new(
        draft: Arc<Mutex<Draft>>,
        items: mpsc::Sender<Item>,
        accepted: Accepted,
    ) -> Self {
        Self {
            draft,
            items,
            accepted: Some(accepted),
            screen: None,
            accepted_at: None,
        }
    }

    /// The provider will answer: `start` returns.
    pub(crate) fn accept(&mut self) {
        if let Some(accepted) = self.accepted.take() {
            self.accepted_at = Some(Instant::now());
            let _: Result<_, _> = accepted.send(Ok(()));
        }
    }

    /// Who is asked from here on.
    pub(super) fn begin(&mut self, provider: &str, model: &str, tariff: Tariff) {
        self.draft().serve(provider, model, tariff);
    }

    /// When the first piece was there.
    pub(super) fn accepted_at(&self) -> Option<Instant> {
        self.accepted_at
    }

    /// Whether something may have been shown already.
    pub(crate) fn is_accepted(&self) -> bool {
        self.accepted.is_none()
    }

    /// Has the text looked at.
    pub(super) fn look(&mut self, screen: Option<AnswerScreen>) {
        self.screen = screen;
    }

    /// The answer is asked for once more.
    pub(super) fn again(&mut self) {
        self.draft().again();
        if let Some(screen) = &mut self.screen {
            screen.restart();
        }
    }

    pub(crate) async fn text(&mut self, piece: &str) -> Result<(), Closed> {
        let Some(screen) = &mut self.screen else {
            let events = self.draft().text(piece);
            return self.put(events).await;
        };
        let shown = screen.push(piece);
        // What is not shown has come all the same.
        let grown = self.draft().grow(piece);
        self.put(grown.map(|()| Vec::new())).await?;
        self.show(&shown?).await
    }

    /// A part has ended, and what was held back of it is shown.
    async fn end_text(&mut self) -> Result<(), Closed> {
        let Some(screen) = &mut self.screen else {
            return Ok(());
        };
        let shown = screen.end().await?;
        self.show(&shown).await
    }

    async fn show(&mut self, passed: &str) -> Result<(), Closed> {
        if passed.is_empty() {
            return Ok(());
        }
        let events = self.draft().show(passed);
        self.put(Ok(events)).await
    }

    pub(crate) async fn reasoning(&mut self, piece: &str) -> Result<(), Closed> {
        self.end_text().await?;
        let events = self.draft().reasoning(piece);
        self.put(events).await
    }

    pub(crate) async fn call(&mut self, piece: CallPiece<'_>) -> Result<(), Closed> {
        self.end_text().await?;
        let events = self.draft().call(&piece);
        self.put(events).await
    }

    /// Ends the parts and tells what the answer costs.
    pub(crate) async fn close(&mut self, reported: wire::Usage) -> Result<wire::Usage, Closed> {
        let usage = self.draft().report(reported);
        self.end_text().await?;
        let mut events = Vec::new();
        self.draft().close(&mut events);
        events.push(wire::StreamEvent::Usage(usage));
        self.put(Ok(events)).await?;
        Ok(usage)
    }

    /// The last word: the response, or why there is none.
    pub(super) async fn end(mut self, outcome: Result<wire::Response, wire::Error>) {
        let outcome = outcome.map_err(|error| self.with_usage(error));
        match (outcome, self.accepted.take()) {
            (Err(error), Some(accepted)) => {
                let _: Result<_, _> = accepted.send(Err(Box::new(error)));
            }
            (outcome, accepted) => {
                if let Some(accepted) = accepted {
                    let _: Result<_, _> = accepted.send(Ok(()));
                }
                let _: Result<_, _> = self.items.send(Item::End(Box::new(outcome))).await;
            }
        }
    }

    pub(crate) fn draft(&self) -> MutexGuard<'_, Draft> {
        lock(&self.draft)
    }

    /// What was generated before a failure is billed all the same.
    fn with_usage(&self, error: wire::Error) -> wire::Error {
        let usage = self.is_accepted().then(|| self.draft().usage());
        wire::Error {
            usage: error.usage.or(usage),
            ..error
        }
    }

    async fn put(&mut self, events: Result<Vec<wire::StreamEvent>, TooLong>) -> Result<(), Closed> {
        self.accept();
        let events = events.map_err(|TooLong| {
            failure(
                wire::ErrorKind::Upstream,
                "the answer is longer than 16 MiB, which no model call may be",
            )
        })?;
        for event in events {
            if self.items.send(Item::Event(Box::new(event))).await.is_err() {
                return Err(failure(wire::ErrorKind::Cancelled, "nobody is listening"));
            }
        }
        Ok(())
    }
}

/// A panic elsewhere leaves the draft whole: every change to it is one call.
pub(super) fn lock(draft: &Mutex<Draft>) -> MutexGuard<'_, Draft> {
    draft.lock().unwrap_or_else(PoisonError::into_inner)
}
