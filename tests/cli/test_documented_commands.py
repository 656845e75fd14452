"""Every command that the documents show is run as it stands and prints what is shown, or says why it is not run."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from cli.main import app
from tests.cli.conftest import Clock, Founded, LocalCustodian, Party, described, founded
from tests.cli.documented import COMMANDS, DOCUMENTS, OTHERS, Block, Reader, command_blocks, fenced
from tests.cli.party import command_of
from tests.cli.policies import policy_file
from tests.cli.services import EPOCH_S, QUESTION, one_party, pay_in
from tests.cli.settled import settled as settled
from tests.cli.settled import settled_home as settled_home
from tests.people import DAY_S
from tests.rag.oracle import clusters

HOUR_S = 3600
UsageError = typer.BadParameter.__mro__[1]  # Typer's own copy of Click has no public name for it
NOT_IN_PROSE = re.compile(r"(?ms)^```.*?^```$|<!--.*?-->")
SPAN = re.compile(r"`(coffer [^`\n]+)`")
ROUND = [block for block in command_blocks("README.md") if not block.not_run and "dao" in block.steps[0].command]
EARNED = [block for block in command_blocks("README.md") if not block.not_run and "royalty" in block.steps[0].command]
SCENES = {
    "a round in the README": ROUND,
    "governing": command_blocks("governing.md"),
    "keeping": command_blocks("keeping.md"),
    "asking and earning": [*command_blocks("developing.md", "receipts.md", "royalties.md"), *EARNED],
    "planning": [block for block in command_blocks("benchmarks.md", "deploying.md") if not block.not_run],
}


def shown_commands() -> list[tuple[str, str]]:
    """Return where a command of ours is shown in a block, and its words."""
    steps = [(str(block), step.command) for block in command_blocks() for step in block.steps]
    return [
        (at, command.partition("coffer ")[2]) for at, command in steps if re.match(r"([A-Z_]+=\S* )*coffer ", command)
    ]


def mentioned_commands() -> list[tuple[str, str]]:
    """Return where a command is mentioned with arguments in a sentence, and its words."""
    prose = [(document.name, NOT_IN_PROSE.sub("", document.read_text(encoding="utf-8"))) for document in DOCUMENTS]
    return [(name, span.partition(" ")[2].replace("\\|", "|")) for name, text in prose for span in SPAN.findall(text)]


def parsed(command: str) -> None:
    """Parse a command as the command line does, without running it; raise `UsageError` for what it refuses."""
    words, found = shlex.split(command, comments=True), command_of(app)
    while hasattr(found, "commands") and words:
        name, *words = words
        assert name in found.commands, f"there is no command {name!r}"
        found = found.commands[name]
    if not hasattr(found, "commands"):
        found.make_context(command, words)


def test_every_block_says_what_it_is() -> None:
    for document in DOCUMENTS:
        for line, language, text, _ in fenced(document):
            assert language in (*COMMANDS, *OTHERS), f"{document.name}:{line}"
            assert language in COMMANDS or not re.match(r"(\$ )?coffer [a-z]", text), f"{document.name}:{line}"


def test_every_command_is_run_or_says_why_not() -> None:
    run = [block for blocks in SCENES.values() for block in blocks if not block.not_run]
    assert sorted(map(str, run)) == sorted(str(block) for block in command_blocks() if not block.not_run)
    assert all(block.steps for block in command_blocks())


def test_every_command_that_is_shown_is_one() -> None:
    for at, command in shown_commands():
        try:
            parsed(command)
        except (UsageError, AssertionError) as error:
            pytest.fail(f"{at}: {command}: {error}")


def test_every_command_that_is_mentioned_takes_its_options() -> None:
    """What it lacks, and what its values stand for, the reader knows."""
    for document, command in mentioned_commands():
        try:
            parsed(command)
        except typer.BadParameter:  # a value is missing, or has not the form of one
            continue
        except (UsageError, AssertionError) as error:
            pytest.fail(f"{document}: {command}: {error}")


@pytest.mark.parametrize("command", ["dao vote", "dao vote P for --wallet W --because", "dao vot P", "cid a b c d"])
def test_a_command_that_is_none_would_be_found(command: str) -> None:
    with pytest.raises((UsageError, AssertionError)):
        parsed(command)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that a reader works in."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


class Deciding(Reader):
    """A reader who founds a DAO of alice (2 votes) and bob (1), and goes through a decision."""

    def __init__(self, party: Party, people: dict[str, str], custodians: str, clock: Clock, place: Path) -> None:
        words: dict[str, str | list[str]] = {
            "0x…": people["treasury"],
            "HOST:PORT": custodians.split(",")[0],
            "0xb0e7…B108": people["treasury"],
            "0xe826…d347": people["issuer"],
            "0xF217…da4F": people["operator"],
        }
        before = {
            "dao propose": self.write_policy,
            "dao vote": self.wait_for_opening,
            "dao queue": lambda: self.wait(4 * DAY_S),
            "dao execute": lambda: self.wait(3 * DAY_S),
            "dao verify": self.carry_out,
        }
        super().__init__(party, words, before)
        party.env["COFFER_CUSTODIANS"] = json.dumps(custodians.split(","))
        (place / "members.csv").write_text(f"{people['alice']},2\n{people['bob']},1\n")
        self.people, self.clock, self.place = people, clock, place

    def wait(self, seconds: int) -> None:
        self.clock.now += seconds

    def write_policy(self) -> None:
        dao = Founded(self.party, self.party.json("dao", "show")["genesis"], self.people)
        shutil.copy(policy_file(dao, described(dao, self.place)), self.place / "policy.yaml")

    def wait_for_opening(self) -> None:
        self.wait(HOUR_S)
        (proposal,) = self.party.json("dao", "list")["proposals"]
        self.words["PROPOSAL"] = proposal["proposal"]

    def carry_out(self) -> None:
        """Carry the proposal out where the reader has not done so."""
        if not self.party.json("dao", "show")["policies"]:
            self.wait(3 * DAY_S)
            self.party.run("dao", "execute", str(self.words["PROPOSAL"]))


@pytest.mark.parametrize(("scene", "hosts"), [("a round in the README", "one:1"), ("governing", "one:1,two:1,three:1")])
@pytest.mark.usefixtures("custodians")
def test_members_decide(
    scene: str, hosts: str, party: Party, people: dict[str, str], clock: Clock, place: Path
) -> None:
    reader = Deciding(party, people, hosts, clock, place)
    for block in SCENES[scene]:
        reader.follow(block)


def test_an_owner_keeps_carries_away_and_deletes_a_dataset(
    party: Party, people: dict[str, str], custodians: dict[str, LocalCustodian], place: Path
) -> None:
    members = ("--member", people["alice"], "--member", people["bob"])
    founded(party, people, "one:1,two:1,three:1", *members)
    (place / "docs").mkdir()
    for name in ("harbor", "tides", "complaints"):
        (place / "docs" / f"{name}.txt").write_text(f"What there is to say of {name}.")
    owner = ("--owner", "owner")
    first = party.json("dataset", "seal", "docs", *owner)["manifest"]
    party.run("dataset", "publish", first, *owner)
    elsewhere = Party(place / "elsewhere")
    reader = Reader(party, {"bafyreidecil…": first})

    def replaced() -> None:
        second = str(reader.words["bafyreifq26x…"])
        party.run("dataset", "publish", second, *owner)
        party.run("dataset", "delete", first, *owner, "--this-version", "--yes")
        custodians["three:1"].is_down = True

    reader.before = {
        "init": lambda: setattr(reader, "party", elsewhere),
        "dataset remove": lambda: setattr(reader, "party", party),
        "dataset delete": replaced,
    }
    for block in SCENES["keeping"]:
        reader.follow(block)


@pytest.fixture
def earning(place: Path, first_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """One who plays app, owner and auditor, after an epoch in which something was asked, by nobody else."""
    with one_party(tmp_path_factory.mktemp("services"), first_home) as served:
        yield _earner(served, place)


def _earner(served: Party, place: Path) -> Reader:
    pay_in(served, 50_000)
    asked = served.json("query", QUESTION, "--allow-simulated", "--k", "1")["receipt"]
    time.sleep(EPOCH_S)
    (place / "questions.txt").write_text("tides\nharbor\n")
    receipts = [str(path) for path in sorted((served.home / "receipts").glob("*.receipt"))]
    words: dict[str, Any] = {
        "alice": "member",
        "treasury": "member",
        "WALLET": "member",
        "FILE": asked,
        "RECEIPT…": receipts,
    }
    reader = Reader(served, words)

    def statements() -> list[str]:
        return [str(path) for path in sorted((served.home / "statements").glob("*.statement"))]

    def heard_of() -> None:
        words["STATEMENT…"] = words["FILE…"] = statements()

    words["GENESIS"] = served.json("dao", "show")["genesis"]
    reader.before = {
        "receipt verify": lambda: words.update({"FILE…": receipts}),
        "royalty verify": heard_of,
        "receipt audit FILE…": lambda: words.update({"FILE…": [*receipts, *statements(), "coffer.log"]}),
    }
    simulated = ("--allow-simulated",)
    reader.more = dict.fromkeys(("receipt verify", "receipt replay", "receipt audit", "royalty verify"), simulated)
    return reader


def test_an_app_asks_and_a_payee_and_an_auditor_check(earning: Reader) -> None:
    for block in SCENES["asking and earning"]:
        earning.follow(block)


@pytest.fixture
def texts_and_vectors(place: Path) -> Iterator[None]:
    """What `coffer index plan` is shown with."""
    rows = clusters(3, 4200, 32)
    np.save(place / "passages.npy", rows[:4000])
    np.save(place / "questions.npy", rows[4000:])
    (place / "reports").mkdir()
    for n in range(40):
        (place / "reports" / f"{n}.txt").write_text(f"Report {n} is about harbor {n * 7} and its tides in week {n}.")
    (place / "questions.txt").write_text("".join(f"What of harbor {n * 7}?\n" for n in range(40)))
    yield


@pytest.mark.usefixtures("texts_and_vectors")
@pytest.mark.parametrize("block", SCENES["planning"], ids=str)
def test_an_operator_plans(settled: Founded, block: Block) -> None:
    Reader(settled.party, {"DAO": settled.genesis}).follow(block)
