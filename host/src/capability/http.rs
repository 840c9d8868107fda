//! `http`: requests to the outside. The effect is `net::Outbound`.

use wasmtime::component::HasData;

use crate::net;
use crate::registry::Grant;
use crate::runtime::bindings::{http, types};
use crate::runtime::{HostState, Services};
use crate::turn::{Call, Commit, Window};

pub(super) struct Http<'a> {
    window: &'a mut Window,
    services: &'a Services,
}

pub(super) struct HasHttp;

impl HasData for HasHttp {
    type Data<'a> = Http<'a>;
}

impl<'a> Http<'a> {
    pub(super) fn of(state: &'a mut HostState) -> Self {
        Self {
            window: &mut state.window,
            services: &state.services,
        }
    }

    /// What a call needed that was answered from the record.
    fn note_host(&mut self, request: &http::Request) {
        let agent = std::sync::Arc::clone(self.window.agent());
        if let Some(host) = net::host_of(&request.url, &agent.limits.http) {
            self.window.needed(&Call {
                kind: "http.send",
                grant: Some(Grant::Http(&host)),
                args: request,
            });
        }
    }
}

impl http::Host for Http<'_> {
    async fn send(
        &mut self,
        request: http::Request,
    ) -> wasmtime::Result<Result<http::Response, types::Error>> {
        let agent = std::sync::Arc::clone(self.window.agent());
        let permit = |grant: Grant<'_>| {
            if agent.grants.allows(grant) {
                Ok(())
            } else {
                Err(agent.grants.refusal(&agent.name, grant))
            }
        };
        let host_allowed = |host: &str| permit(Grant::Http(host));
        let secret_allowed = |name: &str| permit(Grant::Secret(name));
        // Hosts are granted one by one, and again after each redirect, by the
        // effect itself.
        let call = Call {
            kind: "http.send",
            grant: None,
            args: &request,
        };
        let commit = commit_of(&request);
        if commit != Commit::Later {
            self.services.sync_before(self.window).await?;
        }
        let is_replay = self.window.is_replay();
        let effect = self.services.outbound.send(
            request.clone(),
            &agent.limits.http,
            &host_allowed,
            &secret_allowed,
        );
        let answer = self.window.perform(call, commit, effect).await?;
        if is_replay && answer.is_ok() {
            self.note_host(&request);
        }
        Ok(answer)
    }
}

/// Safe methods change nothing, and idempotent ones come to the same when they
/// happen again (RFC 9110, section 9.2); so does whatever has an idempotency
/// key, which the other side keeps.
fn commit_of(request: &http::Request) -> Commit<'static> {
    let has_key = |(name, _): &(String, String)| name.eq_ignore_ascii_case("idempotency-key");
    match request.method.as_str() {
        "GET" | "HEAD" | "OPTIONS" => Commit::Later,
        "PUT" | "DELETE" => Commit::Synced,
        _ if request.headers.iter().any(has_key) => Commit::Synced,
        _ => Commit::Once,
    }
}
