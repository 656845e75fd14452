"""What needs a running enclave: credit, questions and receipts, against real services on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import cli.credit
from cli.asking import _open_path
from cli.credentials import read_credential
from cli.deposits import paid_in
from cli.home import Home, settings_from
from enclave.channel import EnclaveChannel
from enclave.client import EnclaveClient
from tests.cli.party import LIGHT, PASSWORD, Party
from tests.cli.services import QUESTION, TEXT, one_party, pay_in, receipts
from vault.errors import ServiceUnavailable
from vault.license import Deposit
from vault.question import Query
from vault.transparency import TreeHead


@pytest.fixture(scope="module")
def party(first_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Party]:
    """One that nobody has paid anything in for yet."""
    with one_party(tmp_path_factory.mktemp("services"), first_home) as party:
        yield party


def test_asking_paying_and_verifying(party: Party) -> None:
    assert "have the treasury add credit" in party.refused("query", QUESTION, "--allow-simulated")
    assert receipts(party) == []
    before = pay_in(party, 10_000)
    answer = party.json("query", QUESTION, "--allow-simulated", "--k", "1")
    assert [passage["text"] for passage in answer["passages"]] == [TEXT]
    assert (answer["price"], answer["tee"]) == (1000, "simulated")
    assert party.json("credit", "show")["credit"] == before - 1000
    receipt = Path(answer["receipt"])
    assert receipt.stat().st_mode & 0o777 == 0o600
    verified = party.json("receipt", "verify", receipt, "--allow-simulated")
    assert verified["verified"] and len(verified["receipts"][0]["links"]) == 9
    assert "SIMULATED" in party.refused("receipt", "verify", receipt)
    balances = party.json("royalty", "show", "--wallet", "member")["balances"]
    assert sum(balances.values()) == 0
    checked = party.json("credit", "check", "--wallet", "member")
    assert (checked["answers"] >= 1, checked["accounts"]) == (True, len(balances))
    assert "add up to what is served on" in party.run("credit", "check", "--wallet", "member").stdout
    assert not list((party.home / "receipts").glob("*.open"))


class _Deaf:
    """A channel whose next answer is lost, before or after it was acted on."""

    def __init__(self, channel: EnclaveChannel, *, booked: bool) -> None:
        self._channel, self._booked = channel, booked

    def add_credit(self, deposit: Deposit) -> int:
        if self._booked:
            self._channel.add_credit(deposit)
        raise ServiceUnavailable("the connection broke")


@pytest.mark.parametrize("booked", [True, False])
def test_paying_in_again_after_the_answer_was_lost_pays_in_once(
    party: Party, monkeypatch: pytest.MonkeyPatch, booked: bool
) -> None:
    before, amount = pay_in(party, 1_000), 4_321 + booked
    with monkeypatch.context() as context:
        context.setattr(cli.credit, "paid_in", lambda channel, *rest: paid_in(_Deaf(channel, booked=booked), *rest))
        licensee = party.json("wallet", "show", "licensee")["wallets"]["licensee"]
        command = ("credit", "add", licensee, amount, "--wallet", "member")
        for _ in range(1 + (not booked)):
            assert "Run the same command again" in party.refused(*command)
    (waiting,) = (party.home / "deposits").iterdir()
    assert waiting.stat().st_mode & 0o777 == 0o600
    again = party.json(*command)
    assert (again["added"], again["balance"]) == (0 if booked else amount, before + amount)
    assert list((party.home / "deposits").iterdir()) == []
    assert party.json(*command)["balance"] == before + 2 * amount  # the next one is another


def test_a_deposit_that_is_refused_is_forgotten(party: Party) -> None:
    licensee = party.json("wallet", "show", "licensee")["wallets"]["licensee"]
    assert "not the treasury" in party.refused("credit", "add", licensee, 5, "--wallet", "licensee")
    assert list((party.home / "deposits").iterdir()) == []


def test_a_question_of_blanks_is_refused_before_it_costs_anything(party: Party) -> None:
    for blank in ("", "   ", "\t"):
        assert "not blanks alone" in party.refused("query", blank, "--allow-simulated")


def test_a_vector_asks_as_the_text_that_it_is_of_does(party: Party, tmp_path: Path) -> None:
    pay_in(party, 20_000)
    file, at = tmp_path / "vector.json", ("--allow-simulated", "--k", "2")
    file.write_text(json.dumps(party.json("embed", QUESTION, "--allow-simulated")))
    shown = ("document", "index", "text")
    by_text, by_vector = party.json("query", QUESTION, *at), party.json("query", "--vector", file, *at)
    assert [[one[key] for key in shown] for one in by_vector["passages"]] == [
        [one[key] for key in shown] for one in by_text["passages"]
    ]
    again = party.run("query", "--vector", "-", *at, "--json", input=file.read_bytes())
    assert json.loads(again.stdout.splitlines()[-1])["passages"] == by_vector["passages"]
    assert party.json("query", QUESTION, "--vector", file, "--mode", "hybrid", *at)["passages"]
    file.write_text("[3, 4]")
    assert "has length 5, and not 1" in party.refused("query", "--vector", file, *at)
    party.refused("query", "--vector", tmp_path / "missing", *at, code=2)
    party.refused("query", "--vector", file, "--batch", file, *at, code=2)


def test_an_answer_is_printed_with_its_sources_and_the_simulated_tee(party: Party) -> None:
    pay_in(party, 10_000)
    result = party.run("query", QUESTION, "--allow-simulated")
    assert TEXT in result.stdout and "docs/a.txt" in result.stdout and "price 1000" in result.stdout
    assert "SIMULATED" in result.stderr
    assert "✓" in party.run("receipt", "verify", *receipts(party), "--allow-simulated").stdout


def test_what_its_owner_sealed_beside_a_passage_is_printed(party: Party) -> None:
    pay_in(party, 10_000)
    asked = ("query", "when are tide tables printed?", "--allow-simulated", "--k", "1")
    (passage,) = party.json(*asked)["passages"]
    assert passage["metadata"] == {"tags": ["tides"], "year": 2024}
    assert passage["is_redacted"] is False
    assert "tags: tides; year: 2024" in party.run(*asked).stdout


def test_a_file_of_questions_is_asked_together(party: Party, tmp_path: Path) -> None:
    before = pay_in(party, 10_000)
    file = tmp_path / "questions.txt"
    file.write_text(f"{QUESTION}\n\nwhen are tide tables printed?\n{QUESTION}\n")
    shown = party.json("query", "--batch", file, "--allow-simulated", "--k", "1")
    assert [one["passages"][0]["text"] for one in shown["answers"]] == [TEXT, "b Tide tables are printed in May."]
    assert (shown["spent"], shown["refused"]) == (2000, 0)
    assert party.json("credit", "show")["credit"] == before - 2000
    receipts = [one["receipt"] for one in shown["answers"]]
    assert party.json("receipt", "verify", *receipts, "--allow-simulated")["verified"]
    said = party.refused("query", "--batch", file, "--allow-simulated", "--k", "1", "--max-spend", "1000")
    assert "1 of 2 questions were refused" in said
    assert not list((party.home / "receipts").glob("*.open"))


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff", b"x" * 5000])
def test_a_file_that_holds_no_questions_is_refused_before_anything_is_sent(
    party: Party, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "questions").write_bytes(content)
    party.refused("query", "--batch", tmp_path / "questions", "--allow-simulated", code=2)
    party.refused("query", "--batch", tmp_path / "missing", "--allow-simulated", code=2)
    party.refused("query", "text", "--batch", tmp_path / "questions", "--allow-simulated", code=2)
    party.refused("query", "--allow-simulated", code=2)


def test_the_terms_are_free_and_a_vector_costs_a_question(party: Party) -> None:
    before = pay_in(party, 10_000)
    quote = party.json("quote", "--allow-simulated")
    assert (quote["price_max"], quote["credit"]) == (1000, before)
    described = party.json("describe", "--allow-simulated")
    assert (described["k_max"], described["price_per_query"], len(described["datasets"])) == (4, 1000, 1)
    assert (
        (described["free_queries"], described["price_tiers"])
        == (quote["free_queries"], quote["price_tiers"])
        == (0, [])
    )
    assert "1000 … 1000" in party.run("quote", "--allow-simulated").stdout
    assert described["datasets"][0]["manifest"] in party.run("describe", "--allow-simulated").stdout
    assert party.json("credit", "show")["credit"] == before
    made = party.json("embed", QUESTION, "--allow-simulated")
    assert sum(number**2 for number in made["vector"]) == pytest.approx(1, abs=1e-3)
    assert party.json("credit", "show")["credit"] == before - 1000


def test_a_count_is_told_in_steps_and_has_a_receipt(party: Party) -> None:
    before = pay_in(party, 10_000)
    assert party.json("describe", "--allow-simulated")["counts_in"] == 5
    old = ('{"key": "year", "range": {"lt": 2000}}', "--allow-simulated")
    counted = party.json("count", *old)
    assert (counted["count"], counted["counts_in"], counted["price"]) == (5, 5, 1000)
    assert party.json("receipt", "verify", counted["receipt"], "--allow-simulated")["verified"]
    assert "5 … 9 passages" in party.run("count", *old).stdout
    assert party.json("count", '{"key": "year", "equals": 2024}', "--allow-simulated")["count"] == 0
    assert "fewer than 5" in party.run("count", '{"key": "year", "equals": 2024}', "--allow-simulated").stdout
    assert party.json("credit", "show")["credit"] == before - 4000
    assert not list((party.home / "receipts").glob("*.open"))


@pytest.mark.parametrize(
    ("where", "extra"),
    [
        ("year is 2024", ()),
        ('{"key": "year"}', ()),
        ('{"key": "year", "equals": 2024}', ("--max-price", "999")),
    ],
)
def test_a_count_that_cannot_be_or_costs_too_much_is_refused_and_free(
    party: Party, where: str, extra: tuple[str, ...]
) -> None:
    before = pay_in(party, 1000)
    party.refused("count", where, *extra, "--allow-simulated")
    assert party.json("credit", "show")["credit"] == before


def test_more_passages_than_the_policy_gives_are_refused_but_never_by_default(party: Party) -> None:
    pay_in(party, 1000)
    before = party.json("credit", "show")["credit"]
    assert "1 … 4" in party.refused("query", QUESTION, "--allow-simulated", "--k", "5")
    assert party.json("credit", "show")["credit"] == before
    assert len(party.json("query", QUESTION, "--allow-simulated")["passages"]) == 4


def test_nothing_is_sent_to_a_simulated_tee_that_was_not_expected(party: Party) -> None:
    before = party.json("credit", "show")
    assert "SIMULATED" in party.refused("query", QUESTION)
    assert party.json("credit", "show") == before


def test_a_receipt_that_was_changed_is_refused_with_the_fact(party: Party, tmp_path: Path) -> None:
    pay_in(party, 1000)
    receipt = Path(party.json("query", QUESTION, "--allow-simulated")["receipt"])
    content = receipt.read_bytes()
    assert QUESTION.encode() in content
    changed = tmp_path / "changed"
    changed.write_bytes(content.replace(QUESTION.encode(), QUESTION.replace("close", "opens").encode()))
    said = party.refused("receipt", "verify", changed, receipt, "--allow-simulated")
    assert "text: not the question that was asked" in said


def test_a_receipt_is_replayed_by_the_owner_and_its_head_by_the_votes(party: Party, tmp_path: Path) -> None:
    pay_in(party, 2000)
    receipt = Path(party.json("query", QUESTION, "--allow-simulated", "--k", "2")["receipt"])
    party.run("dao", "export", tmp_path / "dao.car")
    counted = ("--chain", tmp_path / "dao.car", "--allow-simulated")
    (links,) = [one["links"] for one in party.json("receipt", "verify", receipt, *counted)["receipts"]]
    assert any("every vote on the way was counted again" in link for link in links)
    replayed = party.json("receipt", "replay", receipt, "--owner", "member", "--allow-simulated")
    assert replayed["replayed"] and "byte for byte" in replayed["links"][-1]
    assert "owns a dataset" in party.refused("receipt", "replay", receipt, "--owner", "licensee", "--allow-simulated")
    assert "is not MANIFEST=FILE" in party.refused(
        "receipt", "replay", receipt, "--owner", "member", "--vectors", "x", "--allow-simulated"
    )
    assert "there is no bundle" in party.refused("receipt", "verify", receipt, "--chain", tmp_path / "gone")


def test_every_receipt_is_looked_at_though_one_is_wrong(party: Party, tmp_path: Path) -> None:
    pay_in(party, 1000)
    receipt = Path(party.json("query", QUESTION, "--allow-simulated")["receipt"])
    (tmp_path / "wrong").write_bytes(b"no receipt")
    files = (tmp_path / "wrong", tmp_path / "gone", receipt)
    result = party.run("receipt", "verify", *files, "--allow-simulated", code=1)
    assert f"file: {files[0]} is not a whole receipt file" in result.stderr
    assert f"file: {files[1]} does not exist" in result.stderr and "3 receipts: 1 hold, 2 do not" in result.stdout
    assert f"{files[0]} is not a whole receipt file" in party.refused(
        "receipt", "replay", files[0], "--owner", "member"
    )


def test_a_question_whose_answer_was_lost_is_charged_once(party: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    before = pay_in(party, 5000)
    real = EnclaveClient.search

    def lost(self: EnclaveClient, text: str, **rest: Any) -> Any:
        real(self, text, **rest)
        raise ServiceUnavailable("the connection broke")

    with monkeypatch.context() as patch:
        patch.setattr(EnclaveClient, "search", lost)
        assert "not charged twice" in party.refused("query", "a lost one?", "--allow-simulated")
    assert party.json("credit", "show")["credit"] == before - 1000
    again = party.json("query", "a lost one?", "--allow-simulated")
    assert again["is_repeat"]
    assert party.json("credit", "show")["credit"] == before - 1000
    assert not party.json("query", "a lost one?", "--allow-simulated")["is_repeat"]  # asked anew, and charged anew
    assert party.json("credit", "show")["credit"] == before - 2000


def test_what_is_kept_of_an_open_question_does_not_name_it(party: Party) -> None:
    settings = settings_from(home=party.home, password=PASSWORD)
    credential = read_credential(settings, None)
    paths = {
        _open_path(
            Home(party.home),
            credential,
            Query(request=bytes(32), policy=credential.license.policy, text=text, k=k, salt=bytes(32)),
        )
        for text in ("a", "b")
        for k in (1, 2)
    }
    assert len(paths) == 4


def test_only_a_treasury_adds_credit(party: Party) -> None:
    licensee = party.json("wallet", "show", "licensee")["wallets"]["licensee"]
    assert "is not the treasury" in party.refused("credit", "add", licensee, "5", "--wallet", "licensee")
    assert "--currency" in party.refused("credit", "add", licensee, "5", "--wallet", "member", "--currency", "EUR")


def test_production_refuses_the_simulated_tee_everywhere(party: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(party.env, "COFFER_PRODUCTION", "true")
    for command in (
        ("query", QUESTION, "--allow-simulated"),
        ("credit", "show"),
        ("royalty", "show", "--wallet", "member"),
    ):
        party.refused(*command)


def test_doctor_reaches_the_enclave(party: Party) -> None:
    checks = party.json("doctor")["checks"]
    assert any(check["what"] == "enclave" and "serving" in check["found"] for check in checks)


def test_an_owner_carries_the_dataset_away_and_has_it_again_from_one_file_and_paper(
    party: Party, tmp_path: Path
) -> None:
    pay_in(party, 1000)
    asked = Path(party.json("query", QUESTION, "--allow-simulated")["receipt"])
    manifest = party.json("describe", "--allow-simulated")["datasets"][0]["manifest"]
    address = party.json("wallet", "show", "member")["wallets"]["member"]
    party.run("dataset", "backup", manifest, "--owner", "member", "--out", tmp_path / "key.words")
    party.run("wallet", "backup", "member", "--out", tmp_path / "wallet.words")
    exported = party.json("dataset", "export", manifest, "--car", tmp_path / "away.car", "--owner", "member")
    assert exported["receipts"] == len(receipts(party))
    assert not any(text.encode() in (tmp_path / "away.car").read_bytes() for text in (TEXT, QUESTION))
    new = Party(tmp_path / "elsewhere")  # a machine that has the file and the words, and nothing else
    new.run("init")
    new.run("dataset", "import", tmp_path / "away.car")
    restored = ("--address", address, "--from", tmp_path / "wallet.words", "--rounds", LIGHT)
    new.run("wallet", "restore", "me", *restored)
    new.run("dataset", "restore", manifest, "--owner", "me", "--from", tmp_path / "key.words")
    assert new.json("dataset", "verify", manifest, "--owner", "me")["decrypted"]
    assert asked.name in new.json("dataset", "receipts", manifest, "--owner", "me")["receipts"]
    assert new.json("receipt", "verify", new.home / "receipts" / asked.name, "--allow-simulated")["verified"]
    assert new.json("dao", "verify")["verified"]
    at = ("--custodian", (party.home.parent / "address").read_text())
    assert new.json("dataset", "publish", manifest, "--owner", "me", *at)["state"] == "published"
    assert new.json("dataset", "verify", manifest, "--owner", "me")["decrypted"]


def test_a_log_that_lost_entries_is_refused_before_anything_is_asked(party: Party) -> None:
    (head_file,) = (party.home / "log-heads").iterdir()
    head = TreeHead.from_bytes(head_file.read_bytes())
    head_file.write_bytes(replace(head, size=head.size + 1_000).encoded())
    before = party.json("credit", "show")["credit"]
    told = party.refused("query", QUESTION, "--allow-simulated")
    assert "shrunken log" in told and str(head_file) in told.replace("\n", "")
    head_file.write_bytes(replace(head, root=bytes(32)).encoded())
    assert "split view" in party.refused("query", QUESTION, "--allow-simulated")
    assert party.json("credit", "show")["credit"] == before
    head_file.unlink()
    party.json("query", QUESTION, "--allow-simulated")
    assert TreeHead.from_bytes(head_file.read_bytes()).size >= head.size
