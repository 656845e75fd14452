"""The voting page asked as others would ask it: what it refuses, and what it has browsers enforce."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.dao_web import LOOPBACK, listening
from cli.home import settings_from
from cli.voting_page.app import BODY_BYTES_MAX, HEADERS, voting_app
from cli.voting_page.shown import Page
from storage.cid import Cid
from tests.cli.conftest import Founded
from tests.cli.dao_steps import proposed
from tests.cli.voting_page import Served, page_of, wallet_of
from vault.rate import PeerLimit


@pytest.fixture
def served(dao: Founded) -> Iterator[Served]:
    with page_of(dao) as page:
        yield page


def test_every_answer_carries_the_headers_that_browsers_enforce(served: Served, enclave_file: Path) -> None:
    proposal = proposed(served.dao, enclave_file)
    for path in ("/", f"/proposals/{proposal}", "/history", "/static/vote.js", "/nothing", "/blocks/x"):
        _, _, headers = served.asked(path)
        for name, value in HEADERS.items():
            assert {key.lower(): text for key, text in headers.items()}[name.decode()] == value.decode(), path


@pytest.mark.parametrize(
    ("changed", "status", "words"),
    [
        ({"support": "maybe"}, 400, "an answer is one of"),
        ({"voter": "0x12"}, 400, "an address has 20 bytes"),
        ({"voter": 5}, 400, "send exactly"),
        ({"reason": "x" * 300}, 400, "at most 200 bytes"),
        ({"signature": "0x00"}, 400, "a wallet's signature has 65 bytes"),
        ({"sequence": -1}, 400, "at least 0"),
        ({"sequence": True}, 400, "send exactly"),
        ({"more": 1}, 400, "send exactly"),
    ],
)
def test_a_ballot_with_one_wrong_field_is_refused(
    served: Served, enclave_file: Path, changed: dict[str, Any], status: int, words: str
) -> None:
    proposal = proposed(served.dao, enclave_file)
    given = _signed(served, proposal) | changed
    answered, text, _ = served.asked(f"/proposals/{proposal}/ballots", given)
    assert (answered, words in json.loads(text)["error"]) == (status, True), text
    assert served.dao.party.json("dao", "tally", proposal)["for"] == 0


def test_a_ballot_that_was_signed_for_other_words_is_refused(served: Served, enclave_file: Path) -> None:
    proposal = proposed(served.dao, enclave_file)
    given = _signed(served, proposal)
    for name, value in (
        ("support", "against"),
        ("reason", "other"),
        ("sequence", 1),
        ("voter", served.dao.addresses["bob"]),
    ):
        status, text, _ = served.asked(f"/proposals/{proposal}/ballots", given | {name: value})
        assert status == 400 and "signed something else" in json.loads(text)["error"], name
    status, text, _ = served.asked(f"/proposals/{proposal}/ballots", given)
    assert (status, json.loads(text)["for"]) == (200, 2)


def test_other_sites_other_hosts_and_other_bodies_are_refused(served: Served, enclave_file: Path) -> None:
    proposal = proposed(served.dao, enclave_file)
    path, given = f"/proposals/{proposal}/ballots", _signed(served, proposal)
    assert served.asked(path, given, origin="http://evil.example")[0] == 403
    assert served.asked("/", host="evil.example")[0] == 400
    assert served.asked(path, given, **{"content-type": "text/plain"})[0] == 415
    assert served.asked(path, b"{" * BODY_BYTES_MAX)[0] == 400
    assert served.asked(path, b" " * (BODY_BYTES_MAX + 1))[0] == 413
    assert served.asked(path, [given])[0] == 400
    assert served.asked(path)[0] == 405
    assert served.asked("/proposals/nothing")[0] == 404
    assert served.asked(f"/blocks/{Cid.of(0x71, b'absent')}")[0] == 404
    assert served.asked("/static/../app.py")[0] == 404
    assert served.dao.party.json("dao", "tally", proposal)["for"] == 0


def test_the_page_brings_proposals_and_votes_from_the_custodians(served: Served, enclave_file: Path) -> None:
    served.page.refresh()
    assert "asked 1 custodian" in served.asked("/")[1]


def test_an_address_that_calls_too_often_is_told_to_wait(dao: Founded) -> None:
    page = Page(settings_from(home=dao.party.home), Cid.parse(dao.genesis))
    app = voting_app(page, hosts=list(LOOPBACK), limit=PeerLimit(per_s=0.001, burst=1.0))
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "GET", "path": "/nothing", "raw_path": b"/nothing", "query_string": b"",
        "headers": [(b"host", b"localhost")], "client": ("192.0.2.1", 5), "server": ("localhost", 80),
        "scheme": "http", "http_version": "1.1", "root_path": "",
    }  # fmt: skip
    for _ in range(2):
        asyncio.run(app(dict(scope), receive, send))
    assert [message["status"] for message in sent if "status" in message] == [404, 429]


def test_the_command_serves_the_page_until_it_is_told_to_stop(dao: Founded) -> None:
    env = os.environ | {"COFFER_HOME": str(dao.party.home), "COFFER_CUSTODIANS": "[]"}
    command = [sys.executable, "-m", "cli.entry", "dao", "serve", "--web", "--listen", "127.0.0.1:0", "--json"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:  # noqa: S603
        try:
            assert process.stdout is not None
            told = json.loads(process.stdout.readline())
            assert told["genesis"] == dao.genesis
            with urllib.request.urlopen(f"http://{told['listening']}/static/vote.js", timeout=20) as script:
                assert b"eth_signTypedData_v4" in script.read()
            process.terminate()
            assert (process.wait(20), process.stderr and process.stderr.read()) == (0, b"")
        finally:
            process.kill()


def test_serve_says_what_it_takes(dao: Founded) -> None:
    assert "--web is the voting page" in dao.party.refused("dao", "serve")
    with listening("127.0.0.1:0") as bound:
        taken = f"127.0.0.1:{bound.getsockname()[1]}"
        assert "cannot listen" in dao.party.refused("dao", "serve", "--web", "--listen", taken)


def _signed(served: Served, proposal: str) -> dict[str, Any]:
    """Return what a page would send for alice's answer `for`."""
    answer = {"voter": served.dao.addresses["alice"], "support": "for", "reason": ""}
    status, text, _ = served.asked(f"/proposals/{proposal}/typed-data", answer)
    assert status == 200, text
    typed = json.loads(text)["typed_data"]
    params = [answer["voter"], json.dumps(typed)]
    signed = json.loads(
        wallet_of(served.dao, "alice").answer(json.dumps({"method": "eth_signTypedData_v4", "params": params}))
    )
    return answer | {"sequence": int(typed["message"]["sequence"]), "signature": signed["result"]}
