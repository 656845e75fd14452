"""Piece commitments: the published vectors, and agreement with the definition spelled out the slow way."""

import hashlib
import io
import json
import random
from base64 import b32encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli.piece_cid import piece_cid as command
from storage import commp
from storage.commp import RAW_BYTES_MAX, PieceHasher, piece_cid, zero_root
from storage.errors import FileTooLarge, InvalidCid
from storage.piece_cid import HEIGHT_MAX, HEIGHT_MIN, PieceCid, capacity, height_for, root_from_v1
from tests.shared_data import shared

BATCH = capacity(14)


def _vectors() -> list[dict[str, Any]]:
    """From the FRC-0069 text and from the Go implementation's own tests, as the file itself says."""
    vectors: list[dict[str, Any]] = json.loads(shared("vectors/commp.json").read_text())["vectors"]
    return vectors


def _data_of(vector: dict[str, Any]) -> bytes:
    data = vector["data"]
    return b"".join(bytes((part["repeat_byte"],)) * part["length"] for part in data.get("concat", [data]))


def _piece_of(vector: dict[str, Any]) -> PieceCid:
    if vector["data"].get("too_big_to_hash_use_zero_subtree"):
        height = height_for(vector["raw_size"])
        return PieceCid(root=zero_root(height), raw_bytes=vector["raw_size"], height=height)
    return piece_cid(_data_of(vector))


def slow_root(data: bytes) -> bytes:
    """The definition: pad the bits, then hash pair by pair."""
    height = height_for(len(data))
    groups = [int.from_bytes(data[at : at + 127], "little") for at in range(0, capacity(height), 127)]
    level = [(bits >> shift & 2**254 - 1).to_bytes(32, "little") for bits in groups for shift in (0, 254, 508, 762)]
    while len(level) > 1:
        digests = [hashlib.sha256(left + right).digest() for left, right in zip(level[::2], level[1::2], strict=True)]
        level = [digest[:-1] + bytes((digest[-1] & 0x3F,)) for digest in digests]
    return level[0]


def test_every_vector_is_reproduced() -> None:
    vectors = _vectors()
    assert len(vectors) >= 23
    for vector in vectors:
        piece = _piece_of(vector)
        assert (piece.raw_bytes, piece.padded_bytes) == (vector["raw_size"], vector["padded_size"]), vector["id"]
        if vector["piece_cid_v1"]:
            assert piece.v1 == vector["piece_cid_v1"], vector["id"]
            assert root_from_v1(vector["piece_cid_v1"]) == piece.root
        if vector["piece_cid_v2"]:
            assert str(piece) == vector["piece_cid_v2"], vector["id"]
            assert PieceCid.parse(vector["piece_cid_v2"]) == piece


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=2000))
@example(b"")
@example(b"\xff" * 127)
@example(b"\xff" * 128)
@example(b"\xff" * 254)
@example(b"\xff" * 255)
def test_it_agrees_with_the_definition(data: bytes) -> None:
    assert piece_cid(data).root == slow_root(data)


@pytest.mark.parametrize("length", [BATCH - 1, BATCH, BATCH + 1, 2 * BATCH, 2 * BATCH + 1, 3 * BATCH, 5 * BATCH + 77])
def test_it_agrees_with_the_definition_around_every_batch(length: int) -> None:
    data = random.Random(length).randbytes(length)  # noqa: S311 - data, not a secret
    assert piece_cid(data).root == slow_root_of_batches(data)


def slow_root_of_batches(data: bytes) -> bytes:
    """The same definition in pieces: a root for each batch, then the tree over those."""
    height = height_for(len(data))
    count = 1 << max(0, height - 14)
    roots = [slow_root(data[at : at + BATCH].ljust(BATCH, b"\0")) for at in range(0, len(data), BATCH)]
    level = roots + [zero_root(14)] * (count - len(roots))
    while len(level) > 1:
        digests = [hashlib.sha256(left + right).digest() for left, right in zip(level[::2], level[1::2], strict=True)]
        level = [digest[:-1] + bytes((digest[-1] & 0x3F,)) for digest in digests]
    return level[0]


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 3 * BATCH // 2), max_size=5))
def test_how_it_is_fed_changes_nothing(lengths: list[int]) -> None:
    data = bytes(range(251)) * (sum(lengths) // 251 + 1)
    hasher, at = PieceHasher(), 0
    for length in lengths:
        hasher.update(data[at : at + length])
        at += length
        assert hasher.piece_cid().raw_bytes == at
    assert hasher.piece_cid() == piece_cid(data[:at])


def test_a_stream_is_read_in_parts_to_its_end() -> None:
    class Dribble(io.BytesIO):
        largest = 0

        def read(self, length: int | None = -1) -> bytes:
            self.largest = max(self.largest, length or 0)
            return super().read(min(length or 0, 1000))

    data = bytes(100_000)
    stream = Dribble(data)
    assert piece_cid(stream) == piece_cid(data)
    assert stream.largest <= commp.READ_BYTES


def test_more_than_a_sector_is_refused_before_it_is_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commp, "RAW_BYTES_MAX", 1000)
    hasher = PieceHasher()
    hasher.update(bytes(1000))
    with pytest.raises(FileTooLarge):
        hasher.update(b"x")
    assert RAW_BYTES_MAX == 127 << 29


PIECE = piece_cid(b"a piece of Filecoin")


@given(st.binary(min_size=32, max_size=32), st.integers(HEIGHT_MIN, HEIGHT_MAX), st.data())
def test_a_name_says_all_there_is_to_say(root: bytes, height: int, draw: st.DataObject) -> None:
    raw_bytes = draw.draw(st.integers(0, capacity(height)))
    piece = PieceCid(root=root[:-1] + bytes((root[-1] & 0x3F,)), raw_bytes=raw_bytes, height=height)
    assert PieceCid.parse(str(piece)) == piece
    assert root_from_v1(piece.v1) == piece.root


def wrong_names() -> Iterator[str]:
    right = str(PIECE)
    yield from ("", "b", "f0155", right[:-1], right + "a", right.upper(), right[1:], "z" + right[1:], right + "=")
    yield from (PIECE.v1, "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e", "b" * 500, "bé", "b0189")


@pytest.mark.parametrize("text", list(wrong_names()))
def test_what_is_no_name_of_version_2_is_refused(text: str) -> None:
    with pytest.raises(InvalidCid):
        PieceCid.parse(text)


@pytest.mark.parametrize("text", ["", str(PIECE), PIECE.v1[:-1], PIECE.v1.upper(), "b" + "a" * 63])
def test_what_is_no_name_of_version_1_is_refused(text: str) -> None:
    with pytest.raises(InvalidCid):
        root_from_v1(text)


@given(st.integers(0, len(PIECE.binary) - 1), st.integers(1, 255))
def test_a_changed_byte_is_another_piece_or_our_own_error(at: int, change: int) -> None:
    binary = bytearray(PIECE.binary)
    binary[at] ^= change
    try:
        assert PieceCid.parse(commp_text(bytes(binary))) != PIECE
    except InvalidCid:
        return


def commp_text(binary: bytes) -> str:
    return "b" + b32encode(binary).decode().rstrip("=").lower()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("root", bytes(31)),
        ("root", bytes(31) + b"\x40"),
        ("height", 1),
        ("height", 59),
        ("raw_bytes", -1),
        ("raw_bytes", capacity(HEIGHT_MIN) + 1),
    ],
)
def test_one_wrong_fact_is_no_piece(field: str, value: object) -> None:
    right: dict[str, Any] = {"root": bytes(32), "raw_bytes": 100, "height": 2}
    PieceCid(**right)
    with pytest.raises(InvalidCid):
        PieceCid(**{**right, field: value})


def _run(*args: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, list(args))
    return result.exit_code, result.output


def test_the_command_prints_both_versions(tmp_path: Path) -> None:
    file = tmp_path / "piece.car"
    file.write_bytes(b"a piece of Filecoin")
    assert _run(str(file)) == (0, f"{PIECE}\n")
    assert _run(str(file), "--v1") == (0, f"{PIECE.v1}\n")
    code, shown = _run(str(file), "--json")
    assert code == 0
    assert json.loads(shown) == {
        "piece_cid": str(PIECE),
        "piece_cid_v1": PIECE.v1,
        "bytes": PIECE.raw_bytes,
        "padded_bytes": PIECE.padded_bytes,
    }


def test_the_command_takes_nothing_but_a_file(tmp_path: Path) -> None:
    assert _run(str(tmp_path))[0] == 1
    assert _run(str(tmp_path / "gone"))[0] == 1
