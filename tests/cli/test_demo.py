"""`coffer demo` on folders and nodes that it cannot use, and one small run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Party


@pytest.mark.parametrize("node", ["garbage", "127.0.0.1:5001", "./blocks"])
def test_what_is_no_node_is_not_taken_for_a_folder(
    party: Party, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, node: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert "multiaddr" in party.refused("demo", "--ipfs", node, code=2)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("files", [{}, {"one.txt": b"Tides."}, {"one.txt": b"Tides.", "two.txt": b"\xff"}])
def test_a_folder_of_fewer_than_two_documents_is_refused(party: Party, tmp_path: Path, files: dict[str, bytes]) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    assert "fewer than two readable documents" in party.refused("demo", "--documents", folder)


@pytest.mark.slow
def test_the_whole_job_runs_on_two_small_files_and_leaves_the_users_records_alone(party: Party, tmp_path: Path) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "a.txt").write_text("The harbor closes at noon.")
    (folder / "b.md").write_text("Tide \x1b[2J[bold]tables[/] are printed in May.")
    party.env["COFFER_RECORDS"] = f"sqlite:///{tmp_path}/mine.db"
    shown = party.json("demo", "--documents", folder)
    assert (shown["documents"], shown["refusals"]["revoked_policy"], shown["tee"]) == (2, 1, "simulated")
    assert sum(shown["royalties"].values()) == shown["charged"] > 0
    assert shown["statements_verified"] == len(shown["royalties"]) == 4
    assert not (tmp_path / "mine.db").exists()
