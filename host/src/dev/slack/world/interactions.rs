//! What people do besides saying something: clicks, forms, commands, shortcuts; and what an
//! acknowledgement of these says.

use serde_json::{Value, json};

use super::messages::{Draft, own};
use super::record::{About, Transport};
use super::{APP, BOT, Refusal, Result, TEAM, TEAM_DOMAIN, World, merge};

/// How often a response URL can be used.
const USES: u32 = 5;

/// What opens a modal, once.
#[derive(Debug)]
pub(in crate::dev::slack) struct Trigger {
    user: String,
    made: i64,
    is_used: bool,
    /// The modal in which it was made.
    view: Option<String>,
}

/// Where answers to an interaction go.
#[derive(Debug)]
pub(in crate::dev::slack) struct ResponseUrl {
    pub(in crate::dev::slack) channel: String,
    pub(in crate::dev::slack) user: String,
    /// The message that it came from.
    pub(in crate::dev::slack) ts: Option<String>,
    pub(in crate::dev::slack) thread_ts: Option<String>,
    made: i64,
    uses: u32,
}

/// Where somebody clicked.
#[derive(Debug, Default)]
pub(in crate::dev::slack) struct Click {
    pub(in crate::dev::slack) user: String,
    pub(in crate::dev::slack) channel: Option<String>,
    pub(in crate::dev::slack) ts: Option<String>,
    pub(in crate::dev::slack) view: Option<String>,
    pub(in crate::dev::slack) action_id: String,
    /// What was chosen, if the element does not say it: a value of feedback, an option, a text.
    pub(in crate::dev::slack) value: Option<Value>,
}

impl World {
    fn trigger(&mut self, user: &str, view: Option<String>) -> String {
        let id = self.id("trigger.");
        let trigger = Trigger {
            user: user.to_owned(),
            made: self.now,
            is_used: false,
            view,
        };
        self.triggers.insert(id.clone(), trigger);
        id
    }

    /// Who may be shown a modal for it, and the modal in which it was made.
    pub(in crate::dev::slack) fn use_trigger(
        &mut self,
        id: &str,
    ) -> Result<(String, Option<String>)> {
        let lifetime = micros(self.settings.trigger_lifetime_ms);
        let now = self.now;
        let trigger = self.triggers.get_mut(id).ok_or("invalid_trigger_id")?;
        if trigger.is_used {
            return Err("exchanged_trigger_id".into());
        }
        if now - trigger.made > lifetime {
            return Err("expired_trigger_id".into());
        }
        trigger.is_used = true;
        Ok((trigger.user.clone(), trigger.view.clone()))
    }

    fn response_url(
        &mut self,
        user: &str,
        channel: &str,
        ts: Option<&str>,
        thread: Option<&str>,
    ) -> String {
        let id = self.id("R");
        let url = format!("{}/response/{id}", self.setup.base_url);
        let made = ResponseUrl {
            channel: channel.to_owned(),
            user: user.to_owned(),
            ts: ts.map(str::to_owned),
            thread_ts: thread.map(str::to_owned),
            made: self.now,
            uses: 0,
        };
        self.response_urls.insert(id, made);
        url
    }

    /// Does what was posted to a response URL.
    pub(in crate::dev::slack) fn respond(&mut self, id: &str, body: &Value) -> Result<()> {
        let lifetime = micros(self.settings.response_url_lifetime_ms);
        let now = self.now;
        let url = self.response_urls.get_mut(id).ok_or("invalid_url")?;
        if now - url.made > lifetime {
            return Err("expired_url".into());
        }
        if url.uses >= USES {
            return Err("used_url".into());
        }
        url.uses += 1;
        let (channel, user) = (url.channel.clone(), url.user.clone());
        let (ts, thread) = (url.ts.clone(), url.thread_ts.clone());
        if let Some(ts) = ts.filter(|_| body["delete_original"] == true) {
            return self.delete(&channel, &ts);
        }
        let ts = self.response_urls.get(id).and_then(|url| url.ts.clone());
        let mut body = body.clone();
        if body["replace_original"] == true
            && let Some(ts) = ts
        {
            super::messages::check_body(&mut body)?;
            let fields = json!({"text": body["text"], "blocks": body["blocks"]});
            return self.edit(&channel, &ts, &fields, Some(BOT));
        }
        let thread = body["thread_ts"].as_str().map(str::to_owned).or(thread);
        self.answer_person(&channel, &user, thread, body)
    }

    /// Says what an acknowledgement or a response URL was given.
    fn answer_person(
        &mut self,
        channel: &str,
        user: &str,
        thread: Option<String>,
        mut body: Value,
    ) -> Result<()> {
        super::messages::check_body(&mut body)?;
        let is_public = body["response_type"] == "in_channel";
        let mut shown = own();
        let fields = json!({"text": body["text"], "blocks": body.get("blocks").cloned().unwrap_or(json!([]))});
        merge(&mut shown, &fields);
        let ts = self.post(Draft {
            channel: channel.to_owned(),
            thread_ts: thread,
            body: shown,
            ephemeral_to: (!is_public).then(|| user.to_owned()),
            ..Draft::default()
        })?;
        if is_public {
            self.tell_of_message(channel, &ts);
        }
        Ok(())
    }

    fn person(&self, user: &str) -> Result<Value> {
        let user = self.user(user)?;
        Ok(
            json!({"id": user["id"], "username": user["name"], "name": user["name"], "team_id": user["team_id"]}),
        )
    }

    /// What every interaction says.
    fn interaction(&mut self, kind: &str, user: &str, view: Option<String>) -> Result<Value> {
        let person = self.person(user)?;
        let trigger = self.trigger(user, view);
        let team = match self.is_enterprise {
            true => Value::Null,
            false => json!({"id": TEAM, "domain": TEAM_DOMAIN}),
        };
        Ok(json!({
            "type": kind, "user": person, "api_app_id": APP, "token": "sim-verification-token",
            "team": team, "enterprise": self.enterprise(),
            "is_enterprise_install": self.is_enterprise, "trigger_id": trigger,
        }))
    }

    fn interact(&mut self, payload: Value, about: About) -> usize {
        let name = payload["type"].as_str().unwrap_or_default().to_owned();
        self.send(Transport::Interactive, &name, payload, about)
    }

    /// Somebody clicks an element of a message, a modal or a home tab.
    pub(in crate::dev::slack) fn click(&mut self, click: &Click) -> Result<usize> {
        let mut payload = self.interaction("block_actions", &click.user, click.view.clone())?;
        let (blocks, place) = match (&click.view, &click.channel, &click.ts) {
            (Some(view), _, _) => self.place_in_view(view)?,
            (None, Some(channel), Some(ts)) => self.place_in_message(&click.user, channel, ts)?,
            _ => return Err("message_not_found".into()),
        };
        let mut action = action(&blocks, &click.action_id, click.value.as_ref())?;
        action["action_ts"] = json!(self.ts());
        let mut values = json!({});
        if let (Some(block), Some(id)) = (action["block_id"].as_str(), action["action_id"].as_str())
        {
            values[block][id] = action.clone();
        }
        merge(&mut payload, &place);
        merge(
            &mut payload,
            &json!({"actions": [action], "state": {"values": values}}),
        );
        Ok(self.interact(payload, About::Interaction))
    }

    fn place_in_view(&mut self, id: &str) -> Result<(Value, Value)> {
        let view = self.view(id)?.shown();
        let place = json!({"container": {"type": "view", "view_id": id}, "view": view});
        Ok((view["blocks"].clone(), place))
    }

    fn place_in_message(&mut self, user: &str, channel: &str, ts: &str) -> Result<(Value, Value)> {
        let message = self.message(channel, ts)?;
        let thread = message.thread_ts.clone();
        let is_ephemeral = message.ephemeral_to.is_some();
        let hidden = message.ephemeral_to.as_ref().is_some_and(|to| to != user);
        if hidden || !message.is_ours() {
            return Err("message_not_found".into());
        }
        let shown = self.message_view(message, true);
        let name = self.channel(channel)?.name.clone();
        let url = self.response_url(user, channel, Some(ts), thread.as_deref());
        let mut place = json!({
            "container": {"type": "message", "message_ts": ts, "channel_id": channel,
                "is_ephemeral": is_ephemeral},
            "channel": {"id": channel, "name": name}, "response_url": url,
        });
        if let Some(thread) = thread {
            place["container"]["thread_ts"] = json!(thread);
        }
        let blocks = shown["blocks"].clone();
        if !is_ephemeral {
            place["message"] = shown;
        }
        Ok((blocks, place))
    }

    /// Somebody submits a modal.
    pub(in crate::dev::slack) fn submit(&mut self, id: &str, values: Value) -> Result<usize> {
        let view = self.view_mut(id)?;
        if !view.is_open {
            return Err("not_found".into());
        }
        view.values = values;
        view.errors = Value::Null;
        let user = view.user.clone();
        let mut payload = self.interaction("view_submission", &user, Some(id.to_owned()))?;
        let shown = self.show_view(id)?;
        merge(&mut payload, &json!({"view": shown, "response_urls": []}));
        Ok(self.interact(
            payload,
            About::Submission {
                view: id.to_owned(),
            },
        ))
    }

    /// Somebody closes a modal; the app is told if it asked for that.
    pub(in crate::dev::slack) fn dismiss(&mut self, id: &str, all: bool) -> Result<Option<usize>> {
        let view = self.view(id)?;
        let (user, shown) = (view.user.clone(), view.shown());
        self.close_views(id, all)?;
        if shown["notify_on_close"] != true {
            return Ok(None);
        }
        let mut payload = self.interaction("view_closed", &user, None)?;
        merge(&mut payload, &json!({"view": shown, "is_cleared": all}));
        if let Some(fields) = payload.as_object_mut() {
            fields.remove("trigger_id");
        }
        Ok(Some(self.interact(payload, About::Interaction)))
    }

    /// Somebody uses a shortcut, on a message if that is named.
    pub(in crate::dev::slack) fn shortcut(
        &mut self,
        user: &str,
        callback: &str,
        on: Option<(&str, &str)>,
    ) -> Result<usize> {
        let kind = if on.is_some() {
            "message_action"
        } else {
            "shortcut"
        };
        let mut payload = self.interaction(kind, user, None)?;
        let ts = self.ts();
        merge(
            &mut payload,
            &json!({"callback_id": callback, "action_ts": ts}),
        );
        if let Some((channel, ts)) = on {
            let message = self.message_view(self.message(channel, ts)?, true);
            let thread = message["thread_ts"].as_str().map(str::to_owned);
            let url = self.response_url(user, channel, None, thread.as_deref());
            let name = self.channel(channel)?.name.clone();
            let place = json!({"message": message, "message_ts": ts, "response_url": url,
                "channel": {"id": channel, "name": name}});
            merge(&mut payload, &place);
        }
        Ok(self.interact(payload, About::Interaction))
    }

    /// Somebody types a slash command.
    pub(in crate::dev::slack) fn command(
        &mut self,
        user: &str,
        channel: &str,
        command: &str,
        text: &str,
    ) -> Result<usize> {
        let name = self.user(user)?["name"].clone();
        let found = self.channel(channel)?;
        let team = found.team;
        let channel_name = match found.kind.channel_type() {
            "im" => "directmessage".to_owned(),
            "group" => "privategroup".to_owned(),
            _ => found.name.clone(),
        };
        let (url, trigger) = (
            self.response_url(user, channel, None, None),
            self.trigger(user, None),
        );
        let mut payload = json!({
            "token": "sim-verification-token", "team_id": team, "team_domain": TEAM_DOMAIN,
            "channel_id": channel, "channel_name": channel_name, "user_id": user,
            "user_name": name, "command": command, "text": text, "api_app_id": APP,
            "is_enterprise_install": self.is_enterprise.to_string(),
            "response_url": url, "trigger_id": trigger,
        });
        if self.is_enterprise {
            let enterprise = self.enterprise();
            payload["enterprise_id"] = enterprise["id"].clone();
            payload["enterprise_name"] = enterprise["name"].clone();
        }
        let about = About::Command {
            channel: channel.to_owned(),
            user: user.to_owned(),
        };
        Ok(self.send(Transport::SlashCommands, command, payload, about))
    }

    /// Does what the acknowledgement of a delivery says.
    pub(in crate::dev::slack) fn acknowledged(
        &mut self,
        n: usize,
        answer: Option<&Value>,
    ) -> Result<()> {
        let about = self
            .deliveries
            .get(n)
            .map(|delivery| delivery.about.clone());
        let answer = answer.filter(|answer| !answer.is_null());
        match (about, answer) {
            (Some(About::Command { channel, user }), Some(answer)) => {
                let body = match answer.as_str() {
                    Some("") => return Ok(()),
                    Some(text) => json!({"text": text}),
                    None => answer.clone(),
                };
                // An empty object says nothing.
                if body.as_object().is_some_and(serde_json::Map::is_empty) {
                    return Ok(());
                }
                self.answer_person(&channel, &user, None, body)
            }
            (Some(About::Submission { view }), answer) => self.submitted(&view, answer),
            _ => Ok(()),
        }
    }

    fn submitted(&mut self, id: &str, answer: Option<&Value>) -> Result<()> {
        let answer = answer.cloned().unwrap_or_default();
        match answer["response_action"].as_str() {
            Some("errors") => {
                self.view_mut(id)?.errors = answer["errors"].clone();
                self.show_view(id).map(drop)
            }
            Some("update") => self.update_view(id, answer["view"].clone(), None).map(drop),
            Some("push") => {
                let user = self.view(id)?.user.clone();
                self.open_view(&user, answer["view"].clone(), Some(id))
                    .map(drop)
            }
            Some("clear") => self.close_views(id, true),
            _ => self.close_views(id, false),
        }
    }

    /// Tells a person that the app did not answer a command, as Slack does.
    pub(in crate::dev::slack) fn unanswered(&mut self, n: usize, error: &str) {
        let about = self
            .deliveries
            .get(n)
            .map(|it| (it.about.clone(), it.name.clone()));
        if let Some((About::Command { channel, user }, name)) = about {
            let text = format!("{name} failed with the error \"{error}\"");
            let body = json!({"user": "USLACKBOT", "text": text});
            // Slackbot's word to one person: there is nothing that could refuse it.
            let _ = self.post(Draft {
                channel,
                body,
                ephemeral_to: Some(user),
                ..Draft::default()
            });
        }
    }
}

pub(super) fn micros(ms: u64) -> i64 {
    i64::try_from(ms)
        .unwrap_or(i64::MAX / 1_000)
        .saturating_mul(1_000)
}

/// The clicked element as `actions` has it.
fn action(blocks: &Value, action_id: &str, value: Option<&Value>) -> Result<Value> {
    let unknown = || Refusal::with("action_not_found", json!({"action_id": action_id}));
    let (block, element) = find(blocks, action_id).ok_or_else(unknown)?;
    let mut action = json!({
        "type": element["type"], "action_id": action_id, "block_id": block["block_id"],
    });
    let kind = element["type"].as_str().unwrap_or_default();
    let value = value.cloned();
    let (key, chosen) = match kind {
        "button" | "icon_button" => ("value", value.unwrap_or(element["value"].clone())),
        "feedback_buttons" => {
            let positive = element["positive_button"]["value"].clone();
            ("value", value.unwrap_or(positive))
        }
        "static_select" | "radio_buttons" | "overflow" => (
            "selected_option",
            value.unwrap_or(element["options"][0].clone()),
        ),
        "checkboxes" | "multi_static_select" => ("selected_options", value.unwrap_or(json!([]))),
        "users_select" => ("selected_user", value.unwrap_or_default()),
        "conversations_select" => ("selected_conversation", value.unwrap_or_default()),
        "datepicker" => ("selected_date", value.unwrap_or_default()),
        _ => ("value", value.unwrap_or_default()),
    };
    if !chosen.is_null() {
        action[key] = chosen;
    }
    if !element["text"].is_null() {
        action["text"] = element["text"].clone();
    }
    Ok(action)
}

/// An element with this id, and its block. Tasks and containers have blocks in them.
fn find<'a>(blocks: &'a Value, action_id: &str) -> Option<(&'a Value, &'a Value)> {
    blocks.as_array()?.iter().find_map(|block| {
        let inner = ["elements", "actions"]
            .iter()
            .filter_map(|key| block[key].as_array());
        let mut elements = inner
            .flatten()
            .chain([&block["accessory"], &block["element"]]);
        let found = elements.find(|element| element["action_id"] == action_id);
        found
            .map(|element| (block, element))
            .or_else(|| find(&block["blocks"], action_id))
    })
}
