//! The commands that ask a model.
#![expect(
    clippy::result_large_err,
    reason = "errors are the records of the contract, unboxed"
)]

use std::collections::BTreeMap;

use anchorhold_agent::llm::{
    self, CacheScope, EmbedRequest, Error, Generation, InputKind, Request, Response, StreamEvent,
};
use anchorhold_agent::serde_json::{Value, json};
use anchorhold_agent::{ToolDefinition, reply};

use crate::show;

pub(crate) fn run(name: &str, alias: &str, text: &str) -> String {
    ask(name, alias, text).unwrap_or_else(|error| show::refusal(error.kind, &error.message))
}

fn ask(name: &str, alias: &str, text: &str) -> Result<String, Error> {
    let request = Request::new(alias).user(text);
    match name {
        "generate" => Ok(whole(&request.generate()?)),
        "cached" => Ok(whole(&request.cached(CacheScope::Person).generate()?)),
        "shared" => Ok(whole(&request.cached(CacheScope::Agent).generate()?)),
        "stream" => stream(&request.start()?),
        "forward" => Ok(reply::forward(request.start()?)?.text()),
        "cancel" => cancel(request.start()?),
        "wait-any" => wait_any(alias, text),
        "tool" => Ok(calls(&request.tool(weather()).generate()?)),
        "json" => Ok(request.json_schema("place", &place()).generate()?.text()),
        "embed" => embed(alias, text),
        "budgets" => budgets(),
        "parallel" => parallel(alias, text),
        _ => models(),
    }
}

fn whole(response: &Response) -> String {
    let usage = response.usage;
    json!({
        "text": response.text(),
        "finish": show::name(response.finish_reason),
        "model": response.model,
        "provider": response.provider,
        "attempts": response.attempts,
        "cached": response.cached,
        "usage": {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "estimated": usage.estimated,
            "cost_micro_usd": usage.cost_micro_usd,
        },
    })
    .to_string()
}

fn stream(generation: &Generation) -> Result<String, Error> {
    let mut text = String::new();
    let mut counts = BTreeMap::<&str, u32>::new();
    loop {
        let batch = generation.next(1)?;
        assert!(batch.len() <= 1, "asked for one event, got {}", batch.len());
        let Some(event) = batch.into_iter().next() else {
            return Ok(json!({"text": text, "events": counts}).to_string());
        };
        *counts.entry(kind(&event)).or_default() += 1;
        if let StreamEvent::Text(delta) = event {
            text.push_str(&delta.text);
        }
    }
}

fn kind(event: &StreamEvent) -> &'static str {
    match event {
        StreamEvent::Text(_) => "text",
        StreamEvent::Reasoning(_) => "reasoning",
        StreamEvent::ToolCallStart(_) => "tool-call-start",
        StreamEvent::ToolCallArguments(_) => "tool-call-arguments",
        StreamEvent::ToolCallEnd(_) => "tool-call-end",
        StreamEvent::Usage(_) => "usage",
    }
}

fn cancel(generation: Generation) -> Result<String, Error> {
    generation.next(1)?;
    generation.cancel();
    Ok(whole(&generation.response()?))
}

/// Reads several generations as they come; `order` is who had something to read each time.
fn wait_any(alias: &str, text: &str) -> Result<String, Error> {
    if text.is_empty() {
        llm::wait_any(&[])?;
    }
    let start = |text: String| Request::new(alias).user(text).start();
    let mut open: Vec<(usize, Generation)> = show::texts(text)
        .into_iter()
        .map(start)
        .enumerate()
        .map(numbered)
        .collect::<Result<_, _>>()?;
    let mut texts = vec![String::new(); open.len()];
    let mut order = Vec::new();
    while !open.is_empty() {
        let place = llm::wait_any(&open.iter().map(|(_, it)| it).collect::<Vec<_>>())?;
        let batch = open[place].1.next(16)?;
        let number = open[place].0;
        order.push(number);
        if batch.is_empty() {
            open.remove(place);
        }
        for event in batch {
            if let StreamEvent::Text(delta) = event {
                texts[number].push_str(&delta.text);
            }
        }
    }
    Ok(json!({"order": order, "texts": texts}).to_string())
}

fn numbered(
    (number, started): (usize, Result<Generation, Error>),
) -> Result<(usize, Generation), Error> {
    Ok((number, started?))
}

fn weather() -> ToolDefinition {
    ToolDefinition::new("weather", "Tells the weather of a city", &place())
}

fn place() -> Value {
    json!({
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": false
    })
}

fn calls(response: &Response) -> String {
    let calls: Vec<_> = response
        .tool_calls()
        .into_iter()
        .map(|call| json!({"id": call.id, "name": call.name, "arguments": call.arguments_json}))
        .collect();
    json!({"calls": calls, "text": response.text()}).to_string()
}

fn embed(alias: &str, text: &str) -> Result<String, Error> {
    let response = llm::embed(&EmbedRequest {
        model: alias.into(),
        input: show::texts(text),
        kind: InputKind::Document,
        dimensions: None,
    })?;
    Ok(response
        .vectors
        .iter()
        .map(Vec::len)
        .collect::<Value>()
        .to_string())
}

fn budgets() -> Result<String, Error> {
    let budgets = llm::budgets()?.into_iter();
    Ok(budgets
        .map(|budget| {
            json!({
                "scope": budget.scope, "window": budget.window, "requests_left": budget.requests_left,
                "tokens_left": budget.tokens_left, "cost_left_micro_usd": budget.cost_left_micro_usd,
                "resets_at_ms": budget.resets_at_ms,
            })
        })
        .collect::<Value>()
        .to_string())
}

/// As many generations at once as the text says; how each came out.
fn parallel(alias: &str, text: &str) -> Result<String, Error> {
    let count = text.parse().unwrap_or(2);
    let begun: Vec<_> = (0..count)
        .map(|_| Request::new(alias).user("parallel").start())
        .collect();
    let ended = begun.into_iter().map(|begun| match begun {
        Ok(generation) => match Generation::finish(generation) {
            Ok(response) => response.text(),
            Err(error) => show::name(error.kind),
        },
        Err(error) => show::name(error.kind),
    });
    Ok(ended.collect::<Value>().to_string())
}

fn models() -> Result<String, Error> {
    let models = llm::list_models()?.into_iter();
    Ok(models
        .map(|model| model.alias)
        .collect::<Value>()
        .to_string())
}
