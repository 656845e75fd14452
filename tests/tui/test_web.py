"""The terminal in a browser answers at its own address alone, to whoever holds its key."""

from __future__ import annotations

import socket
import sys
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from cli.terminal_web import GuardedServer


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture
async def server(capsys: pytest.CaptureFixture[str]) -> AsyncIterator[GuardedServer]:
    made = GuardedServer(f"{sys.executable} -c pass", "127.0.0.1", free_port())
    runner = web.AppRunner(await made._make_app())
    await runner.setup()
    await web.TCPSite(runner, made.host, made.port).start()
    assert made.address in capsys.readouterr().out
    yield made
    await runner.cleanup()


async def status(url: str, **headers: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        return response.status


async def test_the_address_with_the_key_opens_the_terminal_and_lets_it_be_used(server: GuardedServer) -> None:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        async with session.get(server.address) as response:
            assert response.status == 200
            assert server.key not in str(response.url)
            assert "Coffer" in await response.text()
        async with session.get(f"{server.public_url}/download/none", headers={"Origin": server.public_url}) as response:
            assert response.status == 404  # let through, and then nothing of that name was found


async def test_without_the_key_nothing_is_answered(server: GuardedServer) -> None:
    for path in ("/", "/ws", "/static/css/xterm.css", "/download/x", "/?key=another"):
        assert await status(f"{server.public_url}{path}") == 403, path


@pytest.mark.parametrize("headers", [{"Origin": "http://elsewhere.example"}, {"Host": "elsewhere.example"}], ids=str)
async def test_a_page_of_another_site_cannot_speak_to_it_even_with_the_key(
    server: GuardedServer, headers: dict[str, str]
) -> None:
    assert await status(f"{server.public_url}/ws", Cookie=f"coffer_key={server.key}", **headers) == 403
    assert await status(server.address, **headers) == 403
