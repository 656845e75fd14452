"""UnixFS files and directories: Kubo's own vectors, and what was built reads back."""

import hashlib
import io
import json
import os
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from hypothesis import example, given
from hypothesis import strategies as st

from storage.cid import DAG_PB, Cid
from storage.dagpb import Link, Node, node_from
from storage.errors import FileTooLarge, StorageError
from storage.memory import MemoryBlobs
from storage.unixfs import (
    PROFILES,
    V0_2015,
    V1_2025,
    Profile,
    Tree,
    add_directory,
    add_file,
    add_tree,
    directory_cid,
    file_cid,
    file_tree,
    read_directory,
    read_file,
    read_stream,
)
from tests.faults import Counted, Forgetful, Missing
from tests.shared_data import shared

VECTOR_IDS = ["v0-small", "v0-at-chunk", "v0-over-maxlinks", "v1-small", "v1-over-chunk"]
SMALL = {  # the same rules at a size where a few bytes make a tall tree
    profile.name: replace(profile, chunk_bytes=4, links_max=3) for profile in PROFILES.values()
}
small_profiles = st.sampled_from(sorted(SMALL))


@cache
def _vectors() -> dict[str, dict[str, Any]]:
    """Vectors by id; from Kubo's test/cli/cid_profiles_test.go, as the file itself says."""
    return {one["id"]: one for one in json.loads(shared("vectors/cid.json").read_text())["vectors"]}


def _keystream(seed: str, length: int) -> bytes:
    key = hashlib.sha256(seed.encode()).digest()
    return Cipher(algorithms.ChaCha20(key, bytes(16)), None).encryptor().update(bytes(length))


def _file_of(vector: dict[str, Any]) -> bytes:
    data = vector["data"]
    return data["utf8"].encode() if "utf8" in data else _keystream(data["chacha20_seed"], data["length"])


def _directory_of(vector: dict[str, Any], profile: Profile) -> dict[str, Tree]:
    rule = vector["data"]["names"]
    lengths = [rule["name_len"]] * (rule["count"] - 1) + [rule["last_name_len"]]
    stream = io.BytesIO(_keystream(rule["chacha20_seed"], sum(lengths)))
    content = file_tree(vector["data"]["file_content_utf8"].encode(), profile=profile)
    names = ["".join(rule["alphabet"][byte % 39] for byte in stream.read(length)) for length in lengths]
    return dict.fromkeys(names, content)


def test_no_vector_is_left_out() -> None:
    assert {*VECTOR_IDS, "v0-dir-hamt", "v1-dir-basic"} == set(_vectors())


@pytest.mark.parametrize("vector_id", VECTOR_IDS)
def test_a_file_has_the_cid_that_kubo_gives_it(vector_id: str) -> None:
    vector = _vectors()[vector_id]
    profile = PROFILES[vector["profile"]]
    assert (profile.chunk_bytes, profile.links_max) == (vector["chunk_size"], vector["max_links"])
    data = _file_of(vector)
    assert profile.text(file_cid(data, profile=profile)) == vector["cid"]
    assert profile.text(file_cid(io.BytesIO(data), profile=profile)) == vector["cid"]


@pytest.mark.parametrize("vector_id", ["v0-dir-hamt", "v1-dir-basic"])
def test_a_directory_at_the_edge_of_sharding_has_the_cid_that_kubo_gives_it(vector_id: str) -> None:
    vector = _vectors()[vector_id]
    profile = PROFILES[vector["profile"]]
    assert profile.text(directory_cid(_directory_of(vector, profile), profile=profile)) == vector["cid"]


@pytest.mark.parametrize(
    ("vector_id", "rule", "cid"),  # the other side of each edge, from the same file of Kubo's
    [
        (
            "v0-dir-hamt",
            {"count": 4096, "name_len": 30, "last_name_len": 30},
            "QmX5GtRk3TSSEHtdrykgqm4eqMEn3n2XhfkFAis5fjyZmN",
        ),
        ("v1-dir-basic", {"last_name_len": 22}, "bafybeiegvuterwurhdtkikfhbxcldohmxp566vpjdofhzmnhv6o4freidu"),
    ],
)
def test_the_other_side_of_the_edge_has_the_cid_that_kubo_gives_it(
    vector_id: str, rule: dict[str, int], cid: str
) -> None:
    vector = _vectors()[vector_id]
    profile = PROFILES[vector["profile"]]
    data = {**vector["data"], "names": {**vector["data"]["names"], **rule}}
    assert profile.text(directory_cid(_directory_of({"data": data}, profile), profile=profile)) == cid


@pytest.mark.parametrize(
    ("profile", "cid"),  # of an empty file, as `ipfs add` prints it
    [
        (V0_2015, "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH"),
        (V1_2025, "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"),
    ],
)
def test_an_empty_file_is_one_leaf(profile: Profile, cid: str) -> None:
    blobs = MemoryBlobs()
    assert profile.text(add_file(blobs, b"", profile=profile)) == cid
    assert read_file(blobs, Cid.parse(cid), bytes_max=0) == b""


@given(small_profiles, st.binary(max_size=200))
@example("unixfs-v1-2025", bytes(4 * 27))
@example("unixfs-v1-2025", bytes(4 * 27 + 1))
def test_a_file_comes_back_whatever_its_length(name: str, data: bytes) -> None:
    blobs = MemoryBlobs()
    tree = add_tree(blobs, data, profile=SMALL[name])
    assert read_file(blobs, tree.cid, bytes_max=len(data)) == data
    assert tree.file_bytes == len(data)
    assert tree == file_tree(io.BytesIO(data), profile=SMALL[name])


def test_tree_bytes_count_every_block() -> None:
    blobs = MemoryBlobs()
    tree = add_tree(blobs, bytes(range(100)), profile=SMALL["unixfs-v1-2025"])
    assert tree.tree_bytes == sum(len(blobs.get(cid)) for cid in blobs.cids())


def test_a_stream_may_return_less_than_it_was_asked_for() -> None:
    class Dribble(io.BytesIO):
        def read(self, length: int | None = -1) -> bytes:
            return super().read(min(length or 0, 3))

    data = bytes(range(100))
    assert file_cid(Dribble(data), profile=SMALL["unixfs-v0-2015"]) == file_cid(data, profile=SMALL["unixfs-v0-2015"])


def test_a_stream_is_never_read_more_than_one_chunk_ahead() -> None:
    class Watched(io.BytesIO):
        largest = 0

        def read(self, length: int | None = -1) -> bytes:
            self.largest = max(self.largest, length or 0)
            return super().read(length)

    stream = Watched(bytes(5 * 2**20))
    add_file(Forgetful(MemoryBlobs()), stream)
    assert stream.largest == V1_2025.chunk_bytes


def test_a_file_over_the_bound_is_refused_after_its_root() -> None:
    blobs = Counted(MemoryBlobs())
    cid = add_file(blobs, bytes(100), profile=SMALL["unixfs-v1-2025"])
    with pytest.raises(FileTooLarge):
        read_file(blobs, cid, bytes_max=99)
    assert blobs.gets == 1


def test_a_stream_yields_what_came_before_a_missing_leaf() -> None:
    blobs = MemoryBlobs()
    data = bytes(range(12))
    cid = add_file(blobs, data, profile=SMALL["unixfs-v1-2025"])
    stream = read_stream(Missing(blobs, [file_cid(data[4:8])]), cid, bytes_max=12)
    assert next(stream) == data[:4]
    with pytest.raises(StorageError):
        next(stream)


@given(small_profiles, st.binary(min_size=1, max_size=60), st.data())
def test_a_changed_byte_anywhere_is_our_own_error(name: str, data: bytes, draw: st.DataObject) -> None:
    # The changed block is stored under its own, right CID: the hash cannot tell, so the shape must.
    blobs = MemoryBlobs()
    root = blobs.get(add_file(blobs, data, profile=SMALL[name]))
    at = draw.draw(st.integers(0, len(root) - 1))
    changed = root[:at] + bytes((root[at] ^ draw.draw(st.integers(1, 255)),)) + root[at + 1 :]
    cid = Cid.of(DAG_PB, changed)
    blobs.put(cid, changed)
    try:
        assert len(read_file(blobs, cid, bytes_max=1000)) <= 1000
        read_directory(blobs, cid)
    except StorageError:
        return


@given(st.binary(max_size=100))
def test_any_bytes_are_a_node_or_our_own_error(block: bytes) -> None:
    try:
        node = node_from(block)
    except StorageError:
        return
    assert node.encoded() == block


@given(
    st.dictionaries(st.text(min_size=1).filter(lambda name: _is_encodable(name)), st.binary(max_size=20), max_size=8)
)
def test_a_directory_comes_back(files: dict[str, bytes]) -> None:
    blobs = MemoryBlobs()
    tree = add_directory(blobs, {name: add_tree(blobs, data) for name, data in files.items()})
    read = read_directory(blobs, tree.cid)
    assert {name: read_file(blobs, cid, bytes_max=20) for name, cid in read.items()} == files
    assert tree.file_bytes == sum(map(len, files.values()))


def _is_encodable(name: str) -> bool:
    return not ({"/", "\0"} & set(name)) and name not in (".", "..") and name.isprintable()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b"])
def test_a_name_that_is_a_path_is_misuse(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        directory_cid({name: file_tree(b"x")})


def test_a_v0_link_to_a_raw_leaf_is_misuse() -> None:
    with pytest.raises(ValueError, match="version 0"):
        Node((Link(cid=file_cid(os.urandom(4)), is_v0=True),)).encoded()
