//! What people do, and what is done to the app's connections: `POST /sim/act`.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::deliver::verify_url;
use super::super::sim::Sim;
use super::super::world::{
    About, Click, Draft, Refusal, Result, StreamState, Transport, World, merge,
};

/// A file that somebody shares.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Attachment {
    name: String,
    mimetype: Option<String>,
    /// The text in it, or…
    text: Option<String>,
    /// …its bytes.
    base64: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Action {
    /// Says something. `extra` is put into message and event.
    Say {
        user: String,
        channel: String,
        #[serde(default)]
        text: String,
        thread_ts: Option<String>,
        #[serde(default)]
        broadcast: bool,
        #[serde(default)]
        files: Vec<Attachment>,
        #[serde(default)]
        extra: Value,
    },
    Edit {
        user: String,
        channel: String,
        ts: String,
        text: String,
    },
    /// Slack unfurls a link: the message changes, its text does not.
    Unfurl {
        channel: String,
        ts: String,
    },
    Delete {
        user: String,
        channel: String,
        ts: String,
    },
    React {
        user: String,
        channel: String,
        ts: String,
        name: String,
    },
    Unreact {
        user: String,
        channel: String,
        ts: String,
        name: String,
    },
    /// Clicks an element of a message or of a view.
    Click {
        user: String,
        channel: Option<String>,
        ts: Option<String>,
        view_id: Option<String>,
        action_id: String,
        value: Option<Value>,
    },
    Submit {
        view_id: String,
        #[serde(default)]
        values: Value,
    },
    Close {
        view_id: String,
        #[serde(default)]
        all: bool,
    },
    Command {
        user: String,
        channel: String,
        command: String,
        #[serde(default)]
        text: String,
    },
    /// A global shortcut, or one on a message.
    Shortcut {
        user: String,
        callback_id: String,
        channel: Option<String>,
        ts: Option<String>,
    },
    /// Opens the app: its `home`, or its `messages`.
    OpenHome {
        user: String,
        tab: String,
    },
    /// Looks at something else while the app is open.
    Context {
        user: String,
        context: Value,
    },
    Join {
        user: String,
        channel: String,
    },
    Leave {
        user: String,
        channel: String,
    },
    /// Presses Slack's own Stop.
    Stop {
        user: String,
        channel: String,
        thread_ts: String,
    },
    /// Ends a stream as Slack does after five minutes.
    Expire {
        channel: String,
        ts: String,
    },
    /// Any event in an envelope; `envelope` is put over it.
    Inject {
        event: Value,
        channel: Option<String>,
        #[serde(default)]
        envelope: Value,
    },
    /// Anything at all.
    InjectRaw {
        transport: Transport,
        payload: Value,
    },
    /// Tells sockets to go, or one of them.
    Disconnect {
        reason: String,
        socket: Option<usize>,
    },
    /// Closes sockets.
    CloseSocket {
        socket: Option<usize>,
    },
    /// Lets sockets fall silent without closing them.
    FreezeSocket {
        socket: Option<usize>,
    },
    /// Checks the address that events are posted to.
    VerifyUrl,
}

/// Does it; answers what came of it, and the numbers of the deliveries that it caused.
pub(super) async fn act(sim: &Arc<Sim>, action: Action) -> Result<Value> {
    match action {
        Action::Disconnect { reason, socket } => sim.sockets.disconnect(socket, &reason),
        Action::CloseSocket { socket } => sim.sockets.close(socket),
        Action::FreezeSocket { socket } => sim.sockets.freeze(socket),
        Action::VerifyUrl => {
            let refused = |error: anyhow::Error| {
                Refusal::with("url_not_verified", json!({"detail": format!("{error:#}")}))
            };
            verify_url(sim).await.map_err(refused)?;
        }
        action => {
            return sim.with(|world| {
                let first = world.deliveries.len();
                let mut answer = json!({"ok": true});
                merge(&mut answer, &on_world(world, action)?);
                let deliveries: Vec<usize> = (first..world.deliveries.len()).collect();
                answer["deliveries"] = json!(deliveries);
                Ok(answer)
            });
        }
    }
    Ok(json!({"ok": true}))
}

/// What is done to messages, and what `others` do.
fn on_world(world: &mut World, action: Action) -> Result<Value> {
    match action {
        Action::Say {
            user,
            channel,
            text,
            thread_ts,
            broadcast,
            files,
            extra,
        } => {
            let draft = Draft {
                body: json!({"text": text}),
                thread_ts,
                channel,
                broadcast,
                ..Draft::default()
            };
            return say(world, &user, draft, files, &extra);
        }
        Action::Edit {
            user,
            channel,
            ts,
            text,
        } => {
            own(world, &user, &channel, &ts, "cant_update_message")?;
            world.edit(&channel, &ts, &json!({"text": text}), Some(&user))?;
        }
        Action::Unfurl { channel, ts } => {
            let attachments = json!([{"from_url": "https://example.com", "title": "Example"}]);
            world.edit(&channel, &ts, &json!({"attachments": attachments}), None)?;
        }
        Action::Delete { user, channel, ts } => {
            own(world, &user, &channel, &ts, "cant_delete_message")?;
            world.delete(&channel, &ts)?;
        }
        other => react(world, other)?,
    }
    Ok(json!({}))
}

/// What is done to reactions, streams and channels, and what `interact` does.
fn react(world: &mut World, action: Action) -> Result<()> {
    match action {
        Action::React {
            user,
            channel,
            ts,
            name,
        } => {
            world.user(&user)?;
            world.react(&user, &channel, &ts, &name)
        }
        Action::Unreact {
            user,
            channel,
            ts,
            name,
        } => world.unreact(&user, &channel, &ts, &name),
        Action::Stop {
            user,
            channel,
            thread_ts,
        } => world.press_stop(&user, &channel, &thread_ts),
        Action::Expire { channel, ts } => world.break_stream(&channel, &ts, StreamState::Broken),
        Action::Join { user, channel } => world.join(&user, &channel),
        Action::Leave { user, channel } => world.leave(&user, &channel),
        Action::OpenHome { user, tab } => world.open_home(&user, &tab),
        Action::Context { user, context } => world.look_at(&user, &context),
        other => interact(world, other).map(drop),
    }
}

/// Clicks, forms, commands, shortcuts, and what `inject` does; answers the delivery's number.
fn interact(world: &mut World, action: Action) -> Result<Option<usize>> {
    match action {
        Action::Click {
            user,
            channel,
            ts,
            view_id: view,
            action_id,
            value,
        } => {
            let click = Click {
                user,
                channel,
                ts,
                view,
                action_id,
                value,
            };
            world.click(&click).map(Some)
        }
        Action::Submit { view_id, values } => world.submit(&view_id, values).map(Some),
        Action::Close { view_id, all } => world.dismiss(&view_id, all),
        Action::Command {
            user,
            channel,
            command,
            text,
        } => world.command(&user, &channel, &command, &text).map(Some),
        Action::Shortcut {
            user,
            callback_id,
            channel,
            ts,
        } => {
            let on = channel.as_deref().zip(ts.as_deref());
            world.shortcut(&user, &callback_id, on).map(Some)
        }
        other => inject(world, other).map(Some),
    }
}

/// Deliveries that nobody caused.
fn inject(world: &mut World, action: Action) -> Result<usize> {
    match action {
        Action::Inject {
            event,
            channel,
            envelope,
        } => {
            let name = event["type"].as_str().unwrap_or_default().to_owned();
            let mut payload = world.envelope(channel.as_deref(), event);
            merge(&mut payload, &envelope);
            Ok(world.send(Transport::EventsApi, &name, payload, About::Event))
        }
        Action::InjectRaw { transport, payload } => {
            let name = payload["type"].as_str().unwrap_or_default().to_owned();
            Ok(world.send(transport, &name, payload, About::Event))
        }
        _ => Err("unknown_action".into()),
    }
}

fn say(
    world: &mut World,
    user: &str,
    mut draft: Draft,
    files: Vec<Attachment>,
    extra: &Value,
) -> Result<Value> {
    let channel = draft.channel.clone();
    let mut shown = Vec::new();
    for file in files {
        let bytes = match (file.text, file.base64) {
            (Some(text), _) => text.into_bytes(),
            (None, Some(base64)) => BASE64
                .decode(base64)
                .map_err(|_| Refusal::from("invalid_base64"))?,
            (None, None) => Vec::new(),
        };
        let id = world.add_file(user, &file.name, file.mimetype.as_deref(), bytes);
        world.file_mut(&id)?.channels.push(channel.clone());
        shown.push(world.file_in_message(world.file(&id)?));
    }
    if !shown.is_empty() {
        merge(&mut draft.body, &json!({"files": shown, "upload": false}));
    }
    let ts = world.say(user, draft, extra)?;
    let message = world.message(&channel, &ts)?.inspected();
    Ok(json!({"ts": ts, "message": message}))
}

/// People change only what is theirs.
fn own(world: &World, user: &str, channel: &str, ts: &str, error: &str) -> Result<()> {
    match world.message(channel, ts)?.user() == user {
        true => Ok(()),
        false => Err(error.into()),
    }
}
