//! `chat.*` but for streams, and `reactions.*`.

use serde_json::{Value, json};

use super::super::world::{
    BOT, Draft, Message, Result, TEAM_DOMAIN, World, check_body, merge, own,
};
use super::Args;

/// What a message of the app is made of.
fn body(world: &World, args: &Args) -> Result<Value> {
    let mut body = own();
    for key in ["text", "markdown_text"] {
        if let Some(text) = args.text(key) {
            body[key] = json!(text);
        }
    }
    for key in ["blocks", "attachments"] {
        if let Some(list) = args.json(key)? {
            body[key] = list;
        }
    }
    merge(&mut body, &disguise(world, args));
    check_body(&mut body)?;
    Ok(body)
}

/// Another name or face, if the app may have one.
pub(super) fn disguise(world: &World, args: &Args) -> Value {
    let mut shown = json!({});
    if !world.settings.has_scope("chat:write.customize") {
        return shown;
    }
    if let Some(name) = args.text("username") {
        shown["username"] = json!(name);
    }
    if let Some(emoji) = args.text("icon_emoji") {
        shown["icons"] = json!({"emoji": emoji});
    }
    if let Some(url) = args.text("icon_url") {
        shown["icons"] = json!({"image_48": url});
    }
    shown
}

/// `metadata`, checked.
pub(super) fn metadata(args: &Args) -> Result<Option<Value>> {
    let metadata = args.json("metadata")?;
    let is_sound = |it: &Value| it["event_type"].is_string() && it["event_payload"].is_object();
    match metadata {
        Some(given) if !is_sound(&given) => Err("invalid_metadata_format".into()),
        given => Ok(given),
    }
}

pub(super) fn post(world: &mut World, args: &Args) -> Result<Value> {
    let channel = world.writable(&args.channel()?)?;
    let draft = Draft {
        channel: channel.clone(),
        thread_ts: args.text("thread_ts"),
        body: body(world, args)?,
        metadata: metadata(args)?,
        broadcast: args.flag("reply_broadcast"),
        ephemeral_to: None,
    };
    let ts = world.post(draft)?;
    world.tell_of_message(&channel, &ts);
    let message = world.message_view(world.message(&channel, &ts)?, true);
    Ok(json!({"channel": channel, "ts": ts, "message": message}))
}

pub(super) fn post_ephemeral(world: &mut World, args: &Args) -> Result<Value> {
    let channel = world.writable(&args.channel()?)?;
    let user = args.need("user")?;
    if !world.channel(&channel)?.has(&user) {
        return Err("user_not_in_channel".into());
    }
    let draft = Draft {
        channel,
        thread_ts: args.text("thread_ts"),
        body: body(world, args)?,
        ephemeral_to: Some(user),
        ..Draft::default()
    };
    let ts = world.post(draft)?;
    Ok(json!({"message_ts": ts}))
}

pub(super) fn update(world: &mut World, args: &Args) -> Result<Value> {
    let (channel, ts) = (
        world.visible(&args.channel()?)?.id.clone(),
        args.need("ts")?,
    );
    let message = world.message(&channel, &ts)?;
    if message.ephemeral_to.is_some() {
        return Err("message_not_found".into());
    }
    if !message.is_ours() {
        return Err("cant_update_message".into());
    }
    if message
        .stream
        .as_ref()
        .is_some_and(|stream| stream.is_open())
    {
        return Err("streaming_state_conflict".into());
    }
    let new = body(world, args)?;
    // A text alone takes the place of blocks that were there.
    let blocks = new.get("blocks").cloned().unwrap_or_else(|| json!([]));
    let mut fields = json!({"text": new["text"], "blocks": blocks});
    if let Some(attachments) = new.get("attachments") {
        fields["attachments"] = attachments.clone();
    }
    world.replace(&channel, &ts, &fields, metadata(args)?)?;
    let message = world.message_view(world.message(&channel, &ts)?, true);
    Ok(json!({"channel": channel, "ts": ts, "text": message["text"], "message": message}))
}

pub(super) fn delete(world: &mut World, args: &Args) -> Result<Value> {
    let (channel, ts) = (
        world.visible(&args.channel()?)?.id.clone(),
        args.need("ts")?,
    );
    let message = world.message(&channel, &ts)?;
    if !message.is_ours() || message.ephemeral_to.is_some() {
        return Err("cant_delete_message".into());
    }
    world.delete(&channel, &ts)?;
    Ok(json!({"channel": channel, "ts": ts}))
}

pub(super) fn permalink(world: &mut World, args: &Args) -> Result<Value> {
    let (channel, ts) = (
        world.visible(&args.channel()?)?.id.clone(),
        args.need("message_ts")?,
    );
    let message = world.message(&channel, &ts)?;
    let name = ts.replace('.', "");
    let mut url = format!("https://{TEAM_DOMAIN}.slack.com/archives/{channel}/p{name}");
    if let Some(thread) = &message.thread_ts {
        url.push_str(&format!("?thread_ts={thread}&cid={channel}"));
    }
    Ok(json!({"channel": channel, "permalink": url}))
}

/// The message that is reacted to.
fn place(world: &World, args: &Args) -> Result<(String, String)> {
    let channel = world.visible(&args.channel()?)?.id.clone();
    let ts = args.text("timestamp").ok_or("no_item_specified")?;
    world.message(&channel, &ts)?;
    Ok((channel, ts))
}

fn emoji(args: &Args) -> Result<String> {
    let name = args.text("name").ok_or("invalid_name")?;
    let name = name.trim_matches(':');
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-+':".contains(c);
    match name.chars().all(is_plain) {
        true => Ok(name.to_owned()),
        false => Err("invalid_name".into()),
    }
}

pub(super) fn react(world: &mut World, args: &Args) -> Result<Value> {
    let ((channel, ts), name) = (place(world, args)?, emoji(args)?);
    world.joined(&channel)?;
    world.react(BOT, &channel, &ts, &name)?;
    Ok(json!({}))
}

pub(super) fn unreact(world: &mut World, args: &Args) -> Result<Value> {
    let ((channel, ts), name) = (place(world, args)?, emoji(args)?);
    world.unreact(BOT, &channel, &ts, &name)?;
    Ok(json!({}))
}

pub(super) fn reactions(world: &mut World, args: &Args) -> Result<Value> {
    let (channel, ts) = place(world, args)?;
    let message = Message::shown(world.message(&channel, &ts)?);
    Ok(json!({"type": "message", "channel": channel, "message": message}))
}
