//! Providers reached over HTTP, through genai. The host chooses address, key and model for each
//! call; genai only translates between its own vocabulary and the wires.

mod address;
mod heard;
mod options;
mod prompt;
mod reading;
mod refusal;
mod thoughts;
mod tools;

use std::time::Duration;

use anyhow::{Result, ensure};
use genai::adapter::AdapterKind;
use genai::chat::ChatRequest;
use genai::embed::{EmbedOptions, EmbedRequest};
use genai::resolver::{AuthData, Endpoint};
use genai::{Headers, ModelIden, ServiceTarget};
use secrecy::{ExposeSecret, SecretString};
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;

use crate::config::{self, ProviderKind};
use crate::runtime::bindings::llm as wire;

use super::failure::{failure, past_deadline};
use super::{Defaults, Sink, usage};
use heard::Heard;

/// The wires that genai speaks for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    Openai,
    OpenaiResponses,
    Anthropic,
    Gemini,
    Bedrock,
    Ollama,
}

/// One provider: where it is and what opens it.
pub(super) struct Remote {
    name: String,
    wire: Wire,
    base: String,
    key: Option<SecretString>,
    client: genai::Client,
}

impl Wire {
    /// None for what is not reached over HTTP.
    pub(super) fn of(kind: ProviderKind) -> Option<Self> {
        match kind {
            ProviderKind::Openai => Some(Self::Openai),
            ProviderKind::OpenaiResponses => Some(Self::OpenaiResponses),
            ProviderKind::Anthropic => Some(Self::Anthropic),
            ProviderKind::Gemini => Some(Self::Gemini),
            ProviderKind::Bedrock => Some(Self::Bedrock),
            ProviderKind::Ollama => Some(Self::Ollama),
            ProviderKind::Scripted => None,
        }
    }

    /// Named, never guessed: by a model's name genai might pick another wire.
    pub(super) fn adapter(self) -> AdapterKind {
        match self {
            Self::Openai => AdapterKind::OpenAI,
            Self::OpenaiResponses => AdapterKind::OpenAIResp,
            Self::Anthropic => AdapterKind::Anthropic,
            Self::Gemini => AdapterKind::Gemini,
            Self::Bedrock => AdapterKind::BedrockApi,
            Self::Ollama => AdapterKind::Ollama,
        }
    }
}

impl Remote {
    pub(super) fn new(
        name: &str,
        wire: Wire,
        provider: &config::Provider,
        client: genai::Client,
    ) -> Result<Self> {
        ensure!(
            wire != Wire::Bedrock || provider.api_key.is_some(),
            "Bedrock is asked with an API key of Amazon Bedrock: set api_key"
        );
        Ok(Self {
            name: name.to_owned(),
            wire,
            base: address::base(wire, provider.base_url.as_deref())?,
            key: provider.api_key.clone(),
            client,
        })
    }

    /// genai writes bodies of errors into its log, so nothing within a call may log.
    pub(super) async fn answer(
        &self,
        model: &str,
        request: &wire::Request,
        defaults: Defaults,
        sink: &mut Sink,
    ) -> Result<wire::Response, wire::Error> {
        self.answer_loudly(model, request, defaults, sink)
            .with_subscriber(NoSubscriber::new())
            .await
    }

    async fn answer_loudly(
        &self,
        model: &str,
        request: &wire::Request,
        defaults: Defaults,
        sink: &mut Sink,
    ) -> Result<wire::Response, wire::Error> {
        let heard = Heard::default();
        let mut options =
            heard.listen(self.wire, options::of(self.wire, model, request, defaults)?);
        options.extra_headers = self.headers();
        let mut chat = ChatRequest::new(prompt::messages(&self.name, self.wire, request)?);
        chat.tools = tools::offered(self.wire, request)?;
        let context = self.context(&request.model);
        let target = self.target(model, self.path())?;
        let stream = self
            .client
            .exec_chat_stream(target, chat, Some(&options))
            .await
            .map_err(|error| refusal::of(error, &context))?;
        reading::read(stream.stream, self.wire, &heard, &context, sink).await
    }

    pub(super) async fn embed(
        &self,
        model: &str,
        request: wire::EmbedRequest,
        defaults: Defaults,
    ) -> Result<wire::EmbedResponse, wire::Error> {
        let characters = request.input.iter().map(|text| text.chars().count()).sum();
        let expected = request.input.len();
        let context = self.context(&request.model);
        let options = self.embed_options(&request);
        let target = self.target(model, "embeddings")?;
        let input = EmbedRequest::new_batch(request.input);
        let call = self.client.exec_embed(target, input, Some(&options));
        let answer = in_time(
            defaults.header_timeout,
            call.with_subscriber(NoSubscriber::new()),
        )
        .await?
        .map_err(|error| refusal::of(error, &context))?;
        let mut embeddings = answer.embeddings;
        embeddings.sort_by_key(|embedding| embedding.index);
        if embeddings.len() != expected {
            return Err(context.broken("it answered another number of vectors than was asked for"));
        }
        let mut usage = usage::of_provider(&answer.usage);
        if usage.input_tokens == 0 {
            usage.input_tokens = usage::estimate(characters);
            usage.estimated = true;
        }
        Ok(wire::EmbedResponse {
            vectors: embeddings
                .into_iter()
                .map(|embedding| embedding.vector)
                .collect(),
            model: model.to_owned(),
            usage,
        })
    }

    fn embed_options(&self, request: &wire::EmbedRequest) -> EmbedOptions {
        let task = match (self.wire, request.kind) {
            (Wire::Gemini, wire::InputKind::Query) => Some("RETRIEVAL_QUERY"),
            (Wire::Gemini, wire::InputKind::Document) => Some("RETRIEVAL_DOCUMENT"),
            _ => None,
        };
        EmbedOptions {
            headers: self.headers(),
            dimensions: request
                .dimensions
                .and_then(|number| usize::try_from(number).ok()),
            embedding_type: task.map(str::to_owned),
            ..EmbedOptions::default()
        }
    }

    /// Below the base address, where it is not genai that joins them.
    fn path(&self) -> &'static str {
        if self.wire == Wire::OpenaiResponses {
            "responses"
        } else {
            "chat/completions"
        }
    }

    fn target(&self, model: &str, path: &str) -> Result<ServiceTarget, wire::Error> {
        let auth = match (&self.key, self.wire) {
            (Some(key), _) => AuthData::Key(key.expose_secret().into()),
            // Local servers often take no key; genai would not send a request without one.
            (None, Wire::Openai | Wire::OpenaiResponses) => AuthData::RequestOverride {
                url: address::join(&self.base, path).map_err(|_| self.unusable())?,
                headers: Headers::default(),
            },
            (None, _) => AuthData::Key(String::new()),
        };
        let name = match self.wire {
            // genai cuts a name after its first `::`, and ARNs have one.
            Wire::Bedrock => format!("bedrock::{model}"),
            _ => model.to_owned(),
        };
        Ok(ServiceTarget {
            endpoint: Endpoint::from_owned(self.base.as_str()),
            auth,
            model: ModelIden::new(self.wire.adapter(), name),
        })
    }

    /// Ollama itself has no keys, what stands before it may.
    fn headers(&self) -> Option<Headers> {
        let key = self.key.as_ref().filter(|_| self.wire == Wire::Ollama)?;
        let value = format!("Bearer {}", key.expose_secret());
        Some(Headers::from(("Authorization".to_owned(), value)))
    }

    fn unusable(&self) -> wire::Error {
        failure(
            wire::ErrorKind::Internal,
            format!("base_url of [llm.providers.{}] cannot be used", self.name),
        )
    }

    fn context<'a>(&'a self, alias: &'a str) -> refusal::Context<'a> {
        refusal::Context {
            provider: &self.name,
            alias,
            key: self.key.as_ref(),
        }
    }
}

async fn in_time<T>(bound: Duration, call: impl Future<Output = T>) -> Result<T, wire::Error> {
    let answer = tokio::time::timeout(bound, call).await;
    answer.map_err(|_| past_deadline())
}
