"""An MCP server that does what it should not, over standard input and output.

    faulty.py FILE [MODE]

Every call writes a line to FILE, so that a test can count them. Modes: `many` has 2,000 tools,
`bombs` has tools whose schemas cannot be taken, `endless` lists page after page, `mute` answers
nothing at all, `gone` ends at once.
"""

import io
import json
import os
import sys
import time

sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8")
FILE = sys.argv[1]
MODE = sys.argv[2] if len(sys.argv) > 2 else ""
ANY = {"type": "object"}


def tool(name, schema=None, **hints):
    return {
        "name": name,
        "description": f"The tool {name}",
        "inputSchema": schema or ANY,
        "annotations": hints,
    }


ORDINARY = [
    tool("echo", {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}, readOnlyHint=True),
    tool("count"),
    tool("slow"),
    tool("slow-reader", readOnlyHint=True),
    tool("add", destructiveHint=False),
    tool("big", readOnlyHint=True),
    tool("die", readOnlyHint=True),
    tool("hang", readOnlyHint=True),
    tool("garbage", readOnlyHint=True),
    tool("nonsense", readOnlyHint=True),
    tool("refuse", readOnlyHint=True),
    tool("environment", readOnlyHint=True),
]


def deep():
    schema = {"type": "object"}
    for _ in range(40):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


def doubling():
    defs = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)}
    defs["d40"] = True
    return {"type": "object", "$defs": defs, "allOf": [{"$ref": "#/$defs/d0"}]}


def tools(cursor):
    if MODE == "many":
        return {"tools": [tool(f"t{n:04}") for n in range(2000)]}
    if MODE == "endless":
        number = int(cursor or 0)
        return {"tools": [tool(f"page{number}")], "nextCursor": str(number + 1)}
    if MODE == "bombs":
        wide = {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(5000)}}
        outside = {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/x.json"}}}
        bombs = [("deep", deep()), ("wide", wide), ("doubling", doubling()), ("outside", outside), ("list", {"type": "array"})]
        return {"tools": [tool(name, schema) for name, schema in bombs] + [tool("x" * 500), tool("harmless")]}
    return {"tools": ORDINARY}


def write(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def text(value):
    return {"content": [{"type": "text", "text": value}]}


def call(name, arguments):
    with open(FILE, "a", encoding="utf-8") as file:
        file.write(name + "\n")
    if name in ("slow", "slow-reader"):
        # As long as a test needs; a second call is quick.
        with open(FILE, encoding="utf-8") as file:
            if file.read().split().count(name) == 1:
                time.sleep(60)
    if name == "big":
        return text("ä" * 5_000_000)
    if name == "die":
        sys.stderr.write("dying\n")
        os._exit(3)
    if name == "hang":
        time.sleep(60)
    if name == "garbage":
        write("this is {not json")
        write('{"jsonrpc": "2.0", "id": 987654, "result": {}}')
        write('["jsonrpc"]')
        return text("after garbage")
    if name == "nonsense":
        return {"content": "no list", "isError": 7}
    if name == "refuse":
        return {**text("I will not"), "isError": True}
    if name == "environment":
        return text(json.dumps(dict(os.environ)))
    return text(arguments.get("text", "done"))


def answer(method, params):
    if method == "initialize":
        return {
            "protocolVersion": "2025-11-25",
            "capabilities": {"tools": {"listChanged": True}},
            "serverInfo": {"name": "faulty", "version": "1"},
        }
    if method == "ping":
        return {}
    if method == "tools/list":
        return tools(params.get("cursor"))
    if method == "tools/call":
        return call(params["name"], params.get("arguments") or {})
    return None


def main():
    if MODE == "gone":
        return
    for line in sys.stdin:
        message = json.loads(line)
        if MODE == "mute" or "id" not in message or "method" not in message:
            continue
        result = answer(message["method"], message.get("params") or {})
        reply = {"jsonrpc": "2.0", "id": message["id"]}
        if result is None:
            reply["error"] = {"code": -32601, "message": "method not found"}
        else:
            reply["result"] = result
        write(json.dumps(reply, ensure_ascii=False))


main()
