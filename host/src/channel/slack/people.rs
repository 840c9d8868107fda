//! Who people are, as Slack knows them, looked up when they first say something
//! and again after a while.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;
use serde_json::{Value, json};

use super::web::{Refused, Web};

/// How long what is known holds.
const FRESH: Duration = Duration::from_secs(300);

/// People who are remembered.
const REMEMBERED: NonZeroUsize = match NonZeroUsize::new(10_000) {
    Some(number) => number,
    None => NonZeroUsize::MIN,
};

/// What matters of a person.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) name: Option<String>,
    /// Of the workspace or of some channels only.
    pub(super) is_guest: bool,
    /// Of another workspace.
    pub(super) is_outsider: bool,
    pub(super) is_bot: bool,
    pub(super) is_gone: bool,
}

/// Something by id, since when it is known.
type Known<T> = Mutex<LruCache<String, (Instant, T)>>;

/// People and groups of people by id.
pub(super) struct People {
    people: Known<Person>,
    groups: Known<Arc<[String]>>,
}

impl Default for People {
    fn default() -> Self {
        Self {
            people: Mutex::new(LruCache::new(REMEMBERED)),
            groups: Mutex::new(LruCache::new(REMEMBERED)),
        }
    }
}

/// What is known, if it still holds.
fn known<T: Clone>(cache: &Known<T>, id: &str) -> Option<T> {
    let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
    let (at, value) = cache.get(id)?;
    (at.elapsed() < FRESH).then(|| value.clone())
}

fn remember<T: Clone>(cache: &Known<T>, id: &str, value: &T) {
    let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
    cache.put(id.to_owned(), (Instant::now(), value.clone()));
}

impl People {
    /// Who somebody is.
    ///
    /// # Errors
    ///
    /// Why Slack does not say.
    pub(super) async fn look_up(&self, web: &Web, id: &str, team: &str) -> Result<Person, Refused> {
        if let Some(person) = known(&self.people, id) {
            return Ok(person);
        }
        let answer = web.call("users.info", &json!({"user": id})).await?;
        let person = person(&answer["user"], team);
        remember(&self.people, id, &person);
        Ok(person)
    }

    /// Whether somebody is in a user group of a team.
    ///
    /// # Errors
    ///
    /// Why Slack does not say.
    pub(super) async fn is_in(
        &self,
        web: &Web,
        (team, group): (&str, &str),
        user: &str,
    ) -> Result<bool, Refused> {
        let is_in = |members: &[String]| members.iter().any(|member| member == user);
        let key = format!("{team}/{group}");
        if let Some(members) = known(&self.groups, &key) {
            return Ok(is_in(&members));
        }
        // The token of an organisation is not of a team; that of a team is, whatever is said.
        let asked = json!({"usergroup": group, "team_id": team});
        let answer = web.call("usergroups.users.list", &asked).await?;
        let members = answer["users"].as_array().into_iter().flatten();
        let members: Arc<[String]> = members
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        remember(&self.groups, &key, &members);
        Ok(is_in(&members))
    }
}

/// `team` is where the app is installed: a team or an enterprise.
fn person(user: &Value, team: &str) -> Person {
    let is = |name: &str| user[name] == true;
    let name = |pointer: &str| user.pointer(pointer).and_then(Value::as_str);
    let names = ["/profile/display_name", "/real_name", "/name"];
    let mut names = names.into_iter().filter_map(name);
    let home = user["team_id"].as_str();
    let enterprise = user
        .pointer("/enterprise_user/enterprise_id")
        .and_then(Value::as_str);
    let is_of_home = home.is_none_or(|home| home == team) || enterprise == Some(team);
    Person {
        name: names.find(|name| !name.is_empty()).map(str::to_owned),
        is_guest: is("is_restricted") || is("is_ultra_restricted"),
        is_outsider: is("is_stranger") || !is_of_home,
        is_bot: is("is_bot") || is("is_workflow_bot"),
        is_gone: is("deleted"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_and_outsiders_are_known_as_such() {
        let user = json!({"id": "U1", "team_id": "T1", "name": "ada", "profile": {"display_name": ""}, "real_name": "Ada L"});
        let ada = person(&user, "T1");
        assert_eq!(ada.name.as_deref(), Some("Ada L"));
        assert!(!ada.is_guest && !ada.is_outsider && !ada.is_bot && !ada.is_gone);
        for guest in ["is_restricted", "is_ultra_restricted"] {
            let mut user = user.clone();
            user[guest] = true.into();
            assert!(person(&user, "T1").is_guest);
        }
        assert!(person(&user, "T2").is_outsider);
        let mut stranger = user.clone();
        stranger["is_stranger"] = true.into();
        assert!(person(&stranger, "T1").is_outsider);
        let mut of_grid = user;
        of_grid["enterprise_user"] = json!({"enterprise_id": "E1"});
        assert!(!person(&of_grid, "E1").is_outsider);
    }
}
