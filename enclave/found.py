"""What an engine is asked and what it answers. Light: the front process and the ledger import it without torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from enclave.v1 import retrieval_pb2 as pb
from storage.cid import Cid
from vault.envelope import lasting_words, passage_text
from vault.errors import VaultError
from vault.keys import SecretKey
from vault.manifest import Manifest
from vault.output_rules import SCORE_DECIMALS_MAX, Redaction
from vault.question import PLAIN, Options

if TYPE_CHECKING:
    from enclave.lending import Lender, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A manifest, the key that opens it, and the snapshot of its vectors that the ledger names, if any."""

    manifest: Manifest
    key: SecretKey
    state_key: SecretKey | None = None  # without it, no snapshot is read or made
    snapshot: Cid | None = None


class Shaping(NamedTuple):
    """What a policy says of every passage that leaves."""

    redacts: tuple[Redaction, ...] = ()
    score_decimals: int = SCORE_DECIMALS_MAX


AS_IT_IS: Final = Shaping()


@dataclass(slots=True)  # one is made with every passage of an answer, and a frozen one takes three times as long
class Found:
    """One passage as it may leave, by manifest and index; `enclave.output` writes it, in the engine's process."""

    manifest: Cid
    index: int
    score: float
    owner: bytes
    commitment: bytes  # to the owner's own bytes
    proof: bytes  # canonical `PassageProof`, as it stands in a receipt
    sent: bytes = field(repr=False)  # as it stands in a `SearchResponse`
    shaping: Shaping  # by what it was written
    words: str | None = field(repr=False)  # what it is to a budget, where its body does not say that

    @property
    def message(self) -> pb.Passage:
        """Return it as it is sent."""
        (passage,) = pb.SearchResponse.FromString(self.sent).passages
        return passage

    @property
    def text(self) -> str:
        """Return the passage's text as it leaves."""
        return passage_text(self.message.body)

    @property
    def lasting(self) -> str:
        """Return what it is to a budget: the text, and the facts, of the passage under whose name it counts."""
        return lasting_words(self.message.body) if self.words is None else self.words


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What one query asks of the engine: by its words, or by a vector (float32 little-endian, unit length)."""

    text: str = field(repr=False)  # may be empty where it asks by vector
    vector: bytes = field(repr=False)  # empty where it asks by text
    datasets: tuple[Cid, ...]
    k: int  # 0 for the vector alone, or, without a text, for how many passages meet the filter
    options: Options = PLAIN
    shaping: Shaping = AS_IT_IS
    only: tuple[bytes, ...] = ()  # of each dataset, the filter that the policy sets on it; empty where it sets none

    @property
    def is_count(self) -> bool:
        """Say whether it asks how many passages meet its filter."""
        return self.k == 0 and not self.text and bool(self.options.where)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """An answer that is given again: its passages by manifest and index, in order, with the scores that they had."""

    places: tuple[tuple[Cid, int], ...]
    scores: tuple[float, ...]
    shaping: Shaping = AS_IT_IS


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a search found, the vector it searched with (float32 little-endian), and how long each part took."""

    found: tuple[Found, ...]
    vector: bytes = field(repr=False)
    embed_s: float
    search_s: float
    matching: tuple[tuple[bytes, int], ...] = ()  # of a count: each dataset's owner, and how many passages match


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexFacts:
    """How a dataset is searched, and how well: without a filter, that is, which an approximate index never sees."""

    kind: str = "exact"
    recall_ppm: int = 1_000_000  # measured on the dataset itself, in millionths
    k: int = 0  # hits it was measured for; 0 where there was nothing to measure
    queries: int = 0
    source: str = ""  # where those queries come from


class Engine(Protocol):
    """Opened datasets that can be searched."""

    def open(
        self, datasets: Sequence[Dataset], progress: Callable[[int, int], None], lending: Source | None = None
    ) -> dict[Cid, Cid]:
        """Fetch, verify, decrypt, embed and index; replaces what was open before.

        Args:
            lending: an engine that may have embedded some of the passages before.
        Returns: the snapshots that were made, by manifest; the ledger has to name one before it is used.
        """
        ...

    def search(self, asks: Sequence[Ask | Recall]) -> list[Answer | VaultError]:
        """Return for each ask the nearest passages among its datasets, best first, or why it cannot be answered.

        An answer depends on its own ask alone: it is the same whatever is asked together with it.
        """
        ...

    def indexes(self) -> dict[Cid, IndexFacts]:
        """Return how each dataset that is open is searched, by manifest."""
        ...

    def lender(self) -> Lender:
        """Return what gives the vectors of what is open now to an engine that opens beside this one."""
        ...

    def close(self) -> None:
        """Forget keys, passages and index."""
        ...


class AsyncEngine(Protocol):
    """The engine as the service waits for it; `enclave.worker.WorkerEngine` is the real one."""

    async def open(
        self, datasets: Sequence[Dataset], progress: Callable[[int, int], None], *, beside: Any = None
    ) -> dict[Cid, Cid]:
        """Open as `Engine.open` does; `beside` is an engine of the same kind that may lend vectors, if any."""
        ...

    async def search(self, asks: Sequence[Ask | Recall]) -> list[Answer | VaultError]: ...  # noqa: D102
    async def ended(self) -> None: ...  # noqa: D102
    def end(self) -> None: ...  # noqa: D102
    async def retire(self) -> None:
        """End it while another one serves: nobody waits on the event loop until its memory is given back."""
        ...

    @property
    def indexes(self) -> dict[Cid, IndexFacts]:
        """Return how each dataset that `open` opened is searched, by manifest."""
        ...

    @property
    def is_alive(self) -> bool: ...  # noqa: D102
