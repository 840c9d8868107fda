"""A probe: each command in a message's text uses one part of the contract.

The JavaScript probe understands the same commands and answers the same text.
"""

import json
from collections.abc import Callable, Iterator
from typing import TypeVar

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import config, database, events, http, llm, log, reply, state, types

ASTRAL = "naïve Ω 漢字 😀 𝄞 👩‍🚀"

WEATHER = types.ToolDefinition(
    name="weather",
    description="The weather of a city.",
    input_schema_json=json.dumps(
        {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        }
    ),
    strict=True,
)


class Chat(exports.Chat):
    """What the agent exports: the interface `chat` of the contract."""

    def respond(self, message: types.Message) -> types.Reply:
        name, rest = cut(message.text)
        if name == "error":
            raise failure(*cut(rest))
        text = answer(name, rest, message)
        return types.Reply(text=text, attachments=[], tool_calls=[], metadata_json=None)


def answer(name: str, rest: str, message: types.Message) -> str:
    """An error of the contract is an answer here, so that a test can read it."""
    try:
        if name == "history":
            return "|".join(past.text for past in message.history)
        return pick(COMMANDS, name)(rest)
    except Err as error:
        return f"error {kebab(error.value.kind)}"
    except Exception as error:
        # Anything raised that is not an error of the contract would be a trap, and so would
        # a formatted traceback, which reads source files.
        raise failure("internal", repr(error))


def configured(key: str) -> str:
    value = config.get(key)
    return "unset" if value is None else value


def state_get(rest: str) -> str:
    entry = stored(rest)
    return entry.value.decode() if entry else "unset"


def state_revision(rest: str) -> str:
    entry = stored(rest)
    return entry.revision if entry else "unset"


def state_set(rest: str) -> str:
    where, key, value = words(rest, 3)
    state.set(scope(where), key, value.encode(), None)
    return "ok"


def state_cas(rest: str) -> str:
    where, key, expected, value = words(rest, 4)
    state.compare_and_set(
        scope(where), key, None if expected == "-" else expected, value.encode(), None
    )
    return "ok"


def stored(rest: str) -> state.Entry | None:
    where, key = words(rest, 2)
    return state.get(scope(where), key)


def scope(word: str) -> state.Scope:
    return pick({kebab(each): each for each in state.Scope}, word)


def sql_execute(sql: str) -> str:
    return str(database.execute(sql, []).rows_affected)


def sql_query(sql: str) -> str:
    rows = database.query(sql, []).rows
    return compact_json([[plain(value) for value in row] for row in rows])


def plain(value: database.Value) -> object:
    """A database value as JSON can carry it."""
    match value:
        case database.Value_Null():
            return None
        case database.Value_Blob(blob):
            return blob.hex()
        case database.Value_Real(real) if real.is_integer() and abs(real) < 2**53:
            # JavaScript writes 2.0 as 2.
            return int(real)
        case _:
            return value.value


def publish(rest: str) -> str:
    topic, data_json = cut(rest)
    events.publish(
        events.Publication(
            topic=topic,
            data_json=data_json,
            ordering_key=None,
            correlation=None,
            priority=None,
            deliver_at_ms=None,
            ttl_ms=None,
        )
    )
    return "published"


def prompt(text: str, tools: list[types.ToolDefinition] | None = None) -> llm.Request:
    """One message of a person for the model called `default`."""
    message = llm.PromptMessage(
        role=llm.Role.USER, content=[llm.ContentPart_Text(text)], cache=None
    )
    return llm.Request(
        model="default",
        messages=[message],
        tools=tools or [],
        tool_choice=llm.ToolChoice_Auto(),
        parallel_tool_calls=None,
        response_format=llm.ResponseFormat_Text(),
        max_output_tokens=None,
        temperature=None,
        top_p=None,
        stop=[],
        seed=None,
        reasoning=None,
        deadline_ms=None,
        cache=None,
    )


def visible_text(response: llm.Response) -> str:
    return "".join(
        part.value for part in response.content if isinstance(part, llm.ContentPart_Text)
    )


def generate(text: str) -> str:
    return visible_text(llm.generate(prompt(text)))


def stream(text: str) -> str:
    with llm.start(prompt(text)) as generation:
        texts = [event for event in read(generation) if isinstance(event, llm.StreamEvent_Text)]
    pieces = [event.value.text for event in texts]
    return f"{''.join(pieces)}|{'ok' if pieces else 'none'}"


def read(generation: llm.Generation) -> Iterator[llm.StreamEvent]:
    while batch := generation.next(16):
        yield from batch


def forward(text: str) -> str:
    return visible_text(reply.forward(llm.start(prompt(text))))


def tool(text: str) -> str:
    response = llm.generate(prompt(text, [WEATHER]))
    for part in response.content:
        if isinstance(part, llm.ContentPart_ToolCall):
            return f"{part.value.name} {part.value.arguments_json}"
    return "none"


def request(rest: str) -> str:
    method, url = cut(rest)
    response = http.send(
        http.Request(method=method, url=url, headers=[], body=None, timeout_ms=None)
    )
    return f"{response.status} {response.body.decode()}"


def send(text: str) -> str:
    pieces = text.split(";;")
    for piece in pieces:
        reply.send_text(piece)
    return "".join(pieces)


def write_log(text: str) -> str:
    log.write(log.Level.INFO, text, [("language", "python")])
    return "logged"


def unsupported(_: str) -> str:
    """Stubbed WASI has neither a clock nor randomness."""
    return "unsupported"


def exact_integers(_: str) -> str:
    """The largest integers a JavaScript number carries exactly, and the largest a database does."""
    params = [
        database.Value_Integer(2**53 - 1),
        database.Value_Integer(-(2**53) + 1),
        database.Value_BigInteger(str(2**63 - 1)),
        database.Value_BigInteger(str(-(2**63))),
        database.Value_BigInteger("42"),
    ]
    [row] = database.query("SELECT ?1, ?2, ?3, ?4, ?5", params).rows
    return compact_json([plain(value) for value in row])


def unicode(_: str) -> str:
    """Characters outside the basic plane, and empty strings, in both directions."""
    log.write(log.Level.INFO, ASTRAL, [("empty", "")])
    log.write(log.Level.INFO, "", [])
    return f"{ASTRAL}|{len(ASTRAL)}|{len('')}"


def denied(_: str) -> str:
    try:
        return request("GET https://denied.example/")
    except Err as error:
        return f"{kebab(error.value.kind)} {error.value.message}"


T = TypeVar("T")
Command = Callable[[str], str]

STATE: dict[str, Command] = {
    "get": state_get,
    "revision": state_revision,
    "set": state_set,
    "cas": state_cas,
}

SQL: dict[str, Command] = {"execute": sql_execute, "query": sql_query}

COMMANDS: dict[str, Command] = {
    "echo": lambda text: text,
    "config": configured,
    "state": lambda rest: within(STATE, rest),
    "sql": lambda rest: within(SQL, rest),
    "publish": publish,
    "generate": generate,
    "stream": stream,
    "forward": forward,
    "tool": tool,
    "http": request,
    "send": send,
    "log": write_log,
    "random": unsupported,
    "clock": unsupported,
    "exact-integers": exact_integers,
    "unicode": unicode,
    "denied": denied,
}


def within(table: dict[str, Command], rest: str) -> str:
    """Runs the command of `table` that `rest` begins with."""
    name, argument = cut(rest)
    return pick(table, name)(argument)


def pick(table: dict[str, T], name: str) -> T:
    if name not in table:
        raise failure("invalid-input", f"unknown word: {name}")
    return table[name]


def cut(text: str) -> tuple[str, str]:
    """The first word and everything after it."""
    word, _, rest = text.partition(" ")
    return word, rest


def words(text: str, count: int) -> list[str]:
    """`count` words, the last of which is all that remains."""
    found = text.split(" ", count - 1)
    return found + [""] * (count - len(found))


def failure(kind: str, message: str) -> Err[types.Error]:
    """An error of the contract, to be raised."""
    return Err(
        types.Error(
            kind=types.ErrorKind[kind.replace("-", "_").upper()],
            message=message,
            retryable=False,
            retry_after_ms=None,
            detail_json=None,
        )
    )


def kebab(case: types.ErrorKind | llm.ErrorKind | state.Scope) -> str:
    """An enum's case as the contract spells it."""
    return case.name.lower().replace("_", "-")


def compact_json(value: object) -> str:
    """JSON as JavaScript writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
