"""Slack's own SDK and Bolt, against the fake Slack: one that they cannot drive is wrong."""

import json
import queue
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from slack_bolt import App
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler
from slack_sdk.models.messages.chunk import MarkdownTextChunk, PlanUpdateChunk, TaskUpdateChunk
from slack_sdk.signature import SignatureVerifier

from check import check, end, equal, raises, run
from slack_fake import WAIT, Fake

PLACE = {"user": "U0ALICE", "channel": "C0GENERAL"}
MODAL = {
    "type": "modal", "callback_id": "form", "title": {"type": "plain_text", "text": "Why?"},
    "submit": {"type": "plain_text", "text": "Send"},
    "blocks": [{"type": "input", "block_id": "b", "label": {"type": "plain_text", "text": "Reason"},
                "element": {"type": "plain_text_input", "action_id": "x"}}],
}


def refusal(name, expected, work):
    error = raises(name, SlackApiError, work)
    equal(f"{name}: error", error and error.response["error"], expected)


def web_client():
    with Fake() as fake:
        client = fake.client
        me = client.auth_test()
        equal("auth.test", (me["user_id"], me["bot_id"]), ("U0SIMBOT", "B0SIMBOT"))
        check("auth.test: scopes", "chat:write" in me.headers["x-oauth-scopes"], me.headers)
        asked = fake.act("say", text="<@U0SIMBOT> hi", **PLACE)["ts"]
        metadata = {"event_type": "e", "event_payload": {"n": 1}}
        said = client.chat_postMessage(channel="C0GENERAL", thread_ts=asked, text="one", metadata=metadata)
        client.chat_update(channel="C0GENERAL", ts=said["ts"], text="two")
        replies = client.conversations_replies(channel="C0GENERAL", ts=asked, include_all_metadata=True)["messages"]
        equal("conversations.replies", [it["text"] for it in replies], ["<@U0SIMBOT> hi", "two"])
        equal("metadata", replies[1]["metadata"], metadata)
        client.reactions_add(channel="C0GENERAL", timestamp=asked, name="eyes")
        refusal("reactions.add again", "already_reacted",
                lambda: client.reactions_add(channel="C0GENERAL", timestamp=asked, name="eyes"))
        client.chat_postEphemeral(channel="C0GENERAL", user="U0ALICE", text="psst")
        check("chat.getPermalink", client.chat_getPermalink(channel="C0GENERAL", message_ts=asked)["permalink"].startswith("https://"))
        client.chat_delete(channel="C0GENERAL", ts=said["ts"])
        pages = [len(page["members"]) for page in client.conversations_members(channel="C0GENERAL", limit=3)]
        check("conversations.members: pages", len(pages) > 1 and sum(pages) == 7, pages)
        equal("conversations.open", client.conversations_open(users=["U0BOB"])["channel"]["id"], "D0BOB")
        equal("conversations.list", len(client.conversations_list(types="public_channel,private_channel")["channels"]), 4)
        check("users.info", client.users_info(user="U0GWEN")["user"]["is_restricted"])
        equal("usergroups.users.list", client.usergroups_users_list(usergroup="S0ENGINEERS")["users"], ["U0ALICE", "U0ADA"])
        client.views_publish(user_id="U0ALICE", view={"type": "home", "blocks": [{"type": "divider"}]})
        client.agents_sessions_setStatus(channel_id="C0GENERAL", thread_ts=asked, status="processing", title="a")
        client.agents_sessions_rename(channel_id="C0GENERAL", thread_ts=asked, title="b")
        client.assistant_threads_setStatus(channel_id="C0GENERAL", thread_ts=asked, status="is thinking", loading_messages=["…"])
        client.assistant_threads_setSuggestedPrompts(channel_id="D0ALICE", prompts=[{"title": "a", "message": "b"}])
        refusal("an unknown channel", "channel_not_found", lambda: client.chat_postMessage(channel="C1", text="a"))
        refusal("a long section", "invalid_blocks", lambda: client.chat_postMessage(
            channel="C0GENERAL", text="a", blocks=[{"type": "section", "text": {"type": "mrkdwn", "text": "a" * 3001}}]))
        refusal("another token", "invalid_auth", lambda: client.auth_test(token="xoxb-other"))


def files():
    with Fake() as fake:
        uploaded = fake.client.files_upload_v2(channel="C0GENERAL", content="abc", filename="a.md", title="A")["file"]
        equal("files_upload_v2", (uploaded["title"], uploaded["size"]), ("A", 3))
        shared = fake.sim(f"messages?contains=a.md&{WAIT}")["messages"]
        equal("files_upload_v2: shared", shared[0]["files"][0]["id"], uploaded["id"])
        request = urllib.request.Request(uploaded["url_private_download"], headers={"authorization": "Bearer xoxb-sim-bot"})
        with urllib.request.urlopen(request) as answer:
            equal("download", answer.read(), b"abc")
        with urllib.request.urlopen(uploaded["url_private_download"]) as answer:
            check("download without the token", answer.headers["content-type"].startswith("text/html"))


def chat_stream():
    with Fake() as fake:
        root = fake.act("say", text="hi", **PLACE)["ts"]
        stream = fake.client.chat_stream(
            channel="C0GENERAL", thread_ts=root, recipient_user_id="U0ALICE", recipient_team_id="T0SIM",
            buffer_size=4, task_display_mode="plan")
        stream.append(markdown_text="Hello ")
        stream.append(chunks=[PlanUpdateChunk(title="Plan"), TaskUpdateChunk(id="1", title="Look", status="in_progress")])
        stream.append(markdown_text="world")
        done = stream.stop(chunks=[TaskUpdateChunk(id="1", title="Look", status="complete")], session_status="active")
        equal("ChatStream: text", done["message"]["text"], "Hello world")
        equal("ChatStream: plan", done["message"]["blocks"][0]["tasks"][0]["status"], "complete")
        start = lambda: fake.client.chat_startStream(
            channel="C0GENERAL", thread_ts=root, recipient_user_id="U0ALICE", recipient_team_id="T0SIM",
            chunks=[MarkdownTextChunk(text="a")])["ts"]
        place = {"channel": "C0GENERAL", "ts": start()}
        refusal("mixed modes", "streaming_mode_mismatch", lambda: fake.client.chat_appendStream(markdown_text="b", **place))
        place["ts"] = start()
        fake.act("expire", **place)
        refusal("an old stream", "message_not_in_streaming_state", lambda: fake.client.chat_stopStream(**place))
        fake.client.chat_update(text="all of it", **place)


def faults():
    with Fake() as fake:
        patient = WebClient("xoxb-sim-bot", base_url=f"{fake.url}/api/", retry_handlers=[RateLimitErrorRetryHandler(max_retry_count=1)])
        fake.sim("faults", {"method": "chat.postMessage", "kind": "ratelimited", "retry_after": 1})
        check("429 is waited for", patient.chat_postMessage(channel="C0GENERAL", text="a")["ok"])
        fake.sim("faults", {"method": "chat.postMessage", "kind": "lost"})
        raises("an answer that is lost", Exception, lambda: fake.client.chat_postMessage(channel="C0GENERAL", text="lost"))
        equal("…of what was done", len(fake.sim("messages?contains=lost")["messages"]), 1)
        fake.sim("settings", {"scopes": ["users:read"]})
        error = raises("a missing scope", SlackApiError, lambda: fake.client.chat_postMessage(channel="C0GENERAL", text="a"))
        equal("a missing scope: which", error.response["needed"], "chat:write")


class Receiver:
    """An app that takes events by HTTP, and keeps what SignatureVerifier says of them."""

    def __init__(self):
        seen = self.seen = queue.Queue()
        verifier = SignatureVerifier("sim-signing-secret")
        self.status = 200

        class Handler(BaseHTTPRequestHandler):
            def do_POST(handler):
                body = handler.rfile.read(int(handler.headers["content-length"]))
                headers = dict(handler.headers)
                seen.put((handler.path, verifier.is_valid_request(body, headers), body, headers))
                answer = b""
                if body.startswith(b"{") and json.loads(body)["type"] == "url_verification":
                    answer = json.loads(body)["challenge"].encode()
                handler.send_response(self.status)
                handler.send_header("content-length", str(len(answer)))
                handler.end_headers()
                handler.wfile.write(answer)

            def log_message(*_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def next(self):
        return self.seen.get(timeout=20)


def signatures():
    receiver = Receiver()
    with Fake("--host-url", receiver.url) as fake:
        fake.act("verify_url")
        check("url_verification is signed", receiver.next()[1])
        fake.act("say", text="<@U0SIMBOT> hi", **PLACE)
        both = [receiver.next(), receiver.next()]
        check("events are signed", all(it[1] for it in both), both)
        equal("a mention comes twice", sorted(json.loads(it[2])["event"]["type"] for it in both), ["app_mention", "message"])
        for fault in ["wrong_signature", "old_timestamp"]:
            fake.sim("event-faults", {"kind": fault})
            fake.act("say", text="a", **PLACE)
            check(f"{fault} is found", not receiver.next()[1])
        fake.act("command", command="/agent", text="a & b", **PLACE)
        path, valid, body, _ = receiver.next()
        check("commands are signed", path == "/slack/commands" and valid and b"text=a+%26+b" in body, body)
        fake.sim("settings", {"retry_delays_ms": [1]})
        receiver.status = 500
        fake.act("say", text="b", **PLACE)
        first, second = receiver.next(), receiver.next()
        equal("redelivered", json.loads(first[2])["event_id"], json.loads(second[2])["event_id"])
        headers = {key.lower(): value for key, value in second[3].items()}
        equal("redelivered: why", (headers["x-slack-retry-num"], headers["x-slack-retry-reason"]), ("1", "http_error"))


def bolt_app(fake):
    app = App(client=fake.client)

    @app.event("app_mention")
    def mentioned(event, say):
        say(text=f"heard {event['text']}", thread_ts=event["ts"])

    @app.event("message")
    def ignored():
        pass

    @app.command("/agent")
    def commanded(ack, respond, body):
        ack("working")
        respond(f"done: {body['text']}")

    @app.action("go")
    def clicked(ack, body, client):
        ack()
        client.views_open(trigger_id=body["trigger_id"], view=MODAL)

    @app.view("form")
    def submitted(ack, view):
        value = view["state"]["values"]["b"]["x"]["value"]
        ack(response_action="errors", errors={"b": "too short"}) if len(value) < 3 else ack()

    return app


def socket_mode():
    with Fake("--socket") as fake:
        handler = SocketModeHandler(bolt_app(fake), "xapp-sim-app")
        handler.connect()
        equal("a socket is open", len(fake.sim(f"sockets?{WAIT}")["sockets"]), 1)
        root = fake.act("say", text="<@U0SIMBOT> hi", **PLACE)["ts"]
        said = fake.sim(f"messages?thread_ts={root}&user=U0SIMBOT&{WAIT}")["messages"]
        equal("app_mention", said[0]["text"], "heard <@U0SIMBOT> hi")
        fake.act("command", command="/agent", text="x", **PLACE)
        said = fake.sim(f"messages?ephemeral=true&count=2&{WAIT}")["messages"]
        equal("a command and its response_url", sorted(it["text"] for it in said), ["done: x", "working"])
        modal(fake)
        fake.act("disconnect", reason="refresh_requested")
        fake.sim(f"calls?method=apps.connections.open&count=2&{WAIT}")
        root = fake.act("say", text="<@U0SIMBOT> again", **PLACE)["ts"]
        said = fake.sim(f"messages?thread_ts={root}&user=U0SIMBOT&{WAIT}")
        check("heard after refresh_requested", said["complete"], said)
        handler.close()


def modal(fake):
    button = {"type": "button", "action_id": "go", "value": "1", "text": {"type": "plain_text", "text": "Go"}}
    blocks = [{"type": "actions", "elements": [button]}]
    ts = fake.client.chat_postMessage(channel="C0GENERAL", text="b", blocks=blocks)["ts"]
    fake.act("click", ts=ts, action_id="go", **PLACE)
    check("a click opens a modal", fake.sim(f"calls?method=views.open&ok=true&{WAIT}")["complete"])
    view = fake.sim("state")["views"][0]["id"]
    for number, text in enumerate(["a", "abc"], start=1):
        values = {"b": {"x": {"type": "plain_text_input", "value": text}}}
        fake.act("submit", view_id=view, values=values)
        fake.sim(f"deliveries?name=view_submission&state=acked&count={number}&{WAIT}")
        state = fake.sim("state")["views"][0]
        equal(f"submitted {text}", (state["errors"], state["is_open"]),
              ({"b": "too short"}, True) if number == 1 else (None, False))


for name, work in [("web client", web_client), ("files", files), ("chat stream", chat_stream), ("faults", faults),
                   ("signatures", signatures), ("socket mode", socket_mode)]:
    run(name, work)
end()
