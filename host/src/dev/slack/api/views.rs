//! `views.*`.

use serde_json::{Value, json};

use super::super::world::{Result, World};
use super::Args;

fn view(args: &Args) -> Result<Value> {
    Ok(args.json("view")?.ok_or("invalid_arguments")?)
}

/// The trigger, under whichever of its names.
fn trigger(args: &Args) -> Result<String> {
    let id = args
        .text("trigger_id")
        .or_else(|| args.text("interactivity_pointer"));
    Ok(id.ok_or("invalid_arguments")?)
}

pub(super) fn open(world: &mut World, args: &Args) -> Result<Value> {
    let (view, trigger) = (view(args)?, trigger(args)?);
    let (user, _) = world.use_trigger(&trigger)?;
    Ok(json!({"view": world.open_view(&user, view, None)?}))
}

pub(super) fn push(world: &mut World, args: &Args) -> Result<Value> {
    let (view, trigger) = (view(args)?, trigger(args)?);
    let (user, below) = world.use_trigger(&trigger)?;
    let below = below.ok_or("invalid_trigger_id")?;
    Ok(json!({"view": world.open_view(&user, view, Some(&below))?}))
}

pub(super) fn update(world: &mut World, args: &Args) -> Result<Value> {
    let id = match (args.text("view_id"), args.text("external_id")) {
        (Some(id), _) => id,
        (None, Some(name)) => {
            let is_it = |it: &&super::super::world::View| it.body["external_id"] == name.as_str();
            world
                .views
                .iter()
                .find(is_it)
                .ok_or("not_found")?
                .id
                .clone()
        }
        (None, None) => return Err("invalid_arguments".into()),
    };
    let hash = args.text("hash");
    Ok(json!({"view": world.update_view(&id, view(args)?, hash.as_deref())?}))
}

pub(super) fn publish(world: &mut World, args: &Args) -> Result<Value> {
    let user = args.text("user_id").ok_or("user_not_found")?;
    let hash = args.text("hash");
    Ok(json!({"view": world.publish_home(&user, view(args)?, hash.as_deref())?}))
}
