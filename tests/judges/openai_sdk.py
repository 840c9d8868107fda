"""OpenAI's own client."""

import httpx2 as httpx
import openai
from openai import OpenAI

from check import TOKEN, URL, check, end, equal, raises, run

client = OpenAI(base_url=f"{URL}/v1", api_key=TOKEN, max_retries=0)
HI = [{"role": "user", "content": "hi"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
TOOL_OF_RESPONSES = {"type": "function", "name": "weather", "parameters": SCHEMA, "strict": False}
ASK = {"role": "user", "content": "how is the weather?"}


def models():
    names = [model.id for model in client.models.list()]
    check("models.list", "assistant" in names, names)
    equal("models.retrieve", client.models.retrieve("assistant").id, "assistant")


def completions():
    answer = client.chat.completions.create(model="assistant", messages=HI)
    equal("chat: whole", answer.choices[0].message.content, "You said hi")
    equal("chat: usage", answer.usage.total_tokens, 12)
    chunks = list(client.chat.completions.create(
        model="assistant", messages=HI, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    equal("chat: streamed", text, "You said hi")
    equal("chat: streamed usage", chunks[-1].usage.total_tokens, 12)
    with client.chat.completions.stream(model="assistant", messages=HI) as stream:
        final = stream.get_final_completion()
    equal("chat: stream helper", final.choices[0].message.content, "You said hi")


def completions_with_tools():
    asked = client.chat.completions.create(model="assistant", messages=[ASK], tools=[TOOL])
    message = asked.choices[0].message
    equal("chat: finish reason of a tool call", asked.choices[0].finish_reason, "tool_calls")
    call = message.tool_calls[0]
    equal("chat: tool call", (call.function.name, call.function.arguments), ("weather", '{"city":"Oslo"}'))
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    answer = client.chat.completions.create(model="assistant", messages=[ASK, message, result], tools=[TOOL])
    equal("chat: after the tool", answer.choices[0].message.content, "The tool said sunny")
    with client.chat.completions.stream(model="assistant", messages=[ASK], tools=[TOOL]) as stream:
        final = stream.get_final_completion()
    equal("chat: tool call streamed", final.choices[0].message.tool_calls[0].function.name, "weather")


def responses():
    first = client.responses.create(model="assistant", input="red")
    equal("responses: whole", first.output_text, "You said red")
    equal("responses: usage", first.usage.total_tokens, 12)
    second = client.responses.create(
        model="assistant", input="what was before?", previous_response_id=first.id)
    equal("responses: continued", second.output_text, "Before you said red")
    equal("responses: retrieve", client.responses.retrieve(first.id).output_text, "You said red")
    with client.responses.stream(model="assistant", input="hi") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    equal("responses: streamed", final.output_text, "You said hi")
    equal("responses: first and last event", (kinds[0], kinds[-1]), ("response.created", "response.completed"))
    asked = client.responses.create(model="assistant", input=ASK["content"], tools=[TOOL_OF_RESPONSES])
    call = asked.output[-1]
    equal("responses: tool call", (call.type, call.name), ("function_call", "weather"))
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    answer = client.responses.create(
        model="assistant", input=[result], previous_response_id=asked.id, tools=[TOOL_OF_RESPONSES])
    equal("responses: after the tool", answer.output_text, "The tool said sunny")


def errors():
    create = client.chat.completions.create
    raises("NotFoundError", openai.NotFoundError, lambda: create(model="nobody", messages=HI))
    raises("BadRequestError", openai.BadRequestError, lambda: create(model="assistant", messages=[]))
    stranger = OpenAI(base_url=f"{URL}/v1", api_key="nobody", max_retries=0)
    raises("AuthenticationError", openai.AuthenticationError, stranger.models.list)
    budget = f"{URL}/api/v1/budgets/user:openai:spender"
    headers = {"authorization": f"Bearer {TOKEN}"}
    httpx.put(budget, headers=headers, json={"window": "day", "requests": 0}).raise_for_status()
    error = raises("RateLimitError", openai.RateLimitError,
                   lambda: create(model="assistant", messages=HI, user="spender"))
    equal("its code", getattr(error, "code", None), "insufficient_quota")


for part in (models, completions, completions_with_tools, responses, errors):
    run(part.__name__, part)
end()
