"""An app of Bolt for Python that does what the measured host does: it answers, waits or hangs."""

import os
import time

from slack_bolt import App
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_sdk import WebClient

client = WebClient("xoxb-sim-bot", base_url=os.environ["SLACK_API"] + "/")
app = App(client=client, signing_secret="sim-signing-secret")


@app.event("message")
def heard(event, client):
    if "slow" in event["text"]:
        time.sleep(60)
    elif "sleep" in event["text"]:
        time.sleep(600)
    client.chat_postMessage(channel=event["channel"], thread_ts=event["ts"], text="heard")


if "PORT" in os.environ:
    print("ready", flush=True)
    app.start(port=int(os.environ["PORT"]), path="/slack/events", http_server_logger_enabled=False)
else:
    handler = SocketModeHandler(app, "xapp-sim-app", web_client=client)
    handler.connect()
    print("ready", flush=True)
    time.sleep(3600)
