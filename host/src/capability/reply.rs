//! `reply`: what the person sees while the turn runs.

use std::sync::Arc;

use wasmtime::component::{HasData, Resource, ResourceTable};

use super::error;
use super::llm::{GenerationHandle, Generations};
use crate::llm::Gateway;
use crate::runtime::HostState;
use crate::runtime::bindings::{llm, reply, types};
use crate::turn::{Call, Commit, FeedEvent, Window};

/// The longest title or id of a task, in bytes.
const MAX_TASK_BYTES: usize = 1_000;

pub(super) struct Reply<'a> {
    window: &'a mut Window,
    table: &'a mut ResourceTable,
    generations: &'a mut Generations,
    gateway: &'a Gateway,
}

pub(super) struct HasReply;

impl HasData for HasReply {
    type Data<'a> = Reply<'a>;
}

impl<'a> Reply<'a> {
    pub(super) fn of(state: &'a mut HostState) -> Self {
        let (window, table, generations, services) = state.parts();
        Self {
            window,
            table,
            generations,
            gateway: &services.gateway,
        }
    }
}

impl reply::Host for Reply<'_> {
    async fn send_text(&mut self, text: String) -> wasmtime::Result<Result<(), types::Error>> {
        self.window.enter()?;
        if self.window.identity().conversation.is_none() {
            return Ok(Ok(()));
        }
        if !self.window.may_show(text.len()) {
            let limit = self.window.agent().limits.output_bytes;
            return Ok(Err(error(
                types::ErrorKind::LimitExceeded,
                format!("the answer is at most {limit} bytes"),
            )));
        }
        if !text.is_empty() {
            self.window.feed().push(FeedEvent::Text { text });
        }
        Ok(Ok(()))
    }

    async fn forward(
        &mut self,
        handle: Resource<GenerationHandle>,
    ) -> wasmtime::Result<Result<llm::Response, llm::Error>> {
        let id = GenerationHandle::take(self.table, handle)?;
        let Self {
            window,
            generations,
            gateway,
            ..
        } = self;
        let feed = Arc::clone(window.feed());
        let mut room = window.agent().limits.output_bytes;
        let call = Call {
            kind: "reply.forward",
            grant: None,
            args: &id,
        };
        window.asks_of(generations.is_made(id));
        // What is over the limit is not shown; the whole answer fails then.
        let effect = generations.forward(id, gateway, |text| {
            room = room.saturating_sub(text.len() as u64);
            if room > 0 {
                feed.push(FeedEvent::Text { text });
            }
        });
        let answer = window.perform(call, Commit::Later, effect).await?;
        generations.close(id, window);
        Ok(answer)
    }

    async fn progress(&mut self, task: reply::Task) -> wasmtime::Result<Result<(), types::Error>> {
        self.window.enter()?;
        if self.window.identity().conversation.is_none() {
            return Ok(Ok(()));
        }
        let reply::Task {
            id,
            title,
            status,
            detail,
        } = task;
        if id.len() > MAX_TASK_BYTES || title.len() > MAX_TASK_BYTES {
            let message = format!("id and title of a task are at most {MAX_TASK_BYTES} bytes");
            return Ok(Err(error(types::ErrorKind::InvalidInput, message)));
        }
        self.window.feed().push(match status {
            reply::TaskStatus::Running => FeedEvent::ToolStarted { id, title },
            reply::TaskStatus::Done => FeedEvent::ToolCompleted {
                id,
                title,
                failed: false,
                detail,
            },
            reply::TaskStatus::Failed => FeedEvent::ToolCompleted {
                id,
                title,
                failed: true,
                detail,
            },
        });
        Ok(Ok(()))
    }
}
