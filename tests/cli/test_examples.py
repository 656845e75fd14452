"""The examples, run as their readers run them: real services, and a model's endpoint that answers by script."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.cli.party import PASSWORD, Party
from tests.cli.services import QUESTION, TEXT, pay_in

EXAMPLES = Path(__file__).parents[2] / "examples"
WAIT_S = 120
Reply = Callable[[list[dict[str, Any]]], dict[str, Any]]


class Model:
    """An endpoint for chat completions whose `reply` says what the assistant says to the messages so far."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.reply: Reply = lambda _: {"content": ""}
        model = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                model.asked.append(body)
                message = {"role": "assistant", **model.reply(body["messages"])}
                answer = json.dumps({"choices": [{"index": 0, "message": message}]}).encode()
                self.send_response(200 if self.path == "/v1/chat/completions" else 404)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def model() -> Iterator[Model]:
    model = Model()
    yield model
    model.close()


def ran(party: Party, example: str, *args: object, url: str = "", code: int = 0) -> str:
    env = {"PATH": os.environ["PATH"], "COFFER_HOME": str(party.home), "COFFER_PASSWORD": PASSWORD}
    env |= party.env | {"OPENAI_BASE_URL": url, "OPENAI_MODEL": "scripted", "PYTHONPATH": str(EXAMPLES.parent)}
    command = [sys.executable, str(EXAMPLES / example), *map(str, args)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=WAIT_S, check=False)  # noqa: S603
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def at_enclave(party: Party) -> tuple[str, Path]:
    (credential,) = (party.home / "credentials").glob("*.credential")
    return party.env["COFFER_ENCLAVE"], credential


class TestAnswerWithCitations:
    def test_the_model_gets_numbered_passages_and_what_it_cites_is_named(self, served: Party, model: Model) -> None:
        pay_in(served, 10_000)
        model.reply = lambda _: {"content": "At noon [1]."}
        said = ran(served, "rag_answer.py", *at_enclave(served), QUESTION, "--allow-simulated", url=model.url)
        (asked,) = model.asked
        assert f"[1] {TEXT}" in asked["messages"][1]["content"] and QUESTION in asked["messages"][1]["content"]
        assert said.splitlines()[0] == "At noon [1]."
        assert "[1] docs/a.txt" in said and "receipt bafy" in said

    @pytest.mark.parametrize(
        ("content", "warning"), [("At noon [7].", "[7] is no passage"), ("At noon.", "nothing was cited")]
    )
    def test_a_citation_of_nothing_is_said(self, served: Party, model: Model, content: str, warning: str) -> None:
        pay_in(served, 10_000)
        model.reply = lambda _: {"content": content}
        said = ran(served, "rag_answer.py", *at_enclave(served), QUESTION, "--allow-simulated", url=model.url)
        assert warning in said

    def test_what_does_not_prove_itself_is_not_asked(self, served: Party, model: Model) -> None:
        said = ran(served, "rag_answer.py", *at_enclave(served), QUESTION, url=model.url, code=1)
        assert "SIMULATED" in said and model.asked == []


class TestAgentWithABudget:
    def test_it_searches_until_its_budget_is_spent_and_answers_from_what_it_has(
        self, served: Party, model: Model
    ) -> None:
        before = pay_in(served, 10_000)

        def reply(messages: list[dict[str, Any]]) -> dict[str, Any]:
            results = [message["content"] for message in messages if message["role"] == "tool"]
            if results and results[-1].startswith("refused"):
                return {"content": f"After {len(results)} searches: noon."}
            arguments = json.dumps({"question": QUESTION, "k": 1})
            call = {"type": "function", "function": {"name": "search", "arguments": arguments}}
            return {"content": None, "tool_calls": [call | {"id": str(len(results))}]}

        model.reply = reply
        limit = ("--max-spend", "2500", "--allow-simulated")
        said = ran(served, "budget_agent.py", *at_enclave(served), "When?", *limit, url=model.url)
        assert "After 3 searches: noon." in said and "spent 2000 of 2500 micro-USDC" in said
        assert served.json("credit", "show")["credit"] == before - 2000
        results = [message["content"] for message in model.asked[-1]["messages"] if message["role"] == "tool"]
        assert TEXT in results[0] and "max_spend" in results[2]


class TestNightlyIngest:
    def test_what_changed_is_published_as_the_next_version_and_nothing_else(
        self, served: Party, tmp_path: Path
    ) -> None:
        folder = tmp_path / "documents"
        folder.mkdir()
        (folder / "a.txt").write_text("The first night.")
        options = (folder, "--owner", "member", "--title", "Nights", "--allow-simulated")

        def night() -> dict[str, Any]:
            shown: dict[str, Any] = json.loads(ran(served, "nightly_ingest.py", *options).splitlines()[-1])
            return shown

        first = night()
        assert first["state"] == "published"
        assert night() == {"state": "unchanged", "manifest": first["manifest"]}
        (folder / "b.txt").write_text("The second night.")
        second = night()
        assert (second["state"], second["manifest"] != first["manifest"]) == ("published", True)
        shown = served.json("dataset", "show", second["manifest"])
        assert (shown["version"], shown["title"]) == (2, "Nights")
        assert served.json("dataset", "verify", second["manifest"], "--owner", "member")["decrypted"]

    def test_what_cannot_be_sealed_is_not_noted(self, served: Party, tmp_path: Path) -> None:
        (tmp_path / "documents").mkdir()
        ran(served, "nightly_ingest.py", tmp_path / "documents", "--owner", "member", code=1)
        assert not (tmp_path / "ingest.json").exists()
