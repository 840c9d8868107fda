//! Who and what is there at the start. docs/slack.md has the list for people.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::channels::{Channel, Kind};
use super::merge;

pub(in crate::dev::slack) const TEAM: &str = "T0SIM";
pub(in crate::dev::slack) const TEAM_DOMAIN: &str = "anchorhold-sim";
/// Of the same organisation, where there is one.
pub(in crate::dev::slack) const SECOND_TEAM: &str = "T0SECOND";
pub(in crate::dev::slack) const OTHER_TEAM: &str = "T0PARTNER";
pub(in crate::dev::slack) const APP: &str = "A0SIM";
/// The bot user of the app.
pub(in crate::dev::slack) const BOT: &str = "U0SIMBOT";
pub(in crate::dev::slack) const BOT_ID: &str = "B0SIMBOT";

pub(super) fn person(id: &str, name: &str, real_name: &str, more: Value) -> (String, Value) {
    let mut user = json!({
        "id": id, "team_id": TEAM, "name": name, "real_name": real_name, "deleted": false,
        "tz": "Europe/Berlin", "tz_label": "Central European Time", "tz_offset": 3600,
        "is_admin": false, "is_owner": false, "is_primary_owner": false, "is_restricted": false,
        "is_ultra_restricted": false, "is_bot": false, "is_app_user": false, "updated": 1_700_000_000,
        "profile": {
            "real_name": real_name, "display_name": name, "email": format!("{name}@example.com"),
            "team": TEAM,
        },
    });
    merge(&mut user, &more);
    (id.to_owned(), user)
}

pub(super) fn users() -> BTreeMap<String, Value> {
    BTreeMap::from([
        person("U0ALICE", "alice", "Alice Member", json!({})),
        person("U0BOB", "bob", "Bob Member", json!({})),
        person("U0ADA", "ada", "Ada Admin", json!({"is_admin": true})),
        person(
            "U0GWEN",
            "gwen",
            "Gwen Guest",
            json!({"is_restricted": true}),
        ),
        person(
            "U0SAM",
            "sam",
            "Sam Single-Channel Guest",
            json!({"is_restricted": true, "is_ultra_restricted": true}),
        ),
        person(
            "U0OLGA",
            "olga",
            "Olga Outsider",
            json!({"team_id": OTHER_TEAM, "is_stranger": true}),
        ),
        person(
            "U0CIBOT",
            "ci",
            "Another Bot",
            json!({"is_bot": true, "profile": {
                "real_name": "Another Bot", "display_name": "ci", "bot_id": "B0CIBOT",
                "api_app_id": "A0CIBOT", "team": TEAM,
            }}),
        ),
        person(
            BOT,
            "anchorhold",
            "Anchorhold",
            json!({"is_bot": true, "profile": {
                "real_name": "Anchorhold", "display_name": "anchorhold", "bot_id": BOT_ID,
                "api_app_id": APP, "team": TEAM,
            }}),
        ),
    ])
}

pub(super) fn groups() -> BTreeMap<String, Vec<String>> {
    let engineers = ["U0ALICE", "U0ADA"].map(str::to_owned).to_vec();
    BTreeMap::from([("S0ENGINEERS".to_owned(), engineers)])
}

pub(super) fn channels() -> Vec<Channel> {
    let staff = ["U0ALICE", "U0BOB", "U0ADA", "U0CIBOT", BOT];
    let with = |more: &[&'static str]| [&staff[..], more].concat();
    let mut channels = vec![
        Channel::new(
            "C0GENERAL",
            "general",
            Kind::Public,
            &with(&["U0GWEN", "U0SAM"]),
        ),
        Channel::new(
            "C0RANDOM",
            "random",
            Kind::Public,
            &["U0ALICE", "U0BOB", "U0ADA"],
        ),
        Channel::new(
            "C0LEADS",
            "leads",
            Kind::Private,
            &["U0ALICE", "U0ADA", BOT],
        ),
        Channel {
            is_ext_shared: true,
            ..Channel::new("C0PARTNER", "partner", Kind::Public, &with(&["U0OLGA"]))
        },
        Channel::new(
            "G0GROUP",
            "mpdm-alice--bob--anchorhold-1",
            Kind::Mpim,
            &["U0ALICE", "U0BOB", BOT],
        ),
    ];
    for person in ["ALICE", "BOB", "ADA", "GWEN", "SAM", "OLGA"] {
        let user = format!("U0{person}");
        let mut channel = Channel::new(&format!("D0{person}"), "", Kind::Im, &[&user, BOT]);
        channel.is_ext_shared = person == "OLGA";
        channels.push(channel);
    }
    channels
}
