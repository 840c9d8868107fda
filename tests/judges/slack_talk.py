"""People in the fake Slack talk to a host, about everything that makes it call Slack. What it called,
what it was sent and what came of it is the file that this writes, for judges of what the host says."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path

from slack_fake import PROGRAM, Fake

RECORD = Path("slack_talk.json")
AGENTS = ["assistant", "probe"]
TOKEN = "token-of-the-talk"
MENTION = "<@U0SIMBOT>"
BOT = "U0SIMBOT"
ALICE, BOB, GWEN, OLGA = "U0ALICE", "U0BOB", "U0GWEN", "U0OLGA"
GENERAL, PARTNER, OWN = "C0GENERAL", "C0PARTNER", "D0ALICE"

RICH = """# Plan & <risks>

Ask <!channel> or <@U0BOB>, see [the **docs**](https://docs.example/a_(b)?c=d&e=f) and <https://example.com|here>.

| name | *what* |
|:-----|-------:|
| `a|b` | 1 |
| ~~c~~ | 2 |

1. one
   - two
   - [ ] three

> quoted &amp; said

```rust
fn main() { println!("<!here> {}", 1 & 2); }
```

---

![a picture](https://example.com/a.png) H₂O 🚀
"""
LONG = "\n\n".join(["```python\n" + "\n".join(f"print({line})  # <&>" for line in range(500)) + "\n```",
                    "| a | b |\n|---|---|\n" + "\n".join(f"| {row} | {'x' * 40} |" for row in range(150)),
                    "\n".join(f"{item}. item" for item in range(1, 120)),
                    *(f"## Part {number}\n" + "Some **words** of `some` length. " * 40 for number in range(8)), "The end."])
UNBROKEN = "x" * 30_000
WORDS = "words " * 1_050
# Questions that one person is asked at once.
BUSY = 8
# Three bytes each, and five where Slack escapes.
WIDE = "好" * 1500 + " & " * 500 + "the end"

SCRIPT = f"""
[[rules]]
when = {{ last = {{ contains = ["slow"] }} }}
reply = {{ text = "one two three four *five* six <!channel> eight", chunk_delay_ms = 400 }}
[[rules]]
when = {{ last = {{ contains = ["rich"] }} }}
reply = {{ text = {json.dumps(RICH, ensure_ascii=False)} }}
[[rules]]
when = {{ last = {{ contains = ["long"] }} }}
reply = {{ text = {json.dumps(LONG)} }}
[[rules]]
when = {{ last = {{ contains = ["wide"] }} }}
reply = {{ text = "{WIDE}", chunk = 600, chunk_delay_ms = 900 }}
[[rules]]
when = {{ last = {{ contains = ["unbroken"] }} }}
reply = {{ text = "{UNBROKEN}", chunk = 20000, chunk_delay_ms = 1300 }}
[fallback]
text = "You said {{last}}"
usage = {{ input = 7, output = 5 }}
"""
PROBE = """
name = "probe"
[triggers.chat]
history = 10
"""
CONFIG = """
[llm]
script = "script.toml"
[slack]
prompts = [{ title = "My notes", message = "notes: list" }]
[slack.agents.probe]
users = ["U0BOB"]
groups = ["S0ENGINEERS"]
"""


class Host:
    """A host that is the app in a fake Slack, over Socket Mode."""

    def __init__(self, fake, folder):
        self.folder = Path(folder)
        (self.folder / "script.toml").write_text(SCRIPT, encoding="utf-8")
        (self.folder / "anchorhold.toml").write_text(CONFIG)
        plugins = self.folder / "plugins"
        plugins.mkdir()
        for agent in AGENTS:
            shutil.copy(Path("plugins") / f"{agent}.wasm", plugins)
        (plugins / "probe.toml").write_text(PROBE)
        environment = {
            "ANCHORHOLD_SERVER__LISTEN": "127.0.0.1:0", "ANCHORHOLD_ADMIN_TOKEN": TOKEN,
            "ANCHORHOLD_STORAGE__DATA_DIR": str(self.folder / "data"), "ANCHORHOLD_REGISTRY__PLUGINS_DIR": str(plugins),
            "SLACK_API_BASE_URL": f"{fake.url}/api", "SLACK_BOT_TOKEN": "xoxb-sim-bot", "SLACK_APP_TOKEN": "xapp-sim-app",
            "PATH": os.environ["PATH"],
        }
        self.log = self.folder / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen([PROGRAM, "serve"], cwd=folder, env=environment, stdout=log, stderr=log)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def turns(self):
        url = re.search(r"Serving on (\S+)", self.log.read_text())[1]
        request = urllib.request.Request(f"{url}/api/v1/turns?limit=200", headers={"authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)["items"]


class Talk:
    def __init__(self, fake):
        self.fake = fake

    def say(self, text, user=ALICE, channel=GENERAL, **more):
        words = text if channel.startswith("D") else f"{MENTION} {text}"
        return self.fake.act("say", user=user, channel=channel, text=words, **more)["ts"]

    def hear(self, ts, contains, channel=GENERAL, count=1, **more):
        """What the app says in a thread."""
        return self.fake.wait("messages", count, channel=channel, thread_ts=ts, user=BOT, contains=contains,
                              streaming="false", **more)

    def whispered(self, contains, count=1, channel=GENERAL):
        return self.fake.wait("messages", count, channel=channel, user=BOT, ephemeral="true", contains=contains)

    def click(self, message, action, user=ALICE, channel=GENERAL):
        self.fake.act("click", user=user, channel=channel, ts=message["ts"], action_id=action)

    def submit(self, form, text):
        """Writes into the form that is opened as the `form`th, and sends it."""
        self.fake.wait("calls", form, method="views.open", ok="true")
        view = [view for view in self.fake.sim("state")["views"] if view["body"]["type"] == "modal" and view["is_open"]][-1]
        values = {"said": {"said": {"type": "plain_text_input", "value": text}}}
        self.fake.act("submit", view_id=view["id"], values=values)

    def command(self, text, user=ALICE, channel=GENERAL):
        self.fake.act("command", user=user, channel=channel, command="/anchorhold", text=text)


def answers(talk):
    """All at once, since Slack takes one message a second and channel; what is not yet answered."""
    slow = talk.say("slow")
    working = talk.say("probe: sleep 1200\nprogress\nsend one;;two <!here>\nsleep 1500\necho done", BOB)
    broken = talk.say("probe: error internal It broke <!here>")
    rich = talk.say("rich", BOB, "D0BOB")
    long = talk.say("long", channel=PARTNER)
    for number in range(BUSY):
        talk.say(f"probe: ask approval Busy {number}?", "U0ADA", "D0ADA")
    unbroken = talk.say("unbroken", BOB, "D0BOB")
    root = talk.fake.act("say", user=BOB, channel=PARTNER, text="the printer is broken")["ts"]
    talk.say("probe: history", ALICE, PARTNER, thread_ts=root)
    files = talk.say("probe: attach a.csv 1,2\nattach b.txt hello <&>\nsure 0.25")
    talk.say("hi", GWEN)
    talk.say("hi", OLGA, PARTNER)
    talk.say("")
    talk.hear(rich, "risks", "D0BOB")
    talk.hear(broken, "It broke")
    talk.hear(files, "attached")
    talk.hear(root, "printer", PARTNER)
    talk.whispered("guests")
    talk.whispered("people of this workspace", channel=PARTNER)
    talk.whispered("Say something")

    def rest():
        talk.hear(slow, "eight")
        talk.hear(working, "done")
        talk.hear(long, "The end", PARTNER)
        talk.hear(unbroken, "xxx", "D0BOB", 3)
        # In a thread nobody needs to mention it again.
        talk.fake.act("say", user=BOB, channel=GENERAL, text="and now", thread_ts=slow)
        talk.hear(slow, "and now")
    return rest


def questions(talk):
    """In two places, since Slack takes one message a second and channel."""
    sure = talk.say("probe: ask approval Sure? See [this](https://example.com) <!here> & more")
    color = talk.say("probe: ask red&blue;;" + "g" * 100 + ";;<b> Which?")
    text = talk.say("probe: ask text Why?")
    asked = talk.hear(sure, "Sure")[0]
    talk.command("approvals")
    talk.whispered("Sure")
    many = talk.say("probe: ask " + ";;".join(f"choice-{number}" for number in range(20)) + " Which of many? " + WORDS, channel=OWN)
    refused = talk.say("probe: ask approval Really? " + WORDS, channel=OWN)
    soon = talk.say("probe: ask approval Soon? ## expires=1000", channel=OWN)
    talk.click(asked, "anchorhold_answer_1", BOB)
    talk.whispered("not for you")
    to_choose, to_refuse = talk.hear(many, "Which of many", OWN)[0], talk.hear(refused, "Really", OWN)[0]
    # Together they are longer than a message.
    talk.command("approvals")
    talk.fake.act("open_home", user=ALICE, tab="home")
    talk.fake.wait("calls", 1, method="views.publish", ok="true")
    talk.fake.act("open_home", user=GWEN, tab="home")
    talk.fake.act("open_home", user=ALICE, tab="messages")
    talk.click(asked, "anchorhold_answer_1")
    talk.click(talk.hear(color, "Which")[0], "anchorhold_answer_3")
    talk.click(to_choose, "anchorhold_answer_2", channel=OWN)
    talk.click(talk.hear(text, "Why")[0], "anchorhold_say")
    talk.submit(1, "because <of> & @channel")
    talk.click(to_refuse, "anchorhold_say", channel=OWN)
    talk.submit(2, "too dear <!here>")
    for thread, words in [(sure, "answered"), (color, "answered"), (text, "because")]:
        talk.hear(thread, words)
    for thread, words in [(many, "choice-0"), (refused, "too dear"), (soon, "Nobody")]:
        talk.hear(thread, words, OWN)


def commands(talk):
    for text in ["", "dance <!channel>", "agents", "status", "usage", "budget", "why", "ask nobody hi"]:
        talk.command(text)
    talk.command("agents", GWEN)
    talk.command("stop", channel=PARTNER)
    talk.command("ask assistant: hello <!channel>")
    talk.fake.wait("messages", 1, channel=GENERAL, user=BOT, contains="You said hello")


def feedback(talk):
    ts = talk.say("hello & goodbye")
    answer = talk.hear(ts, "You said hello")[0]
    talk.fake.act("react", user=ALICE, channel=GENERAL, ts=answer["ts"], name="-1")
    for user in [BOB, GWEN]:
        talk.click(answer, "anchorhold_feedback", user)
    talk.whispered("Thank you")


def without_streams(talk):
    """A workspace that has neither streams nor sessions."""
    for method in ["chat.startStream", "agents.sessions.setStatus"]:
        talk.fake.sim("faults", {"method": method, "kind": "error", "error": "unknown_method", "times": 2})
    slow = talk.say("slow again")
    wide = talk.say("wide", BOB, "D0BOB")
    talk.fake.wait("calls", 1, method="assistant.threads.setStatus")
    talk.hear(slow, "eight")
    talk.hear(wide, "the end", "D0BOB")


def an_end(talk):
    """A stream that Slack ends, one that is stopped, and a message that Slack may have lost."""
    talk.fake.sim("settings", {"stream_lifetime_ms": 1500})
    old = talk.say("slow", BOB)
    stopped = talk.say("slow")
    talk.fake.wait("messages", 1, channel=GENERAL, thread_ts=stopped, user=BOT, streaming="true")
    talk.fake.act("stop", user=ALICE, channel=GENERAL, thread_ts=stopped)
    talk.hear(stopped, "Stopped")
    talk.hear(old, "eight")


def manifests():
    """What `setup` asks for, of each kind."""
    made = {}
    for kind in [[], ["--public-url", "https://host.example"], ["--profile", "minimal"]]:
        setup = [PROGRAM, "slack", "setup", *kind]
        made[" ".join(setup[1:])] = json.loads(subprocess.run(setup, capture_output=True, check=True).stdout)
    return made


def record():
    """All that is said, from the file if there is one."""
    if RECORD.exists():
        return json.loads(RECORD.read_text())
    with tempfile.TemporaryDirectory() as folder, Fake("--socket") as fake, Host(fake, folder) as host:
        try:
            fake.wait("sockets", 2)
            talk = Talk(fake)
            while host.log.read_text().count("a file of the plugins folder answers") < len(AGENTS):
                fake.sim("sockets?count=9&wait_ms=50")
            rest = answers(talk)
            commands(talk)
            questions(talk)
            feedback(talk)
            rest()
            an_end(talk)
            without_streams(talk)
            said = {
                "calls": fake.sim("calls")["calls"], "deliveries": fake.sim("deliveries")["deliveries"],
                # Answers to commands go to an address, and are no calls.
                "whispers": fake.sim("messages?ephemeral=true")["messages"],
                "turns": host.turns(), "manifests": manifests(),
            }
        except Exception:
            Path("slack_talk.log").write_text(host.log.read_text() + json.dumps(fake.sim("state"), indent=1))
            raise
    RECORD.write_text(json.dumps(said))
    return said


if __name__ == "__main__":
    record()
