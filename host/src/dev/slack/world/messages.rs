//! Messages: said, changed, deleted, reacted to, and as Slack shows them.

use serde::Serialize;
use serde_json::{Value, json};

use super::blocks::{check_blocks, name_blocks};
use super::{APP, BOT, BOT_ID, Refusal, Result, Stream, TEAM, World, merge};

/// What Slack cuts a text to.
const MAX_TEXT: usize = 40_000;

/// The longest `markdown_text`.
pub(super) const MAX_MARKDOWN: usize = 12_000;

#[derive(Debug, Clone, Serialize)]
pub(in crate::dev::slack) struct Reaction {
    pub(in crate::dev::slack) name: String,
    pub(in crate::dev::slack) users: Vec<String>,
}

/// A message.
#[derive(Debug, Clone, Serialize)]
pub(in crate::dev::slack) struct Message {
    pub(in crate::dev::slack) channel: String,
    pub(in crate::dev::slack) ts: String,
    pub(in crate::dev::slack) thread_ts: Option<String>,
    /// What Slack shows of it, as far as nothing else here says it.
    pub(in crate::dev::slack) body: Value,
    pub(in crate::dev::slack) metadata: Option<Value>,
    pub(in crate::dev::slack) reactions: Vec<Reaction>,
    pub(in crate::dev::slack) stream: Option<Stream>,
    /// Who alone sees it.
    pub(in crate::dev::slack) ephemeral_to: Option<String>,
}

/// What somebody wants to say.
#[derive(Debug, Clone, Default)]
pub(in crate::dev::slack) struct Draft {
    pub(in crate::dev::slack) channel: String,
    pub(in crate::dev::slack) thread_ts: Option<String>,
    pub(in crate::dev::slack) body: Value,
    pub(in crate::dev::slack) metadata: Option<Value>,
    pub(in crate::dev::slack) broadcast: bool,
    pub(in crate::dev::slack) ephemeral_to: Option<String>,
}

impl Message {
    pub(in crate::dev::slack) fn user(&self) -> &str {
        self.body["user"].as_str().unwrap_or_default()
    }

    pub(in crate::dev::slack) fn is_ours(&self) -> bool {
        self.body["bot_id"] == BOT_ID
    }

    /// Whether it stands in the channel itself.
    pub(in crate::dev::slack) fn is_in_channel(&self) -> bool {
        self.thread_ts.is_none() || self.body["subtype"] == "thread_broadcast"
    }

    /// As Slack shows it, but for what depends on its replies.
    pub(in crate::dev::slack) fn shown(&self) -> Value {
        let mut shown = self.body.clone();
        merge(&mut shown, &json!({"type": "message", "ts": self.ts}));
        if let Some(thread) = &self.thread_ts {
            shown["thread_ts"] = json!(thread);
        }
        if !self.reactions.is_empty() {
            let reactions = self
                .reactions
                .iter()
                .map(|it| json!({"name": it.name, "users": it.users, "count": it.users.len()}));
            shown["reactions"] = reactions.collect();
        }
        if let Some(stream) = self.stream.as_ref().filter(|stream| stream.is_open()) {
            merge(&mut shown, &stream.shown());
        }
        shown
    }

    /// With everything that Slack would not show.
    pub(in crate::dev::slack) fn inspected(&self) -> Value {
        let mut shown = self.shown();
        shown["channel"] = json!(self.channel);
        shown["stream"] = json!(self.stream);
        shown["metadata"] = json!(self.metadata);
        shown["ephemeral_to"] = json!(self.ephemeral_to);
        shown
    }
}

/// Who the app is, in a message of its own.
pub(in crate::dev::slack) fn own() -> Value {
    json!({
        "user": BOT, "bot_id": BOT_ID, "app_id": APP, "team": TEAM,
        "bot_profile": {"id": BOT_ID, "app_id": APP, "name": "anchorhold", "deleted": false,
            "updated": 1_700_000_000, "team_id": TEAM},
    })
}

/// The longest beginning that Slack keeps.
fn cut(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

/// Text, blocks and attachments of a message of the app, checked.
pub(in crate::dev::slack) fn check_body(body: &mut Value) -> Result<()> {
    if let Some(blocks) = body.get("blocks").filter(|blocks| !blocks.is_null()) {
        check_blocks(blocks, 50)?;
    }
    if let Some(markdown) = body.get("markdown_text").and_then(Value::as_str) {
        if body.get("blocks").is_some() || body.get("text").is_some() {
            return Err("markdown_text_conflict".into());
        }
        if markdown.chars().count() > MAX_MARKDOWN {
            return Err("msg_too_long".into());
        }
        let markdown = markdown.to_owned();
        body["blocks"] = json!([{"type": "markdown", "text": markdown}]);
        body["text"] = json!(markdown);
    }
    if let Some(fields) = body.as_object_mut() {
        fields.remove("markdown_text");
    }
    let text = cut(body["text"].as_str().unwrap_or_default());
    let has = |key: &str| {
        body.get(key)
            .and_then(Value::as_array)
            .is_some_and(|list| !list.is_empty())
    };
    if text.is_empty() && !has("blocks") && !has("attachments") && !has("files") {
        return Err("no_text".into());
    }
    body["text"] = json!(text);
    if let Some(blocks) = body.get_mut("blocks") {
        name_blocks(blocks);
    }
    Ok(())
}

impl World {
    /// The message with this name.
    pub(in crate::dev::slack) fn message(&self, channel: &str, ts: &str) -> Result<&Message> {
        let found = self
            .messages
            .iter()
            .find(|it| it.channel == channel && it.ts == ts);
        Ok(found.ok_or("message_not_found")?)
    }

    pub(super) fn message_mut(&mut self, channel: &str, ts: &str) -> Result<&mut Message> {
        let mut all = self.messages.iter_mut();
        let found = all.find(|it| it.channel == channel && it.ts == ts);
        Ok(found.ok_or("message_not_found")?)
    }

    /// Puts a message into its channel; answers its name.
    pub(in crate::dev::slack) fn post(&mut self, draft: Draft) -> Result<String> {
        if let Some(thread) = &draft.thread_ts {
            let root = self.message(&draft.channel, thread);
            let is_root = root.is_ok_and(|root| root.thread_ts.is_none());
            if !is_root && draft.ephemeral_to.is_none() {
                return Err("thread_not_found".into());
            }
        }
        let ts = self.ts();
        let mut body = draft.body;
        let root = draft.thread_ts.clone().filter(|_| body["bot_id"] == BOT_ID);
        if draft.broadcast && draft.thread_ts.is_some() {
            body["subtype"] = json!("thread_broadcast");
        }
        self.messages.push(Message {
            channel: draft.channel.clone(),
            ts: ts.clone(),
            thread_ts: draft.thread_ts,
            body,
            metadata: draft.metadata,
            reactions: Vec::new(),
            stream: None,
            ephemeral_to: draft.ephemeral_to,
        });
        self.show_message(&draft.channel, &ts);
        if let Some(thread) = root {
            self.end_status(&draft.channel, &thread);
        }
        Ok(ts)
    }

    /// Tells those who watch how a message looks now.
    pub(in crate::dev::slack) fn show_message(&mut self, channel: &str, ts: &str) {
        if let Ok(message) = self.message(channel, ts) {
            let shown = message.inspected();
            self.changed("message", shown);
        }
    }

    /// As Slack shows it, with what it says of replies.
    pub(in crate::dev::slack) fn message_view(&self, message: &Message, metadata: bool) -> Value {
        let mut shown = message.shown();
        let replies: Vec<&Message> = self.replies(&message.channel, &message.ts).collect();
        if let Some(last) = replies.last() {
            let mut users: Vec<&str> = replies.iter().map(|reply| reply.user()).collect();
            users.sort_unstable();
            users.dedup();
            let thread = json!({
                "thread_ts": message.ts, "reply_count": replies.len(), "latest_reply": last.ts,
                "reply_users": users, "reply_users_count": users.len(),
            });
            merge(&mut shown, &thread);
        }
        if let Some(kept) = message.metadata.as_ref().filter(|_| metadata) {
            shown["metadata"] = kept.clone();
        }
        shown
    }

    /// Replies of a thread, oldest first.
    pub(in crate::dev::slack) fn replies<'a>(
        &'a self,
        channel: &'a str,
        root: &'a str,
    ) -> impl Iterator<Item = &'a Message> {
        self.messages.iter().filter(move |it| {
            it.channel == channel
                && it.thread_ts.as_deref() == Some(root)
                && it.ephemeral_to.is_none()
        })
    }

    /// Changes a message; whoever does so may.
    pub(in crate::dev::slack) fn edit(
        &mut self,
        channel: &str,
        ts: &str,
        fields: &Value,
        editor: Option<&str>,
    ) -> Result<()> {
        let seconds = self.seconds();
        let message = self.message_mut(channel, ts)?;
        let before = message.shown();
        merge(&mut message.body, fields);
        if let Some(user) = editor {
            message.body["edited"] = json!({"user": user, "ts": format!("{seconds}.000000")});
        }
        let after = message.shown();
        self.show_message(channel, ts);
        self.tell_of_change(channel, &after, &before);
        Ok(())
    }

    /// The app puts something else into a message of its own.
    pub(in crate::dev::slack) fn replace(
        &mut self,
        channel: &str,
        ts: &str,
        fields: &Value,
        metadata: Option<Value>,
    ) -> Result<()> {
        if metadata.is_some() {
            self.message_mut(channel, ts)?.metadata = metadata;
        }
        self.edit(channel, ts, fields, Some(BOT))
    }

    /// Takes a message away.
    pub(in crate::dev::slack) fn delete(&mut self, channel: &str, ts: &str) -> Result<()> {
        let message = self.message(channel, ts)?;
        let (before, is_ephemeral) = (message.shown(), message.ephemeral_to.is_some());
        self.messages
            .retain(|it| it.channel != channel || it.ts != ts);
        self.changed("deleted", json!({"channel": channel, "ts": ts}));
        if !is_ephemeral {
            self.tell_of_deletion(channel, ts, &before);
        }
        Ok(())
    }

    pub(in crate::dev::slack) fn react(
        &mut self,
        user: &str,
        channel: &str,
        ts: &str,
        name: &str,
    ) -> Result<()> {
        let message = self.message_mut(channel, ts)?;
        match message.reactions.iter_mut().find(|it| it.name == name) {
            Some(reaction) if reaction.users.iter().any(|it| it == user) => {
                return Err("already_reacted".into());
            }
            Some(reaction) => reaction.users.push(user.to_owned()),
            None => message.reactions.push(Reaction {
                name: name.to_owned(),
                users: vec![user.to_owned()],
            }),
        }
        self.show_message(channel, ts);
        self.tell_of_reaction("reaction_added", user, channel, ts, name);
        Ok(())
    }

    pub(in crate::dev::slack) fn unreact(
        &mut self,
        user: &str,
        channel: &str,
        ts: &str,
        name: &str,
    ) -> Result<()> {
        let message = self.message_mut(channel, ts)?;
        let mut all = message.reactions.iter_mut();
        let reaction = all.find(|it| it.name == name && it.users.iter().any(|it| it == user));
        let reaction = reaction.ok_or(Refusal::from("no_reaction"))?;
        reaction.users.retain(|it| it != user);
        message.reactions.retain(|it| !it.users.is_empty());
        self.show_message(channel, ts);
        self.tell_of_reaction("reaction_removed", user, channel, ts, name);
        Ok(())
    }
}
