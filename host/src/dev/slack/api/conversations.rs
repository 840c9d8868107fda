//! `conversations.*`.

use serde_json::{Value, json};

use super::super::world::{Kind, Message, Refusal, Result, World};
use super::{Args, people};

pub(super) fn info(world: &mut World, args: &Args) -> Result<Value> {
    let channel = world.visible(&args.channel()?)?;
    Ok(json!({"channel": channel.shown()}))
}

pub(super) fn list(world: &mut World, args: &Args) -> Result<Value> {
    people::one_team(world, args)?;
    let types = args
        .text("types")
        .unwrap_or_else(|| "public_channel".to_owned());
    let wanted = |kind: Kind| {
        let name = match kind {
            Kind::Public => "public_channel",
            Kind::Private => "private_channel",
            Kind::Im => "im",
            Kind::Mpim => "mpim",
        };
        types.split(',').any(|it| it.trim() == name)
    };
    let all = world
        .channels
        .iter()
        .filter(|it| wanted(it.kind) && world.visible(&it.id).is_ok());
    let shown: Vec<Value> = all.map(|it| it.shown()).collect();
    let (page, next) = page(&shown, args)?;
    Ok(json!({"channels": page, "response_metadata": {"next_cursor": next}}))
}

pub(super) fn members(world: &mut World, args: &Args) -> Result<Value> {
    let channel = world.visible(&args.channel()?)?;
    let members: Vec<Value> = channel.members.iter().map(|it| json!(it)).collect();
    let (page, next) = page(&members, args)?;
    Ok(json!({"members": page, "response_metadata": {"next_cursor": next}}))
}

pub(super) fn open(world: &mut World, args: &Args) -> Result<Value> {
    let id = match (args.text("channel"), args.text("users")) {
        (Some(channel), _) => world.visible(&channel)?.id.clone(),
        (None, Some(users)) => {
            let users: Vec<&str> = users.split(',').map(str::trim).collect();
            match users[..] {
                [user] => world.direct(user)?,
                _ => world.group(&users)?,
            }
        }
        (None, None) => return Err("users_list_not_supplied".into()),
    };
    let channel = world.channel(&id)?;
    let shown = match args.flag("return_im") {
        true => channel.shown(),
        false => json!({"id": id}),
    };
    Ok(json!({"channel": shown}))
}

pub(super) fn history(world: &mut World, args: &Args) -> Result<Value> {
    let id = world.joined(&args.channel()?)?.id.clone();
    let all = world.messages.iter().rev();
    let all = all.filter(|it| it.channel == id && it.is_in_channel() && it.ephemeral_to.is_none());
    shown(world, all, args)
}

pub(super) fn replies(world: &mut World, args: &Args) -> Result<Value> {
    let id = world.joined(&args.channel()?)?.id.clone();
    let ts = args.need("ts")?;
    let found = world
        .message(&id, &ts)
        .map_err(|_| Refusal::from("thread_not_found"))?;
    let root = found.thread_ts.clone().unwrap_or(ts);
    let parent = world.message(&id, &root).ok();
    shown(
        world,
        parent.into_iter().chain(world.replies(&id, &root)),
        args,
    )
}

/// A page of messages within bounds.
fn shown<'a>(world: &World, all: impl Iterator<Item = &'a Message>, args: &Args) -> Result<Value> {
    let (oldest, latest) = (args.text("oldest"), args.text("latest"));
    let inclusive = args.flag("inclusive");
    let within = |ts: &str| {
        let after = oldest
            .as_deref()
            .is_none_or(|it| ts > it || inclusive && ts == it);
        after
            && latest
                .as_deref()
                .is_none_or(|it| ts < it || inclusive && ts == it)
    };
    let metadata = args.flag("include_all_metadata");
    let all = all.filter(|it| within(&it.ts) || it.ts == args.text("ts").unwrap_or_default());
    let shown: Vec<Value> = all.map(|it| world.message_view(it, metadata)).collect();
    let (page, next) = page(&shown, args)?;
    Ok(json!({
        "messages": page, "has_more": !next.is_empty(), "pin_count": 0,
        "response_metadata": {"next_cursor": next},
    }))
}

/// The part of a list that is asked for, and the cursor of what follows.
pub(super) fn page(all: &[Value], args: &Args) -> Result<(Vec<Value>, String)> {
    let most = args.number("limit").unwrap_or(100).clamp(1, 1_000);
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let start = match args.text("cursor") {
        None => 0,
        Some(cursor) => cursor
            .strip_prefix("at-")
            .and_then(|it| it.parse().ok())
            .ok_or("invalid_cursor")?,
    };
    let page: Vec<Value> = all.iter().skip(start).take(most).cloned().collect();
    let end = start + page.len();
    let next = if end < all.len() {
        format!("at-{end}")
    } else {
        String::new()
    };
    Ok((page, next))
}
