//! From an alias to a model that answers: candidates by weight, the quicker of two drawn ones
//! first, and another attempt or another candidate as long as nothing of an answer was seen.
//!
//! Two candidates are drawn by weight and the better one is asked ("the power of two choices",
//! Mitzenmacher 2001), so that load spreads by weight and avoids what is slow or busy.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt;

use super::failure::lost;
use super::health::{Breaker, Health, Standing};
use super::price::Tariff;
use super::schema::Schema;
use super::{Defaults, Provider, Sink, failure};
use crate::guard::Guard;
use crate::runtime::bindings::llm as wire;
use crate::store::Estimate;
use wire::{ErrorKind, RetryClass};

/// So long a call waits for a candidate that rests; if all rest longer it fails at once.
const PATIENCE: Duration = Duration::from_secs(3);

/// The first pause before the same candidate is asked again; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// A model at a provider.
pub(super) struct Candidate {
    pub(super) provider: Arc<Provider>,
    pub(super) model: Arc<str>,
    pub(super) tariff: Tariff,
    pub(super) health: Health,
}

/// One `[llm.models.ALIAS]`: candidates with their weights, at least one.
#[derive(Clone)]
pub(super) struct Route {
    pub(super) candidates: Arc<[(Arc<Candidate>, u32)]>,
}

/// How often is tried, and when something is left alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Persistence {
    pub(super) attempts: u32,
    pub(super) breaker: Breaker,
}

/// What a call asks, and how.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) request: &'a wire::Request,
    /// What the answer must fit.
    pub(super) schema: Option<&'a Schema>,
    /// What else that is sent must pass.
    pub(super) guard: &'a Guard,
    /// Nothing of the answer is seen before its end, so that another may take its place.
    pub(super) may_repair: bool,
    pub(super) defaults: Defaults,
    pub(super) persistence: Persistence,
}

/// Whom to ask next.
#[derive(Debug, PartialEq)]
enum Choice {
    Ask(usize),
    Wait(Duration),
    /// All were asked.
    Nobody,
}

impl Route {
    /// The first candidate, which stands for the alias where one name is shown.
    pub(super) fn first(&self) -> &Arc<Candidate> {
        &self.candidates[0].0
    }

    /// The most that a call can take, whoever answers.
    pub(super) fn estimate(&self, input_tokens: u64, output_tokens: u64) -> Estimate {
        let first = self.first();
        let costs = self.candidates.iter().map(|(candidate, _)| {
            let tariff = &candidate.tariff;
            (tariff.most(input_tokens, output_tokens), tariff.is_known())
        });
        let (cost_micro_usd, is_priced) = costs.max().unwrap_or_default();
        Estimate {
            provider: first.provider.name.clone(),
            model: first.model.to_string(),
            input_tokens,
            output_tokens,
            cost_micro_usd,
            is_priced,
        }
    }

    /// Asks until there is an answer, or a failure that asking again does not help. What was shown
    /// of an answer is never begun again.
    pub(super) async fn answer(
        &self,
        asked: &Asked<'_>,
        sink: &mut Sink,
    ) -> Result<wire::Response, wire::Error> {
        let mut round = Round::default();
        for attempt in 1.. {
            let at = self.wait_for_one(&mut round, attempt).await?;
            let candidate = &self.candidates[at].0;
            let error = match candidate.ask(asked, sink).await {
                Ok(response) => {
                    let response = wire::Response {
                        attempts: attempt,
                        ..response
                    };
                    return Box::pin(candidate.fitting(asked, response, sink)).await;
                }
                Err(error) => wire::Error {
                    attempts: attempt,
                    ..error
                },
            };
            if sink.is_accepted() || attempt >= asked.persistence.attempts {
                return Err(error);
            }
            round.note(at, error)?;
        }
        Err(lost())
    }

    /// Waits until a candidate can be asked, and answers which.
    async fn wait_for_one(&self, round: &mut Round, attempt: u32) -> Result<usize, wire::Error> {
        loop {
            let standings = self.standings(round);
            let draw = |bound: u64| rand::rng().random_range(0..bound);
            match choose(&standings, draw) {
                Choice::Ask(at) => return Ok(at),
                Choice::Wait(rest) if rest <= PATIENCE => tokio::time::sleep(rest).await,
                Choice::Wait(rest) => return Err(round.give_up(Some(rest))),
                Choice::Nobody if round.tried.is_empty() => return Err(round.give_up(None)),
                Choice::Nobody => {
                    round.tried.clear();
                    let doubled = attempt.saturating_sub(2).min(5);
                    tokio::time::sleep(FIRST_PAUSE * 2_u32.pow(doubled)).await;
                }
            }
        }
    }

    /// Of those that may be asked: which, its weight, how it stands.
    fn standings(&self, round: &Round) -> Vec<(usize, u32, Standing)> {
        let now = Instant::now();
        let candidates = self.candidates.iter().enumerate();
        candidates
            .filter(|(at, _)| !round.tried.contains(at) && !round.out.contains(at))
            .map(|(at, (candidate, weight))| (at, *weight, candidate.health.standing(now)))
            .collect()
    }
}

/// What was tried for one call.
#[derive(Default)]
struct Round {
    /// Not again before the others.
    tried: Vec<usize>,
    /// Not again.
    out: Vec<usize>,
    last: Option<wire::Error>,
}

impl Round {
    /// Notes a failure; answers it if nobody else can help.
    fn note(&mut self, at: usize, error: wire::Error) -> Result<(), wire::Error> {
        match error.retry {
            RetryClass::SameRequest | RetryClass::AfterDelay => self.tried.push(at),
            // What one provider will not hear is not carried to the next.
            RetryClass::OtherModel if error.kind != ErrorKind::ContentFiltered => self.out.push(at),
            RetryClass::OtherModel | RetryClass::Never => return Err(error),
        }
        self.last = Some(error);
        Ok(())
    }

    fn give_up(&mut self, rest: Option<Duration>) -> wire::Error {
        let ms = rest.map(|rest| u64::try_from(rest.as_millis()).unwrap_or(u64::MAX));
        if let Some(last) = self.last.take() {
            return wire::Error {
                retry_after_ms: last.retry_after_ms.or(ms),
                ..last
            };
        }
        wire::Error {
            retry_after_ms: ms,
            ..failure(
                ErrorKind::Overloaded,
                "every provider of this model failed or asked to be left alone for a while",
            )
        }
    }
}

fn choose(standings: &[(usize, u32, Standing)], mut draw: impl FnMut(u64) -> u64) -> Choice {
    let ready: Vec<(usize, u64, f64)> = standings
        .iter()
        .filter_map(|(at, weight, standing)| match standing {
            Standing::Ready(score) => Some((*at, u64::from(*weight), *score)),
            Standing::Rests(_) => None,
        })
        .collect();
    let total: u64 = ready.iter().map(|(_, weight, _)| weight).sum();
    if total == 0 {
        let rests = standings
            .iter()
            .filter_map(|(_, _, standing)| match standing {
                Standing::Rests(rest) => Some(*rest),
                Standing::Ready(_) => None,
            });
        return rests.min().map_or(Choice::Nobody, Choice::Wait);
    }
    let mut one = || {
        let mut left = draw(total);
        let drawn = ready.iter().find(|(_, weight, _)| {
            let is_it = left < *weight;
            left = left.saturating_sub(*weight);
            is_it
        });
        drawn.unwrap_or(&ready[0])
    };
    let (first, second) = (one(), one());
    let better = if second.2 < first.2 { second } else { first };
    Choice::Ask(better.0)
}

impl Candidate {
    /// Asks once.
    pub(super) async fn ask(
        &self,
        asked: &Asked<'_>,
        sink: &mut Sink,
    ) -> Result<wire::Response, wire::Error> {
        let began = Instant::now();
        let call = self.health.begin(began);
        sink.begin(&self.provider.name, &self.model, self.tariff.clone());
        let answer = self
            .provider
            .answer(&self.model, asked.request, asked.defaults, sink)
            .await;
        let now = Instant::now();
        if let Some(first) = sink.accepted_at() {
            call.answers(first);
            self.observe("anchorhold_llm_first_piece_seconds", first - began);
        }
        match &answer {
            Ok(_) => call.succeeded(),
            Err(error) => call.failed(error, asked.persistence.breaker, now),
        }
        self.observe("anchorhold_llm_seconds", now - began);
        self.count(answer.as_ref().err());
        self.provider.log(&self.model, began, answer.as_ref().err());
        answer.map_err(|error| wire::Error {
            provider: error.provider.or_else(|| Some(self.provider.name.clone())),
            ..error
        })
    }

    fn labels(&self) -> [(&'static str, String); 2] {
        [
            ("provider", self.provider.name.clone()),
            ("model", self.model.to_string()),
        ]
    }

    fn observe(&self, name: &'static str, took: Duration) {
        metrics::histogram!(name, &self.labels()).record(took.as_secs_f64());
    }

    fn count(&self, error: Option<&wire::Error>) {
        let outcome = error.map_or_else(|| "ok".to_owned(), |error| super::watch::name(error.kind));
        let [provider, model] = self.labels();
        let labels = [provider, model, ("outcome", outcome)];
        metrics::counter!("anchorhold_llm_calls_total", &labels).increment(1);
        let is_broken = self.health.is_broken();
        metrics::gauge!("anchorhold_llm_breaker_open", &self.labels()).set(if is_broken {
            1.0
        } else {
            0.0
        });
    }

    /// Turns texts into vectors, as long as asking again may help.
    pub(super) async fn embed(
        &self,
        request: wire::EmbedRequest,
        defaults: Defaults,
        persistence: Persistence,
    ) -> Result<wire::EmbedResponse, wire::Error> {
        for attempt in 1.. {
            let call = self.health.begin(Instant::now());
            let answer = self
                .provider
                .embed(&self.model, request.clone(), defaults)
                .await;
            let error = match answer {
                Ok(mut response) => {
                    call.succeeded();
                    response.usage.cost_micro_usd = self.tariff.cost(&response.usage);
                    return Ok(response);
                }
                Err(error) => error,
            };
            call.failed(&error, persistence.breaker, Instant::now());
            let helps = matches!(
                error.retry,
                RetryClass::SameRequest | RetryClass::AfterDelay
            );
            let asked = error.retry_after_ms.map(Duration::from_millis);
            let pause = asked.unwrap_or(FIRST_PAUSE * attempt);
            if !helps || attempt >= persistence.attempts || pause > PATIENCE {
                return Err(wire::Error {
                    attempts: attempt,
                    ..error
                });
            }
            tokio::time::sleep(pause).await;
        }
        Err(lost())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ready(at: usize, weight: u32, score: f64) -> (usize, u32, Standing) {
        (at, weight, Standing::Ready(score))
    }

    #[test]
    fn the_better_of_two_drawn_ones_is_asked() {
        let two = [ready(0, 1, 50.0), ready(1, 1, 10.0)];
        let mut drawn = [0, 1].into_iter();
        assert_eq!(choose(&two, |_| drawn.next().unwrap()), Choice::Ask(1));
        let mut drawn = [0, 0].into_iter();
        assert_eq!(choose(&two, |_| drawn.next().unwrap()), Choice::Ask(0));
    }

    #[test]
    fn who_rests_is_waited_for_only_if_nobody_is_ready() {
        let rests = |at, seconds| (at, 1, Standing::Rests(Duration::from_secs(seconds)));
        assert_eq!(
            choose(&[rests(0, 9), ready(1, 1, 1.0)], |_| 0),
            Choice::Ask(1)
        );
        assert_eq!(
            choose(&[rests(0, 9), rests(1, 4)], |_| 0),
            Choice::Wait(Duration::from_secs(4))
        );
        assert_eq!(choose(&[], |_| 0), Choice::Nobody);
    }

    #[test]
    fn weights_are_shares_where_all_are_alike() {
        let all = [ready(0, 3, 1.0), ready(1, 1, 1.0)];
        let mut rng = rand::rng();
        let asked = (0..4_000)
            .filter(|_| choose(&all, |bound| rng.random_range(0..bound)) == Choice::Ask(0));
        let share = asked.count();
        assert!((2_700..3_300).contains(&share), "{share} of 4,000");
    }

    proptest! {
        #[test]
        fn somebody_ready_is_always_found(
            candidates in proptest::collection::vec((1_u32..100, proptest::option::of(0.0..1e6_f64)), 1..8),
            seed in any::<u64>(),
        ) {
            let standings: Vec<_> = candidates.iter().enumerate().map(|(at, (weight, score))| {
                let rest = Standing::Rests(Duration::from_secs(1));
                (at, *weight, score.map_or(rest, Standing::Ready))
            }).collect();
            let mut draws = seed;
            let choice = choose(&standings, |bound| {
                draws = draws.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (draws >> 33) % bound
            });
            match choice {
                Choice::Ask(at) => prop_assert!(candidates[at].1.is_some()),
                Choice::Wait(_) => prop_assert!(candidates.iter().all(|(_, score)| score.is_none())),
                Choice::Nobody => prop_assert!(false),
            }
        }
    }
}
