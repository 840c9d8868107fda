//! Modals and home tabs.

use serde::Serialize;
use serde_json::{Value, json};

use super::blocks::{check_blocks, name_blocks};
use super::{APP, BOT_ID, Result, TEAM, World, merge};

/// The longest `private_metadata`.
const MAX_PRIVATE: usize = 3_000;

/// How many modals lie on each other at most.
const MAX_STACK: usize = 3;

#[derive(Debug, Clone, Serialize)]
pub(in crate::dev::slack) struct View {
    pub(in crate::dev::slack) id: String,
    /// Who sees it.
    pub(in crate::dev::slack) user: String,
    /// The modal at the bottom of its stack.
    pub(in crate::dev::slack) root: String,
    pub(in crate::dev::slack) previous: Option<String>,
    pub(in crate::dev::slack) hash: String,
    /// What the app gave.
    pub(in crate::dev::slack) body: Value,
    pub(in crate::dev::slack) values: Value,
    pub(in crate::dev::slack) is_open: bool,
    /// In what the app is installed: a team or an organisation.
    pub(in crate::dev::slack) installed: &'static str,
    /// What the app found wrong with the latest submission, by block.
    pub(in crate::dev::slack) errors: Value,
}

impl View {
    /// As Slack shows it to the app.
    pub(in crate::dev::slack) fn shown(&self) -> Value {
        let mut shown = json!({
            "private_metadata": "", "callback_id": "", "clear_on_close": false,
            "notify_on_close": false, "external_id": "", "close": null, "submit": null,
        });
        merge(&mut shown, &self.body);
        let own = json!({
            "id": self.id, "team_id": TEAM, "app_id": APP, "bot_id": BOT_ID, "hash": self.hash,
            "root_view_id": self.root, "previous_view_id": self.previous,
            "app_installed_team_id": self.installed, "state": {"values": self.values},
        });
        merge(&mut shown, &own);
        shown
    }
}

/// Checks what the app gave, and gives its blocks ids.
fn check(body: &mut Value, kinds: &[&str]) -> Result<()> {
    name_blocks(&mut body["blocks"]);
    let kind = body["type"].as_str().unwrap_or_default();
    let title = body["title"]["text"].as_str().unwrap_or_default();
    let private = body["private_metadata"].as_str().unwrap_or_default();
    let is_titled = kind == "home" || (1..=24).contains(&title.chars().count());
    if !kinds.contains(&kind) || !is_titled || private.chars().count() > MAX_PRIVATE {
        return Err("invalid_arguments".into());
    }
    if body.to_string().len() > 250 << 10 {
        return Err("view_too_large".into());
    }
    check_blocks(&body["blocks"], 100)
}

impl World {
    pub(in crate::dev::slack) fn view(&self, id: &str) -> Result<&View> {
        Ok(self
            .views
            .iter()
            .find(|view| view.id == id)
            .ok_or("not_found")?)
    }

    pub(in crate::dev::slack) fn view_mut(&mut self, id: &str) -> Result<&mut View> {
        let mut all = self.views.iter_mut();
        Ok(all.find(|view| view.id == id).ok_or("not_found")?)
    }

    /// Opens a modal, on another one if that is named.
    pub(in crate::dev::slack) fn open_view(
        &mut self,
        user: &str,
        mut body: Value,
        on: Option<&str>,
    ) -> Result<Value> {
        check(&mut body, &["modal"])?;
        let id = self.id("V");
        let root = match on {
            None => id.clone(),
            Some(below) => self.view(below)?.root.clone(),
        };
        let height = self
            .views
            .iter()
            .filter(|it| it.is_open && it.root == root)
            .count();
        if height >= MAX_STACK {
            return Err("push_limit_reached".into());
        }
        let hash = self.id("hash-");
        self.views.push(View {
            id: id.clone(),
            user: user.to_owned(),
            root,
            previous: on.map(str::to_owned),
            hash,
            body,
            values: json!({}),
            is_open: true,
            installed: self.installed_in(),
            errors: Value::Null,
        });
        self.show_view(&id)
    }

    /// Puts another content into a modal.
    pub(in crate::dev::slack) fn update_view(
        &mut self,
        id: &str,
        mut body: Value,
        hash: Option<&str>,
    ) -> Result<Value> {
        check(&mut body, &["modal", "home"])?;
        let new = self.id("hash-");
        let view = self.view_mut(id)?;
        if hash.is_some_and(|hash| hash != view.hash) {
            return Err("hash_conflict".into());
        }
        view.body = body;
        view.hash = new;
        view.errors = Value::Null;
        self.show_view(id)
    }

    /// Sets a person's home tab.
    pub(in crate::dev::slack) fn publish_home(
        &mut self,
        user: &str,
        mut body: Value,
        hash: Option<&str>,
    ) -> Result<Value> {
        self.user(user)?;
        check(&mut body, &["home"])?;
        if let Some(id) = self.home_of(user) {
            return self.update_view(&id, body, hash);
        }
        let (id, hash) = (self.id("V"), self.id("hash-"));
        self.views.push(View {
            id: id.clone(),
            user: user.to_owned(),
            root: id.clone(),
            previous: None,
            hash,
            body,
            values: json!({}),
            is_open: true,
            installed: self.installed_in(),
            errors: Value::Null,
        });
        self.show_view(&id)
    }

    pub(in crate::dev::slack) fn home_of(&self, user: &str) -> Option<String> {
        let is_it = |view: &&View| view.user == user && view.body["type"] == "home";
        self.views.iter().find(is_it).map(|view| view.id.clone())
    }

    pub(in crate::dev::slack) fn show_view(&mut self, id: &str) -> Result<Value> {
        let view = self.view(id)?;
        let (shown, inspected) = (view.shown(), json!(view));
        self.changed("view", inspected);
        Ok(shown)
    }

    /// Takes a modal away, or all of its stack.
    pub(in crate::dev::slack) fn close_views(&mut self, id: &str, all: bool) -> Result<()> {
        let root = self.view(id)?.root.clone();
        let closing = self
            .views
            .iter()
            .filter(|it| it.is_open && (it.id == id || all && it.root == root));
        let closing: Vec<String> = closing.map(|it| it.id.clone()).collect();
        for id in closing {
            self.view_mut(&id)?.is_open = false;
            self.show_view(&id)?;
        }
        Ok(())
    }
}
