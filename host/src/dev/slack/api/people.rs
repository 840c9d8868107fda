//! Who is there: `auth.test`, `users.*`, `usergroups.*`, `bots.info`, `team.info`; and
//! `apps.connections.open`.

use serde_json::{Value, json};

use super::super::world::{APP, BOT, BOT_ID, ENTERPRISE, Result, TEAM, TEAM_DOMAIN, World};
use super::{Args, conversations};

pub(super) fn api_test(_: &mut World, args: &Args) -> Result<Value> {
    match args.text("error") {
        Some(error) => Err(error.as_str().into()),
        None => Ok(json!({"args": args.shown()})),
    }
}

pub(super) fn auth_test(world: &mut World, _: &Args) -> Result<Value> {
    let mut me = json!({
        "url": format!("https://{TEAM_DOMAIN}.slack.com/"), "team": "Anchorhold Simulation",
        "user": "anchorhold", "team_id": TEAM, "user_id": BOT, "bot_id": BOT_ID,
        "is_enterprise_install": world.is_enterprise,
    });
    if world.is_enterprise {
        // A token of an organisation is of no team.
        me["team_id"] = json!(ENTERPRISE);
        me["enterprise_id"] = json!(ENTERPRISE);
        me["team"] = world.enterprise()["name"].clone();
    }
    Ok(me)
}

pub(super) fn open_connection(world: &mut World, _: &Args) -> Result<Value> {
    let ticket = world.id("ticket-");
    let base = world.setup.base_url.replacen("http", "ws", 1);
    let url = format!("{base}/link/?ticket={ticket}&app_id={APP}");
    world.tickets.push(ticket);
    Ok(json!({"url": url}))
}

pub(super) fn user(world: &mut World, args: &Args) -> Result<Value> {
    let id = args.text("user").ok_or("user_not_found")?;
    Ok(json!({"user": seen(world, world.user(&id)?)}))
}

pub(super) fn users(world: &mut World, args: &Args) -> Result<Value> {
    one_team(world, args)?;
    let all: Vec<Value> = world.users.values().map(|user| seen(world, user)).collect();
    let (page, next) = conversations::page(&all, args)?;
    Ok(
        json!({"members": page, "cache_ts": world.seconds(), "response_metadata": {"next_cursor": next}}),
    )
}

/// A token of an organisation does not say in which of its teams something is.
pub(super) fn one_team(world: &World, args: &Args) -> Result<()> {
    if world.is_enterprise {
        args.text("team_id").ok_or("missing_argument")?;
    }
    Ok(())
}

/// Without what the app may not see.
fn seen(world: &World, user: &Value) -> Value {
    let mut user = user.clone();
    if !world.settings.has_scope("users:read.email")
        && let Some(profile) = user["profile"].as_object_mut()
    {
        profile.remove("email");
    }
    user
}

fn group(world: &World, id: &str) -> Value {
    let members = world.groups.get(id);
    json!({
        "id": id, "team_id": world.team_of_group(id), "is_usergroup": true, "name": "Engineers",
        "handle": "engineers", "is_external": false, "date_delete": 0,
        "user_count": members.map_or(0, Vec::len), "users": members,
    })
}

pub(super) fn groups(world: &mut World, args: &Args) -> Result<Value> {
    one_team(world, args)?;
    let team = args.text("team_id").filter(|_| world.is_enterprise);
    let is_there = |id: &&String| {
        let team = team.as_deref();
        team.is_none_or(|team| world.team_of_group(id) == team)
    };
    let groups = world.groups.keys().filter(is_there);
    let groups: Vec<Value> = groups.map(|id| group(world, id)).collect();
    Ok(json!({"usergroups": groups}))
}

pub(super) fn group_members(world: &mut World, args: &Args) -> Result<Value> {
    one_team(world, args)?;
    let id = args.need("usergroup")?;
    let team = args.text("team_id").unwrap_or_else(|| TEAM.to_owned());
    let is_there = !world.is_enterprise || world.team_of_group(&id) == team;
    let members = world.groups.get(&id).filter(|_| is_there);
    let members = members.ok_or("no_such_subteam")?;
    Ok(json!({"users": members}))
}

pub(super) fn bot(world: &mut World, args: &Args) -> Result<Value> {
    one_team(world, args)?;
    let id = args.text("bot").unwrap_or_else(|| BOT_ID.to_owned());
    let is_it = |user: &&Value| user["profile"]["bot_id"] == id.as_str();
    let user = world.users.values().find(is_it).ok_or("bot_not_found")?;
    Ok(json!({"bot": {
        "id": id, "deleted": false, "name": user["name"], "updated": user["updated"],
        "app_id": user["profile"]["api_app_id"], "user_id": user["id"],
        "icons": {"image_36": "", "image_48": "", "image_72": ""},
    }}))
}

pub(super) fn team(_: &mut World, _: &Args) -> Result<Value> {
    Ok(json!({"team": {
        "id": TEAM, "name": "Anchorhold Simulation", "domain": TEAM_DOMAIN,
        "email_domain": "example.com",
    }}))
}
