//! `chat.startStream`, `chat.appendStream`, `chat.stopStream`.

use serde_json::{Value, json};

use super::super::world::{Piece, Result, SESSION_STATUSES, Start, World};
use super::{Args, chat};

fn piece(args: &Args) -> Result<Piece> {
    Ok(Piece {
        markdown: args.text("markdown_text"),
        chunks: args.json("chunks")?,
    })
}

pub(super) fn start(world: &mut World, args: &Args) -> Result<Value> {
    let channel = world.writable(&args.channel()?)?;
    let mode = args.text("task_display_mode");
    if mode
        .as_ref()
        .is_some_and(|it| !["timeline", "plan", "dense"].contains(&it.as_str()))
    {
        return Err("invalid_arguments".into());
    }
    let start = Start {
        channel: channel.clone(),
        thread_ts: args.text("thread_ts"),
        body: chat::disguise(world, args),
        task_display_mode: mode,
        recipient_user_id: args.text("recipient_user_id"),
        recipient_team_id: args.text("recipient_team_id"),
    };
    let ts = world.start_stream(start, &piece(args)?)?;
    Ok(json!({"channel": channel, "ts": ts}))
}

pub(super) fn append(world: &mut World, args: &Args) -> Result<Value> {
    let (channel, ts) = (args.channel()?, args.need("ts")?);
    let piece = piece(args)?;
    if piece.markdown.is_none() && piece.chunks.is_none() {
        return Err("no_text".into());
    }
    world.append_stream(&channel, &ts, &piece)?;
    Ok(json!({"channel": channel, "ts": ts}))
}

pub(super) fn stop(world: &mut World, args: &Args) -> Result<Value> {
    let (channel, ts) = (args.channel()?, args.need("ts")?);
    let status = args
        .text("session_status")
        .unwrap_or_else(|| "active".to_owned());
    if !SESSION_STATUSES.contains(&status.as_str()) {
        return Err("invalid_arguments".into());
    }
    let metadata = chat::metadata(args)?;
    world.stop_stream(&channel, &ts, &piece(args)?, args.json("blocks")?, metadata)?;
    let message = world.message(&channel, &ts)?;
    let root = message.thread_ts.clone().unwrap_or_else(|| ts.clone());
    let shown = world.message_view(message, true);
    world.set_session(&channel, &root, &status);
    Ok(json!({"channel": channel, "ts": ts, "message": shown}))
}
