//! The gateway to language models: finds the provider of an alias, calls it where the sockets
//! live, and hands back one stream in the contract's own vocabulary.
//!
//! It knows nothing of guests, grants or budgets. Those come before it, in the turn's window.
//! Nothing here logs what is asked or answered.

#![expect(
    clippy::result_large_err,
    reason = "the contract's error is a record; one is made per failed call, not per item"
)]

mod draft;
mod failure;
mod generation;
mod health;
mod price;
mod remote;
mod repair;
mod route;
mod schema;
mod sink;
mod usage;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use crate::config;
use crate::dev::scripted::Scripted;
use crate::gate::Gate;
use crate::guard::Guard;
use crate::net;
use crate::runtime::bindings::llm as wire;
use crate::store::Estimate;

pub use generation::{Beginning, Generation};
pub use watch::{LastFailure, ProviderState};

pub(crate) use draft::CallPiece;
pub(crate) use failure::{failure, retry_class};
pub(crate) use sink::Sink;
pub(crate) use usage::{estimate, free, of_request as tokens_of};

use failure::unknown_alias;
use health::{Breaker, Health};
use price::{Prices, Rates};
use remote::{Remote, Wire};
use route::{Asked, Candidate, Persistence, Route};
use schema::Schema;
use watch::Watch;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What every call has in common, from `[llm]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Defaults {
    /// Output tokens when the request names no bound.
    pub(crate) max_output_tokens: u32,
    /// How long a provider may take to begin an answer.
    pub(crate) header_timeout: Duration,
    /// How long a provider may pause within an answer.
    pub(crate) read_timeout: Duration,
}

impl From<&config::Llm> for Defaults {
    fn from(config: &config::Llm) -> Self {
        Self {
            max_output_tokens: config.max_output_tokens.unwrap_or(8192),
            header_timeout: Duration::from_millis(config.header_timeout_ms.unwrap_or(120_000)),
            read_timeout: Duration::from_millis(config.read_timeout_ms.unwrap_or(300_000)),
        }
    }
}

/// One `[llm.providers.NAME]`.
pub(crate) struct Provider {
    pub(crate) name: String,
    backend: Backend,
    watch: Watch,
}

enum Backend {
    Remote(Remote),
    Scripted(Scripted),
}

/// All models of the operator, by alias.
pub struct Gateway {
    routes: BTreeMap<String, Route>,
    defaults: Defaults,
    persistence: Persistence,
    cache: config::LlmCache,
    io: Handle,
}

impl Gateway {
    /// `io` is the runtime on which sockets live: provider work is spawned there, never on the
    /// caller's runtime, because guests run on other threads.
    ///
    /// # Errors
    ///
    /// If a provider or the script is configured in a way that cannot work.
    pub fn new(config: &config::Llm, io: Handle) -> Result<Self> {
        let http = net::provider_client(CONNECT_TIMEOUT)?;
        let client = genai::Client::builder().with_reqwest(http).build()?;
        let prices = prices(config)?;
        let mut providers = BTreeMap::new();
        for (name, provider) in &config.providers {
            let made = Provider::new(name, provider, config, &client)
                .with_context(|| format!("[llm.providers.{name}] cannot be used"))?;
            providers.insert(name.as_str(), Arc::new(made));
        }
        let mut candidates = BTreeMap::new();
        let mut routes = BTreeMap::new();
        for (alias, target) in &config.models {
            let mut route = Vec::new();
            for config::Candidate {
                provider: name,
                model,
                weight,
            } in &target.candidates
            {
                let known = config.providers.get(name).zip(providers.get(name.as_str()));
                let (kind, provider) = known.with_context(|| {
                    format!("[llm.models.{alias}] names no provider of [llm.providers]")
                })?;
                // How a model does at a provider is one thing, whatever it is called.
                let candidate = candidates.entry((name, model)).or_insert_with(|| {
                    let adapter = Wire::of(kind.kind).map(Wire::adapter);
                    Arc::new(Candidate {
                        provider: Arc::clone(provider),
                        model: model.as_str().into(),
                        tariff: prices.tariff(name, adapter, model, kind.is_free()),
                        health: Health::default(),
                    })
                });
                route.push((Arc::clone(candidate), weight.get()));
            }
            let candidates = route.into();
            routes.insert(alias.clone(), Route { candidates });
        }
        Ok(Self {
            routes,
            defaults: Defaults::from(config),
            persistence: Persistence::from(config),
            cache: config.cache,
            io,
        })
    }

    /// Asks a model, to read the answer while it is made. Returns when the provider accepted, so
    /// that a refusal is an error here.
    ///
    /// # Errors
    ///
    /// What the provider refused, or what kept the host from asking it.
    pub async fn start(
        &self,
        request: wire::Request,
        guard: &Guard,
    ) -> Result<Generation, wire::Error> {
        let beginning = self.begin_stream(request, guard, Gate::opened())?;
        beginning.accepted().await
    }

    /// The same, prepared: it is sent once `gate` is open.
    ///
    /// # Errors
    ///
    /// If there is no such model.
    pub fn begin_stream(
        &self,
        request: wire::Request,
        guard: &Guard,
        gate: Gate,
    ) -> Result<Beginning, wire::Error> {
        self.ask(request, guard, gate, false)
    }

    /// Prepares to ask for a whole answer, which is done once `gate` is open: one that does not fit
    /// its schema is asked for once more.
    ///
    /// # Errors
    ///
    /// If there is no such model.
    pub fn begin(
        &self,
        request: wire::Request,
        guard: &Guard,
        gate: Gate,
    ) -> Result<Beginning, wire::Error> {
        self.ask(request, guard, gate, true)
    }

    /// What is asked goes to the provider's task here, so that who waits for
    /// the answer does not keep it.
    fn ask(
        &self,
        request: wire::Request,
        guard: &Guard,
        gate: Gate,
        may_repair: bool,
    ) -> Result<Beginning, wire::Error> {
        let (guard, deadline_ms) = (guard.clone(), request.deadline_ms);
        let route = self.route(&request.model)?.clone();
        let (defaults, persistence) = (self.defaults, self.persistence);
        let first = route.first();
        let call = generation::Call {
            provider: first.provider.name.clone(),
            model: first.model.to_string(),
            tariff: first.tariff.clone(),
            input_tokens: usage::of_request(&request),
        };
        Ok(Beginning::of(&self.io, call, move |mut sink| async move {
            sink.look(guard.screen(&request.model));
            let answer = async {
                let request = guarded(&guard, request).await?;
                let schema = Schema::of(&request.response_format).await?;
                gate.passed().await;
                let asked = Asked {
                    request: &request,
                    schema: schema.as_ref(),
                    guard: &guard,
                    may_repair,
                    defaults,
                    persistence,
                };
                route.answer(&asked, &mut sink).await
            };
            let answer = within(deadline_ms, Box::pin(answer)).await;
            sink.end(answer).await;
        }))
    }

    /// Turns texts into vectors, in order.
    ///
    /// # Errors
    ///
    /// As for [`Gateway::start`].
    pub async fn embed(
        &self,
        request: wire::EmbedRequest,
        guard: &Guard,
    ) -> Result<wire::EmbedResponse, wire::Error> {
        if request.input.is_empty() || request.input.len() > 256 {
            return Err(failure(
                wire::ErrorKind::InvalidRequest,
                format!("embed takes 1 to 256 texts, not {}", request.input.len()),
            ));
        }
        // Vectors of another model would not compare.
        let candidate = Arc::clone(self.route(&request.model)?.first());
        let (defaults, persistence) = (self.defaults, self.persistence);
        let guard = guard.clone();
        let task = self.io.spawn(async move {
            let request = guarded_texts(&guard, request).await?;
            candidate.embed(request, defaults, persistence).await
        });
        tokio_util::task::AbortOnDropHandle::new(task)
            .await
            .unwrap_or_else(|_| Err(failure::lost()))
    }

    /// How answers are kept that are given again.
    pub(crate) fn cache(&self) -> config::LlmCache {
        self.cache
    }

    /// What decides on the answer to a request besides the request: who may be asked, and the bound
    /// where it names none. None if there is no such model.
    pub(crate) fn deciding(&self, alias: &str) -> Option<impl Serialize + use<'_>> {
        let route = self.routes.get(alias)?;
        let candidates = route.candidates.iter();
        let candidates: Vec<(&str, &str, u32)> = candidates
            .map(|(candidate, weight)| {
                let provider = candidate.provider.name.as_str();
                (provider, &*candidate.model, *weight)
            })
            .collect();
        Some((candidates, self.defaults.max_output_tokens))
    }

    /// Every alias and what it stands for.
    pub fn models(&self) -> Vec<wire::ModelInfo> {
        self.routes
            .iter()
            .map(|(alias, route)| wire::ModelInfo {
                alias: alias.clone(),
                provider: route.first().provider.name.clone(),
                model: route.first().model.to_string(),
            })
            .collect()
    }

    /// How each provider does that an alias names, by name.
    pub fn providers(&self) -> Vec<ProviderState> {
        let candidates = self
            .routes
            .values()
            .flat_map(|route| route.candidates.iter());
        let by_name: BTreeMap<&str, &Arc<Provider>> = candidates
            .map(|(candidate, _)| (candidate.provider.name.as_str(), &candidate.provider))
            .collect();
        by_name
            .into_values()
            .map(|provider| provider.watch.state())
            .collect()
    }

    /// The most that a request can take; none if there is no such model.
    pub(crate) fn estimate(&self, request: &wire::Request) -> Option<Estimate> {
        let route = self.routes.get(&request.model)?;
        let output = self.most_output(request);
        Some(route.estimate(usage::most_of_request(request), output))
    }

    /// The same for a whole answer, which may be asked for twice: then the first answer is part of
    /// what is asked.
    pub(crate) fn estimate_of_answer(&self, request: &wire::Request) -> Option<Estimate> {
        if !matches!(request.response_format, wire::ResponseFormat::JsonSchema(_)) {
            return self.estimate(request);
        }
        let route = self.routes.get(&request.model)?;
        let output = self.most_output(request);
        let input = 2 * usage::most_of_request(request) + output + schema::REPAIR_TOKENS;
        Some(route.estimate(input, 2 * output))
    }

    fn most_output(&self, request: &wire::Request) -> u64 {
        let default = self.defaults.max_output_tokens;
        u64::from(request.max_output_tokens.unwrap_or(default))
    }

    /// The same for texts that are to be vectors.
    pub(crate) fn estimate_of_texts(&self, request: &wire::EmbedRequest) -> Option<Estimate> {
        let route = self.routes.get(&request.model)?;
        let bytes = request.input.iter().map(|text| text.len() + 2).sum();
        Some(route.estimate(usage::most(bytes), 0))
    }

    /// What budgets count of a call of this alias.
    pub(crate) fn charge(&self, alias: &str, usage: &wire::Usage) -> u64 {
        let route = self.routes.get(alias);
        route.map_or(0, |route| route.first().tariff.charge(usage))
    }

    fn route(&self, alias: &str) -> Result<&Route, wire::Error> {
        self.routes.get(alias).ok_or_else(|| unknown_alias(alias))
    }
}

/// The prices that `[llm]` says, with the table that comes with the program.
fn prices(config: &config::Llm) -> Result<Prices> {
    let worst = Rates::flat(
        config.unknown_input_usd.unwrap_or(15.0),
        config.unknown_output_usd.unwrap_or(75.0),
    )
    .context("[llm] unknown_input_usd and unknown_output_usd")?;
    Prices::open(config.prices.as_deref(), worst)
}

impl From<&config::Llm> for Persistence {
    fn from(config: &config::Llm) -> Self {
        Self {
            attempts: config.attempts.unwrap_or(3),
            breaker: Breaker {
                failures: config.breaker_failures.unwrap_or(5),
                rest: Duration::from_millis(config.breaker_ms.unwrap_or(300_000)),
            },
        }
    }
}

impl Provider {
    fn new(
        name: &str,
        provider: &config::Provider,
        config: &config::Llm,
        client: &genai::Client,
    ) -> Result<Self> {
        let backend = match Wire::of(provider.kind) {
            Some(wire) => Backend::Remote(Remote::new(name, wire, provider, client.clone())?),
            None => Backend::Scripted(Scripted::open(&config.script)?),
        };
        Ok(Self {
            name: name.to_owned(),
            backend,
            watch: Watch::of(name),
        })
    }

    async fn answer(
        &self,
        model: &str,
        request: &wire::Request,
        defaults: Defaults,
        sink: &mut Sink,
    ) -> Result<wire::Response, wire::Error> {
        let answer = match &self.backend {
            // What a remote call keeps is large; others need not be as large.
            Backend::Remote(remote) => {
                Box::pin(remote.answer(model, request, defaults, sink)).await
            }
            Backend::Scripted(scripted) => scripted.answer(model, request, defaults, sink).await,
        };
        answer.map(|response| wire::Response {
            provider: self.name.clone(),
            ..response
        })
    }

    async fn embed(
        &self,
        model: &str,
        request: wire::EmbedRequest,
        defaults: Defaults,
    ) -> Result<wire::EmbedResponse, wire::Error> {
        let began = Instant::now();
        let answer = match &self.backend {
            Backend::Remote(remote) => remote.embed(model, request, defaults).await,
            Backend::Scripted(scripted) => scripted.embed(model, &request),
        };
        self.log(model, began, answer.as_ref().err());
        answer.map_err(|error| wire::Error {
            provider: error.provider.or_else(|| Some(self.name.clone())),
            attempts: error.attempts.max(1),
            ..error
        })
    }

    /// One line for each call: who, how long, how it went. Never what was said.
    fn log(&self, model: &str, began: Instant, error: Option<&wire::Error>) {
        self.watch.note(error);
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        match error {
            None => tracing::debug!(provider = self.name, model, ms, "model call ended"),
            Some(error) => tracing::warn!(
                provider = self.name,
                model,
                ms,
                kind = ?error.kind,
                http_status = error.http_status,
                "model call failed"
            ),
        }
    }
}

/// The most tokens that a request can have which is looked at where it is: that takes no longer
/// than to wake another thread.
const LITTLE: u64 = 2_048;

/// A request as it may be sent.
async fn guarded(guard: &Guard, request: wire::Request) -> Result<wire::Request, wire::Error> {
    if !guard.looks_at_input() {
        return Ok(request);
    }
    let passed = if usage::most_of_request(&request) <= LITTLE {
        guard.request(request)?
    } else {
        let patterns = guard.clone();
        let passed = spawn_blocking(move || patterns.request(request)).await;
        passed.map_err(|_| failure::lost())??
    };
    Ok(guard.checked(passed).await?)
}

/// The same for texts that are to be vectors.
async fn guarded_texts(
    guard: &Guard,
    mut request: wire::EmbedRequest,
) -> Result<wire::EmbedRequest, wire::Error> {
    if !guard.looks_at_input() {
        return Ok(request);
    }
    let patterns = guard.clone();
    let passed = spawn_blocking(move || patterns.texts(request.input)).await;
    let passed = passed.map_err(|_| failure::lost())??;
    request.input = guard.checked_texts(&request.model, passed).await?;
    Ok(request)
}

/// Holds a call to the deadline of its request.
async fn within<T>(
    deadline_ms: Option<u64>,
    call: impl Future<Output = Result<T, wire::Error>>,
) -> Result<T, wire::Error> {
    match deadline_ms {
        None => call.await,
        Some(ms) => tokio::time::timeout(Duration::from_millis(ms), call)
            .await
            .unwrap_or_else(|_| Err(failure::past_deadline())),
    }
}

#[cfg(test)]
pub(crate) mod tests;
