//! Who is there: `auth.test`, `users.*`, `usergroups.*`, `bots.info`, `team.info`; and
//! `apps.connections.open`.

use serde_json::{Value, json};

use super::super::world::{APP, BOT, BOT_ID, Result, TEAM, TEAM_DOMAIN, World};
use super::{Args, conversations};

pub(super) fn api_test(_: &mut World, args: &Args) -> Result<Value> {
    match args.text("error") {
        Some(error) => Err(error.as_str().into()),
        None => Ok(json!({"args": args.shown()})),
    }
}

pub(super) fn auth_test(_: &mut World, _: &Args) -> Result<Value> {
    Ok(json!({
        "url": format!("https://{TEAM_DOMAIN}.slack.com/"), "team": "Anchorhold Simulation",
        "user": "anchorhold", "team_id": TEAM, "user_id": BOT, "bot_id": BOT_ID,
        "is_enterprise_install": false,
    }))
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
    let all: Vec<Value> = world.users.values().map(|user| seen(world, user)).collect();
    let (page, next) = conversations::page(&all, args)?;
    Ok(
        json!({"members": page, "cache_ts": world.seconds(), "response_metadata": {"next_cursor": next}}),
    )
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
        "id": id, "team_id": TEAM, "is_usergroup": true, "name": "Engineers",
        "handle": "engineers", "is_external": false, "date_delete": 0,
        "user_count": members.map_or(0, Vec::len), "users": members,
    })
}

pub(super) fn groups(world: &mut World, _: &Args) -> Result<Value> {
    let groups: Vec<Value> = world.groups.keys().map(|id| group(world, id)).collect();
    Ok(json!({"usergroups": groups}))
}

pub(super) fn group_members(world: &mut World, args: &Args) -> Result<Value> {
    let id = args.need("usergroup")?;
    let members = world.groups.get(&id).ok_or("no_such_subteam")?;
    Ok(json!({"users": members}))
}

pub(super) fn bot(world: &mut World, args: &Args) -> Result<Value> {
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
