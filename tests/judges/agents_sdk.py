"""OpenAI's SDK for agents, with a function tool, over both of its wires."""

from agents import (Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool,
                    set_tracing_disabled)
from openai import AsyncOpenAI

from check import TOKEN, URL, end, equal, run

set_tracing_disabled(True)
client = AsyncOpenAI(base_url=f"{URL}/v1", api_key=TOKEN, max_retries=0)


@function_tool
def weather(city: str) -> str:
    """How the weather is."""
    return f"sunny in {city}"


def runs(name, model):
    agent = Agent(name="judge", instructions="Be brief.", model=model, tools=[weather])
    result = Runner.run_sync(agent, "how is the weather?")
    equal(f"{name}: run with a tool", result.final_output, "The tool said sunny in Oslo")
    plain = Agent(name="judge", model=model)
    equal(f"{name}: run", Runner.run_sync(plain, "hi").final_output, "You said hi")


run("chat", lambda: runs("chat", OpenAIChatCompletionsModel("assistant", client)))
run("responses", lambda: runs("responses", OpenAIResponsesModel("assistant", client)))
end()
