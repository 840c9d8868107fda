//! A provider that answers from a script. It is not a model: it makes a host that has no key
//! worth talking to, and tests exact.

#![expect(
    clippy::result_large_err,
    reason = "the contract's error is a record; one is made per failed call, not per item"
)]

mod embedding;
mod placeholders;
mod script;
mod situation;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::llm::{CallPiece, Defaults, Sink, estimate, failure, retry_class};
use crate::runtime::bindings::llm as wire;
use crate::runtime::bindings::types::ToolCall;

use placeholders::Values;
use script::{Chunk, Failure, Reply, Script};
use situation::Situation;

const BUNDLED: &str = include_str!("script.toml");

/// A checked script.
pub struct Scripted {
    script: Script,
}

impl Scripted {
    /// Reads the script at `path`, or the one that comes with the program.
    ///
    /// # Errors
    ///
    /// If there is no such file, or it is not a script.
    pub fn open(path: &Option<PathBuf>) -> Result<Self> {
        let Some(path) = path else {
            return Self::parse(BUNDLED).context("the bundled script is broken");
        };
        let name = path.display();
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the script {name} of [llm] script"))?;
        Self::parse(&text).with_context(|| format!("the script {name} of [llm] script is broken"))
    }

    pub(crate) fn parse(text: &str) -> Result<Self> {
        let script: Script = toml::from_str(text)?;
        script.check()?;
        Ok(Self { script })
    }

    /// Answers like a provider: late, in pieces, or not at all, as the script says.
    pub(crate) async fn answer(
        &self,
        model: &str,
        request: &wire::Request,
        defaults: Defaults,
        sink: &mut Sink,
    ) -> Result<wire::Response, wire::Error> {
        let situation = Situation::of(model, request);
        let (reply, values) = self.script.reply_to(&situation);
        pause(reply.delay_ms).await;
        let bound = request
            .max_output_tokens
            .unwrap_or(defaults.max_output_tokens);
        let performance = Performance::new(reply, &values, bound);
        performance.give(sink, model, &situation).await
    }

    /// Vectors that are the same for the same words.
    pub(crate) fn embed(
        &self,
        model: &str,
        request: &wire::EmbedRequest,
    ) -> Result<wire::EmbedResponse, wire::Error> {
        let vectors = embedding::vectors(request)?;
        let characters = request.input.iter().map(|text| text.chars().count()).sum();
        Ok(wire::EmbedResponse {
            vectors,
            model: model.to_owned(),
            usage: billed(estimate(characters), 0),
        })
    }
}

/// One reply, filled in and ready to be given.
struct Performance<'a> {
    reply: &'a Reply,
    text: String,
    calls: Vec<ToolCall>,
    cut: bool,
}

impl<'a> Performance<'a> {
    fn new(reply: &'a Reply, values: &Values<'_>, max_output_tokens: u32) -> Self {
        let mut text = reply.text(values);
        let bound = usize::try_from(max_output_tokens).unwrap_or(usize::MAX);
        let end = text.char_indices().nth(bound.saturating_mul(4));
        let cut = end.is_some();
        if let Some((end, _)) = end {
            text.truncate(end);
        }
        Self {
            calls: reply.calls(values),
            reply,
            text,
            cut,
        }
    }

    async fn give(
        self,
        sink: &mut Sink,
        model: &str,
        situation: &Situation<'_>,
    ) -> Result<wire::Response, wire::Error> {
        let pieces = pieces(&self.text, self.reply.chunk);
        for (given, piece) in pieces.into_iter().enumerate() {
            self.fail_after(given)?;
            if given > 0 {
                pause(self.reply.chunk_delay_ms).await;
            }
            sink.text(piece).await?;
        }
        self.fail_at_end()?;
        for call in &self.calls {
            sink.call(CallPiece {
                id: &call.id,
                name: &call.name,
                arguments: &call.arguments_json,
                whole: true,
            })
            .await?;
        }
        let usage = sink.close(self.usage(situation)).await?;
        let content = sink.draft().content();
        Ok(wire::Response {
            content,
            finish_reason: self.finish_reason(),
            usage,
            model: model.to_owned(),
            provider: String::new(),
            attempts: 1,
            cached: false,
        })
    }

    fn fail_after(&self, given: usize) -> Result<(), wire::Error> {
        match &self.reply.failure {
            Some(failure) if failure.after_chunks == given => Err(refusal(failure)),
            _ => Ok(()),
        }
    }

    /// A failure happens, even where the text has fewer pieces than it waits for.
    fn fail_at_end(&self) -> Result<(), wire::Error> {
        self.reply
            .failure
            .as_ref()
            .map_or(Ok(()), |failure| Err(refusal(failure)))
    }

    fn usage(&self, situation: &Situation<'_>) -> wire::Usage {
        match self.reply.usage {
            Some(usage) => billed(usage.input, usage.output),
            None => {
                let calls = self.calls.iter();
                let arguments: usize = calls.map(|call| call.arguments_json.len()).sum();
                let output = self.text.chars().count() + arguments;
                billed(situation.input_tokens, estimate(output))
            }
        }
    }

    fn finish_reason(&self) -> wire::FinishReason {
        if self.cut {
            wire::FinishReason::Length
        } else if self.calls.is_empty() {
            wire::FinishReason::Stop
        } else {
            wire::FinishReason::ToolCalls
        }
    }
}

fn billed(input_tokens: u64, output_tokens: u64) -> wire::Usage {
    wire::Usage {
        input_tokens,
        output_tokens,
        cache_read_tokens: 0,
        cache_write_tokens: 0,
        reasoning_tokens: 0,
        estimated: false,
        cost_micro_usd: Some(0),
    }
}

fn refusal(planned: &Failure) -> wire::Error {
    wire::Error {
        retry: retry_class(planned.kind.0),
        retry_after_ms: planned.retry_after_ms,
        ..failure(planned.kind.0, "the script says that this fails")
    }
}

/// No timer for no time: a timer's tick is a millisecond.
async fn pause(ms: u64) {
    if ms > 0 {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

/// The pieces in which a text is streamed: words with the space behind them, or so many
/// characters at a time.
fn pieces(text: &str, chunk: Option<Chunk>) -> Vec<&str> {
    let Some(Chunk(size)) = chunk else {
        return text.split_inclusive(' ').collect();
    };
    let mut rest = text;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let end = rest.char_indices().nth(size.get());
        let (piece, next) = rest.split_at(end.map_or(rest.len(), |(end, _)| end));
        pieces.push(piece);
        rest = next;
    }
    pieces
}

#[cfg(test)]
mod tests;
