//! `reply`: what the person sees while the turn runs, and what people are asked.

use std::sync::{Arc, Weak};

use anyhow::Context;
use serde::Serialize;
use wasmtime::component::{HasData, Resource, ResourceTable};

use super::error;
use super::llm::{GenerationHandle, Generations};
use crate::clock::now_ms;
use crate::codec;
use crate::registry::WhenBusy;
use crate::runtime::bindings::{llm, reply, types};
use crate::runtime::{HostState, Input, Services};
use crate::store::{JournalPart, NewWait, Taker, TurnRow, WaitKind};
use crate::turn::{Call, Commit, Expects, FeedEvent, Question, Recorder, Window};

/// The longest title or id of a task, in bytes.
const MAX_TASK_BYTES: usize = 1_000;

/// The longest text of a question, in bytes.
const MAX_QUESTION_BYTES: usize = 16 << 10;
const MAX_CHOICES: usize = 20;
const MAX_CHOICE_BYTES: usize = 200;
/// The most people who may answer a question.
const MAX_WHO: usize = 50;
const DAY_MS: u64 = 86_400_000;
const MAX_EXPIRY_MS: u64 = 90 * DAY_MS;

pub(super) struct Reply<'a> {
    window: &'a mut Window,
    table: &'a mut ResourceTable,
    generations: &'a mut Generations,
    services: &'a Arc<Services>,
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
            services,
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
            self.window.show(FeedEvent::Text { text });
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
            services,
            ..
        } = self;
        let feed = Arc::clone(window.feed());
        let mut room = window.agent().limits.output_bytes;
        let call = Call {
            kind: "reply.forward",
            grant: None,
            args: &id,
        };
        generations.pay_again(id, window, &services.gateway).await?;
        window.asks_of(generations.is_made(id));
        // What is over the limit is not shown; the whole answer fails then.
        let effect = generations.forward(id, &services.gateway, |text| {
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
        self.window.show(match status {
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
    async fn interjections(
        &mut self,
    ) -> wasmtime::Result<Result<Vec<types::Message>, types::Error>> {
        let identity = self.window.identity();
        let agent = Arc::clone(self.window.agent());
        let taker = identity.conversation.clone().map(|conversation| Taker {
            tenant: identity.tenant.clone(),
            turn: identity.turn.clone(),
            agent: agent.name.clone(),
            conversation,
        });
        let taker = taker.filter(|_| agent.manifest.triggers.chat.when_busy == WhenBusy::Steer);
        let call = Call {
            kind: "reply.interjections",
            grant: None,
            args: &(),
        };
        let Some(taker) = taker else {
            let nothing = self
                .window
                .perform(call, Commit::Later, async { Ok(Vec::new()) });
            return Ok(nothing.await?);
        };
        let services = Arc::clone(self.services);
        let effect = |recorder: Recorder<Vec<types::Message>, types::Error>| async move {
            let recorded = move |rows: &[TurnRow]| recorder.part(&Ok(messages(rows)?));
            let taken = take_up(&services, taker, recorded).await?;
            Ok(Ok(messages(&taken)?))
        };
        Ok(self.window.perform_stored(call, effect).await?)
    }

    async fn ask(
        &mut self,
        question: reply::Question,
    ) -> wasmtime::Result<Result<reply::Outcome, types::Error>> {
        let checked = checked(&question, self.window.identity().user.as_deref());
        let call = Call {
            kind: "reply.ask",
            grant: None,
            args: &question,
        };
        let may_suspend = self.generations.is_empty();
        ask_person(self.window, self.services, may_suspend, call, checked).await
    }
}

/// Takes up the messages that wait behind a turn, and tells those who wait for
/// their answers.
async fn take_up(
    services: &Services,
    taker: Taker,
    recorded: impl Fn(&[TurnRow]) -> anyhow::Result<JournalPart> + Send + 'static,
) -> anyhow::Result<Vec<TurnRow>> {
    let inbox = services.inbox.get().and_then(Weak::upgrade);
    let inbox = inbox.context("the host is stopping")?;
    let store = &services.store;
    let taken = store.take_interjections(taker, inbox.is_to_stop(), recorded);
    let taken = taken.await?;
    for turn in &taken {
        inbox.taken_up(&turn.id);
    }
    if taken.iter().any(|turn| turn.callback.is_some()) {
        services.doorbell.ring();
    }
    Ok(taken)
}

/// Puts a question to a person and waits for what comes of it; one that cannot be
/// put is `invalid-input`.
pub(super) async fn ask_person<A: Serialize>(
    window: &mut Window,
    services: &Arc<Services>,
    may_suspend: bool,
    call: Call<'_, A>,
    question: Result<Question, String>,
) -> wasmtime::Result<Result<reply::Outcome, types::Error>> {
    services.sync_before(window).await?;
    let event = question.as_ref().ok().map(|question| FeedEvent::Asked {
        call: window.next_call(),
        question: question.clone(),
    });
    let identity = window.identity().clone();
    let services = Arc::clone(services);
    let begin = |seq, part| async move {
        let question = match question {
            Ok(question) => question,
            Err(message) => return Ok(Err(error(types::ErrorKind::InvalidInput, message))),
        };
        let wait = NewWait {
            tenant: identity.tenant,
            turn: identity.turn,
            seq,
            kind: WaitKind::Question,
            question: Some(serde_json::to_string(&question)?),
            due_at: Some(question.expires_at),
        };
        services.store.begin_wait(wait, None, part, |_| ()).await?;
        services.timers.notify_one();
        Ok(Ok(()))
    };
    Ok(window.wait(call, may_suspend, event, begin).await?)
}

/// A question of the host to the person who spoke, for a day; none if nobody did.
pub(super) fn question_to(user: Option<&str>, text: String, expects: Expects) -> Option<Question> {
    Some(Question {
        text,
        expects,
        choices: Vec::new(),
        who: vec![user?.to_owned()],
        expires_at: now_ms().saturating_add_unsigned(DAY_MS),
    })
}

/// The messages of turns.
fn messages(rows: &[TurnRow]) -> anyhow::Result<Vec<types::Message>> {
    let inputs = rows.iter().map(|row| codec::decode(&row.input));
    inputs
        .map(|input| match input? {
            Input::Chat(message) => Ok(message),
            Input::Event(_) | Input::Web(_) => {
                anyhow::bail!("a turn of a conversation has no message")
            }
        })
        .collect()
}

/// The question to store; `user` is whom it goes to if it names nobody.
fn checked(question: &reply::Question, user: Option<&str>) -> Result<Question, String> {
    let expires_ms = question.expires_ms.unwrap_or(DAY_MS);
    if question.text.trim().is_empty() || question.text.len() > MAX_QUESTION_BYTES {
        return Err(format!("a question is 1 to {MAX_QUESTION_BYTES} bytes"));
    }
    if expires_ms == 0 || expires_ms > MAX_EXPIRY_MS {
        return Err("a question expires after 1 ms to 90 days".to_owned());
    }
    let (expects, choices) = match &question.expected {
        reply::Expected::Text => (Expects::Text, Vec::new()),
        reply::Expected::Choice(choices) => (Expects::Choice, checked_choices(choices)?),
        reply::Expected::Approval => (Expects::Approval, Vec::new()),
    };
    Ok(Question {
        text: question.text.clone(),
        expects,
        choices,
        who: checked_who(&question.who, user)?,
        expires_at: now_ms().saturating_add_unsigned(expires_ms),
    })
}

fn checked_choices(choices: &[String]) -> Result<Vec<String>, String> {
    let fits = |choice: &String| !choice.is_empty() && choice.len() <= MAX_CHOICE_BYTES;
    if choices.is_empty() || choices.len() > MAX_CHOICES || !choices.iter().all(fits) {
        return Err(format!(
            "there are 1 to {MAX_CHOICES} choices of 1 to {MAX_CHOICE_BYTES} bytes"
        ));
    }
    Ok(choices.to_vec())
}

fn checked_who(who: &[String], user: Option<&str>) -> Result<Vec<String>, String> {
    let fits = |id: &String| !id.is_empty() && id.len() <= MAX_CHOICE_BYTES;
    if who.len() > MAX_WHO || !who.iter().all(fits) {
        return Err(format!(
            "at most {MAX_WHO} people may answer, each named by 1 to {MAX_CHOICE_BYTES} bytes"
        ));
    }
    match (who, user) {
        ([], None) => Err("nobody spoke, so the question must say who may answer".to_owned()),
        ([], Some(user)) => Ok(vec![user.to_owned()]),
        (who, _) => Ok(who.to_vec()),
    }
}
