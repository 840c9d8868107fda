//! Through which installation something came, and from whom.

use serde_json::Value;

use super::{first, is_true, text};

/// Through which installation something came, and from whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::channel::slack) struct Origin {
    pub(in crate::channel::slack) app: Option<String>,
    pub(in crate::channel::slack) enterprise: Option<String>,
    pub(in crate::channel::slack) team: Option<String>,
    pub(in crate::channel::slack) is_enterprise_install: bool,
    /// People of another organisation read the channel too.
    pub(in crate::channel::slack) is_shared: bool,
    pub(in crate::channel::slack) user: Option<String>,
}

impl Origin {
    /// What the app was installed into: a whole enterprise or one team.
    pub(in crate::channel::slack) fn install(&self) -> Option<&str> {
        let (first, second) = if self.is_enterprise_install {
            (&self.enterprise, &self.team)
        } else {
            (&self.team, &self.enterprise)
        };
        first.as_deref().or(second.as_deref())
    }
}

/// Through which installation a payload came: of an event, a command (the
/// form's fields as an object) or an interaction.
///
/// What `authorizations` name counts before what the payload names, which in a
/// shared channel can be another organisation. The order is that of Slack's own
/// Bolt.
pub(in crate::channel::slack) fn origin(payload: &Value) -> Origin {
    let app = text(payload, "/api_app_id").or_else(|| text(payload, "/view/app_id"));
    Origin {
        app: app.map(str::to_owned),
        enterprise: enterprise(payload).map(str::to_owned),
        team: team(payload).map(str::to_owned),
        is_enterprise_install: is_enterprise_install(payload),
        is_shared: is_true(&payload["is_ext_shared_channel"]),
        user: user(payload).map(str::to_owned),
    }
}

fn authorization(payload: &Value) -> Option<&Value> {
    payload.pointer("/authorizations/0")
}

fn is_enterprise_install(payload: &Value) -> bool {
    let says = authorization(payload).unwrap_or(payload);
    is_true(&says["is_enterprise_install"])
}

fn enterprise(payload: &Value) -> Option<&str> {
    let named = text(payload, "/enterprise").or_else(|| text(payload, "/enterprise/id"));
    if named.is_some() {
        return named;
    }
    if let Some(authorization) = authorization(payload) {
        return text(authorization, "/enterprise_id");
    }
    first(
        payload,
        &[
            "/enterprise_id",
            "/team/enterprise_id",
            "/event/enterprise",
            "/event/enterprise/id",
            "/event/enterprise_id",
            "/event/team/enterprise_id",
        ],
    )
}

fn team(payload: &Value) -> Option<&str> {
    // A view that was opened from another organisation's channel.
    let named = first(
        payload,
        &["/view/app_installed_team_id", "/team", "/team/id"],
    );
    if named.is_some() {
        return named;
    }
    if let Some(authorization) = authorization(payload) {
        // An installation in a whole enterprise names no team; the context does.
        let context = || text(payload, "/context_team_id");
        return text(authorization, "/team_id").or_else(context);
    }
    first(
        payload,
        &[
            "/team_id",
            "/context_team_id",
            "/event/team",
            "/event/team/id",
            "/event/team_id",
            "/event/user/team_id",
            "/user/team_id",
            "/view/team_id",
        ],
    )
}

fn user(payload: &Value) -> Option<&str> {
    first(
        payload,
        &[
            "/user",
            "/user/id",
            "/user_id",
            "/event/user",
            "/event/user/id",
            "/event/user_id",
            "/event/message/user",
            "/event/previous_message/user",
            "/message/user",
        ],
    )
}
