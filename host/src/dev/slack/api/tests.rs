//! The Web API against a world without sockets.

use serde_json::{Value, json};

use super::super::world::World;
use super::super::world::tests::{later, say, world};
use super::{Args, METHODS, Request, Response, call};

fn ask(world: &mut World, token: Option<&str>, method: &str, args: Value) -> Response {
    let fields = args.as_object().cloned().unwrap_or_default();
    let request = Request {
        method: method.to_owned(),
        token: token.map(str::to_owned),
        args: Args::of(fields),
    };
    call(world, &request)
}

fn ok(world: &mut World, method: &str, args: Value) -> Value {
    let body = ask(world, Some("xoxb-1"), method, args).body;
    assert_eq!(body["ok"], true, "{method}: {body}");
    body
}

fn error(world: &mut World, method: &str, args: Value) -> String {
    let body = ask(world, Some("xoxb-1"), method, args).body;
    assert_eq!(body["ok"], false, "{method}: {body}");
    body["error"].as_str().unwrap().to_owned()
}

#[test]
fn methods_are_sorted_and_named_once() {
    assert!(METHODS.windows(2).all(|pair| pair[0].name < pair[1].name));
}

#[test]
fn tokens_are_asked_for() {
    let mut world = world();
    for (token, method, expected) in [
        (None, "auth.test", "not_authed"),
        (Some("xoxb-2"), "auth.test", "invalid_auth"),
        (Some("xapp-1"), "auth.test", "not_allowed_token_type"),
        (
            Some("xoxb-1"),
            "apps.connections.open",
            "not_allowed_token_type",
        ),
        (Some("xoxb-1"), "no.method", "unknown_method"),
    ] {
        let body = ask(&mut world, token, method, json!({})).body;
        assert_eq!(body["error"], expected, "{method}");
    }
    world.set(&json!({"revoked": true})).unwrap();
    assert_eq!(error(&mut world, "auth.test", json!({})), "token_revoked");
}

#[test]
fn a_missing_scope_is_named() {
    let mut world = world();
    world.set(&json!({"scopes": ["channels:read"]})).unwrap();
    let args = json!({"channel": "D0ALICE", "text": "a"});
    let body = ask(&mut world, Some("xoxb-1"), "chat.postMessage", args).body;
    assert_eq!(body["error"], "missing_scope");
    assert_eq!(body["needed"], "chat:write");
    assert_eq!(body["provided"], "channels:read");
    ok(
        &mut world,
        "conversations.info",
        json!({"channel": "C0GENERAL"}),
    );
    let refused = error(
        &mut world,
        "conversations.info",
        json!({"channel": "D0ALICE"}),
    );
    assert_eq!(refused, "missing_scope");
}

#[test]
fn messages_are_refused_where_slack_refuses_them() {
    let mut world = world();
    let long = "a".repeat(12_001);
    for (args, expected) in [
        (json!({"channel": "C1", "text": "a"}), "channel_not_found"),
        (
            json!({"channel": "C0RANDOM", "text": "a"}),
            "not_in_channel",
        ),
        (json!({"channel": "C0GENERAL"}), "no_text"),
        (
            json!({"channel": "C0GENERAL", "text": "a", "thread_ts": "1.2"}),
            "thread_not_found",
        ),
        (
            json!({"channel": "C0GENERAL", "markdown_text": long}),
            "msg_too_long",
        ),
        (
            json!({"channel": "C0GENERAL", "markdown_text": "a", "text": "b"}),
            "markdown_text_conflict",
        ),
        (
            json!({"channel": "C0GENERAL", "text": "a", "metadata": "{}"}),
            "invalid_metadata_format",
        ),
        (
            json!({"channel": "C0GENERAL", "text": "a", "blocks": "x"}),
            "invalid_blocks_format",
        ),
        (
            json!({"channel": "C0GENERAL", "blocks": [{"type": "markdown", "text": long}]}),
            "msg_blocks_too_long",
        ),
    ] {
        assert_eq!(error(&mut world, "chat.postMessage", args), expected);
    }
}

#[test]
fn blocks_over_their_limits_are_named_with_their_place() {
    let mut world = world();
    let section = |length: usize| json!({"type": "section", "text": {"type": "mrkdwn", "text": "a".repeat(length)}});
    let divider = json!({"type": "divider"});
    let header = json!({"type": "header", "text": {"type": "plain_text", "text": "a".repeat(151)}});
    for (blocks, place) in [
        (json!([divider, section(3_001)]), "/blocks/1/text/text"),
        (json!([header]), "/blocks/0/text/text"),
        (json!([{"type": "nonsense"}]), "/blocks/0/type"),
        (json!(vec![divider.clone(); 51]), "/blocks"),
    ] {
        let args = json!({"channel": "C0GENERAL", "text": "a", "blocks": blocks});
        let body = ask(&mut world, Some("xoxb-1"), "chat.postMessage", args).body;
        assert_eq!(body["error"], "invalid_blocks");
        let said = body["response_metadata"]["messages"][0].as_str().unwrap();
        assert!(said.ends_with(&format!("[json-pointer:{place}]")), "{said}");
    }
    let args = json!({"channel": "C0GENERAL", "blocks": [section(3_000)]});
    ok(&mut world, "chat.postMessage", args);
}

#[test]
fn a_text_is_cut_at_forty_thousand() {
    let mut world = world();
    let args = json!({"channel": "C0GENERAL", "text": "ä".repeat(40_001)});
    let posted = ok(&mut world, "chat.postMessage", args);
    let text = posted["message"]["text"].as_str().unwrap();
    assert_eq!(text.chars().count(), 40_000);
}

#[test]
fn only_own_messages_are_changed() {
    let mut world = world();
    let theirs = say(&mut world, "U0ALICE", "C0GENERAL", "hi");
    let args = json!({"channel": "C0GENERAL", "ts": theirs, "text": "a"});
    assert_eq!(
        error(&mut world, "chat.update", args.clone()),
        "cant_update_message"
    );
    assert_eq!(
        error(&mut world, "chat.delete", args),
        "cant_delete_message"
    );
    let posted = ok(
        &mut world,
        "chat.postMessage",
        json!({"channel": "C0GENERAL", "text": "a"}),
    );
    let args = json!({"channel": "C0GENERAL", "ts": posted["ts"], "text": "b"});
    assert_eq!(ok(&mut world, "chat.update", args.clone())["text"], "b");
    ok(&mut world, "chat.delete", args.clone());
    assert_eq!(error(&mut world, "chat.update", args), "message_not_found");
}

#[test]
fn metadata_comes_back_when_it_is_asked_for() {
    let mut world = world();
    let metadata = json!({"event_type": "delivery", "event_payload": {"id": 7}});
    let args = json!({"channel": "C0GENERAL", "text": "a", "metadata": metadata});
    ok(&mut world, "chat.postMessage", args);
    let history = |world: &mut World, all: bool| {
        let args = json!({"channel": "C0GENERAL", "include_all_metadata": all});
        ok(world, "conversations.history", args)["messages"][0].clone()
    };
    assert!(history(&mut world, false).get("metadata").is_none());
    assert_eq!(history(&mut world, true)["metadata"], metadata);
}

#[test]
fn a_thread_is_its_root_and_its_replies_page_by_page() {
    let mut world = world();
    let root = say(&mut world, "U0ALICE", "C0GENERAL", "hi");
    for text in ["a", "b", "c"] {
        let args = json!({"channel": "C0GENERAL", "thread_ts": root, "text": text});
        ok(&mut world, "chat.postMessage", args);
    }
    let mut texts = Vec::new();
    let mut cursor = json!("");
    loop {
        let args = json!({"channel": "C0GENERAL", "ts": root, "limit": 3, "cursor": cursor});
        let page = ok(&mut world, "conversations.replies", args);
        let messages = page["messages"].as_array().unwrap();
        texts.extend(
            messages
                .iter()
                .map(|it| it["text"].as_str().unwrap().to_owned()),
        );
        cursor = page["response_metadata"]["next_cursor"].clone();
        if cursor == "" {
            break;
        }
    }
    assert_eq!(texts, ["hi", "a", "b", "c"]);
    let history = ok(
        &mut world,
        "conversations.history",
        json!({"channel": "C0GENERAL"}),
    );
    assert_eq!(history["messages"].as_array().unwrap().len(), 1);
    assert_eq!(history["messages"][0]["reply_count"], 3);
    let args = json!({"channel": "C0GENERAL", "ts": "1.2"});
    assert_eq!(
        error(&mut world, "conversations.replies", args),
        "thread_not_found"
    );
}

#[test]
fn reactions_are_added_once() {
    let mut world = world();
    let ts = say(&mut world, "U0ALICE", "C0GENERAL", "hi");
    let args = json!({"channel": "C0GENERAL", "timestamp": ts, "name": "eyes"});
    ok(&mut world, "reactions.add", args.clone());
    assert_eq!(
        error(&mut world, "reactions.add", args.clone()),
        "already_reacted"
    );
    ok(&mut world, "reactions.remove", args.clone());
    assert_eq!(error(&mut world, "reactions.remove", args), "no_reaction");
}

/// A stream that has begun in a DM, with these arguments besides.
fn stream(world: &mut World, more: &Value) -> Value {
    let root = say(world, "U0ALICE", "D0ALICE", "hi");
    let mut args = json!({"channel": "D0ALICE", "thread_ts": root});
    super::merge(&mut args, more);
    let started = ok(world, "chat.startStream", args);
    json!({"channel": "D0ALICE", "ts": started["ts"]})
}

fn with(args: &Value, more: Value) -> Value {
    let mut args = args.clone();
    super::merge(&mut args, &more);
    args
}

#[test]
fn a_stream_is_fed_in_one_way_only() {
    let mut world = world();
    let chunks = json!({"chunks": [{"type": "markdown_text", "text": "a"}]});
    let stream = stream(&mut world, &chunks);
    let mixed = with(&stream, json!({"markdown_text": "b"}));
    assert_eq!(
        error(&mut world, "chat.appendStream", mixed),
        "streaming_mode_mismatch"
    );
    let after = with(&stream, chunks);
    assert_eq!(
        error(&mut world, "chat.appendStream", after.clone()),
        "message_not_in_streaming_state"
    );
    assert_eq!(
        error(&mut world, "chat.stopStream", after),
        "message_not_in_streaming_state"
    );
    ok(
        &mut world,
        "chat.update",
        with(&stream, json!({"text": "all of it"})),
    );
}

#[test]
fn streams_in_channels_need_a_recipient_and_threads_outside_of_them() {
    let mut world = world();
    let args = json!({"channel": "C0GENERAL"});
    assert_eq!(
        error(&mut world, "chat.startStream", args),
        "missing_recipient_user_id"
    );
    let args = json!({"channel": "C0GENERAL", "recipient_user_id": "U0ALICE", "recipient_team_id": "T0SIM"});
    ok(&mut world, "chat.startStream", args);
    let args = json!({"channel": "D0ALICE"});
    assert_eq!(
        error(&mut world, "chat.startStream", args),
        "invalid_thread_ts"
    );
}

#[test]
fn a_stream_collects_text_tasks_and_blocks() {
    let mut world = world();
    let stream = stream(&mut world, &json!({}));
    let task = |status: &str| json!({"type": "task_update", "id": "1", "title": "Look", "status": status, "details": status});
    let chunks = json!([task("in_progress"), {"type": "markdown_text", "text": "Hello"}]);
    ok(
        &mut world,
        "chat.appendStream",
        with(&stream, json!({"chunks": chunks})),
    );
    let args = with(
        &stream,
        json!({
            "chunks": [task("complete"), {"type": "markdown_text", "text": " world"}],
            "blocks": [{"type": "divider"}], "session_status": "suspended",
        }),
    );
    let stopped = ok(&mut world, "chat.stopStream", args);
    let message = &stopped["message"];
    assert_eq!(message["text"], "Hello world");
    assert_eq!(message["blocks"][0]["status"], "complete");
    assert_eq!(message["blocks"][0]["details"], "in_progresscomplete");
    assert_eq!(message["blocks"][1]["type"], "markdown");
    assert_eq!(message["blocks"][2]["type"], "divider");
    assert_eq!(world.sessions[0].history, ["processing", "suspended"]);
}

#[test]
fn a_running_stream_is_not_updated() {
    let mut world = world();
    let stream = stream(&mut world, &json!({}));
    let args = with(&stream, json!({"text": "a"}));
    assert_eq!(
        error(&mut world, "chat.update", args),
        "streaming_state_conflict"
    );
}

#[test]
fn sessions_begin_with_a_status_and_warn_without_stop() {
    let mut world = world();
    let root = say(&mut world, "U0ALICE", "D0ALICE", "hi");
    let args = json!({"channel_id": "D0ALICE", "thread_ts": root, "title": "a: b", "status": "processing"});
    assert_eq!(
        error(&mut world, "agents.sessions.rename", args.clone()),
        "not_authorized"
    );
    let done = ok(&mut world, "agents.sessions.setStatus", args.clone());
    assert!(done.get("warning").is_none());
    assert_eq!(world.sessions[0].title.as_deref(), Some("a_ b"));
    ok(&mut world, "agents.sessions.rename", args.clone());
    world.set(&json!({"subscriptions": []})).unwrap();
    let done = ok(&mut world, "agents.sessions.setStatus", args);
    assert_eq!(
        done["warning"],
        "missing_agent_session_stopped_event_subscription"
    );
}

#[test]
fn prompts_with_a_thread_fail_silently() {
    let mut world = world();
    let root = say(&mut world, "U0ALICE", "D0ALICE", "hi");
    let prompts = json!([{"title": "a", "message": "b"}]);
    let args = json!({"channel_id": "D0ALICE", "prompts": prompts});
    ok(
        &mut world,
        "assistant.threads.setSuggestedPrompts",
        with(&args, json!({"thread_ts": root})),
    );
    assert!(world.prompts.is_empty());
    ok(&mut world, "assistant.threads.setSuggestedPrompts", args);
    assert_eq!(world.prompts.len(), 1);
}

#[test]
fn a_status_ends_when_something_is_said() {
    let mut world = world();
    let root = say(&mut world, "U0ALICE", "D0ALICE", "hi");
    let args = json!({"channel_id": "D0ALICE", "thread_ts": root, "status": "is thinking"});
    ok(&mut world, "assistant.threads.setStatus", args);
    assert_eq!(world.statuses.len(), 1);
    let args = json!({"channel": "D0ALICE", "thread_ts": root, "text": "a"});
    ok(&mut world, "chat.postMessage", args);
    assert!(world.statuses.is_empty());
}

#[test]
fn files_are_complete_when_their_bytes_are_there() {
    let mut world = world();
    let made = ok(
        &mut world,
        "files.getUploadURLExternal",
        json!({"filename": "a.md", "length": "3"}),
    );
    let id = made["file_id"].as_str().unwrap().to_owned();
    let args = json!({"files": format!("[{{\"id\":\"{id}\"}}]"), "channel_id": "C0GENERAL"});
    let refused = error(&mut world, "files.completeUploadExternal", args.clone());
    assert_eq!(refused, "file_upload_incomplete");
    world.file_mut(&id).unwrap().bytes = b"abc".to_vec();
    ok(&mut world, "files.completeUploadExternal", args);
    assert_eq!(
        world.messages[0].body["files"][0]["mimetype"],
        "text/markdown"
    );
}

#[test]
fn rate_limits_are_slacks_when_they_are_on() {
    let mut world = world();
    let args = json!({"channel": "C0GENERAL", "text": "a"});
    let post = |world: &mut World, channel: &str| {
        let args = with(&args, json!({"channel": channel}));
        ask(world, Some("xoxb-1"), "chat.postMessage", args).retry_after
    };
    assert_eq!(post(&mut world, "C0GENERAL"), None);
    assert_eq!(post(&mut world, "C0GENERAL"), None);
    world.set(&json!({"rate_limits": true})).unwrap();
    assert_eq!(post(&mut world, "C0GENERAL"), None);
    assert_eq!(post(&mut world, "C0GENERAL"), Some(1));
    assert_eq!(post(&mut world, "D0ALICE"), None);
    later(&mut world, 1_000);
    assert_eq!(post(&mut world, "C0GENERAL"), None);
}

#[test]
fn faults_happen_before_or_after_the_work() {
    let mut world = world();
    let args = json!({"channel": "C0GENERAL", "text": "a"});
    for (fault, done) in [
        (json!({"kind": "close"}), 0),
        (json!({"kind": "status", "status": 503}), 0),
        (json!({"kind": "ratelimited", "retry_after": 7}), 0),
        (json!({"kind": "error", "error": "fatal_error"}), 0),
        (json!({"kind": "lost"}), 1),
    ] {
        let fault = with(&fault, json!({"method": "*"}));
        world
            .faults
            .push(serde_json::from_value(fault.clone()).unwrap());
        ask(&mut world, Some("xoxb-1"), "chat.postMessage", args.clone());
        assert_eq!(world.messages.len(), done, "{fault}");
        assert_eq!(json!(world.calls.last().unwrap().fault), fault["kind"]);
    }
}

#[test]
fn a_home_tab_is_published_with_its_hash() {
    let mut world = world();
    let home = json!({"type": "home", "blocks": []});
    let args = json!({"user_id": "U0ALICE", "view": home});
    let first = ok(&mut world, "views.publish", args.clone())["view"]["hash"].clone();
    let again = with(&args, json!({"hash": first}));
    ok(&mut world, "views.publish", again.clone());
    assert_eq!(error(&mut world, "views.publish", again), "hash_conflict");
}
