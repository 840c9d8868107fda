//! Whole answers that were given before to the same question.
//!
//! The key is everything that decides on an answer and whose it is, so that nobody gets what was
//! made for somebody else. The cache is looked at before a call is let through; what the journal
//! has always comes first.

use sha2::{Digest, Sha256};

use crate::clock::now_ms;
use crate::codec;
use crate::config::LlmCache;
use crate::guard::Guard;
use crate::llm::{Gateway, free};
use crate::runtime::bindings::llm;
use crate::store::{NewCachedResponse, Store, UsageRow, UsageStatus};
use crate::turn::Window;
use llm::{CacheScope, FinishReason};

/// The largest answer that is kept, in bytes.
const MAX_BYTES: usize = 256 << 10;

/// The place of an answer in the cache.
pub(super) struct Slot {
    tenant: String,
    key: String,
    limits: LlmCache,
}

impl Slot {
    /// Where the answer to a request belongs; none if it is not to be kept.
    pub(super) async fn of(
        request: &llm::Request,
        window: &Window,
        gateway: &Gateway,
        guard: &Guard,
    ) -> Option<Self> {
        let scope = request.cache?;
        let limits = gateway.cache();
        if limits.ttl_s == 0 || limits.max_entries == 0 || window.is_replay() {
            return None;
        }
        let identity = window.identity();
        let person = match scope {
            CacheScope::Agent => None,
            // What nobody asked is nobody's.
            CacheScope::Person => Some(identity.user.clone()?),
        };
        let asked = llm::Request {
            cache: None,
            deadline_ms: None,
            ..request.clone()
        };
        let agent = &window.agent().name;
        let deciding = (gateway.deciding(&request.model)?, guard.deciding().await?);
        let all = codec::encode(&(&identity.tenant, agent, person, deciding, asked)).ok()?;
        Some(Self {
            tenant: identity.tenant.clone(),
            key: hex::encode(Sha256::digest(all)),
            limits,
        })
    }

    /// The answer, if it is there.
    pub(super) async fn look_up(&self, store: &Store) -> Option<llm::Response> {
        let found = store.cached_response(&self.tenant, &self.key, now_ms());
        let found = found.await.unwrap_or_else(|error| {
            tracing::warn!(error = %format!("{error:#}"), "the cache of answers cannot be read");
            None
        });
        // What another version of the host has written may not be read.
        let response: Option<llm::Response> = found.and_then(|found| codec::decode(&found).ok());
        let outcome = if response.is_some() { "hit" } else { "miss" };
        metrics::counter!("anchorhold_llm_cache_total", "outcome" => outcome).increment(1);
        response.map(|response| llm::Response {
            usage: free(),
            attempts: 0,
            cached: true,
            ..response
        })
    }

    /// Keeps an answer that is whole.
    pub(super) async fn keep(&self, store: &Store, answer: &Result<llm::Response, llm::Error>) {
        let Ok(response) = answer else { return };
        let is_whole = matches!(
            response.finish_reason,
            FinishReason::Stop | FinishReason::ToolCalls
        );
        let Ok(encoded) = codec::encode(response) else {
            return;
        };
        if !is_whole || encoded.len() > MAX_BYTES {
            return;
        }
        let ttl_ms = i64::try_from(self.limits.ttl_s.saturating_mul(1_000)).unwrap_or(i64::MAX);
        let kept = NewCachedResponse {
            tenant: self.tenant.clone(),
            key: self.key.clone(),
            response: encoded,
            expires_at: now_ms().saturating_add(ttl_ms),
        };
        if let Err(error) = store.cache_response(kept, self.limits.max_entries).await {
            tracing::warn!(error = %format!("{error:#}"), "an answer cannot be kept");
        }
    }
}

/// What an answer from the cache is on the bill.
pub(super) fn usage_of_hit(response: &llm::Response, call: i64) -> UsageRow {
    UsageRow {
        call,
        provider: response.provider.clone(),
        model: response.model.clone(),
        status: UsageStatus::Cached,
        cost_micro_usd: Some(0),
        at: now_ms(),
        ..UsageRow::default()
    }
}
