//! The answer as far as it has come: its parts in the order in which they began, and what they
//! cost. What is streamed and what `finish` answers both come from here, so their indices agree.

use crate::runtime::bindings::llm as wire;
use crate::runtime::bindings::types::ToolCall;

use super::generation::Call;
use super::price::Tariff;
use super::usage;

/// More than any provider answers in one call; beyond it something is broken upstream.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// What a provider has been asked and how much of its answer is there.
pub(crate) struct Draft {
    parts: Vec<Part>,
    bytes: usize,
    characters: usize,
    /// The next thought starts a part of its own.
    thought_ended: bool,
    provider: String,
    model: String,
    tariff: Tariff,
    input_estimate: u64,
    reported: Option<wire::Usage>,
    /// What an answer took that this one takes the place of, and what budgets count of that.
    earlier: Option<(wire::Usage, u64)>,
}

enum Part {
    Text(String),
    Reasoning(wire::Reasoning),
    Call(OpenCall),
}

struct OpenCall {
    /// As the provider gave it: not always unique, sometimes empty.
    given_id: String,
    call: ToolCall,
    open: bool,
}

/// The answer is longer than any sensible one.
#[derive(Debug)]
pub(crate) struct TooLong;

/// A piece of a tool call as the provider sends it.
pub(crate) struct CallPiece<'a> {
    pub(crate) id: &'a str,
    /// May be empty in all pieces but the first.
    pub(crate) name: &'a str,
    /// All arguments up to here, not only the new ones.
    pub(crate) arguments: &'a str,
    /// This is all of it; a piece with the same id is another call.
    pub(crate) whole: bool,
}

type Events = Vec<wire::StreamEvent>;

impl Draft {
    pub(super) fn new(call: Call) -> Self {
        let Call {
            provider,
            model,
            tariff,
            input_tokens: input_estimate,
        } = call;
        Self {
            provider,
            model,
            parts: Vec::new(),
            bytes: 0,
            characters: 0,
            thought_ended: false,
            tariff,
            input_estimate,
            reported: None,
            earlier: None,
        }
    }

    /// The answer is thrown away and asked for once more; what it took stays on the bill.
    pub(super) fn again(&mut self) {
        self.earlier = Some((self.usage(), self.charge()));
        self.input_estimate += usage::estimate(self.characters);
        self.parts.clear();
        self.bytes = 0;
        self.characters = 0;
        self.thought_ended = false;
        self.reported = None;
    }

    /// Somebody else is asked; nothing has come yet.
    pub(super) fn serve(&mut self, provider: &str, model: &str, tariff: Tariff) {
        provider.clone_into(&mut self.provider);
        model.clone_into(&mut self.model);
        self.tariff = tariff;
    }

    /// The provider says which model answers.
    pub(super) fn answered_by(&mut self, model: &str) {
        if model != self.model {
            model.clone_into(&mut self.model);
            self.tariff = self.tariff.answered_by(model);
        }
    }

    /// The provider that is asked.
    pub(super) fn provider(&self) -> &str {
        &self.provider
    }

    /// Its model.
    pub(super) fn model(&self) -> &str {
        &self.model
    }

    pub(crate) fn text(&mut self, piece: &str) -> Result<Events, TooLong> {
        self.grow(piece)?;
        Ok(self.show(piece))
    }

    /// Text that may be shown.
    pub(super) fn show(&mut self, piece: &str) -> Events {
        let mut events = Vec::new();
        if !matches!(self.parts.last(), Some(Part::Text(_))) {
            self.begin(Part::Text(String::new()), &mut events);
        }
        if let Some(Part::Text(text)) = self.parts.last_mut() {
            text.push_str(piece);
        }
        events.push(wire::StreamEvent::Text(self.delta(piece)));
        events
    }

    pub(crate) fn reasoning(&mut self, piece: &str) -> Result<Events, TooLong> {
        self.grow(piece)?;
        let mut events = Vec::new();
        let continues = matches!(self.parts.last(), Some(Part::Reasoning(_)));
        if !continues || self.thought_ended {
            let thought = wire::Reasoning {
                text: None,
                opaque: None,
            };
            self.begin(Part::Reasoning(thought), &mut events);
        }
        self.thought_ended = false;
        if let Some(Part::Reasoning(thought)) = self.parts.last_mut() {
            thought.text.get_or_insert_default().push_str(piece);
        }
        events.push(wire::StreamEvent::Reasoning(self.delta(piece)));
        Ok(events)
    }

    /// A thought is signed when it is complete; what follows is another one.
    pub(crate) fn end_thought(&mut self) {
        self.thought_ended = true;
    }

    pub(crate) fn call(&mut self, piece: &CallPiece<'_>) -> Result<Events, TooLong> {
        let mut events = Vec::new();
        let index = match self.find(piece) {
            Some(index) => index,
            None => self.begin_call(piece, &mut events),
        };
        let Some(Part::Call(call)) = self.parts.get_mut(index) else {
            return Ok(events);
        };
        let new = piece.arguments.get(call.call.arguments_json.len()..);
        let new = new.unwrap_or_default().to_owned();
        call.call.arguments_json.push_str(&new);
        if call.open && !new.is_empty() {
            events.push(wire::StreamEvent::ToolCallArguments(wire::Delta {
                index: position(index),
                text: new.clone(),
            }));
        }
        self.grow(&new)?;
        if piece.whole {
            self.close(&mut events);
        }
        Ok(events)
    }

    /// What is billed so far: as reported, else counted.
    pub(crate) fn usage(&self) -> wire::Usage {
        match (self.earlier, self.usage_now()) {
            (None, now) => now,
            (Some((earlier, _)), _) if self.is_silent() => earlier,
            (Some((earlier, _)), now) => usage::sum(earlier, now),
        }
    }

    /// What budgets count of that: the worst case where the price is not known.
    pub(crate) fn charge(&self) -> u64 {
        match self.earlier {
            None => self.tariff.charge(&self.usage_now()),
            Some((_, earlier)) if self.is_silent() => earlier,
            Some((_, earlier)) => earlier.saturating_add(self.tariff.charge(&self.usage_now())),
        }
    }

    /// What this answer takes.
    fn usage_now(&self) -> wire::Usage {
        self.reported.unwrap_or_else(|| {
            self.priced(wire::Usage {
                estimated: true,
                ..self.usage_counted()
            })
        })
    }

    /// Nothing has come of it.
    fn is_silent(&self) -> bool {
        self.reported.is_none() && self.bytes == 0
    }

    fn priced(&self, usage: wire::Usage) -> wire::Usage {
        wire::Usage {
            cost_micro_usd: self.tariff.cost(&usage),
            ..usage
        }
    }

    /// Takes over what the provider reported; what it left out or said was 0 is counted.
    pub(crate) fn report(&mut self, mut reported: wire::Usage) -> wire::Usage {
        let counted = self.usage_counted();
        if reported.input_tokens == 0 && counted.input_tokens > 0 {
            reported.input_tokens = counted.input_tokens;
            reported.estimated = true;
        }
        if reported.output_tokens == 0 && counted.output_tokens > 0 {
            reported.output_tokens = counted.output_tokens;
            reported.estimated = true;
        }
        self.reported = Some(self.priced(reported));
        self.usage()
    }

    fn usage_counted(&self) -> wire::Usage {
        wire::Usage {
            input_tokens: self.input_estimate,
            output_tokens: usage::estimate(self.characters),
            ..usage::none()
        }
    }

    /// Ends what is open. Call it once, before the answer is read off.
    pub(crate) fn close(&mut self, events: &mut Events) {
        let Some(index) = self.parts.len().checked_sub(1) else {
            return;
        };
        let Some(Part::Call(call)) = self.parts.get_mut(index) else {
            return;
        };
        if !std::mem::replace(&mut call.open, false) {
            return;
        }
        if call.call.arguments_json.is_empty() {
            // No arguments at all are an empty object in JSON.
            call.call.arguments_json.push_str("{}");
            events.push(wire::StreamEvent::ToolCallArguments(wire::Delta {
                index: position(index),
                text: "{}".to_owned(),
            }));
        }
        events.push(wire::StreamEvent::ToolCallEnd(position(index)));
    }

    /// Which of the calls has this id at the provider.
    pub(crate) fn place_of(&self, given_id: &str) -> Option<usize> {
        let mut calls = self.parts.iter().filter_map(|part| match part {
            Part::Call(call) => Some(call),
            _ => None,
        });
        calls.position(|call| call.given_id == given_id)
    }

    /// The call number `at` as the provider gave it in the end.
    pub(crate) fn settle_call(&mut self, at: usize, name: &str, arguments: &str) {
        if let Some(call) = self.calls_mut().nth(at) {
            name.clone_into(&mut call.name);
            arguments.clone_into(&mut call.arguments_json);
            return;
        }
        let id = self.unique_id("");
        self.parts.push(Part::Call(OpenCall {
            given_id: String::new(),
            call: ToolCall {
                id,
                name: name.to_owned(),
                arguments_json: arguments.to_owned(),
            },
            open: false,
        }));
    }

    /// The thoughts as the provider gave them in the end. Those that were not streamed come
    /// last, so that the others keep their index.
    pub(crate) fn settle_thoughts(&mut self, thoughts: Vec<wire::Reasoning>) {
        let mut thoughts = thoughts.into_iter();
        for part in &mut self.parts {
            let Part::Reasoning(known) = part else {
                continue;
            };
            let Some(thought) = thoughts.next() else {
                return;
            };
            known.opaque = thought.opaque;
            if thought.text.is_some() {
                known.text = thought.text;
            }
        }
        self.parts.extend(thoughts.map(Part::Reasoning));
    }

    /// The ids of the tool calls, in their order.
    pub(crate) fn call_ids(&mut self) -> Vec<String> {
        self.calls_mut().map(|call| call.id.clone()).collect()
    }

    fn calls_mut(&mut self) -> impl Iterator<Item = &mut ToolCall> {
        self.parts.iter_mut().filter_map(|part| match part {
            Part::Call(call) => Some(&mut call.call),
            _ => None,
        })
    }

    /// The parts so far.
    pub(crate) fn content(&self) -> Vec<wire::ContentPart> {
        let parts = self.parts.iter();
        parts
            .map(|part| match part {
                Part::Text(text) => wire::ContentPart::Text(text.clone()),
                Part::Reasoning(thought) => wire::ContentPart::Reasoning(thought.clone()),
                Part::Call(call) => wire::ContentPart::ToolCall(call.call.clone()),
            })
            .collect()
    }

    /// So much has come and is billed, whatever is shown of it.
    pub(super) fn grow(&mut self, piece: &str) -> Result<(), TooLong> {
        self.bytes = self.bytes.saturating_add(piece.len());
        self.characters = self.characters.saturating_add(piece.chars().count());
        if self.bytes > MAX_BYTES {
            return Err(TooLong);
        }
        Ok(())
    }

    fn begin(&mut self, part: Part, events: &mut Events) {
        self.close(events);
        self.parts.push(part);
    }

    /// Pieces carry no index, and ids may be missing or double: a piece belongs to the latest
    /// call whose id it has and whose arguments it continues.
    fn find(&self, piece: &CallPiece<'_>) -> Option<usize> {
        if piece.whole {
            return None;
        }
        self.parts.iter().rposition(|part| match part {
            Part::Call(known) => {
                known.given_id == piece.id
                    && (piece.name.is_empty() || known.call.name == piece.name)
                    && piece.arguments.starts_with(&known.call.arguments_json)
            }
            _ => false,
        })
    }

    fn begin_call(&mut self, piece: &CallPiece<'_>, events: &mut Events) -> usize {
        let call = ToolCall {
            id: self.unique_id(piece.id),
            name: piece.name.to_owned(),
            arguments_json: String::new(),
        };
        let (id, name) = (call.id.clone(), call.name.clone());
        let part = Part::Call(OpenCall {
            given_id: piece.id.to_owned(),
            call,
            open: true,
        });
        self.begin(part, events);
        let index = self.parts.len() - 1;
        events.push(wire::StreamEvent::ToolCallStart(wire::CallStart {
            index: position(index),
            id,
            name,
        }));
        index
    }

    /// Results refer to calls by id, so two calls of one answer must not share one.
    fn unique_id(&mut self, given: &str) -> String {
        let taken: Vec<&str> = self.calls_mut().map(|call| call.id.as_str()).collect();
        let number = taken.len();
        if given.is_empty() {
            format!("call_{number}")
        } else if taken.contains(&given) {
            format!("{given}_{number}")
        } else {
            given.to_owned()
        }
    }

    fn delta(&self, piece: &str) -> wire::Delta {
        wire::Delta {
            index: position(self.parts.len().saturating_sub(1)),
            text: piece.to_owned(),
        }
    }
}

fn position(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
