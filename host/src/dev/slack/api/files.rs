//! `files.*`: announce, complete, look up. The bytes come and go beside the API.

use serde_json::{Value, json};

use super::super::world::{BOT, Draft, Refusal, Result, World, merge, own};
use super::Args;

pub(super) fn upload_url(world: &mut World, args: &Args) -> Result<Value> {
    let name = args.need("filename")?;
    let length = args.number("length").filter(|&length| length > 0);
    let length = length.ok_or_else(|| Refusal::from("invalid_arguments"))?;
    let id = world.announce_file(BOT, &name, length);
    let url = format!("{}/upload/v1/{id}", world.setup.base_url);
    Ok(json!({"upload_url": url, "file_id": id}))
}

pub(super) fn complete(world: &mut World, args: &Args) -> Result<Value> {
    let files = args.json("files")?.ok_or("invalid_arguments")?;
    let mut done = Vec::new();
    for given in files.as_array().into_iter().flatten() {
        let file = world.file_mut(given["id"].as_str().unwrap_or_default())?;
        if file.is_complete || file.bytes.len() as u64 != file.size {
            return Err("file_upload_incomplete".into());
        }
        file.is_complete = true;
        if let Some(title) = given["title"].as_str() {
            title.clone_into(&mut file.title);
        }
        done.push(file.id.clone());
    }
    if done.is_empty() {
        return Err("invalid_arguments".into());
    }
    let channels = args.text("channel_id").or_else(|| args.text("channels"));
    for channel in channels.iter().flat_map(|list| list.split(',')) {
        share(world, channel, &done, args)?;
    }
    let mut shown = Vec::new();
    for id in &done {
        shown.push(world.file_view(world.file(id)?));
    }
    Ok(json!({"files": shown}))
}

/// Posts files to a channel.
fn share(world: &mut World, channel: &str, files: &[String], args: &Args) -> Result<()> {
    let channel = world.writable(channel)?;
    let mut shown = Vec::new();
    for id in files {
        world.file_mut(id)?.channels.push(channel.clone());
        shown.push(world.file_view(world.file(id)?));
    }
    let mut body = own();
    let text = args.text("initial_comment").unwrap_or_default();
    merge(
        &mut body,
        &json!({"text": text, "files": shown, "upload": true, "subtype": "file_share"}),
    );
    let ts = world.post(Draft {
        channel: channel.clone(),
        thread_ts: args.text("thread_ts"),
        body,
        ..Draft::default()
    })?;
    world.tell_of_message(&channel, &ts);
    Ok(())
}

pub(super) fn info(world: &mut World, args: &Args) -> Result<Value> {
    let id = args.text("file").ok_or("file_not_found")?;
    let file = world.file(&id)?;
    Ok(json!({"file": world.file_view(file)}))
}
