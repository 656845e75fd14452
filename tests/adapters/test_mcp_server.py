"""The MCP server through the SDK's own client: in memory in both protocol eras, and over streamable HTTP."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from enclave.adapters.mcp_server import KeptReceipts, http_app, mcp_server
from tests.attacks.retrieval.test_permitted_passages import setting as limited_world
from tests.clients import connected_async
from tests.deployment import Deployment, deployed
from tests.enclaves import APPRAISER, PRICE
from vault.codec import encode
from vault.envelope import Passage
from vault.receipt import ReceiptFile
from vault.receipt_check import verify_receipt_file

TOKEN = "a token of thirty-two characters"  # noqa: S105
ERAS = ("legacy", "auto")
MAX_SPEND = 3 * PRICE


@asynccontextmanager
async def served(deployment: Deployment, folder: Path) -> AsyncIterator[Any]:
    kept = KeptReceipts(folder)
    async with await connected_async(deployment, max_spend=MAX_SPEND, receipts=kept.keep) as client:
        yield mcp_server(client, kept)


@asynccontextmanager
async def listening(server: Any) -> AsyncIterator[str]:
    """Serve over HTTP on a free port; yield the address."""
    config = uvicorn.Config(http_app(server, TOKEN), host="127.0.0.1", port=0, log_level="warning")
    listener = config.bind_socket()
    running = uvicorn.Server(config)
    task = asyncio.create_task(running.serve(sockets=[listener]))
    while not running.started:
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
    finally:
        running.should_exit = True
        await task


def text_of(result: Any) -> str:
    (content,) = result.content
    return str(content.text)


async def test_an_assistant_is_told_which_part_of_a_dataset_may_be_found(tmp_path: Path) -> None:
    texts = tuple(Passage(f"{n}.txt", 0, 9, f"log {n}", {"tags": ["open", "shut"][n % 2 :][:1]}) for n in range(4))
    only = '{"key": "tags", "equals": "open"}'
    with deployed(tmp_path, limited_world(texts, encode(json.loads(only)))) as deployment:
        deployment.add_credit(1_000)
        async with served(deployment, tmp_path) as server, Client(server, mode="auto") as assistant:
            listed = await assistant.call_tool("datasets", {})
            assert [one["only"] for one in listed.structured_content["datasets"]] == [only]
            assert f"only those that meet {only} may be found" in text_of(listed)


@pytest.mark.parametrize("era", ERAS)
async def test_an_assistant_looks_asks_and_accounts_for_it(deployment: Deployment, tmp_path: Path, era: str) -> None:
    async with served(deployment, tmp_path) as server, Client(server, mode=era) as assistant:
        assert {tool.name for tool in (await assistant.list_tools()).tools} == {
            "search",
            "quote",
            "datasets",
            "receipts",
        }
        listed = (await assistant.call_tool("datasets", {})).structured_content
        manifest = deployment.world.dataset.manifest
        assert [(one["dataset"], one["only"]) for one in listed["datasets"]] == [(str(manifest.cid()), None)]
        quoted = (await assistant.call_tool("quote", {"k": 2})).structured_content
        assert (quoted["price_max"], quoted["spend_left"]) == (PRICE, MAX_SPEND)
        found = await assistant.call_tool(
            "search", {"question": "tide table", "k": 2, "datasets": [str(manifest.cid())], "max_price": PRICE}
        )
        assert not found.is_error
        assert "[1] " in text_of(found) and "The tide table for May." in text_of(found)
        first = found.structured_content["passages"][0]
        assert (first["text"], first["source"] in text_of(found)) == ("The tide table for May.", True)
        assert found.structured_content["receipt"]["price"] == PRICE
        assert (found.structured_content["spent"], found.structured_content["spend_left"]) == (PRICE, 2 * PRICE)
        receipts = (await assistant.call_tool("receipts", {})).structured_content
        assert [one["cid"] for one in receipts["receipts"]] == [found.structured_content["receipt"]["cid"]]
        (file,) = tmp_path.iterdir()
        kept = ReceiptFile.from_bytes(file.read_bytes(), bytes_max=1 << 22)
        links = verify_receipt_file(kept, genesis=deployment.world.genesis, appraiser=APPRAISER, allow_simulated=True)
        assert len(list(links)) == 9


async def test_at_the_cap_searches_are_refused_in_words_and_free_tools_go_on(
    deployment: Deployment, tmp_path: Path
) -> None:
    async with served(deployment, tmp_path) as server, Client(server) as assistant:
        results = [await assistant.call_tool("search", {"question": f"tide {n}", "k": 1}) for n in range(4)]
        assert [result.is_error for result in results] == [False, False, False, True]
        assert "max_spend" in text_of(results[3])
        assert (await assistant.call_tool("quote", {})).structured_content["spend_left"] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"question": ""},
        {"question": "x" * 5000},
        {"question": "tide", "k": 0},
        {"question": "tide", "k": 99},
        {"question": "tide", "mode": "telepathy"},
        {"question": "tide", "datasets": ["../../etc/passwd"]},
        {"question": "tide", "max_price": PRICE - 1},
    ],
)
async def test_bad_arguments_are_tool_errors_and_cost_nothing(
    deployment: Deployment, tmp_path: Path, arguments: dict[str, Any]
) -> None:
    async with served(deployment, tmp_path) as server, Client(server) as assistant:
        result = await assistant.call_tool("search", arguments)
        assert result.is_error and text_of(result)
        assert "Traceback" not in text_of(result)
        assert (await assistant.call_tool("receipts", {})).structured_content["spent"] == 0


class TestHttp:
    @pytest.mark.parametrize("era", ERAS)
    async def test_the_sdks_client_searches(self, deployment: Deployment, tmp_path: Path, era: str) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with (
            served(deployment, tmp_path) as server,
            listening(server) as url,
            httpx2.AsyncClient(headers=headers) as http,
            Client(streamable_http_client(url, http_client=http), mode=era) as assistant,
        ):
            found = await assistant.call_tool("search", {"question": "tide table", "k": 1})
            assert found.structured_content["passages"][0]["text"] == "The tide table for May."

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({}, 401),
            ({"Authorization": "Bearer wrong"}, 401),
            ({"Authorization": f"Bearer {TOKEN}", "Host": "rebound.example"}, 421),
            ({"Authorization": f"Bearer {TOKEN}", "Origin": "https://rebound.example"}, 403),
        ],
    )
    async def test_strangers_and_rebound_names_reach_nothing(
        self, deployment: Deployment, tmp_path: Path, headers: dict[str, str], status: int
    ) -> None:
        usual = {"Accept": "application/json, text/event-stream"}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
        async with (
            served(deployment, tmp_path) as server,
            listening(server) as url,
            httpx2.AsyncClient() as http,
        ):
            response = await http.post(url, json=body, headers=usual | headers)
            assert response.status_code == status

    async def test_it_listens_on_the_loopback_alone(self, deployment: Deployment, tmp_path: Path) -> None:
        async with served(deployment, tmp_path) as server, listening(server) as url:
            port = int(url.split(":")[2].split("/")[0])
            outside = {one[4][0] for one in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
            for address in outside - {"127.0.0.1", "127.0.1.1"}:
                with pytest.raises(OSError, match=r"refused|timed out"):
                    socket.create_connection((address, port), 0.5)
