"""The client of MCP's own SDK, and FastMCP's."""

import asyncio
import warnings

from check import TOKEN, URL, check, end, equal, run

warnings.simplefilter("ignore")
HEADERS = {"authorization": f"Bearer {TOKEN}"}


async def official(mode):
    import httpx2 as httpx
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    async with httpx.AsyncClient(headers=HEADERS) as http:
        transport = streamable_http_client(f"{URL}/mcp", http_client=http)
        async with Client(transport, mode=mode) as client:
            await talks(f"mcp, {mode}", client)


async def fast():
    from fastmcp import Client
    from fastmcp.client.transports import StreamableHttpTransport

    async with Client(StreamableHttpTransport(f"{URL}/mcp", headers=HEADERS)) as client:
        tools = await client.list_tools()
        check("fastmcp: list", "assistant" in [tool.name for tool in tools], tools)
        result = await client.call_tool("assistant", {"text": "hi"})
        equal("fastmcp: call", result.content[0].text, "You said hi")
        check("fastmcp: structured", "turn" in result.structured_content, result)


async def talks(name, client):
    tools = (await client.list_tools()).tools
    check(f"{name}: list", "assistant" in [tool.name for tool in tools], tools)
    result = await client.call_tool("assistant", {"text": "hi"})
    equal(f"{name}: call", result.content[0].text, "You said hi")
    check(f"{name}: structured", "turn" in result.structured_content, result)
    refused = await client.call_tool("assistant", {"text": ""})
    check(f"{name}: a refusal is a result", refused.is_error, refused)


for mode in ("auto", "legacy"):
    run(f"mcp, {mode}", lambda: asyncio.run(official(mode)))
run("fastmcp", lambda: asyncio.run(fast()))
end()
