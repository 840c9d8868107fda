//! `agents.sessions.*` and `assistant.threads.*`.

use serde_json::{Value, json};

use super::super::world::{Result, SESSION_STATUSES, World};
use super::Args;

/// The longest title of a session.
const MAX_TITLE: usize = 200;

/// The channel and the root of the thread.
fn place(world: &World, args: &Args) -> Result<(String, String)> {
    let channel = args.text("channel_id").ok_or("channel_not_found")?;
    let channel = world.joined(&channel)?.id.clone();
    let thread = args.text("thread_ts").ok_or("invalid_thread_ts")?;
    world
        .message(&channel, &thread)
        .map_err(|_| "thread_not_found")?;
    Ok((channel, thread))
}

fn title(args: &Args) -> Result<Option<String>> {
    let title = args.text("title");
    match title {
        Some(long) if long.chars().count() > MAX_TITLE => Err("invalid_arguments".into()),
        title => Ok(title.map(|title| title.replace(':', "_"))),
    }
}

pub(super) fn set_status(world: &mut World, args: &Args) -> Result<Value> {
    let (channel, thread) = place(world, args)?;
    let (status, title) = (args.need("status")?, title(args)?);
    if !SESSION_STATUSES.contains(&status.as_str()) {
        return Err("invalid_arguments".into());
    }
    let is_new = world.set_session(&channel, &thread, &status);
    if let Some(session) = world.session_mut(&channel, &thread) {
        session.title = title.or(session.title.take());
        if is_new {
            session.initiator = args.text("initiator_user_id");
        }
    }
    world.show_session(&channel, &thread);
    if world.settings.is_subscribed("agent_session_stopped") {
        return Ok(json!({}));
    }
    let warning = "missing_agent_session_stopped_event_subscription";
    Ok(json!({"warning": warning, "response_metadata": {"warnings": [warning]}}))
}

pub(super) fn rename(world: &mut World, args: &Args) -> Result<Value> {
    let (channel, thread) = place(world, args)?;
    let title = title(args)?.ok_or("invalid_arguments")?;
    let session = world
        .session_mut(&channel, &thread)
        .ok_or("not_authorized")?;
    session.title = Some(title);
    world.show_session(&channel, &thread);
    Ok(json!({}))
}

pub(super) fn set_assistant_status(world: &mut World, args: &Args) -> Result<Value> {
    let (channel, thread) = place(world, args)?;
    let loading = args.json("loading_messages")?;
    if loading
        .as_ref()
        .and_then(Value::as_array)
        .is_some_and(|it| it.len() > 10)
    {
        return Err("invalid_arguments".into());
    }
    let status =
        json!({"status": args.text("status").unwrap_or_default(), "loading_messages": loading});
    let key = format!("{channel} {thread}");
    world.statuses.insert(key, status.clone());
    world.changed(
        "status",
        json!({"channel": channel, "thread_ts": thread, "status": status}),
    );
    Ok(json!({}))
}

/// Prompts of a channel. With a thread it says that all is well, and does nothing, as Slack does
/// for agents.
pub(super) fn set_prompts(world: &mut World, args: &Args) -> Result<Value> {
    let channel = args.text("channel_id").ok_or("channel_not_found")?;
    let channel = world.joined(&channel)?.id.clone();
    let prompts = args.json("prompts")?.ok_or("invalid_arguments")?;
    let is_sound = |it: &Value| it["title"].is_string() && it["message"].is_string();
    let list = prompts.as_array().cloned().unwrap_or_default();
    if list.is_empty() || list.len() > 4 || !list.iter().all(is_sound) {
        return Err("invalid_arguments".into());
    }
    if args.text("thread_ts").is_none() {
        let shown = json!({"title": args.text("title"), "prompts": prompts});
        world.prompts.insert(channel.clone(), shown.clone());
        world.changed("prompts", json!({"channel": channel, "prompts": shown}));
    }
    Ok(json!({}))
}

pub(super) fn set_title(world: &mut World, args: &Args) -> Result<Value> {
    let (channel, thread) = place(world, args)?;
    let title = title(args)?;
    if let Some(session) = world.session_mut(&channel, &thread) {
        session.title = title;
    }
    world.show_session(&channel, &thread);
    Ok(json!({}))
}
