"""The fake Slack of `anchorhold slack simulate` as a process of its own, for judges in Python."""

import json
import os
import subprocess
import urllib.error
import urllib.parse
import urllib.request

from slack_sdk import WebClient

PROGRAM = os.environ["JUDGE_PROGRAM"]

# With this a list waits for what is asked for.
WAIT = "wait_ms=20000"


class Fake:
    def __init__(self, *options):
        command = [PROGRAM, "slack", "simulate", "--listen", "127.0.0.1:0", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.url = self.process.stdout.readline().split()[-1]
        self.client = WebClient("xoxb-sim-bot", base_url=f"{self.url}/api/", retry_handlers=[])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def sim(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/sim/{path}", data=data)
        try:
            with urllib.request.urlopen(request) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read()) from error

    def act(self, do, **fields):
        return self.sim("act", {"do": do, **fields})

    def wait(self, kind, count=1, **query):
        """What a list has, as soon as there is as much."""
        seen = self.sim(f"{kind}?{urllib.parse.urlencode({**query, 'count': count})}&{WAIT}")
        assert seen["complete"], f"no {count} {kind} with {query}: {seen[kind]}"
        return seen[kind]
