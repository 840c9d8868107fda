//! A turn as spans: itself, its calls of models and tools, and its other host
//! calls.
//!
//! The id of a turn is also the id of its trace, without the dashes, and its
//! last half the id of its span; turns that agents ask for belong to the trace of
//! the first one. A `traceparent` that came with the message goes on.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::codec;
use crate::runtime::{Failure, Input};
use crate::store::{JournalEntry, JournalStatus, Store, TurnRow, UsageRow, UsageStatus};

/// The most characters of what was said in one attribute.
const MAX_CONTENT: usize = 8_192;

/// The deepest that turns ask for turns.
const MAX_DEPTH: usize = 32;

/// What is stored of a turn.
pub(super) struct Recorded {
    turn: TurnRow,
    input: Input,
    journal: Vec<JournalEntry>,
    usage: Vec<UsageRow>,
    place: Place,
}

/// Where a turn's span is: its trace, and the span above it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Place {
    trace: TraceId,
    above: SpanId,
    is_remote: bool,
}

/// A call of a model, and when it was made.
pub(super) struct ModelCall<'a> {
    pub(super) row: &'a UsageRow,
    entry: Option<&'a JournalEntry>,
}

impl Recorded {
    pub(super) async fn load(store: &Store, tenant: &str, turn: &str) -> Result<Self> {
        let row = store.turn(tenant, turn).await?;
        let row = row.with_context(|| format!("there is no turn {turn}"))?;
        let input: Input = codec::decode(&row.input)?;
        Ok(Self {
            place: place(store, tenant, &row, &input).await?,
            journal: store.journal(tenant, turn).await?,
            usage: store.usage_of_turn(tenant, turn).await?,
            turn: row,
            input,
        })
    }

    /// Its calls of models, as they are on the bill.
    pub(super) fn model_calls(&self) -> impl Iterator<Item = ModelCall<'_>> {
        self.usage.iter().map(|row| ModelCall {
            row,
            entry: self.journal.iter().find(|entry| entry.seq == row.call),
        })
    }
}

/// The trace of the first of the turns that asked for one another.
async fn place(store: &Store, tenant: &str, row: &TurnRow, input: &Input) -> Result<Place> {
    let Some(parent) = &row.parent else {
        return Ok(place_of_first(&row.id, input));
    };
    let mut first = parent.clone();
    for _ in 0..MAX_DEPTH {
        // One that is removed by now has left its id.
        let Some(above) = store.turn(tenant, &first).await? else {
            break;
        };
        let Some(next) = above.parent.clone() else {
            let input: Input = codec::decode(&above.input)?;
            let trace = place_of_first(&first, &input).trace;
            let above = span_id(parent);
            return Ok(Place {
                trace,
                above,
                is_remote: false,
            });
        };
        first = next;
    }
    Ok(Place {
        trace: trace_id(&first),
        above: span_id(parent),
        is_remote: false,
    })
}

fn place_of_first(turn: &str, input: &Input) -> Place {
    let from_outside = match input {
        Input::Chat(message) => serde_json::from_str::<Value>(&message.context_json)
            .ok()
            .and_then(|context| traceparent(context.get("traceparent")?.as_str()?)),
        Input::Event(_) | Input::Web(_) => None,
    };
    from_outside.unwrap_or(Place {
        trace: trace_id(turn),
        above: SpanId::INVALID,
        is_remote: false,
    })
}

/// A header of W3C's trace context, if it is one.
fn traceparent(header: &str) -> Option<Place> {
    let mut parts = header.split('-');
    let (version, trace, span) = (parts.next()?, parts.next()?, parts.next()?);
    let trace = TraceId::from_hex(trace).ok()?;
    let above = SpanId::from_hex(span).ok()?;
    let is_whole = version.len() == 2 && trace != TraceId::INVALID && above != SpanId::INVALID;
    is_whole.then_some(Place {
        trace,
        above,
        is_remote: true,
    })
}

/// Whether a header is one of W3C's trace context.
pub(crate) fn is_traceparent(header: &str) -> bool {
    header.len() <= 100 && traceparent(header).is_some()
}

fn trace_id(turn: &str) -> TraceId {
    TraceId::from_hex(&turn.replace('-', "")).unwrap_or(TraceId::INVALID)
}

fn span_id(turn: &str) -> SpanId {
    let plain = turn.replace('-', "");
    let last = plain.get(16..).unwrap_or_default();
    SpanId::from_hex(last).unwrap_or(SpanId::INVALID)
}

/// The span of a call of a turn, the same however often it is told of.
fn span_id_of_call(turn: &str, what: &str, seq: i64) -> SpanId {
    let hash = Sha256::digest(format!("{turn} {what} {seq}"));
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash[..8]);
    SpanId::from_bytes(bytes)
}

/// All spans of a turn.
pub(super) fn of_turn(recorded: &Recorded, content: bool) -> Vec<SpanData> {
    let mut spans = vec![of_itself(recorded, content)];
    let paid: Vec<i64> = recorded.usage.iter().map(|row| row.call).collect();
    spans.extend(
        recorded
            .model_calls()
            .map(|call| call.span(recorded, content)),
    );
    // Calls of models have spans of their own.
    let others = recorded.journal.iter();
    let others =
        others.filter(|entry| !paid.contains(&entry.seq) && !entry.kind.starts_with("llm."));
    spans.extend(others.map(|entry| of_call(recorded, entry, content)));
    spans
}

fn of_itself(recorded: &Recorded, content: bool) -> SpanData {
    let turn = &recorded.turn;
    let tokens = |count: fn(&UsageRow) -> i64| recorded.usage.iter().map(count).sum::<i64>();
    let mut attributes = vec![
        KeyValue::new("gen_ai.operation.name", "invoke_agent"),
        KeyValue::new("gen_ai.agent.name", turn.agent.clone()),
        KeyValue::new("gen_ai.usage.input_tokens", tokens(|row| row.input_tokens)),
        KeyValue::new(
            "gen_ai.usage.output_tokens",
            tokens(|row| row.output_tokens),
        ),
        KeyValue::new("anchorhold.turn", turn.id.clone()),
        KeyValue::new("anchorhold.channel", turn.channel.clone()),
        KeyValue::new("anchorhold.attempts", turn.attempts),
        KeyValue::new("anchorhold.suspensions", turn.suspensions),
    ];
    let mut add = |name: &'static str, value: Option<String>| {
        attributes.extend(value.map(|value| KeyValue::new(name, value)));
    };
    add("gen_ai.conversation.id", turn.conversation.clone());
    add(
        "gen_ai.agent.version",
        turn.version.map(|version| version.to_string()),
    );
    let failure = turn.error.as_deref();
    let failure = failure.and_then(|error| serde_json::from_str::<Failure>(error).ok());
    add("error.type", failure.as_ref().map(code));
    if content {
        add("gen_ai.input.messages", said(&recorded.input));
        add(
            "gen_ai.output.messages",
            turn.text.as_deref().map(|text| message("assistant", text)),
        );
    }
    let status = failure.map_or(Status::Ok, |failure| Status::error(failure.message));
    span(Sketch {
        place: recorded.place,
        id: span_id(&turn.id),
        kind: SpanKind::Server,
        name: format!("invoke_agent {}", turn.agent),
        start: ms(turn.created_at),
        end: ms(turn.finished_at.unwrap_or(turn.created_at)),
        attributes,
        status,
    })
}

fn code(failure: &Failure) -> String {
    match serde_json::to_value(failure.code) {
        Ok(Value::String(code)) => code,
        _ => "internal".to_owned(),
    }
}

fn said(input: &Input) -> Option<String> {
    match input {
        Input::Chat(chat) => Some(message("user", &chat.text)),
        Input::Event(_) | Input::Web(_) => None,
    }
}

fn message(role: &str, text: &str) -> String {
    json!([{"role": role, "parts": [{"type": "text", "content": cut(text)}]}]).to_string()
}

fn cut(text: &str) -> &str {
    let end = text.char_indices().nth(MAX_CONTENT);
    end.map_or(text, |(end, _)| &text[..end])
}

impl ModelCall<'_> {
    pub(super) fn labels(&self) -> Vec<KeyValue> {
        vec![
            KeyValue::new("gen_ai.operation.name", self.operation()),
            KeyValue::new("gen_ai.provider.name", self.row.provider.clone()),
            KeyValue::new("gen_ai.request.model", self.row.model.clone()),
        ]
    }

    fn operation(&self) -> &'static str {
        match self.entry {
            Some(entry) if entry.kind == "llm.embed" => "embeddings",
            _ => "chat",
        }
    }

    /// From when it was asked to when it was on the bill.
    pub(super) fn seconds(&self) -> f64 {
        let (start, end) = self.times();
        end.duration_since(start).unwrap_or_default().as_secs_f64()
    }

    fn times(&self) -> (SystemTime, SystemTime) {
        let end = ms(self.row.at);
        let start = self.entry.map_or(end, |entry| times(entry).0);
        (start.min(end), end)
    }

    fn span(&self, recorded: &Recorded, content: bool) -> SpanData {
        let (row, (start, end)) = (self.row, self.times());
        let mut attributes = self.labels();
        attributes.extend([
            KeyValue::new("gen_ai.usage.input_tokens", row.input_tokens),
            KeyValue::new("gen_ai.usage.output_tokens", row.output_tokens),
        ]);
        let cost = row.cost_micro_usd;
        attributes.extend(cost.map(|cost| KeyValue::new("anchorhold.cost_micro_usd", cost)));
        if let (true, Some(entry)) = (content, self.entry) {
            attributes.extend(content_of(entry));
        }
        let status = match row.status {
            UsageStatus::Failed | UsageStatus::Lost => {
                let what = if row.status == UsageStatus::Lost {
                    "lost"
                } else {
                    "failed"
                };
                attributes.push(KeyValue::new("error.type", what));
                Status::error(what)
            }
            _ => Status::Ok,
        };
        span(Sketch {
            place: recorded.below(),
            id: span_id_of_call(&recorded.turn.id, "model", row.seq),
            kind: SpanKind::Client,
            name: format!("{} {}", self.operation(), row.model),
            start,
            end,
            attributes,
            status,
        })
    }
}

impl Recorded {
    /// Where its calls are.
    fn below(&self) -> Place {
        Place {
            above: span_id(&self.turn.id),
            is_remote: false,
            ..self.place
        }
    }
}

fn of_call(recorded: &Recorded, entry: &JournalEntry, content: bool) -> SpanData {
    let (start, end) = times(entry);
    let mut attributes = Vec::new();
    let mut name = entry.kind.clone();
    let args = codec::to_json(&entry.args);
    if let ("tools.call", Some(tool)) = (entry.kind.as_str(), args[0].as_str()) {
        name = format!("execute_tool {tool}");
        attributes.push(KeyValue::new("gen_ai.operation.name", "execute_tool"));
        attributes.push(KeyValue::new("gen_ai.tool.name", tool.to_owned()));
    }
    if content {
        attributes.extend(content_of(entry));
    }
    let status = match entry.status {
        JournalStatus::Done => Status::Ok,
        JournalStatus::Failed => Status::error("failed"),
        JournalStatus::Begun => Status::error("cut off"),
    };
    span(Sketch {
        place: recorded.below(),
        id: span_id_of_call(&recorded.turn.id, "call", entry.seq),
        kind: SpanKind::Internal,
        name,
        start,
        end,
        attributes,
        status,
    })
}

/// What was asked and answered.
fn content_of(entry: &JournalEntry) -> Vec<KeyValue> {
    let shown = |bytes: &[u8]| cut(&codec::to_json(bytes).to_string()).to_owned();
    let mut content = vec![KeyValue::new("anchorhold.call.args", shown(&entry.args))];
    let result = entry.result.as_deref();
    content.extend(result.map(|result| KeyValue::new("anchorhold.call.result", shown(result))));
    content
}

fn times(entry: &JournalEntry) -> (SystemTime, SystemTime) {
    let end = SystemTime::UNIX_EPOCH + Duration::from_nanos(entry.at.unsigned_abs());
    let took = Duration::from_micros(entry.took_us.unsigned_abs());
    (end.checked_sub(took).unwrap_or(end), end)
}

fn ms(ms: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(ms.unsigned_abs())
}

/// What differs from span to span.
struct Sketch {
    place: Place,
    id: SpanId,
    kind: SpanKind,
    name: String,
    start: SystemTime,
    end: SystemTime,
    attributes: Vec<KeyValue>,
    status: Status,
}

fn span(sketch: Sketch) -> SpanData {
    let Place {
        trace,
        above,
        is_remote,
    } = sketch.place;
    let flags = TraceFlags::SAMPLED;
    SpanData {
        span_context: SpanContext::new(trace, sketch.id, flags, false, TraceState::NONE),
        parent_span_id: above,
        parent_span_is_remote: is_remote,
        span_kind: sketch.kind,
        name: sketch.name.into(),
        start_time: sketch.start,
        end_time: sketch.end.max(sketch.start),
        attributes: sketch.attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: sketch.status,
        instrumentation_scope: InstrumentationScope::builder("anchorhold").build(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_found_by_its_trace() {
        let turn = "01a2067a-ed94-71c4-b5a3-2e9c1bcbecb8";
        assert_eq!(
            trace_id(turn).to_string(),
            "01a2067aed9471c4b5a32e9c1bcbecb8"
        );
        assert_eq!(span_id(turn).to_string(), "b5a32e9c1bcbecb8");
        let [first, again, other] = [("call", 1), ("call", 1), ("call", 2)]
            .map(|(what, seq)| span_id_of_call(turn, what, seq));
        assert_eq!(first, again);
        assert_ne!(first, other);
    }

    #[test]
    fn a_trace_from_outside_goes_on() {
        let header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let place = traceparent(header).unwrap();
        assert_eq!(place.trace.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(place.above.to_string(), "b7ad6b7169203331");
        for bad in [
            "",
            "00-xyz-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c",
        ] {
            assert!(!is_traceparent(bad), "{bad}");
        }
    }
}
