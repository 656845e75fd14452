"""Publishing that is cut off, killed or lied to: it goes on where it was, in little memory, and loses nothing."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.cid import Cid
from storage.directory import DirectoryBlobs
from storage.errors import BlockNotFound, StorageUnavailable
from storage.memory import MemoryBlobs
from storage.model import Blobs
from tests.builders import dao, seeded, wallet
from tests.faults import Faulty, Forgetful
from vault.delivery import stored_and_verified
from vault.envelope import Passage
from vault.merkle import GrowingRoot, Tree, leaf_hash
from vault.publishing import Draft, Sealed, copy_dataset, dataset_blocks, seal_dataset, verify_stored

PROJECT = Path(__file__).parents[2]
DAO = dao(3, custodians=3)
DRAFT = Draft(
    genesis=DAO.genesis,
    dataset=seeded("dataset"),
    title="",
    version=1,
    previous=None,
    allow_simulated=True,
    model=seeded("model"),
)
RSS_MAX = 256 << 20


def quiet(_: int) -> None: ...


def sealed_into(blobs: Blobs, megabytes: int) -> Sealed:
    text = "x" * 1000
    passages = (Passage(f"{n // 100}.txt", n, n + 1000, text) for n in range(megabytes * 1000))
    return seal_dataset(passages, DRAFT, charter=DAO.charter, owner=wallet("owner"), blobs=blobs, progress=quiet)


STAGING = MemoryBlobs()
SEALED = sealed_into(STAGING, 10)
MANIFEST = SEALED.manifest
CIDS = [cid for cid, _ in dataset_blocks(STAGING, MANIFEST)]


class CutOff(Faulty):
    """Takes so many blocks, then no more; counts what it took."""

    def __init__(self, blobs: Blobs, taken: Counter[Cid], calls: int) -> None:
        super().__init__(blobs)
        self._taken = taken
        self._left = calls

    def put(self, cid: Cid, block: bytes) -> None:
        self._left -= 1
        if self._left < 0:
            raise StorageUnavailable("the line went dead; try again later")
        super().put(cid, block)
        self._taken[cid] += 1


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(0, len(CIDS)), max_size=4))
def test_whatever_arrived_is_not_sent_again(cuts: list[int]) -> None:
    target, taken = MemoryBlobs(), Counter[Cid]()
    for calls in cuts:
        if target.has(MANIFEST.cid()):
            break  # it came through
        try:
            copy_dataset(MANIFEST, STAGING, CutOff(target, taken, calls), progress=quiet)
        except StorageUnavailable:
            assert not target.has(MANIFEST.cid())
    steps: list[int] = []
    size = copy_dataset(MANIFEST, STAGING, CutOff(target, taken, len(CIDS)), progress=steps.append)
    del taken[MANIFEST.cid()]  # the last one, which says that all the others are there
    assert set(taken.values()) == {1} and set(taken) == set(CIDS) - {MANIFEST.cid()}
    assert steps[-1] == size == sum(len(block) for _, block in dataset_blocks(STAGING, MANIFEST))
    verify_stored(MANIFEST, target, None, progress=quiet)


def test_a_place_that_claims_what_it_does_not_have_is_sent_all_of_it_once_more() -> None:
    target = MemoryBlobs()

    class Boasting(Faulty):
        def has(self, cid: Cid) -> bool:
            return True

    stored_and_verified(SEALED, STAGING, Boasting(target), progress=quiet)
    verify_stored(MANIFEST, target, SEALED.key, progress=quiet)
    with pytest.raises(BlockNotFound):
        stored_and_verified(SEALED, STAGING, Forgetful(MemoryBlobs()), progress=quiet)


def test_a_block_that_went_bad_where_it_is_stored_is_sent_again(tmp_path: Path) -> None:
    with DirectoryBlobs(tmp_path) as target:
        stored_and_verified(SEALED, STAGING, target, progress=quiet)
        victim = next(path for path in tmp_path.rglob("bafk*") if path.stat().st_size > 1000)
        victim.write_bytes(b"rotten")
        stored_and_verified(SEALED, STAGING, target, progress=quiet)
        verify_stored(MANIFEST, target, SEALED.key, progress=quiet)


@given(st.lists(st.binary(min_size=1, max_size=4), max_size=70))
def test_the_root_that_grows_is_the_trees(entries: list[bytes]) -> None:
    leaves = [leaf_hash(entry) for entry in entries]
    growing = GrowingRoot()
    for count, leaf in enumerate(leaves):
        assert growing.root() == Tree(leaves[:count]).root()
        growing.append(leaf)
    assert (growing.root(), growing.size) == (Tree(leaves).root(), len(leaves))


PUBLISHING = """
import sys
from storage.cid import Cid
from storage.directory import DirectoryBlobs
from vault.delivery import manifest_at
from vault.publishing import copy_dataset, verify_stored
with DirectoryBlobs(sys.argv[1]) as staging, DirectoryBlobs(sys.argv[2]) as storage:
    manifest = manifest_at(Cid.parse(sys.argv[3]), staging)
    print("ready", flush=True)
    copy_dataset(manifest, staging, storage, progress=lambda done: None)
    verify_stored(manifest, storage, None, progress=lambda done: None)
"""


@pytest.mark.parametrize("kills", [5, pytest.param(100, marks=pytest.mark.slow)], ids=["five times", "a hundred times"])
def test_killed_at_random_moments_every_block_is_whole_or_not_there(tmp_path: Path, kills: int) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")  # noqa: T201  # to play it again
    draw = random.Random(seed)  # noqa: S311  # a test's choices
    with DirectoryBlobs(tmp_path / "staging") as staging:
        sealed = sealed_into(staging, 20)
    manifest = sealed.manifest
    command = [sys.executable, "-c", PUBLISHING, str(tmp_path / "staging"), str(tmp_path / "storage")]
    before: set[Cid] = set()
    for _ in range(kills):
        with subprocess.Popen([*command, str(manifest.cid())], cwd=PROJECT, stdout=subprocess.PIPE) as process:  # noqa: S603
            assert process.stdout is not None and process.stdout.readline() == b"ready\n"
            time.sleep(draw.random() * 0.1)
            process.send_signal(signal.SIGKILL)
        with DirectoryBlobs(tmp_path / "storage") as storage:
            held = set(storage.cids())
            assert all(storage.get(cid) for cid in held) and held >= before
            assert os.listdir(tmp_path / "storage" / ".incoming") == []
            before = held
            if storage.has(manifest.cid()):
                verify_stored(manifest, storage, sealed.key, progress=quiet)
                (tmp_path / "storage").rename(tmp_path / f"done-{len(os.listdir(tmp_path))}")
                before = set()
    with DirectoryBlobs(tmp_path / "staging") as staging, DirectoryBlobs(tmp_path / "storage") as storage:
        stored_and_verified(sealed, staging, storage, progress=quiet)


MEASURED = """
import json, sys
from pathlib import Path
from storage.directory import DirectoryBlobs
from tests.vault.test_publishing_resumed import quiet, sealed_into
from vault.publishing import copy_dataset, verify_stored
folder, megabytes = Path(sys.argv[1]), int(sys.argv[2])
with DirectoryBlobs(folder / "staging") as staging, DirectoryBlobs(folder / "storage") as storage:
    sealed = sealed_into(staging, megabytes)
    copy_dataset(sealed.manifest, staging, storage, progress=quiet)
    size = verify_stored(sealed.manifest, storage, sealed.key, progress=quiet)
lines = Path("/proc/self/status").read_text().splitlines()  # getrusage counts the process that started this one, too
peak = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
print(json.dumps({"rss": peak, "size": size}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("megabytes", [300])
def test_memory_does_not_grow_with_the_dataset(tmp_path: Path, megabytes: int) -> None:
    command = [sys.executable, "-c", MEASURED, str(tmp_path), str(megabytes)]
    done = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, timeout=600)  # noqa: S603
    measured = json.loads(done.stdout)
    assert measured["size"] > megabytes * 10**6
    assert measured["rss"] <= RSS_MAX
