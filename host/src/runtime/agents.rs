//! Resolved agents: a version of an agent with its component loaded and its
//! grants, limits and configuration worked out.
//!
//! Nothing is resolved before its first message. The least recently used leave
//! when there are too many, or when their compiled code is too large together;
//! one that a turn is using stays. A component leaves with its last agent.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use lru::LruCache;
use serde::{Deserialize, Serialize};

use super::components::{Components, LoadedComponent};
use super::failure::{Failure, FailureCode};
use crate::config::{self, Limits};
use crate::registry::{ChatTrigger, Grant, Grants, Manifest};
use crate::store::{AgentVersion, Store};

/// An agent ready to run.
#[derive(Clone)]
pub struct ResolvedAgent {
    pub name: String,
    pub version: i64,
    pub digest: String,
    pub manifest: Manifest,
    pub grants: Grants,
    pub limits: Limits,
    /// The configuration, each top-level key as JSON.
    pub config: serde_json::Map<String, serde_json::Value>,
    pub component: Arc<LoadedComponent>,
}

impl ResolvedAgent {
    /// Whether it may do what needs this grant.
    ///
    /// # Errors
    ///
    /// Why not, and who changes what to allow it.
    pub fn check(&self, grant: Option<Grant<'_>>) -> Result<(), String> {
        match grant {
            Some(grant) if !self.grants.allows(grant) => {
                Err(self.grants.refusal(&self.name, grant))
            }
            _ => Ok(()),
        }
    }

    /// The same with other limits: those that a turn is pinned to.
    pub fn with_limits(&self, limits: Limits) -> Self {
        Self {
            limits,
            ..self.clone()
        }
    }
}

/// A resolved agent and what it took to have it.
pub struct Loaded {
    pub agent: Arc<ResolvedAgent>,
    pub load: Duration,
    pub compile: Duration,
}

/// Exact counts of the cache since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CacheCounts {
    pub hits: u64,
    pub misses: u64,
    /// Components mapped from disk.
    pub loads: u64,
    /// Components compiled because a message needed them.
    pub compiles: u64,
    /// Evicted because there were more than `[registry] max_resolved_agents`.
    pub evicted_count: u64,
    /// Evicted because of `[registry] max_loaded_bytes`.
    pub evicted_bytes: u64,
    /// Dropped because the agent changed.
    pub dropped_changed: u64,
    pub resolved_agents: u64,
    pub loaded_components: u64,
    pub loaded_bytes: u64,
}

#[derive(Default)]
struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    loads: AtomicU64,
    compiles: AtomicU64,
    evicted_count: AtomicU64,
    evicted_bytes: AtomicU64,
    dropped_changed: AtomicU64,
}

type Key = (String, String);

struct Cache {
    agents: LruCache<Key, Arc<ResolvedAgent>>,
    /// Counts changes, so that what was read before one is not kept after it.
    changes: u64,
}

/// The cache of resolved agents.
pub struct Agents {
    store: Arc<Store>,
    components: Arc<Components>,
    registry: config::Registry,
    limits: Limits,
    cache: Mutex<Cache>,
    counters: Counters,
}

impl Agents {
    /// An empty cache.
    pub fn new(
        store: Arc<Store>,
        components: Arc<Components>,
        registry: config::Registry,
        limits: Limits,
    ) -> Self {
        Self {
            store,
            components,
            registry,
            limits,
            cache: Mutex::new(Cache {
                agents: LruCache::unbounded(),
                changes: 0,
            }),
            counters: Counters::default(),
        }
    }

    /// The version of an agent that answers now.
    ///
    /// # Errors
    ///
    /// `agent-unavailable` if there is none or it cannot be loaded.
    pub async fn resolve(&self, tenant: &str, agent: &str) -> Result<Loaded, Failure> {
        let key = (tenant.to_owned(), agent.to_owned());
        let changes = {
            let mut cache = self.cache();
            if let Some(found) = cache.agents.get(&key) {
                count(&self.counters.hits, "anchorhold_agent_cache_hits_total");
                return Ok(Loaded {
                    agent: Arc::clone(found),
                    load: Duration::ZERO,
                    compile: Duration::ZERO,
                });
            }
            cache.changes
        };
        count(&self.counters.misses, "anchorhold_agent_cache_misses_total");
        let loaded = self.load(tenant, agent, None).await?;
        self.keep(key, &loaded.agent, changes);
        Ok(loaded)
    }

    /// A certain version of an agent, for a run that is pinned to it. It is not
    /// kept.
    ///
    /// # Errors
    ///
    /// As `resolve`.
    pub async fn resolve_version(
        &self,
        tenant: &str,
        agent: &str,
        version: i64,
    ) -> Result<Loaded, Failure> {
        self.load(tenant, agent, Some(version)).await
    }

    /// What makes an agent answer people; none if there is no such agent. Loads
    /// nothing.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub async fn chat_trigger(&self, tenant: &str, agent: &str) -> Result<Option<ChatTrigger>> {
        let key = (tenant.to_owned(), agent.to_owned());
        let cached = self.cache().agents.peek(&key).cloned();
        if let Some(agent) = cached {
            return Ok(Some(agent.manifest.triggers.chat.clone()));
        }
        let version = self.store.agent_version(tenant, agent, None).await?;
        Ok(version.map(|version| version.spec.manifest.triggers.chat))
    }

    /// How many turns of an agent may run at once; none if there is no such
    /// agent. Loads nothing.
    pub async fn concurrent_turns(&self, tenant: &str, agent: &str) -> Option<u64> {
        let cached = self
            .cache()
            .agents
            .peek(&(tenant.to_owned(), agent.to_owned()))
            .cloned();
        if let Some(agent) = cached {
            return Some(agent.limits.concurrent_turns);
        }
        let version = self.store.agent_version(tenant, agent, None).await.ok()??;
        let limits = self
            .limits
            .lowered(&version.spec.manifest.limits)
            .replaced(&version.spec.overrides.limits);
        Some(limits.concurrent_turns)
    }

    /// Forgets an agent that changed; turns that run keep what they have.
    pub fn forget(&self, tenant: &str, agent: &str) {
        let mut cache = self.cache();
        cache.changes += 1;
        if cache
            .agents
            .pop(&(tenant.to_owned(), agent.to_owned()))
            .is_some()
        {
            count(
                &self.counters.dropped_changed,
                "anchorhold_agent_cache_dropped_total",
            );
        }
    }

    /// What happened so far and what is held now.
    pub fn counts(&self) -> CacheCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (components, bytes) = self.components.in_memory_size();
        CacheCounts {
            hits: read(&self.counters.hits),
            misses: read(&self.counters.misses),
            loads: read(&self.counters.loads),
            compiles: read(&self.counters.compiles),
            evicted_count: read(&self.counters.evicted_count),
            evicted_bytes: read(&self.counters.evicted_bytes),
            dropped_changed: read(&self.counters.dropped_changed),
            resolved_agents: self.cache().agents.len() as u64,
            loaded_components: components as u64,
            loaded_bytes: bytes,
        }
    }

    async fn load(
        &self,
        tenant: &str,
        agent: &str,
        version: Option<i64>,
    ) -> Result<Loaded, Failure> {
        let found = self
            .store
            .agent_version(tenant, agent, version)
            .await
            .map_err(|error| unavailable(agent, &error))?;
        let Some(version) = found else {
            return Err(Failure::new(
                FailureCode::AgentUnavailable,
                format!("There is no agent {agent:?} that answers; see: anchorhold agents list"),
            ));
        };
        self.load_version(version).await
    }

    /// A version as it is given, which need not be stored. It is not kept.
    ///
    /// # Errors
    ///
    /// As `resolve`.
    pub async fn load_version(&self, version: AgentVersion) -> Result<Loaded, Failure> {
        let agent = version.agent.clone();
        let (component, times) = self
            .components
            .load(&version.digest)
            .await
            .map_err(|error| unavailable(&agent, &error))?;
        if !times.load.is_zero() {
            count(&self.counters.loads, "anchorhold_components_loaded_total");
        }
        if !times.compile.is_zero() {
            self.counters.compiles.fetch_add(1, Ordering::Relaxed);
        }
        let agent = self
            .resolved(version, component)
            .map_err(|error| unavailable(&agent, &error))?;
        Ok(Loaded {
            agent: Arc::new(agent),
            load: times.load,
            compile: times.compile,
        })
    }

    fn resolved(
        &self,
        version: AgentVersion,
        component: Arc<LoadedComponent>,
    ) -> Result<ResolvedAgent> {
        let manifest = version.spec.manifest;
        let overrides = version.spec.overrides;
        let grants = Grants::new(
            &manifest,
            version.granted.as_deref(),
            &self.registry.default_grants,
        )?;
        let limits = self
            .limits
            .lowered(&manifest.limits)
            .replaced(&overrides.limits);
        let mut config = json_object(&manifest.config)?;
        config.extend(overrides.config);
        Ok(ResolvedAgent {
            name: version.agent,
            version: version.version,
            digest: version.digest,
            manifest,
            grants,
            limits,
            config,
            component,
        })
    }

    /// Keeps a resolved agent, unless something changed since it was read, and
    /// makes room.
    fn keep(&self, key: Key, agent: &Arc<ResolvedAgent>, changes: u64) {
        let mut cache = self.cache();
        if cache.changes != changes {
            return;
        }
        cache.agents.put(key, Arc::clone(agent));
        let most =
            NonZeroUsize::new(self.registry.max_resolved_agents).map_or(1, NonZeroUsize::get);
        while cache.agents.len() > most && evict_oldest(&mut cache.agents) {
            count(
                &self.counters.evicted_count,
                "anchorhold_agent_cache_evicted_count_total",
            );
        }
        while self.components.in_memory_size().1 > self.registry.max_loaded_bytes
            && evict_oldest(&mut cache.agents)
        {
            count(
                &self.counters.evicted_bytes,
                "anchorhold_agent_cache_evicted_bytes_total",
            );
        }
    }

    /// The cache is whole between any two of its operations, so a poisoned lock
    /// does no harm.
    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drops the least recently used agent that no turn is using.
fn evict_oldest(agents: &mut LruCache<Key, Arc<ResolvedAgent>>) -> bool {
    let oldest = agents
        .iter()
        .rev()
        .find(|(_, agent)| Arc::strong_count(agent) == 1)
        .map(|(key, _)| key.clone());
    oldest.is_some_and(|key| agents.pop(&key).is_some())
}

fn count(counter: &AtomicU64, metric: &'static str) {
    counter.fetch_add(1, Ordering::Relaxed);
    metrics::counter!(metric).increment(1);
}

fn unavailable(agent: &str, error: &anyhow::Error) -> Failure {
    Failure::new(
        FailureCode::AgentUnavailable,
        format!("The agent {agent:?} cannot be loaded."),
    )
    .with_detail(format!("{error:#}"))
}

fn json_object(table: &toml::Table) -> Result<serde_json::Map<String, serde_json::Value>> {
    match serde_json::to_value(table)? {
        serde_json::Value::Object(object) => Ok(object),
        _ => Ok(serde_json::Map::new()),
    }
}
