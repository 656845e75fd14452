"""Probing: many questions that hardly differ, all of which come closest to one passage.

Who asks so wants to know whether a text is in the corpus, or to read it through small changes of its score and rank. A
policy can bound how many such questions the holder of a budget asks in an hour (`vault.output_rules`).

Of a question only a sketch is kept, in the enclave's memory: on which side of 256 hyperplanes its vector lies, a keyed
digest of what came closest, and a digest of the question itself. The hyperplanes follow from a key that nobody outside
the enclave has, so no question can be made to lie on many of them. The same question asked again tells nothing new and
counts once. An enclave that restarts begins anew, as it does with rates.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256, shake_256
from typing import TYPE_CHECKING, Any, Final

from enclave.asked import Asked
from vault.errors import RateExceeded
from vault.question import Query

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BITS: Final = 256
NEAR_BITS: Final = 40  # of two sketches that differ: an angle of 0.49, a cosine of 0.88 (Charikar, STOC 2002)
HOUR_S: Final = 3600
HOLDERS_MAX: Final = 1024
KEPT_EACH: Final = 1024  # sketches of one holder; to push one out costs as many paid answers
_WORDS: Final = BITS // 64


@dataclass(frozen=True, slots=True)
class Sketch:
    """What is kept of a question."""

    sides: NDArray[np.uint64] = field(repr=False)
    nearest: int  # of the passage that came closest: 64 bits of its identity; 0 where nothing was found
    question: bytes = field(repr=False)  # a digest of all but its request id and salt


@dataclass(frozen=True, slots=True)
class Probe:
    """A question that may be one of many, whose budget's it is, and when it was asked (UTC seconds)."""

    holder: bytes
    sketch: Sketch
    at: int


@dataclass(slots=True)
class _Asked:
    """The last questions of one holder: a ring."""

    sides: NDArray[np.uint64]
    nearest: NDArray[np.uint64]
    at: NDArray[np.int64]
    places: dict[bytes, int] = field(default_factory=dict)  # by question
    questions: list[bytes] = field(default_factory=list)
    next: int = 0

    def place_of(self, question: bytes) -> int:
        """Return where a question stands, in place of the oldest one if it is new."""
        place = self.places.get(question)
        if place is not None:
            return place
        place = self.next
        self.next = (place + 1) % KEPT_EACH
        if place < len(self.questions):
            del self.places[self.questions[place]]
            self.questions[place] = question
        else:
            self.questions.append(question)
        self.places[question] = place
        return place


class Probes:
    """What the holders of budgets have asked of late."""

    def __init__(self, key: bytes) -> None:
        """Know nothing yet.

        Args:
            key: 32 bytes that nobody outside the enclave has.
        """
        self._key = key
        self._planes: dict[int, NDArray[np.float32]] = {}
        self._holders: OrderedDict[bytes, _Asked] = OrderedDict()

    def sketch(self, query: Query, vector: bytes, nearest: bytes) -> Sketch:
        """Return what is kept of a question.

        Args:
            vector: what was searched with, float32 little-endian; empty where words alone ranked.
            nearest: the identity of the passage that came closest; empty where nothing was found.
        """
        import numpy as np

        row = np.frombuffer(vector, dtype="<f4") if vector else _vector_of_words(query.text)
        sides = np.packbits(row @ self._planes_of(len(row)) > 0).view(np.uint64)
        digest = shake_256(self._key + query_content(query)).digest(16)
        return Sketch(sides, int.from_bytes(nearest[:8], "big"), digest)

    def judged(self, asked: Asked, vector: bytes, found: Sequence[bytes], *, at: int) -> Probe | None:
        """Return what is to be noted of a question once it is answered; None where its policy counts none.

        Args:
            found: the identities of the passages found, best first.
        Raises: `RateExceeded` where its budget's holder asked too many such questions within the hour before `at`.
        """
        most = asked.policy.output.probes_per_hour
        if not most:
            return None
        probe = Probe(asked.permit.holder, self.sketch(asked.query, vector, found[0] if found else b""), at)
        times = self.alike(probe)
        if len(times) >= most:
            raise RateExceeded(
                f"more than {most} questions within an hour that hardly differ and come closest to one passage; "
                "ask something else, or again later",
                wait_s=times[-most] + HOUR_S - at,
            )
        return probe

    def alike(self, probe: Probe) -> list[int]:
        """Return when its holder asked such questions within the hour, ascending; none where this was one of them."""
        import numpy as np

        known, sketch = self._holders.get(probe.holder), probe.sketch
        if known is None or sketch.question in known.places:
            return []
        count = len(known.questions)
        apart = np.bitwise_count(known.sides[:count] ^ sketch.sides).sum(axis=1)
        is_near = (apart <= NEAR_BITS) & (known.nearest[:count] == np.uint64(sketch.nearest))
        times = known.at[:count][is_near & (known.at[:count] > probe.at - HOUR_S)]
        return sorted(times.tolist())

    def note(self, probe: Probe | None) -> None:
        """Take in that a question was answered."""
        if probe is None:
            return
        known, sketch = self._holders.pop(probe.holder, None) or _fresh(), probe.sketch
        self._holders[probe.holder] = known
        if len(self._holders) > HOLDERS_MAX:
            self._holders.popitem(last=False)
        place = known.place_of(sketch.question)
        known.sides[place], known.nearest[place], known.at[place] = sketch.sides, sketch.nearest, probe.at

    def _planes_of(self, dimension: int) -> NDArray[np.float32]:
        """Return the normals of the hyperplanes, shape (dimension, `BITS`), each of ones and minus ones."""
        import numpy as np

        if dimension not in self._planes:
            drawn = shake_256(b"coffer/probes/v1" + self._key).digest(dimension * BITS // 8)
            bits = np.unpackbits(np.frombuffer(drawn, dtype=np.uint8)).reshape(dimension, BITS)
            self._planes[dimension] = bits.astype(np.float32) * 2 - 1
        return self._planes[dimension]


def query_content(query: Query) -> bytes:
    """Return a digest of what a question asks, whatever its request id, salt and price."""
    options = query.options.encoded()
    asked = [query.text.encode(), query.vector, options, b"".join(cid.binary for cid in query.datasets)]
    parts = b"".join(len(part).to_bytes(4, "big") + part for part in asked)
    return sha256(parts + query.k.to_bytes(8, "big")).digest()


def _fresh() -> _Asked:
    import numpy as np

    return _Asked(
        sides=np.zeros((KEPT_EACH, _WORDS), dtype=np.uint64),
        nearest=np.zeros(KEPT_EACH, dtype=np.uint64),
        at=np.zeros(KEPT_EACH, dtype=np.int64),
    )


def _vector_of_words(text: str) -> Any:
    """Return a vector of a question's words, for sketches of what had none: words in common make it alike."""
    import numpy as np

    total = np.zeros(BITS, dtype=np.float32)
    for word in set(text.casefold().split()):
        bits = np.unpackbits(np.frombuffer(shake_256(word.encode()).digest(BITS // 8), dtype=np.uint8))
        total += bits.astype(np.float32) * 2 - 1
    return total
