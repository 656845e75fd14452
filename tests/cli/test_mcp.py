"""`coffer mcp` as an assistant starts it: a process spoken to on stdin and stdout, or over HTTP on the loopback."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import httpx2
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from tests.cli.party import PASSWORD, Party
from tests.cli.services import QUESTION, TEXT, pay_in

TOKEN = "a token of thirty-two characters"  # noqa: S105


def environment(party: Party) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "COFFER_HOME": str(party.home), "COFFER_PASSWORD": PASSWORD} | party.env


async def test_over_stdio_it_searches_within_its_cap_and_keeps_receipts(served: Party) -> None:
    pay_in(served, 10_000)
    arguments = ["-m", "cli.entry", "mcp", "--allow-simulated", "--max-spend", "1000"]
    server = StdioServerParameters(command=sys.executable, args=arguments, env=environment(served))
    async with Client(server) as assistant:
        found = await assistant.call_tool("search", {"question": QUESTION, "k": 1})
        assert found.structured_content["passages"][0]["text"] == TEXT
        again = await assistant.call_tool("search", {"question": QUESTION, "k": 1})
        assert again.is_error and "max_spend" in again.content[0].text
        cid = found.structured_content["receipt"]["cid"]
        listed = (await assistant.call_tool("receipts", {})).structured_content
        assert ([one["cid"] for one in listed["receipts"]], listed["spent"]) == ([cid], 1000)
    sequence = found.structured_content["receipt"]["sequence"]
    (kept,) = (served.home / "receipts").glob(f"{sequence}-*.receipt")
    assert served.json("receipt", "verify", kept, "--allow-simulated")["verified"]


async def test_over_http_it_listens_on_the_loopback_behind_its_token(served: Party) -> None:
    pay_in(served, 10_000)
    arguments = ["mcp", "--allow-simulated", "--max-spend", "1000", "--http", "127.0.0.1:0"]
    env = environment(served) | {"COFFER_MCP_TOKEN": TOKEN, "COLUMNS": "200"}
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "cli.entry", *arguments], env=env, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            lines = iter(process.stderr.readline, "")
            url = next(found[0] for line in lines if (found := re.search(r"http://\S+/mcp", line)))
            async with (
                httpx2.AsyncClient(headers={"Authorization": f"Bearer {TOKEN}"}) as http,
                Client(streamable_http_client(url, http_client=http)) as assistant,
            ):
                found = await assistant.call_tool("search", {"question": QUESTION, "k": 1})
                assert found.structured_content["passages"][0]["text"] == TEXT
            async with httpx2.AsyncClient() as http:
                assert (await http.post(url, json={})).status_code == 401
        finally:
            process.terminate()
            process.wait(20)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--http", "0.0.0.0:0"], "not a loopback address"),
        (["--http", "nowhere"], "host:port"),
        (["--enclave", "127.0.0.1:1"], "nothing answers"),
    ],
)
def test_what_cannot_be_served_is_said(served: Party, more: list[str], said: str) -> None:
    assert said in served.refused("mcp", "--max-spend", "1", "--allow-simulated", *more)


def test_a_cap_has_to_be_given(served: Party) -> None:
    assert "--max-spend" in served.run("mcp", code=2).stderr
