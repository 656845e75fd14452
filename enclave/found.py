"""What an engine is asked and what it answers. Light: the front process and the ledger import it without torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from storage.cid import Cid
from vault.keys import SecretKey
from vault.manifest import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A manifest and the key that opens it."""

    manifest: Manifest
    key: SecretKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One passage, by manifest and index, with what opens and proves its commitment."""

    manifest: Cid
    index: int
    score: float
    body: bytes = field(repr=False)
    text: str = field(repr=False)
    salt: bytes
    commitment: bytes
    path: tuple[bytes, ...]
    owner: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a search found, the vector it searched with (float32 little-endian), and how long each part took."""

    found: tuple[Found, ...]
    vector: bytes = field(repr=False)
    embed_s: float
    search_s: float


class Engine(Protocol):
    """Opened datasets that can be searched."""

    def open(self, datasets: Sequence[Dataset], progress: Callable[[int, int], None]) -> None:
        """Fetch, verify, decrypt, embed and index; replaces what was open before."""
        ...

    def search(self, text: str, datasets: Sequence[Cid], k: int) -> Answer:
        """Return the `k` nearest passages among the datasets given."""
        ...

    def passages(self, places: Sequence[tuple[Cid, int]], vector: bytes) -> tuple[Found, ...]:
        """Return passages by place with the scores that a search with `vector` gave them: an answer given again."""
        ...

    def close(self) -> None:
        """Forget keys, passages and index."""
        ...


class AsyncEngine(Protocol):
    """The engine as the service waits for it; `enclave.worker.WorkerEngine` is the real one."""

    async def open(self, datasets: Sequence[Dataset], progress: Callable[[int, int], None]) -> None: ...  # noqa: D102
    async def search(self, text: str, datasets: Sequence[Cid], k: int) -> Answer: ...  # noqa: D102
    async def passages(self, places: Sequence[tuple[Cid, int]], vector: bytes) -> tuple[Found, ...]: ...  # noqa: D102
    async def ended(self) -> None: ...  # noqa: D102
    def end(self) -> None: ...  # noqa: D102
    @property
    def is_alive(self) -> bool: ...  # noqa: D102
