//! Slack: what comes in by HTTP or by sockets is stored and only then
//! acknowledged; messages become turns, and answers go back into their thread.
//!
//! The payloads stay what Slack sent, JSON, from end to end; the files below
//! look at them. Wire details are those of docs.slack.dev.

mod access;
mod answer;
mod bots;
mod command;
mod courier;
mod edit;
mod event;
mod feedback;
mod files;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod history;
mod home;
mod http;
mod interaction;
mod lanes;
mod live;
pub(crate) mod manifest;
mod markdown;
mod message;
mod mrkdwn;
mod people;
mod question;
mod session;
mod signature;
mod socket;
mod status;
mod upload;
pub(crate) mod web;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use tokio::sync::{Notify, OnceCell};
use tracing::{error, info, warn};

use crate::app::Host;
use crate::clock::now_ms;
use crate::config;
use crate::outbox::Outbox;
use crate::store::{
    DEFAULT_TENANT, SlackDelivery, SlackInstall, SlackKind, TurnRow, TurnStatus, TurnSummary,
    WaitRow,
};
use crate::turn::Feed;
use crate::waits::question_of;

pub(super) use http::router;

use courier::{Courier, Target};
use live::Live;
use people::People;
use session::Missing;
use status::Status;
use web::{Refused, Web};

/// The channel's name.
const CHANNEL: &str = "slack";

/// The most characters that a block of Markdown takes; Slack's limit is 12,000
/// together with what it adds.
const MAX_BLOCK: usize = 11_000;

/// How long to wait before Slack is asked again who we are.
const AGAIN: Duration = Duration::from_secs(5);

/// The app in Slack.
pub(crate) struct Slack {
    host: Arc<Host>,
    config: config::Slack,
    web: Arc<Web>,
    people: People,
    live: Live,
    status: Status,
    missing: Missing,
    /// Who we are there; events wait until that is known.
    own: OnceCell<SlackInstall>,
    /// Something was stored.
    arrived: Notify,
}

impl Slack {
    /// Starts what runs by itself; none where Slack is not configured.
    ///
    /// # Errors
    ///
    /// If the TLS library cannot start.
    pub(crate) fn start(host: &Arc<Host>) -> Result<Option<Arc<Self>>> {
        let config = host.config.slack.clone();
        let Some(token) = config.bot_token.clone() else {
            return Ok(None);
        };
        let slack = Arc::new(Self {
            host: Arc::clone(host),
            web: Arc::new(Web::new(&config, token)?),
            people: People::default(),
            live: Live::default(),
            status: Status::default(),
            missing: Missing::default(),
            own: OnceCell::new(),
            arrived: Notify::new(),
            config,
        });
        tokio::spawn(Arc::clone(&slack).begin());
        if let Some(token) = slack.config.app_token.clone() {
            let web = Arc::new(Web::new(&slack.config, token)?);
            for _ in 0..slack.config.sockets {
                let (slack, web) = (Arc::clone(&slack), Arc::clone(&web));
                tokio::spawn(socket::keep(slack, web, host.stopping()));
            }
        }
        Ok(Some(slack))
    }

    /// Asks who we are, and then deals with what came and comes.
    async fn begin(self: Arc<Self>) {
        let stop = self.host.stopping();
        loop {
            match self.introduce().await {
                Ok(()) => break,
                Err(Refused::Failed { error, help }) => {
                    error!(
                        "Slack does not take the bot token ({error}{help}): copy it from the app's page OAuth & Permissions into SLACK_BOT_TOKEN, and start the host again"
                    );
                    status::broken();
                    return;
                }
                Err(error) => warn!(%error, "Slack does not say who we are; asking again"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
        if let Err(error) = self.follow_unfinished().await {
            error!(error = %format!("{error:#}"), "what runs for people in Slack is not shown to them");
        }
        let courier = Courier::new(Arc::clone(&self));
        let (store, bell) = (Arc::clone(&self.host.store), &self.host.services.doorbell);
        let outbox = Outbox::new(
            store,
            courier,
            self.host.config.outbox.clone(),
            bell,
            now_ms,
        );
        tokio::spawn(outbox.run(stop.clone()));
        lanes::run(self, stop).await;
    }

    /// What has not ended since before the host stopped is shown again.
    async fn follow_unfinished(self: &Arc<Self>) -> Result<()> {
        for turn in self.host.store.unfinished_of_channel(CHANNEL).await? {
            self.follow_again(turn).await?;
        }
        Ok(())
    }

    /// A turn that waits may have more to ask when it goes on; somebody has to
    /// listen to it.
    async fn follow_waiting(self: &Arc<Self>, tenant: &str, turn: &str) -> Result<()> {
        match self.host.store.turn(tenant, turn).await? {
            Some(row) if row.status == TurnStatus::Waiting => self.follow_again(row).await,
            _ => Ok(()),
        }
    }

    async fn follow_again(self: &Arc<Self>, turn: TurnRow) -> Result<()> {
        if Target::of(&turn).is_none() || self.live.knows(&turn.id) {
            return Ok(());
        }
        let (store, feeds) = (&self.host.store, &self.host.feeds);
        let feed = match feeds.get(&turn.id) {
            Some(feed) => feed,
            None => feeds.open_at_rest(&turn.id, turn.attempts + turn.suspensions, Vec::new()),
        };
        let now = store.turn_summary(&turn.tenant_id, &turn.id).await?;
        if now.is_none_or(|now| now.status.is_final()) {
            feeds.close(&turn.id);
            return Ok(());
        }
        let asked = store.latest_question(&turn.tenant_id, &turn.id).await?;
        if let Some(wait) = asked.as_ref().filter(|wait| wait.settled_at.is_none()) {
            self.ask_again(&turn, wait)?;
        }
        self.follow(turn, feed, asked.map(|wait| wait.seq));
        Ok(())
    }

    /// The host may have stopped before a question stood in Slack.
    fn ask_again(self: &Arc<Self>, turn: &TurnRow, wait: &WaitRow) -> Result<()> {
        let (Some(target), question) = (Target::of(turn), question_of(wait)?) else {
            return Ok(());
        };
        let (slack, wait) = (Arc::clone(self), wait.clone());
        tokio::spawn(async move {
            let place = (wait.tenant_id.as_str(), wait.turn.as_str());
            question::ask(&slack, place, &target, wait.seq, &question).await;
            // It may have been answered meanwhile.
            question::close_answered(&slack, place.0, place.1, wait.seq, false).await;
        });
        Ok(())
    }

    /// Whether nothing is at work any more in the thread of a turn that ended.
    async fn is_quiet(&self, turn: &TurnSummary) -> bool {
        let Some(conversation) = &turn.conversation else {
            return true;
        };
        let rest = self.host.store.unfinished_of(DEFAULT_TENANT, conversation);
        rest.await.is_ok_and(|rest| rest.is_empty())
    }

    fn follow(self: &Arc<Self>, turn: TurnRow, feed: Arc<Feed>, asked: Option<i64>) {
        if let Some(target) = Target::of(&turn) {
            let user = turn.user_id.unwrap_or_default();
            let person = user.trim_start_matches(message::AUTHOR).to_owned();
            live::follow(self, &turn.tenant_id, feed, (target, person), asked);
        }
    }

    async fn introduce(&self) -> Result<(), Refused> {
        let me = self.web.call("auth.test", &json!({})).await?;
        let text = |name: &str| me[name].as_str().map(str::to_owned);
        let is_org = me["is_enterprise_install"] == true;
        let team = text("team_id").unwrap_or_default();
        let install = SlackInstall {
            tenant_id: DEFAULT_TENANT.to_owned(),
            id: text("enterprise_id").filter(|_| is_org).unwrap_or(team),
            name: text("team").unwrap_or_default(),
            app: text("app_id"),
            bot_user: text("user_id").unwrap_or_default(),
            bot: text("bot_id"),
            scopes: text("scopes").unwrap_or_default(),
            error: None,
        };
        info!(team = install.name, install = install.id, "Slack is there");
        if let Err(error) = self.host.store.set_slack_install(install.clone()).await {
            warn!(error = %format!("{error:#}"), "the install cannot be stored");
        }
        let _ = self.own.set(install);
        Ok(())
    }

    /// Stores what came in, once however often it came. When this returns it may
    /// be acknowledged.
    ///
    /// # Errors
    ///
    /// If the store fails: then it must not be.
    async fn take(&self, kind: SlackKind, payload: &Value) -> Result<()> {
        let keys = match kind {
            SlackKind::Event => event::keys(payload),
            // They come once, and their triggers are theirs alone.
            SlackKind::Command | SlackKind::Interaction => keys_of_trigger(payload),
        };
        let delivery = SlackDelivery {
            tenant: DEFAULT_TENANT.to_owned(),
            kind,
            lane: lanes::lane(kind, payload),
            payload: payload.to_string(),
            keys,
            heard: match kind {
                SlackKind::Event => manifest::subscription(&payload["event"]),
                SlackKind::Command => Some("command"),
                SlackKind::Interaction => Some("interaction"),
            },
        };
        let is_new = self.host.store.take_slack(delivery).await?;
        status::received(kind, is_new);
        if is_new {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// A call that this token cannot make: the operator is told.
    async fn note(&self, refused: &Refused) {
        if !refused.is_of_the_token() {
            return;
        }
        error!(error = %refused, "Slack does not take the bot token any more: install the app again, set SLACK_BOT_TOKEN, and start the host again");
        status::broken();
        if let Some(own) = self.own.get() {
            let broken = SlackInstall {
                error: Some(refused.to_string()),
                ..own.clone()
            };
            if let Err(error) = self.host.store.set_slack_install(broken).await {
                warn!(error = %format!("{error:#}"), "the install cannot be stored");
            }
        }
    }
}

fn keys_of_trigger(payload: &Value) -> Vec<String> {
    let trigger = payload["trigger_id"].as_str();
    trigger
        .map(|id| format!("trigger:{id}"))
        .into_iter()
        .collect()
}
