"""`coffer dao verify|export|log`: everything is checked from the charter, and what somebody changed is found."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from cli.receipt import _chain
from storage.cid import Cid
from storage.directory import DirectoryBlobs
from tests.cli.conftest import Clock, Founded, Party
from tests.cli.dao_steps import carried, proposed, voted
from tests.cli.dao_steps import closed as closed_vote
from tests.cli.settled import decided as decided
from tests.cli.settled import settled as settled
from tests.cli.settled import settled_home as settled_home
from tests.people import DAY_S
from vault.errors import NotYet


@contextmanager
def rows_of(dao: Founded) -> Iterator[sqlite3.Connection]:
    """Open the database under the board, as a host could."""
    with closing(sqlite3.connect(dao.party.home / "records.db")) as database, database:
        yield database


def test_verify_prints_every_link(settled: Founded, decided: str) -> None:
    told = settled.party.json("dao", "verify")
    assert (told["verified"], told["genesis"], told["problem"]) == (True, settled.genesis, None)
    assert any("3 for, 0 against, 0 abstain of 3" in link for link in told["links"])
    shown = settled.party.run("dao", "verify").stdout
    assert shown.count("✓") == len(told["links"]) and settled.genesis in shown


@pytest.mark.parametrize("kind", ["charter", "roll", "block", "policy", "proposal", "vote", "decision", "head"])
def test_verify_finds_what_somebody_changed_in_the_database(settled: Founded, decided: str, kind: str) -> None:
    with rows_of(settled) as rows:
        changed = rows.execute("update board_object set body = cast(body || x'00' as blob) where kind = ?", (kind,))
        assert changed.rowcount
    told = settled.party.refused("dao", "verify")
    assert "✗" in told and "was changed" in told
    result = settled.party.run("dao", "verify", "--json", code=1)
    assert '"verified": false' in result.stdout


@pytest.mark.parametrize("kind", ["charter", "block", "policy", "decision", "head"])
def test_verify_finds_what_somebody_deleted(settled: Founded, decided: str, kind: str) -> None:
    with rows_of(settled) as rows:
        what = "select cid from board_object where kind = 'decision'"
        where = f"kind = ? and (kind != 'block' or parent in ({what}))"
        assert rows.execute(f"delete from board_object where {where}", (kind,)).rowcount  # noqa: S608
    assert "is not on the board" in settled.party.refused("dao", "verify")


def test_the_order_of_rows_changes_nothing(settled: Founded, decided: str) -> None:
    before = settled.party.json("dao", "verify")["links"]
    with rows_of(settled) as rows:
        positions = [position for (position,) in rows.execute("select position from board_object")]
        for old, new in zip(positions, reversed(positions), strict=True):
            rows.execute("update board_object set position = ? where position = ?", (-new, old))
        rows.execute("update board_object set position = -position")
    assert sorted(settled.party.json("dao", "verify")["links"]) == sorted(before)


def test_a_vote_filed_under_another_proposal_is_named(dao: Founded, enclave_file: Path) -> None:
    first, second = proposed(dao, enclave_file), proposed(dao, enclave_file, price="price:\n  per_query: 9")
    voted(dao, first, "alice", "against")
    with rows_of(dao) as rows:
        rows.execute("update board_object set parent = ? where kind = 'vote'", (Cid.parse(second).binary,))
    assert "another proposal" in dao.party.refused("dao", "verify")
    shown = dao.party.json("dao", "tally", second)
    assert (shown["against"], len(shown["refused"])) == (0, 1)


def test_a_tip_set_back_is_valid_and_the_custodians_know_better(dao: Founded, enclave_file: Path, clock: Clock) -> None:
    carried(dao, clock, proposed(dao, enclave_file))
    with rows_of(dao) as rows:
        (first,) = rows.execute("select cid from board_object where kind = 'head' and parent is null").fetchone()
        rows.execute("update board_tip set head = ?, epoch = 0", (first,))
    assert dao.party.json("dao", "show")["policies"] == []
    dao.party.run("dao", "propose", "--wallet", "alice", "--revoke", "dao")  # asks the custodians, and follows them
    assert dao.party.json("dao", "show")["epoch"] == 1


def test_a_board_without_the_roll_verifies_and_says_so(settled: Founded, decided: str) -> None:
    with rows_of(settled) as rows:
        rows.execute("delete from board_object where kind = 'roll'")
    assert any("not here" in link for link in settled.party.json("dao", "verify")["links"])
    assert settled.party.json("dao", "show")["members"] is None


def test_a_vote_that_the_board_withholds_is_in_the_decision(dao: Founded, enclave_file: Path, clock: Clock) -> None:
    proposal = proposed(dao, enclave_file)
    voted(dao, proposal, "bob")
    voted(dao, proposal, "alice", "against")
    with rows_of(dao) as rows:
        rows.execute("delete from board_object where kind = 'vote'")
    clock.now += 4 * DAY_S
    assert "1 for, 2 against" in dao.party.refused("dao", "queue", proposal)


def test_a_bundle_proves_itself_anywhere(settled: Founded, decided: str, tmp_path: Path) -> None:
    bundle = tmp_path / "harbor.car"
    made = settled.party.json("dao", "export", bundle)
    assert made["genesis"] == settled.genesis
    stranger = Party(tmp_path / "nobody")  # without a home, a board or custodians
    told = stranger.json("dao", "verify", bundle)
    assert (told["verified"], told["genesis"]) == (True, settled.genesis)
    assert any("2 members, total weight 3" in link for link in told["links"])
    assert "already" in settled.party.refused("dao", "export", bundle)
    assert not list(tmp_path.glob("*.part"))


def test_a_bundles_head_stands_behind_no_receipt_from_before_its_time(
    settled: Founded, decided: str, tmp_path: Path, clock: Clock
) -> None:
    head = Cid.parse(settled.party.json("dao", "export", tmp_path / "harbor.car")["root"])
    chain = _chain(str(tmp_path / "harbor.car"), Cid.parse(settled.genesis))
    history = chain(head, clock.now)
    assert history.head.cid() == head and chain(head, clock.now + DAY_S) is history
    with pytest.raises(NotYet):
        chain(head, clock.now - 30 * DAY_S)  # though it was counted for a later time before


def test_one_decision_is_exported_before_it_is_carried_out(
    dao: Founded, enclave_file: Path, clock: Clock, tmp_path: Path
) -> None:
    carried(dao, clock, proposed(dao, enclave_file))
    proposal = proposed(dao, enclave_file, price="price:\n  per_query: 9")
    assert "coffer dao queue" in dao.party.refused("dao", "export", tmp_path / "one.car", "--proposal", proposal)
    voted(dao, proposal)
    decision = closed_vote(dao, clock, proposal)["decision"]
    dao.party.run("dao", "export", tmp_path / "one.car", "--proposal", proposal)
    told = Party(tmp_path / "nobody").json("dao", "verify", tmp_path / "one.car")
    assert any(decision in link and "2 for, 0 against" in link for link in told["links"])
    assert dao.party.json("dao", "verify", decision)["verified"]


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "text"])
def test_a_damaged_bundle_is_refused(settled: Founded, decided: str, tmp_path: Path, damage: str) -> None:
    bundle = tmp_path / "harbor.car"
    settled.party.run("dao", "export", bundle)
    content = bundle.read_bytes()
    half = len(content) // 2
    bundle.write_bytes(
        {
            "flipped": content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :],
            "cut": content[:half],
            "empty": b"",
            "text": b"no archive at all",
        }[damage]
    )
    settled.party.refused("dao", "verify", bundle)


def test_a_bundle_of_another_dao_is_not_ours(settled: Founded, decided: str, tmp_path: Path) -> None:
    bundle = tmp_path / "harbor.car"
    settled.party.run("dao", "export", bundle)
    told = settled.party.run("dao", "verify", bundle, "--dao", settled.genesis).stdout
    assert settled.genesis in told
    refused = settled.party.run("dao", "verify", bundle, "--dao", str(_other(Cid.parse(settled.genesis))), code=1)
    assert "✓" not in refused.stdout


def _other(cid: Cid) -> Cid:
    return Cid.of(cid.codec, b"another charter")


@pytest.fixture
def folder(settled: Founded, decided: str, tmp_path: Path) -> Path:
    """A folder with every block of the chain under its CID, as any host could serve it."""
    settled.party.run("dao", "export", tmp_path / "harbor.car")
    from storage.car import read_car

    (tmp_path / "blocks").mkdir()
    with (tmp_path / "harbor.car").open("rb") as stream:
        _, blocks = read_car(stream, blocks_max=1000, bytes_max=10**8)
        for cid, body in blocks:
            (tmp_path / "blocks" / str(cid)).write_bytes(body)
    return tmp_path / "blocks"


def test_a_folder_of_blocks_is_verified(settled: Founded, folder: Path) -> None:
    told = settled.party.json("dao", "verify", folder)
    assert told["verified"] and told["genesis"] == settled.genesis


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda file: file.write_bytes(file.read_bytes() + b"\0"), "was changed"),
        (lambda file: file.unlink(), "is missing"),
    ],
    ids=["changed", "deleted"],
)
def test_one_damaged_file_of_a_folder_is_found(
    settled: Founded, folder: Path, damage: Callable[[Path], None], said: str
) -> None:
    with rows_of(settled) as rows:
        (cid,) = rows.execute("select cid from board_object where kind = 'decision'").fetchone()
    damage(folder / str(Cid(cid)))
    assert said in settled.party.refused("dao", "verify", folder)


def test_a_decision_and_a_head_are_verified_by_their_cids(settled: Founded, decided: str) -> None:
    whole = settled.party.json("dao", "show")
    assert settled.party.json("dao", "verify", whole["head"])["verified"]
    assert settled.party.json("dao", "verify", settled.genesis)["verified"]
    assert "name a charter, a head or a decision" in settled.party.refused(
        "dao", "verify", whole["policies"][0]["policy"]
    )
    settled.party.refused("dao", "verify", "nonsense", code=2)


def test_blocks_come_from_storage_too(settled: Founded, folder: Path, tmp_path: Path) -> None:
    head = settled.party.json("dao", "show")["head"]
    reader = Party(tmp_path / "reader")
    reader.run("init")
    blobs = DirectoryBlobs(tmp_path / "store")
    for file in folder.iterdir():
        blobs.put(Cid.parse(file.name), file.read_bytes())
    reader.env["COFFER_STORAGE"] = str(tmp_path / "store")
    assert reader.json("dao", "verify", head)["genesis"] == settled.genesis


def test_the_log_tells_every_epoch(dao: Founded, enclave_file: Path, clock: Clock) -> None:
    decided = proposed(dao, enclave_file)
    carried(dao, clock, decided, "alice", "bob")
    dao.party.run("dao", "delegate", dao.addresses["bob"], "--wallet", "alice")
    epochs = dao.party.json("dao", "log")["epochs"]
    assert [epoch["epoch"] for epoch in epochs] == [0, 1, 2]
    assert (epochs[1]["proposal"], epochs[1]["voters"], epochs[1]["count"]) == (
        decided,
        2,
        "3 for, 0 against, 0 abstain of 3",
    )
    assert sorted(one["voter"] for one in epochs[1]["ballots"]) == sorted(
        dao.addresses[name] for name in ("alice", "bob")
    )
    assert epochs[2]["delegations"] == [[dao.addresses["alice"], dao.addresses["bob"]]]
    told = dao.party.run("dao", "log", "--ballots").stdout
    assert "epoch 1" in told and decided in told and f"{dao.addresses['bob']} for, weight 1" in told


def test_a_board_that_others_filled_says_what_does_not_count(dao: Founded, enclave_file: Path) -> None:
    proposal = proposed(dao, enclave_file)
    with rows_of(dao) as rows:
        rows.execute("update board_object set body = x'a0' where kind = 'proposal'")
    whole = dao.party.json("dao", "show")
    assert whole["proposals"] == [] and len(whole["refused"]) == 1 and proposal in whole["refused"][0]
