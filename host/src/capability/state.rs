//! `state`: a key-value store. A change and its journal entry are one
//! transaction.

use std::sync::Arc;

use wasmtime::component::HasData;

use super::error;
use crate::clock::now_ms;
use crate::registry::Grant;
use crate::runtime::HostState;
use crate::runtime::bindings::{state, types};
use crate::store::{StateChange, StateScope, Store};
use crate::turn::{Call, Commit, Recorder, Stop, Window};

const MAX_KEY_BYTES: usize = 512;
const MAX_VALUE_BYTES: usize = 1 << 20;
const MAX_KEYS: u32 = 1_000;

pub(super) struct State<'a> {
    window: &'a mut Window,
    store: &'a Arc<Store>,
}

pub(super) struct HasState;

impl HasData for HasState {
    type Data<'a> = State<'a>;
}

impl<'a> State<'a> {
    pub(super) fn of(state: &'a mut HostState) -> Self {
        Self {
            window: &mut state.window,
            store: &state.services.store,
        }
    }

    /// Whose state a scope is in this turn.
    fn scope(&self, scope: state::Scope) -> Result<StateScope, types::Error> {
        let identity = self.window.identity();
        let (scope, scope_id) = match scope {
            state::Scope::Agent => ("agent", Some(String::new())),
            state::Scope::Conversation => ("conversation", identity.conversation.clone()),
            state::Scope::User => ("user", identity.user.clone()),
        };
        let scope_id = scope_id.ok_or_else(|| {
            error(
                types::ErrorKind::InvalidInput,
                format!("this turn has no {scope}, so it has no such state"),
            )
        })?;
        Ok(StateScope {
            tenant: identity.tenant.clone(),
            agent: self.window.agent().name.clone(),
            scope,
            scope_id,
        })
    }

    async fn change(
        &mut self,
        kind: &'static str,
        args: &(state::Scope, &str, Option<&str>, &[u8], Option<u64>),
        change: StateChange,
    ) -> Result<Result<bool, types::Error>, Stop> {
        let checked = self.scope(args.0).and_then(|scope| {
            check_key(args.1)?;
            check_value(args.3)?;
            Ok(scope)
        });
        let call = Call {
            kind,
            grant: Some(Grant::State),
            args,
        };
        let scope = match checked {
            Ok(scope) => scope,
            Err(error) => {
                return self
                    .window
                    .perform(call, Commit::Later, async { Err(error) })
                    .await;
            }
        };
        let (store, key) = (Arc::clone(self.store), args.1.to_owned());
        let turn = self.window.identity().turn.clone();
        self.window
            .perform_stored(call, |recorder: Recorder<bool, types::Error>| async move {
                let part = move |changed: bool| recorder.part(&Ok(changed));
                store
                    .change_state(scope, key, change, turn, part)
                    .await
                    .map(Ok)
            })
            .await
    }
}

impl state::Host for State<'_> {
    async fn get(
        &mut self,
        scope: state::Scope,
        key: String,
    ) -> wasmtime::Result<Result<Option<state::Entry>, types::Error>> {
        let of = self
            .scope(scope)
            .and_then(|of| check_key(&key).map(|()| of));
        let call = Call {
            kind: "state.get",
            grant: Some(Grant::State),
            args: &(scope, &key),
        };
        let store = Arc::clone(self.store);
        let read = async {
            let value = store.state(&of?, &key).await.map_err(unreadable)?;
            Ok(value.map(|found| state::Entry {
                value: found.value,
                revision: found.revision,
                expires_at_ms: found.expires_at.map(i64::unsigned_abs),
            }))
        };
        Ok(self.window.perform(call, Commit::Later, read).await?)
    }

    async fn set(
        &mut self,
        scope: state::Scope,
        key: String,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
    ) -> wasmtime::Result<Result<String, types::Error>> {
        let revision = self.new_revision();
        let change = StateChange::Set {
            value: value.clone(),
            revision: revision.clone(),
            expires_at: expiry(ttl_ms),
        };
        let changed = self
            .change("state.set", &(scope, &key, None, &value, ttl_ms), change)
            .await?;
        Ok(changed.map(|_| revision))
    }

    async fn compare_and_set(
        &mut self,
        scope: state::Scope,
        key: String,
        expected: Option<String>,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
    ) -> wasmtime::Result<Result<String, types::Error>> {
        let revision = self.new_revision();
        let change = StateChange::CompareAndSet {
            expected: expected.clone(),
            value: value.clone(),
            revision: revision.clone(),
            expires_at: expiry(ttl_ms),
        };
        let args = (
            scope,
            key.as_str(),
            expected.as_deref(),
            value.as_slice(),
            ttl_ms,
        );
        let changed = self.change("state.compare-and-set", &args, change).await?;
        Ok(match changed {
            Ok(true) => Ok(revision),
            Ok(false) => Err(error(
                types::ErrorKind::Conflict,
                "the value was changed since it was read",
            )),
            Err(error) => Err(error),
        })
    }

    async fn remove(
        &mut self,
        scope: state::Scope,
        key: String,
    ) -> wasmtime::Result<Result<bool, types::Error>> {
        Ok(self
            .change(
                "state.remove",
                &(scope, &key, None, &[], None),
                StateChange::Remove,
            )
            .await?)
    }

    async fn list_keys(
        &mut self,
        scope: state::Scope,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> wasmtime::Result<Result<Vec<String>, types::Error>> {
        let of = self.scope(scope);
        let call = Call {
            kind: "state.list-keys",
            grant: Some(Grant::State),
            args: &(scope, &prefix, &after, limit),
        };
        let store = Arc::clone(self.store);
        let read = async {
            let limit = limit.clamp(1, MAX_KEYS);
            store
                .state_keys(&of?, &prefix, after.as_deref().unwrap_or_default(), limit)
                .await
                .map_err(unreadable)
        };
        Ok(self.window.perform(call, Commit::Later, read).await?)
    }
}

impl State<'_> {
    /// Revisions are unique within a turn and between turns, and the same when
    /// the turn is run again.
    fn new_revision(&self) -> String {
        let identity = self.window.identity();
        let tail = identity
            .turn
            .get(identity.turn.len().saturating_sub(12)..)
            .unwrap_or(&identity.turn);
        format!("{tail}-{}", self.window.host_calls())
    }
}

fn expiry(ttl_ms: Option<u64>) -> Option<i64> {
    let ttl = i64::try_from(ttl_ms?).unwrap_or(i64::MAX);
    Some(now_ms().saturating_add(ttl))
}

fn check_key(key: &str) -> Result<(), types::Error> {
    if key.is_empty() || key.len() > MAX_KEY_BYTES || key.chars().any(char::is_control) {
        let message = format!("a key is 1 to {MAX_KEY_BYTES} bytes without control characters");
        return Err(error(types::ErrorKind::InvalidInput, message));
    }
    Ok(())
}

fn check_value(value: &[u8]) -> Result<(), types::Error> {
    if value.len() > MAX_VALUE_BYTES {
        let message = format!(
            "a value is at most {MAX_VALUE_BYTES} bytes, this one has {}",
            value.len()
        );
        return Err(error(types::ErrorKind::LimitExceeded, message));
    }
    Ok(())
}

fn unreadable(cause: anyhow::Error) -> types::Error {
    tracing::error!(error = %format!("{cause:#}"), "state cannot be read");
    error(
        types::ErrorKind::Unavailable,
        "the state cannot be read now",
    )
}
