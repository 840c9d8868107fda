//! What was stored becomes what it is: a message a turn, a Stop its end, a
//! reaction feedback.

use std::sync::Arc;

use anyhow::{Context, anyhow};
use serde_json::{Value, json};
use tracing::{debug, info, warn};

use super::access;
use super::courier::Target;
use super::event::{self, Heard, Message, Own};
use super::files::{self, Files};
use super::lanes::Trouble;
use super::people::Person;
use super::web::Refused;
use super::{
    CHANNEL, Slack, bots, command, edit, feedback, home, interaction, live, mrkdwn, question,
};
use crate::events::user_denied;
use crate::inbox::{Admitted, Inbound};
use crate::registry::WhenBusy;
use crate::runtime::Input;
use crate::runtime::bindings::types;
use crate::store::{Idempotency, SlackInstall, SlackItem, SlackKind};

/// The longest text that becomes a message, in bytes.
const MAX_TEXT_BYTES: usize = 256 << 10;

/// Where a message stands.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) install: String,
    pub(super) channel: String,
    /// Of the message that began the thread.
    pub(super) root: String,
}

impl Place {
    /// One conversation is one thread.
    pub(super) fn conversation(&self) -> String {
        format!("slack:{}:{}:{}", self.install, self.channel, self.root)
    }
}

/// A message that an agent is to have.
struct Said {
    message: Message,
    place: Place,
    agent: String,
    text: String,
    /// Of who said it.
    name: Option<String>,
    history: Vec<types::PastMessage>,
}

/// Deals with something that came in.
///
/// # Errors
///
/// Why it was not, and whether it may be later.
pub(super) async fn deal_with(slack: &Arc<Slack>, item: &SlackItem) -> Result<(), Trouble> {
    let payload: Value = serde_json::from_str(&item.payload)
        .map_err(|_| Trouble::Never("it is no JSON".to_owned()))?;
    let install = slack.own.get().context("Slack has not said who we are")?;
    if !payload.is_object() {
        return Err(Trouble::Never("it cannot be read".to_owned()));
    }
    let meant = event::origin(&payload)
        .install()
        .unwrap_or_default()
        .to_owned();
    // Clicks name the organisation of who clicks.
    let is_elsewhere = !meant.is_empty() && meant != install.id;
    if is_elsewhere && item.kind != SlackKind::Interaction {
        warn!(
            install = meant,
            "Slack sent an event of a workspace in which this app is not known"
        );
        return Ok(());
    }
    let visit = Visit {
        slack,
        item,
        payload: &payload,
        install,
    };
    match item.kind {
        SlackKind::Command => command::deal_with(&visit, &payload).await,
        SlackKind::Interaction => interaction::deal_with(&visit).await,
        SlackKind::Event => visit.deal_with().await,
    }
}

/// One event, and where it came to.
pub(super) struct Visit<'a> {
    pub(super) slack: &'a Arc<Slack>,
    pub(super) item: &'a SlackItem,
    pub(super) payload: &'a Value,
    pub(super) install: &'a SlackInstall,
}

impl Visit<'_> {
    async fn deal_with(&self) -> Result<(), Trouble> {
        let own = Own {
            user: &self.install.bot_user,
            bot: self.install.bot.as_deref(),
            app: self.install.app.as_deref(),
        };
        match event::heard(self.payload, &own) {
            Heard::Message(message) => self.hear(message).await,
            Heard::Deleted { channel, ts, .. } => self.cancel(&channel, &ts).await,
            Heard::Reaction {
                added: true,
                user,
                name,
                channel,
                ts,
                ..
            } => feedback::reacted(self, &user, &name, (&channel, &ts)).await,
            Heard::HomeOpened { user, tab, channel } => {
                if tab == "home" {
                    return home::show(self, &user).await;
                }
                home::prompt(self, &channel).await;
                Ok(())
            }
            Heard::Stopped {
                channel,
                thread_ts,
                user,
                ..
            } => self.stop(channel, thread_ts, &user).await,
            Heard::RateLimited => {
                warn!("Slack keeps events back, because there are too many");
                Ok(())
            }
            Heard::Uninstalled | Heard::TokensRevoked => {
                let revoked = Refused::Failed {
                    error: "token_revoked".to_owned(),
                    help: String::new(),
                };
                self.slack.note(&revoked).await;
                Ok(())
            }
            Heard::Unknown(kind) => {
                info!(kind, "Slack sent an event that this host does not know");
                Ok(())
            }
            Heard::Edited {
                channel,
                ts,
                user,
                text,
                ..
            } => edit::correct(self, (&channel, &ts), &user, &text).await,
            other @ (Heard::Reaction { .. } | Heard::Joined { .. } | Heard::Ignored(_)) => {
                debug!(event = ?other, "nothing to do");
                Ok(())
            }
        }
    }

    async fn hear(&self, message: Message) -> Result<(), Trouble> {
        let root = message
            .thread_ts
            .clone()
            .unwrap_or_else(|| message.ts.clone());
        let place = Place {
            install: self.install.id.clone(),
            channel: message.channel.clone(),
            root,
        };
        let store = &self.slack.host.store;
        let tenant = &self.item.tenant_id;
        // The beginning of a thread may come after a reply that called an agent.
        let engaged = match &message.thread_ts {
            Some(_) => {
                let conversation = place.conversation();
                store.agent_of_conversation(tenant, &conversation).await?
            }
            None => None,
        };
        if !(message.is_direct() || message.mentions_us || engaged.is_some()) {
            return Ok(());
        }
        let text = mrkdwn::read(&message.text, &self.install.bot_user);
        let (agent, text) = self.addressed(&place, engaged.clone(), text).await?;
        if let Some(bot) = message.bot_id.clone() {
            return bots::hear(self, message, bot, place, (&agent, text)).await;
        }
        let person = access::person(self.slack, &message.user).await?;
        if let Some(why) = self.refusal(&agent, &message, &person, &text).await? {
            return self.whisper(&message, &place, &why).await;
        }
        if engaged.is_some() && self.answers(&message, &place, &person, &text).await? {
            return Ok(());
        }
        let history = if engaged.is_none() && message.thread_ts.is_some() {
            self.thread(&place, &message.ts).await
        } else {
            Vec::new()
        };
        let said = Said {
            message,
            place,
            agent,
            text,
            name: person.name,
            history,
        };
        self.admit(said).await
    }

    /// Why an agent does not get a message, for who wrote it.
    pub(super) async fn refusal(
        &self,
        agent: &str,
        message: &Message,
        person: &Person,
        text: &str,
    ) -> Result<Option<String>, Trouble> {
        let place = (message.channel.as_str(), message.is_direct());
        let who = (message.user.as_str(), person);
        if let Err(why) = access::may(self, agent, who, place).await? {
            self.denied(&message.user, (&message.channel, agent), &why)
                .await;
            return Ok(Some(why));
        }
        Ok(if text.trim().is_empty() && message.files.is_empty() {
            Some(format!(
                "Say something after the mention, and {agent} answers."
            ))
        } else if text.len() > MAX_TEXT_BYTES {
            Some("This is too long for an agent.".to_owned())
        } else {
            None
        })
    }

    /// Whether a message is what a turn of its thread asked for.
    async fn answers(
        &self,
        message: &Message,
        place: &Place,
        person: &Person,
        text: &str,
    ) -> Result<bool, Trouble> {
        if text.trim().is_empty() {
            return Ok(false);
        }
        let author = types::Author {
            id: author_id(&message.user),
            name: person.name.clone(),
        };
        question::answered(self.slack, &place.conversation(), &author, text).await
    }

    /// Which agent is meant: by its name before a colon, by the thread, by the
    /// channel.
    async fn addressed(
        &self,
        place: &Place,
        engaged: Option<String>,
        text: String,
    ) -> Result<(String, String), Trouble> {
        if let Some((name, rest)) = text.trim_start().split_once(':') {
            let agents = &self.slack.host.agents;
            let is_name =
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            let name = name.to_ascii_lowercase();
            if is_name
                && agents
                    .chat_trigger(&self.item.tenant_id, &name)
                    .await?
                    .is_some()
            {
                return Ok((name, rest.trim_start().to_owned()));
            }
        }
        let config = &self.slack.config;
        let bound = || config.channels.get(&place.channel).cloned();
        let agent = engaged
            .or_else(bound)
            .unwrap_or_else(|| config.agent.clone());
        Ok((agent, text))
    }

    /// Says something to one person alone.
    pub(super) async fn whisper(
        &self,
        message: &Message,
        place: &Place,
        text: &str,
    ) -> Result<(), Trouble> {
        let mut arguments = json!({
            "channel": place.channel, "user": message.user, "text": mrkdwn::escape(text),
        });
        if message.thread_ts.is_some() || message.is_direct() {
            arguments["thread_ts"] = place.root.as_str().into();
        }
        self.say_alone(&arguments).await
    }

    /// Says something to one person alone, at most once.
    pub(super) async fn say_alone(&self, arguments: &Value) -> Result<(), Trouble> {
        match self.slack.web.call("chat.postEphemeral", arguments).await {
            Ok(_) => Ok(()),
            // It is only a word: said twice it would be worse than not at all.
            Err(Refused::Failed { .. } | Refused::Unsure(_)) => Ok(()),
            Err(refused) => Err(Trouble::Later(anyhow!(refused))),
        }
    }

    /// The workspace in which it happened; where the app is installed for a whole
    /// organisation that is one of many.
    pub(super) fn team(&self) -> String {
        let team = event::origin(self.payload).team;
        // Where the app is installed for an organisation, views name that.
        let team = team.filter(|team| !team.starts_with('E'));
        let of_user = self.payload.pointer("/user/team_id");
        let of_user = of_user.and_then(Value::as_str).map(str::to_owned);
        team.or(of_user).unwrap_or_else(|| self.install.id.clone())
    }

    fn target(&self, place: &Place) -> Target {
        let at = |pointer: &&str| self.payload.pointer(pointer)?.as_str();
        let team = ["/event/user_team", "/event/team"].iter().find_map(at);
        Target {
            channel: place.channel.clone(),
            thread_ts: place.root.clone(),
            team: team.map_or_else(|| self.team(), str::to_owned),
        }
    }

    /// Who clicked.
    pub(super) fn user(&self) -> &str {
        self.payload["user"]["id"].as_str().unwrap_or_default()
    }

    /// Somebody may not do something with an agent (in a channel): operators see
    /// it, and whoever subscribes is told.
    pub(super) async fn denied(&self, user: &str, (channel, agent): (&str, &str), why: &str) {
        metrics::counter!("anchorhold_slack_denied_total").increment(1);
        info!(user, agent, channel, why, "somebody may not use an agent");
        let host = &self.slack.host;
        let event = user_denied(
            &self.item.tenant_id,
            &author_id(user),
            (channel, agent),
            why,
        );
        if let Err(error) = host.services.bus.publish(&host.store, event).await {
            warn!(error = %format!("{error:#}"), "a refusal was not stored as an event");
        }
    }

    /// A conversation that begins with something that was not said, but asked
    /// for in another way.
    pub(super) async fn begin(
        &self,
        message: Message,
        place: Place,
        agent: &str,
        text: String,
        name: Option<String>,
    ) -> Result<(), Trouble> {
        let said = Said {
            message,
            place,
            agent: agent.to_owned(),
            text,
            name,
            history: Vec::new(),
        };
        self.admit(said).await
    }

    async fn admit(&self, said: Said) -> Result<(), Trouble> {
        let host = &self.slack.host;
        let agent = &said.agent;
        let trigger = host
            .agents
            .chat_trigger(&self.item.tenant_id, agent)
            .await?;
        let Some(trigger) = trigger else {
            warn!(
                agent,
                "a message from Slack is for an agent that is not there"
            );
            let why = format!(
                "There is no agent {agent} here. The administrator can add it to the host's plugins folder."
            );
            return self.whisper(&said.message, &said.place, &why).await;
        };
        let (message, place) = (said.message.clone(), said.place.clone());
        let files = files::read(self.slack, &message.files).await;
        let inbound = Inbound {
            only_if_idle: trigger.when_busy == WhenBusy::Refuse,
            ..self.inbound(said, files)
        };
        let Some(seat) = host.inbox.wait_for_seat().await else {
            return Err(Trouble::Later(anyhow!("the host stops")));
        };
        match host.inbox.admit(inbound, seat).await? {
            Admitted::Busy(_) => {
                let why = "The agent answers one message at a time. Wait for its answer, and say it again.";
                self.whisper(&message, &place, why).await
            }
            // It was taken in before a crash.
            Admitted::Repeated(_) | Admitted::KeyReused => Ok(()),
            Admitted::Turn(feed) => {
                let who = (self.target(&place), message.user);
                live::follow(self.slack, &self.item.tenant_id, feed, who, None);
                Ok(())
            }
        }
    }

    fn inbound(&self, said: Said, files: Files) -> Inbound {
        let Said {
            message,
            place,
            agent,
            text,
            name,
            history,
        } = said;
        let author = types::Author {
            id: author_id(&message.user),
            name,
        };
        let target = json!(self.target(&place));
        let context = json!({"slack": {
            "channel": place.channel, "ts": message.ts, "thread_ts": place.root, "user": message.user,
            "is_direct": message.is_direct(), "app_context": message.context,
            "unread_files": files.unread,
        }});
        let text = files::with_lines(&text, &files.unread);
        let conversation = place.conversation();
        Inbound {
            tenant: self.item.tenant_id.clone(),
            agent,
            channel: CHANNEL.to_owned(),
            user: Some(author.id.clone()),
            token: None,
            input: Input::Chat(types::Message {
                at_ms: at_ms(&message.ts),
                history,
                attachments: files.attachments,
                context_json: context.to_string(),
                ..types::Message::new(CHANNEL, Some(conversation), author, text)
            }),
            idempotency: Some(Idempotency {
                token: CHANNEL.to_owned(),
                key: key(&message.channel, &message.ts),
                body_hash: String::new(),
            }),
            delivery: None,
            parent: None,
            callback: Some(target.to_string()),
            only_if_idle: false,
        }
    }

    /// A message was deleted: what it asked for is not wanted any more.
    async fn cancel(&self, channel: &str, ts: &str) -> Result<(), Trouble> {
        let tenant = &self.item.tenant_id;
        let store = &self.slack.host.store;
        if let Some(turn) = store
            .turn_of_key(tenant, CHANNEL, &key(channel, ts))
            .await?
        {
            self.slack.host.scheduler.cancel(tenant, &turn).await?;
        }
        Ok(())
    }

    /// Somebody pressed Stop: what runs in the thread ends.
    async fn stop(&self, channel: String, root: String, user: &str) -> Result<(), Trouble> {
        let place = Place {
            install: self.install.id.clone(),
            channel,
            root,
        };
        let tenant = &self.item.tenant_id;
        let store = &self.slack.host.store;
        for turn in store.unfinished_of(tenant, &place.conversation()).await? {
            info!(turn, user, "somebody stops a turn from Slack");
            self.slack.host.scheduler.cancel(tenant, &turn).await?;
        }
        Ok(())
    }
}

/// How people of Slack are called here: this, and Slack's id of them.
pub(super) const AUTHOR: &str = "slack:";

pub(super) fn author_id(user: &str) -> String {
    format!("{AUTHOR}{user}")
}

/// By which the turn of a message is found.
pub(super) fn key(channel: &str, ts: &str) -> String {
    format!("{channel}:{ts}")
}

/// Slack's time of a message, seconds with a number behind the point that makes
/// it unique, in milliseconds.
pub(super) fn at_ms(ts: &str) -> u64 {
    let seconds = ts
        .split('.')
        .next()
        .and_then(|seconds| seconds.parse::<u64>().ok());
    seconds.unwrap_or_default().saturating_mul(1_000)
}
