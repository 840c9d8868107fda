//! What the app is told of, in the shape of the Events API.

use serde_json::{Value, json};

use super::messages::Draft;
use super::record::{About, Transport};
use super::{APP, BOT, Result, TEAM, World, merge};

impl World {
    /// A person says something in a channel. `extra` is put into message and event.
    pub(in crate::dev::slack) fn say(
        &mut self,
        user: &str,
        mut draft: Draft,
        extra: &Value,
    ) -> Result<String> {
        let channel = self.channel(&draft.channel)?;
        if !channel.has(user) {
            return Err("not_in_channel".into());
        }
        let author = self.author(user)?;
        merge(&mut draft.body, &author);
        draft.body["client_msg_id"] = json!(self.id("client-msg-"));
        if draft.body["files"]
            .as_array()
            .is_some_and(|files| !files.is_empty())
        {
            draft.body["subtype"] = json!("file_share");
        }
        draft.body["blocks"] = rich_text(draft.body["text"].as_str().unwrap_or_default());
        merge(&mut draft.body, extra);
        let channel = draft.channel.clone();
        let ts = self.post(draft)?;
        self.tell_of_message(&channel, &ts);
        Ok(ts)
    }

    /// Who says it, as messages name people and bots.
    fn author(&self, user: &str) -> Result<Value> {
        let person = self.user(user)?;
        let mut author = json!({"user": user, "team": person["team_id"]});
        if person["is_bot"] == true {
            let profile = &person["profile"];
            let bot = json!({
                "bot_id": profile["bot_id"], "app_id": profile["api_app_id"],
                "bot_profile": {"id": profile["bot_id"], "app_id": profile["api_app_id"],
                    "name": person["name"], "team_id": person["team_id"]},
            });
            merge(&mut author, &bot);
        }
        if person["team_id"] != TEAM {
            author["user_team"] = person["team_id"].clone();
            author["source_team"] = person["team_id"].clone();
        }
        Ok(author)
    }

    /// A message of anybody: as `message`, and as `app_mention` too if it names the app.
    pub(in crate::dev::slack) fn tell_of_message(&mut self, channel: &str, ts: &str) {
        let Ok(message) = self.message(channel, ts) else {
            return;
        };
        let mut event = message.shown();
        let parent = message.thread_ts.as_ref();
        let parent = parent.and_then(|thread| self.message(channel, thread).ok());
        if let Some(parent) = parent {
            event["parent_user_id"] = json!(parent.user());
        }
        merge(&mut event, &json!({"channel": channel, "event_ts": ts}));
        let names_us = event["text"]
            .as_str()
            .unwrap_or_default()
            .contains(&format!("<@{BOT}"));
        let is_channel = self
            .channel(channel)
            .is_ok_and(|it| it.kind.channel_type() != "im");
        if names_us && is_channel && event["user"] != BOT {
            let mut mention = event.clone();
            mention["type"] = json!("app_mention");
            self.emit(Some(channel), mention);
        }
        self.emit(Some(channel), event);
    }

    pub(super) fn tell_of_change(&mut self, channel: &str, after: &Value, before: &Value) {
        let ts = self.ts();
        let event = json!({
            "type": "message", "subtype": "message_changed", "hidden": true, "channel": channel,
            "ts": ts, "event_ts": ts, "message": after, "previous_message": before,
        });
        self.emit(Some(channel), event);
        let edited = after.get("edited").filter(|edited| edited["user"] != BOT);
        let names_us = |it: &Value| {
            it["text"]
                .as_str()
                .unwrap_or_default()
                .contains(&format!("<@{BOT}"))
        };
        if edited.is_some() && names_us(after) && after["user"] != BOT {
            // Slack mentions the app again, under the message's own name.
            let mut mention = after.clone();
            merge(
                &mut mention,
                &json!({"type": "app_mention", "channel": channel, "event_ts": ts}),
            );
            self.emit(Some(channel), mention);
        }
    }

    pub(super) fn tell_of_deletion(&mut self, channel: &str, deleted: &str, before: &Value) {
        let ts = self.ts();
        let event = json!({
            "type": "message", "subtype": "message_deleted", "hidden": true, "channel": channel,
            "ts": ts, "event_ts": ts, "deleted_ts": deleted, "previous_message": before,
        });
        self.emit(Some(channel), event);
    }

    pub(super) fn tell_of_reaction(
        &mut self,
        kind: &str,
        user: &str,
        channel: &str,
        ts: &str,
        name: &str,
    ) {
        let author = self.message(channel, ts).map(|it| it.user().to_owned());
        let event_ts = self.ts();
        let event = json!({
            "type": kind, "user": user, "reaction": name, "item_user": author.ok(),
            "item": {"type": "message", "channel": channel, "ts": ts}, "event_ts": event_ts,
        });
        self.emit(Some(channel), event);
    }

    /// Somebody opens the app, at its home or its messages.
    pub(in crate::dev::slack) fn open_home(&mut self, user: &str, tab: &str) -> Result<()> {
        let channel = self.direct(user)?;
        let event_ts = self.ts();
        let mut event = json!({
            "type": "app_home_opened", "user": user, "channel": channel, "tab": tab,
            "event_ts": event_ts,
        });
        if let Some(home) = self.home_of(user).filter(|_| tab == "home") {
            event["view"] = self.view(&home)?.shown();
        }
        self.emit(None, event);
        Ok(())
    }

    /// Somebody looks at something else while the app is open beside it.
    pub(in crate::dev::slack) fn look_at(&mut self, user: &str, context: &Value) -> Result<()> {
        let channel = self.direct(user)?;
        let event_ts = self.ts();
        let event = json!({
            "type": "app_context_changed", "user": user, "channel": channel, "context": context,
            "event_ts": event_ts,
        });
        self.emit(None, event);
        Ok(())
    }

    /// Somebody, or the app, comes into a channel.
    pub(in crate::dev::slack) fn join(&mut self, user: &str, channel: &str) -> Result<()> {
        let team = self.user(user)?["team_id"].clone();
        let joined = self.channel_mut(channel)?;
        if joined.has(user) {
            return Err("already_in_channel".into());
        }
        joined.members.push(user.to_owned());
        let (shown, kind) = (json!(joined), joined.kind.channel_type());
        let letter = if kind == "channel" { "C" } else { "G" };
        self.changed("channel", shown);
        let event_ts = self.ts();
        let event = json!({
            "type": "member_joined_channel", "user": user, "channel": channel,
            "channel_type": letter, "team": team, "event_ts": event_ts,
        });
        self.emit(Some(channel), event);
        Ok(())
    }

    /// Somebody goes; nobody is told.
    pub(in crate::dev::slack) fn leave(&mut self, user: &str, channel: &str) -> Result<()> {
        let left = self.channel_mut(channel)?;
        left.members.retain(|member| member != user);
        let shown = json!(left);
        self.changed("channel", shown);
        Ok(())
    }

    /// Tells the app, if it is subscribed to this and may see the channel.
    pub(in crate::dev::slack) fn emit(&mut self, channel: Option<&str>, mut event: Value) {
        let name = event["type"].as_str().unwrap_or_default().to_owned();
        let mut subscription = name.clone();
        if let Some(channel) = channel.and_then(|id| self.channel(id).ok()) {
            if !channel.has(BOT) {
                return;
            }
            if name == "message" {
                event["channel_type"] = json!(channel.kind.channel_type());
                subscription = format!("message.{}", channel.kind.plural());
            }
        }
        if self.settings.is_subscribed(&subscription) {
            let envelope = self.envelope(channel, event);
            self.send(Transport::EventsApi, &name, envelope, About::Event);
        }
    }

    /// What stands around an event.
    pub(in crate::dev::slack) fn envelope(&mut self, channel: Option<&str>, event: Value) -> Value {
        // Who opens the app's home has no channel.
        let author = event["user"].as_str().and_then(|user| self.users.get(user));
        let team = author.map_or(json!(TEAM), |author| author["team_id"].clone());
        let found = channel.and_then(|id| self.channel(id).ok());
        let is_shared = found.is_some_and(|it| it.is_ext_shared);
        let context = found.map_or(json!(TEAM), |it| json!(it.team));
        let event_id = self.id("Ev");
        json!({
            "token": "sim-verification-token", "team_id": team, "context_team_id": context,
            "context_enterprise_id": self.enterprise()["id"], "api_app_id": APP, "event": event,
            "type": "event_callback", "event_id": event_id, "event_time": self.seconds(),
            "authorizations": [self.authorization()],
            "is_ext_shared_channel": is_shared,
            "event_context": format!("4-{event_id}"),
        })
    }
}

/// What Slack's own clients send beside the text.
fn rich_text(text: &str) -> Value {
    let mut elements = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<@") {
        let Some((user, after)) = after.split_once('>') else {
            break;
        };
        if !before.is_empty() {
            elements.push(json!({"type": "text", "text": plain(before)}));
        }
        elements.push(json!({"type": "user", "user_id": user}));
        rest = after;
    }
    if !rest.is_empty() {
        elements.push(json!({"type": "text", "text": plain(rest)}));
    }
    json!([{"type": "rich_text", "block_id": "sim", "elements": [
        {"type": "rich_text_section", "elements": elements}]}])
}

/// Text as it was typed.
fn plain(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}
