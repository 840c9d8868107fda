//! Channels and who is in them.

use serde::Serialize;
use serde_json::{Value, json};

use super::{BOT, Refusal, Result, TEAM, World};

/// What sort of conversation a channel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::dev::slack) enum Kind {
    Public,
    Private,
    Im,
    Mpim,
}

impl Kind {
    /// `channel_type` of events.
    pub(in crate::dev::slack) fn channel_type(self) -> &'static str {
        match self {
            Self::Public => "channel",
            Self::Private => "group",
            Self::Im => "im",
            Self::Mpim => "mpim",
        }
    }

    /// What scopes and subscriptions begin or end with.
    pub(in crate::dev::slack) fn plural(self) -> &'static str {
        match self {
            Self::Public => "channels",
            Self::Private => "groups",
            Self::Im => "im",
            Self::Mpim => "mpim",
        }
    }
}

/// A conversation.
#[derive(Debug, Clone, Serialize)]
pub(in crate::dev::slack) struct Channel {
    pub(in crate::dev::slack) id: String,
    pub(in crate::dev::slack) name: String,
    pub(in crate::dev::slack) kind: Kind,
    pub(in crate::dev::slack) members: Vec<String>,
    pub(in crate::dev::slack) is_ext_shared: bool,
    pub(in crate::dev::slack) is_archived: bool,
    /// In which team it is.
    pub(in crate::dev::slack) team: &'static str,
}

impl Channel {
    pub(super) fn new(id: &str, name: &str, kind: Kind, members: &[&str]) -> Self {
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            kind,
            members: members.iter().map(|&member| member.to_owned()).collect(),
            is_ext_shared: false,
            is_archived: false,
            team: TEAM,
        }
    }

    pub(in crate::dev::slack) fn has(&self, user: &str) -> bool {
        self.members.iter().any(|member| member == user)
    }

    /// As `conversations.info` shows it.
    pub(in crate::dev::slack) fn shown(&self) -> Value {
        let kind = self.kind;
        let mut shown = json!({
            "id": self.id, "created": 1_700_000_000, "is_archived": self.is_archived,
            "is_channel": kind == Kind::Public, "is_group": kind == Kind::Private,
            "is_im": kind == Kind::Im, "is_mpim": kind == Kind::Mpim,
            "is_private": kind != Kind::Public, "is_member": self.has(BOT),
            "is_general": self.id == "C0GENERAL", "is_shared": self.is_ext_shared,
            "is_ext_shared": self.is_ext_shared, "is_org_shared": false, "context_team_id": self.team,
            "num_members": self.members.len(), "topic": {"value": ""}, "purpose": {"value": ""},
        });
        if kind == Kind::Im {
            let other = self.members.iter().find(|member| *member != BOT);
            shown["user"] = json!(other);
        } else {
            shown["name"] = json!(self.name);
            shown["name_normalized"] = json!(self.name);
        }
        shown
    }
}

impl World {
    /// A channel, whoever asks.
    pub(in crate::dev::slack) fn channel(&self, id: &str) -> Result<&Channel> {
        let found = self.channels.iter().find(|channel| channel.id == id);
        Ok(found.ok_or("channel_not_found")?)
    }

    pub(in crate::dev::slack) fn channel_mut(&mut self, id: &str) -> Result<&mut Channel> {
        let found = self.channels.iter_mut().find(|channel| channel.id == id);
        Ok(found.ok_or("channel_not_found")?)
    }

    /// A channel that the bot can see: private ones only from within.
    pub(in crate::dev::slack) fn visible(&self, id: &str) -> Result<&Channel> {
        let channel = self.channel(id)?;
        if channel.kind != Kind::Public && !channel.has(BOT) {
            return Err("channel_not_found".into());
        }
        Ok(channel)
    }

    /// A channel that the bot is in.
    pub(in crate::dev::slack) fn joined(&self, id: &str) -> Result<&Channel> {
        let channel = self.visible(id)?;
        if !channel.has(BOT) {
            return Err("not_in_channel".into());
        }
        Ok(channel)
    }

    /// A channel that the bot may write to. A person's id stands for the conversation with them.
    pub(in crate::dev::slack) fn writable(&mut self, id: &str) -> Result<String> {
        if self.users.contains_key(id) {
            return self.direct(id);
        }
        let named = id.strip_prefix('#').unwrap_or(id);
        let by_name = |channel: &&Channel| channel.kind == Kind::Public && channel.name == named;
        let id = self.channels.iter().find(by_name).map_or(id, |it| &it.id);
        let channel = self.visible(id)?;
        let may_join = self.settings.has_scope("chat:write.public") && channel.kind == Kind::Public;
        match channel {
            channel if channel.is_archived => Err("is_archived".into()),
            channel if !channel.has(BOT) && !may_join => Err("not_in_channel".into()),
            channel => Ok(channel.id.clone()),
        }
    }

    /// The conversation of the bot with one person, opened if need be.
    pub(in crate::dev::slack) fn direct(&mut self, user: &str) -> Result<String> {
        self.user(user)?;
        if user == BOT {
            return Err(Refusal::from("cannot_dm_bot"));
        }
        let is_it = |it: &&Channel| it.kind == Kind::Im && it.has(user);
        if let Some(channel) = self.channels.iter().find(is_it) {
            return Ok(channel.id.clone());
        }
        Ok(self.open_channel(Kind::Im, &[user, BOT]))
    }

    /// The conversation of the bot with several people.
    pub(in crate::dev::slack) fn group(&mut self, users: &[&str]) -> Result<String> {
        for user in users {
            self.user(user)?;
        }
        let members = [users, &[BOT]].concat();
        let is_it = |it: &&Channel| {
            it.kind == Kind::Mpim
                && it.members.len() == members.len()
                && members.iter().all(|member| it.has(member))
        };
        if let Some(channel) = self.channels.iter().find(is_it) {
            return Ok(channel.id.clone());
        }
        Ok(self.open_channel(Kind::Mpim, &members))
    }

    fn open_channel(&mut self, kind: Kind, members: &[&str]) -> String {
        let id = self.id(if kind == Kind::Im { "D" } else { "G" });
        let channel = Channel::new(&id, "", kind, members);
        self.changed("channel", json!(channel));
        self.channels.push(channel);
        id
    }
}
