//! What the host knows of Slack.

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::views::{SlackHeardView, SlackInstallView, SlackView};
use super::{Api, Caller, Problem};
use crate::config;
use crate::store::{Scope, SlackInstall};

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(slack))
}

/// Where the app is installed, what came from there, and which agents the
/// configuration names that are not there.
#[utoipa::path(get, path = "/api/v1/slack", tag = "host", responses((status = 200, body = SlackView)))]
async fn slack(State(api): State<Api>, caller: Caller) -> Result<Json<SlackView>, Problem> {
    caller.require(Scope::Read)?;
    let (store, config) = (&api.host.store, &api.host.config.slack);
    let installs = store.slack_installs(&caller.tenant).await?;
    let heard = store.slack_heard(&caller.tenant).await?;
    let mut unknown_agents = Vec::new();
    if config.bot_token.is_some() {
        for agent in named(config) {
            if store.agent(&caller.tenant, agent).await?.is_none() {
                unknown_agents.push(agent.to_owned());
            }
        }
    }
    let heard = heard.into_iter();
    Ok(Json(SlackView {
        configured: config.bot_token.is_some(),
        installs: installs.into_iter().map(SlackInstallView::from).collect(),
        heard: heard
            .map(|(name, at)| SlackHeardView { name, at })
            .collect(),
        unknown_agents,
    }))
}

/// The agents that the configuration names, each once.
fn named(slack: &config::Slack) -> Vec<&str> {
    let agents = slack.channels.values().chain(slack.agents.keys());
    let agents = agents.chain([&slack.agent]).map(String::as_str);
    let mut agents: Vec<_> = agents.collect();
    agents.sort_unstable();
    agents.dedup();
    agents
}

impl From<SlackInstall> for SlackInstallView {
    fn from(install: SlackInstall) -> Self {
        Self {
            id: install.id,
            name: install.name,
            error: install.error,
        }
    }
}
