//! An answer that is being made, as its reader sees it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::runtime::Handle;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use crate::runtime::bindings::llm as wire;

use super::draft::Draft;
use super::failure::lost;
use super::price::Tariff;
use crate::store::UsageStatus;

use super::sink::{Item, Sink, Verdict, lock};

/// Events that wait for the reader; when there are more, the provider waits.
const BUFFER: usize = 64;

/// What is known of a call before it begins.
pub(super) struct Call {
    pub(super) provider: String,
    pub(super) model: String,
    pub(super) tariff: Tariff,
    pub(super) input_tokens: u64,
}

/// A running call. Dropping it ends the call upstream.
pub struct Generation {
    draft: Arc<Mutex<Draft>>,
    items: mpsc::Receiver<Item>,
    waiting: VecDeque<wire::StreamEvent>,
    outcome: Option<Result<wire::Response, wire::Error>>,
    task: AbortOnDropHandle<()>,
}

/// A call that the provider may not have accepted yet.
pub struct Beginning {
    generation: Generation,
    verdict: Verdict,
    is_accepted: bool,
}

impl Beginning {
    /// Runs `work` on `io`.
    pub(super) fn of<W, F>(io: &Handle, call: Call, work: W) -> Self
    where
        W: FnOnce(Sink) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let draft = Arc::new(Mutex::new(Draft::new(call)));
        let (sender, items) = mpsc::channel(BUFFER);
        let (accepted, verdict) = oneshot::channel();
        let sink = Sink::new(Arc::clone(&draft), sender, accepted);
        // Made in its own task, because it is large and a guest's stack keeps
        // every page that was touched.
        let task = io.spawn(async move { Box::pin(work(sink)).await });
        let generation = Generation {
            draft,
            items,
            waiting: VecDeque::new(),
            outcome: None,
            task: AbortOnDropHandle::new(task),
        };
        Self {
            generation,
            verdict,
            is_accepted: false,
        }
    }

    /// Waits until the provider accepted.
    ///
    /// # Errors
    ///
    /// What the provider refused, or what kept the host from asking it.
    pub async fn accepted(mut self) -> Result<Generation, wire::Error> {
        self.accept().await?;
        Ok(self.generation)
    }

    /// Waits for the whole answer. May be dropped and asked again.
    ///
    /// # Errors
    ///
    /// What the provider refused, or why there is no whole response.
    pub async fn answer(&mut self) -> Result<wire::Response, wire::Error> {
        self.accept().await?;
        self.generation.finish().await
    }

    /// What is being made.
    pub fn generation(&self) -> &Generation {
        &self.generation
    }

    /// Whether the provider accepted.
    pub fn is_accepted(&self) -> bool {
        self.is_accepted
    }

    async fn accept(&mut self) -> Result<(), wire::Error> {
        if self.is_accepted {
            return Ok(());
        }
        match (&mut self.verdict).await {
            Ok(Ok(())) => {
                self.is_accepted = true;
                Ok(())
            }
            Ok(Err(error)) => Err(self.generation.signed(*error)),
            Err(_) => Err(self.generation.signed(lost())),
        }
    }
}

impl Generation {
    /// 1 to `max` events; waits for the first. Empty means that the end was reached. Adjacent
    /// pieces of one part that wait already come as one event.
    ///
    /// # Errors
    ///
    /// Why the answer ended before its end, after all its events were read.
    pub async fn next(&mut self, max: usize) -> Result<Vec<wire::StreamEvent>, wire::Error> {
        let max = max.max(1);
        self.ready().await;
        for _ in 0..BUFFER {
            if self.waiting.len() > max || self.outcome.is_some() {
                break;
            }
            match self.items.try_recv() {
                Ok(item) => self.take(item),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => self.outcome = Some(Err(self.signed(lost()))),
            }
        }
        if let (true, Some(Err(error))) = (self.waiting.is_empty(), &self.outcome) {
            return Err(error.clone());
        }
        let count = self.waiting.len().min(max);
        Ok(self.waiting.drain(..count).collect())
    }

    /// Resolves when [`Generation::next`] would not wait. May be dropped and asked again.
    pub async fn ready(&mut self) {
        if !self.waiting.is_empty() || self.outcome.is_some() {
            return;
        }
        match self.items.recv().await {
            Some(item) => self.take(item),
            None => self.outcome = Some(Err(self.signed(lost()))),
        }
    }

    /// Waits for the end and answers the whole response, including what was read before.
    ///
    /// # Errors
    ///
    /// Why there is no whole response.
    pub async fn finish(&mut self) -> Result<wire::Response, wire::Error> {
        loop {
            if let Some(outcome) = &self.outcome {
                return outcome.clone();
            }
            self.waiting.clear();
            self.ready().await;
        }
    }

    /// Stops it. What came so far is the response, and is billed.
    pub fn cancel(&mut self) {
        self.task.abort();
        if self.outcome.is_some() {
            return;
        }
        self.waiting.clear();
        let draft = lock(&self.draft);
        let response = wire::Response {
            content: draft.content(),
            finish_reason: wire::FinishReason::Cancelled,
            usage: draft.usage(),
            model: draft.model().to_owned(),
            provider: draft.provider().to_owned(),
            attempts: 1,
            cached: false,
        };
        drop(draft);
        self.outcome = Some(Ok(response));
    }

    /// How it came out, as far as it has.
    pub fn status(&self) -> UsageStatus {
        match &self.outcome {
            Some(Ok(response)) if response.finish_reason != wire::FinishReason::Cancelled => {
                UsageStatus::Ok
            }
            Some(Err(_)) => UsageStatus::Failed,
            _ => UsageStatus::Cancelled,
        }
    }

    /// What is known to be billed so far, counted where the provider said nothing yet.
    pub fn usage(&self) -> wire::Usage {
        match &self.outcome {
            Some(Ok(response)) => response.usage,
            _ => lock(&self.draft).usage(),
        }
    }

    /// What budgets count of that: the worst case where the price is not known.
    pub fn charge(&self) -> u64 {
        lock(&self.draft).charge()
    }

    /// The name of the provider, as in `[llm.providers.NAME]`.
    pub fn provider(&self) -> String {
        lock(&self.draft).provider().to_owned()
    }

    /// The model as the provider calls it.
    pub fn model(&self) -> String {
        lock(&self.draft).model().to_owned()
    }

    fn take(&mut self, item: Item) {
        match item {
            Item::Event(event) => push(&mut self.waiting, *event),
            Item::End(outcome) => {
                self.outcome = Some(outcome.map_err(|error| self.signed(error)));
            }
        }
    }

    /// Says whose failure it is.
    fn signed(&self, error: wire::Error) -> wire::Error {
        wire::Error {
            provider: error.provider.or_else(|| Some(self.provider())),
            attempts: error.attempts.max(1),
            ..error
        }
    }
}

/// Joins a piece with the one before it if both belong to one part.
fn push(waiting: &mut VecDeque<wire::StreamEvent>, event: wire::StreamEvent) {
    use wire::StreamEvent::{Reasoning, Text, ToolCallArguments};
    match (waiting.back_mut(), &event) {
        (Some(Text(last)), Text(piece))
        | (Some(Reasoning(last)), Reasoning(piece))
        | (Some(ToolCallArguments(last)), ToolCallArguments(piece))
            if last.index == piece.index =>
        {
            last.text.push_str(&piece.text);
        }
        _ => waiting.push_back(event),
    }
}
