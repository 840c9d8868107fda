"""What the host says to Slack, by Slack's own SDK: what its models and methods do not know, what is
longer than Slack allows; and by Bolt, whose reading of events has to be the host's."""

import inspect
import json
import re
from collections import defaultdict

from slack_bolt.request import BoltRequest
from slack_sdk import WebClient
from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.attachments import Attachment
from slack_sdk.models.blocks import Block
from slack_sdk.models.messages.chunk import Chunk
from slack_sdk.models.metadata import Metadata
from slack_sdk.models.views import View

from check import check, end, equal, run
from slack_talk import BUSY, record

# What has to be among the calls, or less is judged than it seems.
METHODS = [
    "agents.sessions.setStatus", "apps.connections.open", "assistant.threads.setStatus",
    "assistant.threads.setSuggestedPrompts", "auth.test", "chat.appendStream", "chat.getPermalink",
    "chat.postEphemeral", "chat.postMessage", "chat.startStream", "chat.stopStream", "chat.update", "conversations.replies",
    "files.completeUploadExternal", "files.getUploadURLExternal", "usergroups.users.list", "users.info",
    "views.open", "views.publish",
]
BLOCKS = ["actions", "context", "context_actions", "header", "markdown", "section"]

# Slack's limits, of fields wherever they are in blocks of this type.
LIMITS = {
    ("actions", "elements"): 25, ("button", "action_id"): 255, ("button", "value"): 2000,
    ("context", "elements"): 10, ("context_actions", "elements"): 5, ("feedback_buttons", "action_id"): 255,
    ("task_update", "details"): 256, ("task_update", "output"): 256, ("task_update", "title"): 256,
}
# The same of texts that are objects.
TEXTS = {
    ("button", "text"): 75, ("header", "text"): 150, ("input", "label"): 2000, ("section", "text"): 3000,
    ("modal", "title"): 24, ("modal", "submit"): 24, ("modal", "close"): 24, ("input", "hint"): 2000,
}
MANIFEST = {
    "display_information.name": 35, "display_information.description": 140, "features.bot_user.display_name": 80,
    "features.agent_view.agent_description": 300,
}

# Blocks of each.
MESSAGE, VIEW = 50, 100

found = defaultdict(list)


def judge(ok, rule, seen=""):
    """One look at one thing; what they are adds up to a check for each rule."""
    found[rule] += [] if ok else [str(seen)[:300]]


def again(kind, make, given):
    """Through the SDK's model and back: nothing may be refused or lost."""
    try:
        made = make(given)
        seen = None if made is None else made.to_dict()
    except (SlackObjectFormationError, TypeError, ValueError) as error:
        seen = error
    judge(seen == given, f"{kind}: the SDK's model gives it back", f"{seen} of {given}")


def walk(item):
    """All objects within one."""
    if isinstance(item, dict):
        yield item
    for inner in item.values() if isinstance(item, dict) else item if isinstance(item, list) else []:
        yield from walk(inner)


def sizes(item):
    for part in walk(item):
        kind = part.get("type")
        for (of, field), limit in LIMITS.items():
            if kind == of and field in part:
                judge(len(part[field]) <= limit, f"{of}.{field}: at most {limit}", part)
        for (of, field), limit in TEXTS.items():
            if kind == of and field in part:
                judge(0 < len(part[field]["text"]) <= limit, f"{of}.{field}: at most {limit}", part)
        if kind in ("plain_text", "mrkdwn", "markdown"):
            judge(part["text"], f"{kind}: a text is not empty", item)


def blocks(method, given, most=MESSAGE):
    judge(len(given) <= most, f"{method}: at most {most} blocks", len(given))
    whole = sum(len(block["text"]) for block in given if block["type"] == "markdown")
    judge(whole <= 12_000, "blocks: at most 12,000 characters of Markdown together", whole)
    if most == MESSAGE:
        # Not documented; others measured some 13,200 (slackapi/bolt-js, issue 2509).
        whole = len(json.dumps(given, ensure_ascii=False))
        judge(whole <= 13_000, "blocks of a message: at most some 13,000 characters together", whole)
    for block in given:
        again(f"{method} {block['type']}", Block.parse, block)
        if block["type"] == "actions":
            ids = [element["action_id"] for element in block["elements"]]
            judge(len(set(ids)) == len(ids), "actions: every action_id is there once", ids)
    sizes(given)


def escaped(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def call(method, args):
    known = inspect.signature(getattr(WebClient, method.replace(".", "_"))).parameters
    for name in args:
        judge(name in known, f"{method}: the SDK knows {name}", name)
    needed = [name for name, it in known.items() if it.default is it.empty and it.kind is it.KEYWORD_ONLY]
    # This is a token, and no argument.
    needed = [name for name in needed if name != "app_token"]
    judge(all(name in args for name in needed), f"{method}: has all that the SDK requires", (needed, list(args)))
    judge(all(value is not None for value in args.values()), f"{method}: no argument is null", args)
    if "text" in args:
        judge(0 < len(args["text"]) <= 40_000, f"{method}: a text of at most 40,000", len(args["text"]))
    if method == "chat.update":
        # Above it is refused; counted after escaping, in bytes, as others found.
        size = len(escaped(args["text"]).encode())
        judge(size <= 4_000, "chat.update: a text of at most 4,000 bytes, escaped", f"{size}: {args['text'][:40]}")
    if "blocks" in args:
        blocks(method, args["blocks"])
    for attachment in args.get("attachments", []):
        again(f"{method} attachment", lambda it: Attachment(**it), attachment)
    for chunk in args.get("chunks", []):
        again(f"{method} {chunk['type']}", Chunk.parse, chunk)
    whole = sum(len(chunk["text"]) for chunk in args.get("chunks", []) if chunk["type"] == "markdown_text")
    judge(whole <= 12_000, "chunks: at most 12,000 characters together", whole)
    if "metadata" in args:
        again(f"{method} metadata", lambda it: Metadata(**it), args["metadata"])
    if "view" in args:
        again(f"{method} view", lambda it: View(**it), args["view"])
        blocks(method, args["view"]["blocks"], VIEW)
    sizes({name: args[name] for name in ("view", "chunks") if name in args})


def calls(said):
    for one in said["calls"]:
        # What was refused because a check told the fake to is judged as well.
        call(one["method"], one["args"])
    for whisper in said["whispers"]:
        given = [{name: value for name, value in block.items() if name != "block_id"} for block in whisper.get("blocks") or []]
        blocks("a whisper", given)
        judge(0 < len(whisper["text"]) <= 40_000, "a whisper: a text of at most 40,000", whisper)
    listed = [whisper for whisper in said["whispers"] if whisper["text"].startswith("What waits")]
    judge(len(listed) == 2, "every /anchorhold approvals is answered", len(listed))
    busy = [one for one in said["calls"] if one["args"].get("text", "").startswith("Busy")]
    judge(len(busy) == BUSY, "every question is asked, and once", len(busy))
    named = {one["method"] for one in said["calls"]}
    equal("every method that is judged is called", sorted(set(METHODS) - named), [])
    kinds = {part.get("type") for one in said["calls"] for part in walk(one["args"])}
    equal("every block that is judged is sent", sorted(set(BLOCKS) - kinds), [])
    # What a model says pings nobody, wherever it stands.
    shown = [part.get("text") for one in said["calls"] for part in walk(one["args"])]
    for text in shown + [message["text"] for message in said["whispers"]]:
        if isinstance(text, str):
            judge(not re.search(r"<!(channel|here|everyone)", text), "nothing calls everybody", text)


def manifest(given):
    for path, limit in MANIFEST.items():
        value = given
        for part in path.split("."):
            value = value[part]
        judge(0 < len(value) <= limit, f"manifest: {path} has at most {limit}", value)
    for command in given["features"].get("slash_commands", []):
        judge(re.fullmatch(r"/[a-z0-9_-]{1,31}", command["command"]), "manifest: a command is / and at most 31", command)
        judge(len(command["description"]) <= 2000, "manifest: a command has a description of at most 2,000", command)
    bot = given["oauth_config"]["scopes"]["bot"]
    judge(len(set(bot)) == len(bot) <= 255, "manifest: every scope is there once", bot)


def context(delivery):
    """Who, and where, as Bolt reads it."""
    read = BoltRequest(body=delivery["payload"], mode="socket_mode").context
    event = delivery["payload"].get("event", {})
    thread = read.thread_ts or event.get("ts")
    return read.team_id, read.channel_id, thread, read.user_id


def events(said):
    """Every turn is of the conversation and the person that Bolt finds in what it came from."""
    turns = defaultdict(list)
    for turn in said["turns"]:
        turns[turn["conversation"], turn["user"]].append(turn)
    meant = defaultdict(set)
    for delivery in said["deliveries"]:
        event = delivery["payload"].get("event", {})
        is_said = delivery["name"] in ("app_mention", "message") and "bot_id" not in event and "subtype" not in event
        if delivery["transport"] == "events_api" and is_said:
            is_meant = event["channel"].startswith("D") or "<@U0SIMBOT>" in event["text"] or "thread_ts" in event
            if is_meant:
                meant[event["channel"], event["ts"]].add(context(delivery))
    for read in meant.values():
        judge(len(read) == 1, "Bolt reads both events of a mention alike", read)
    expected = {(f"slack:{team}:{channel}:{thread}", f"slack:{user}") for read in meant.values() for team, channel, thread, user in read}
    silent = {(place, person) for place, person in expected if not turns[place, person]}
    refused = sorted(person for _, person in silent)
    equal("a turn for everybody but who is refused", refused, ["slack:U0ALICE", "slack:U0GWEN", "slack:U0OLGA"])
    asked = {(place, person) for place, person in turns if turns[place, person]} - expected
    judge(len(asked) == 1, "no turn but what Bolt reads, and what a command asks", asked)
    equal("a command asks for who typed it", {person for _, person in asked}, {"slack:U0ALICE"})
    by_id = {turn["turn"]: turn for turn in said["turns"]}
    for delivery in said["deliveries"]:
        if delivery["name"] != "block_actions":
            continue
        team, channel, thread, user = context(delivery)
        value = re.search(r'\\"turn\\":\\"([^\\]+)', json.dumps(delivery["payload"]["actions"]))
        place = by_id[value[1]]["conversation"]
        judge(place == f"slack:{team}:{channel}:{thread}", "a click is where Bolt says", (place, team, channel, thread))
        judge(user == delivery["payload"]["user"]["id"], "a click is of whom Bolt says", user)


def verdicts():
    for rule in sorted(found):
        seen = found[rule]
        check(rule, not seen, f"{len(seen)}, the first: {seen[:1]}")


def all_of_it():
    said = record()
    calls(said)
    for given in said["manifests"].values():
        manifest(given)
    events(said)
    verdicts()


run("what is said to Slack", all_of_it)
end()
