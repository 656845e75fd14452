"""`coffer eval` before it has sealed anything."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Party

HEADER = "query-id\tcorpus-id\tscore\n"


def test_a_collection_without_judgements_is_refused_before_anything_starts(party: Party, tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text('{"_id": "1", "title": "", "text": "Tides."}\n')
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "tides?"}\n')
    for judgements in ("", "q\t1\t0\n"):
        (tmp_path / "qrels.tsv").write_text(HEADER + judgements)
        assert "no query in" in party.refused("eval", tmp_path)


def test_settings_that_cannot_be_used_are_a_sentence(party: Party, tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text('{"_id": "1", "title": "", "text": "Tides."}\n')
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "tides?"}\n')
    (tmp_path / "qrels.tsv").write_text(HEADER + "q\t1\t1\n")
    assert "int8" in party.refused("eval", tmp_path, "--dtype", "int8", code=2)
    party.env["COFFER_PRODUCTION"] = "banana"
    assert "setting 'production' cannot be used" in party.refused("eval", tmp_path)
