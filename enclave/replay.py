"""Replaying a receipt: the search done again from the committed query vector, compared byte for byte (rule R5).

Scores are float64 products summed in one order, so the same vectors give the same bytes on any machine. Vectors
embedded anew elsewhere may differ in their last bits; then the comparison is within a bound that is said.
Whoever holds the keys of some datasets only replays those, and what of them must have come before others' passages.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from enclave.engine import LocalEngine
from enclave.found import AS_IT_IS, Answer, Ask, Dataset, Found, Shaping
from enclave.opened import Opened, opened_passages
from enclave.output import shaping_of
from storage.cid import Cid
from vault.dataset import only_of
from vault.errors import AccessDenied, InvalidReceipt, MalformedObject, VaultError
from vault.output_rules import OutputRules
from vault.policy import K_LIMIT
from vault.question import PLAIN, Mode, Query
from vault.receipt import Receipt, ReceiptFile
from vault.scores import packed_scores, unpacked_scores

COSINE_LOSS_MAX: Final = 1e-3  # between a text's vector here and the committed one: more than bfloat16 rounds away
SCOPES_MAX: Final = 1024  # sets of datasets that a partial answer may have come from
_Place = tuple[Cid, int]


class ReplayEngine(LocalEngine):
    """The enclave's own engine, over datasets that their owner opens."""

    def open_one(self, dataset: Dataset, vectors: NDArray[np.float32] | None) -> None:
        """Open one more dataset, with its vectors or by embedding its passages.

        Raises: `TamperedSegment`, a `StorageError`; `AccessDenied` for one of another model; `MalformedObject` for
            vectors of another shape.
        """
        if dataset.manifest.model != self._embedder.model_hash:
            raise AccessDenied("the dataset was chunked for another embedding model than this one")
        passages = opened_passages(self._blobs, dataset)
        count, dimension = len(passages.bodies), self._embedder.dimension
        if vectors is None:
            vectors = self._embedder.embed_passages(passages.texts())
        elif vectors.shape != (count, dimension) or vectors.dtype.str != "<f4":
            raise MalformedObject(f"the vectors of {passages.cid} are {count} rows of {dimension} float32 numbers")
        self._opened = {**self._opened, passages.cid: Opened(passages, self._index_of(np.ascontiguousarray(vectors)))}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """An answer as its receipt and file say it was given."""

    query: Query
    places: tuple[_Place, ...]
    passages: tuple[tuple[object, ...], ...]  # all bytes of each, without its score
    scores: tuple[float, ...]
    is_partial: bool
    vector: bytes
    rules: OutputRules
    only: Mapping[Cid, bytes]  # the filters that the policy sets on datasets

    @classmethod
    def of(cls, file: ReceiptFile, receipt: Receipt) -> _Given:
        """Return the answer of a file that was verified."""
        return cls(
            query=file.query,
            places=tuple((proof.manifest, proof.index) for proof in receipt.passages),
            passages=tuple(
                (proof.encoded(), opened.body, opened.salt)
                for proof, opened in zip(receipt.passages, file.passages, strict=True)
            ),
            scores=unpacked_scores(receipt.scores),
            is_partial=receipt.is_partial,
            vector=file.query_vector,
            rules=file.policy.output,
            only=only_of(file.policy.datasets, file.manifests),
        )


def replayed(
    file: ReceiptFile,
    receipt: Receipt,
    engine: LocalEngine,
    *,
    asked: Sequence[Cid],
    opened: Sequence[Cid],
    within: float,
) -> Iterator[str]:
    """Search again and compare, yielding a sentence for each thing that is the same.

    Args:
        file: verified before, as `receipt`, its own, was.
        asked: the datasets that the question was asked of.
        opened: those of them that `engine` has open.
        within: by how much scores may differ; 0 asks for the same bytes.
    Raises: `InvalidReceipt` naming the first thing that is not the same; `MalformedObject` for what cannot be replayed.
    """
    given = _Given.of(file, receipt)
    if given.query.options.rerank:
        raise MalformedObject("a cross-encoder ordered this answer, and no rule fixes its last bits: it has no replay")
    if within and given.query.options != PLAIN:
        raise MalformedObject("only plain dense answers can be compared within a bound; give the enclave's vectors")
    yield from _text_replayed(given, engine)
    if given.query.k == 0:
        return
    if set(opened) >= set(asked):
        yield _whole(given, engine, tuple(sorted(asked)), within)
    else:
        yield _own_part(given, engine, tuple(sorted(opened)), len(asked), within)


def _text_replayed(given: _Given, engine: LocalEngine) -> Iterator[str]:
    query = given.query
    if query.vector or not given.vector:
        return
    own = np.frombuffer(_searched(engine, query, (), b"", k=0).vector, dtype="<f4").astype(np.float64)
    committed = np.frombuffer(given.vector, dtype="<f4").astype(np.float64)
    if own.shape != committed.shape:
        raise InvalidReceipt("vector: of another dimension than the model's")
    loss = 1 - float(own @ committed / (np.linalg.norm(own) * np.linalg.norm(committed)))
    if not loss <= COSINE_LOSS_MAX:  # False for NaN too
        raise InvalidReceipt(f"vector: not the question's; their cosine is {1 - loss:.6f}")
    how = "bit for bit" if own.tobytes() == committed.tobytes() else f"to a cosine of {1 - loss:.6f}"
    yield f"the committed vector is the one this model gives the question, {how}"


def _whole(given: _Given, engine: LocalEngine, asked: tuple[Cid, ...], within: float) -> str:
    """Replay with every dataset that was asked at hand."""
    if within:
        _require_near(given, _outgoing(given, engine, asked, k=_deeper(given.query.k)), within)
        return f"{len(given.places)} passages, none better left out; scores within {within:g}"
    if not given.is_partial:
        _require_same(given, _outgoing(given, engine, asked, k=given.query.k))
        return f"the same {len(given.places)} passages in the same order, with the same scores, byte for byte"
    for scope in _scopes(asked, {manifest for manifest, _ in given.places}):
        found = _outgoing(given, engine, scope, k=given.query.k)
        if _is_within(given, found):
            of = f"{len(given.places)} of the {len(found)} passages found"
            return f"partial: {of} had left, in the same order, with the same scores, byte for byte"
    raise InvalidReceipt("passages: no search of these datasets finds them in this order with these scores")


def _own_part(given: _Given, engine: LocalEngine, opened: tuple[Cid, ...], asked: int, within: float) -> str:
    """Replay some of the datasets: what came of each must be its best, and nothing better of it be missing."""
    if given.query.options != PLAIN:
        raise MalformedObject("with some of the datasets alone, only plain dense answers have a replay")
    is_full = len(given.places) == given.query.k
    last = given.scores[-1] if is_full else -math.inf
    for cid in opened:
        found = _outgoing(given, engine, (cid,), k=given.query.k if not within else _deeper(given.query.k))
        own = _only(given, [rank for rank, (manifest, _) in enumerate(given.places) if manifest == cid])
        _require_own(own, found, within, cid)
        missing = [
            one for one in found if (one.manifest, one.index) not in own.places and one.score > last + 2 * within
        ]
        if missing and not given.is_partial:
            raise InvalidReceipt(f"passages: passage {missing[0].index} of {cid} belonged among them and is missing")
    return f"{len(opened)} of {asked} datasets replayed: what came of them is their best, and none better is missing"


def _require_own(own: _Given, found: Sequence[Found], within: float, cid: Cid) -> None:
    if not (_are_near(own, found, within) if within else _is_within(own, found)):
        raise InvalidReceipt(f"passages: those of {cid} are not the ones that its own search finds")


def _require_same(given: _Given, found: Sequence[Found]) -> None:
    places = tuple((one.manifest, one.index) for one in found)
    if places != given.places:
        rank = next((n for n, (a, b) in enumerate(zip(places, given.places, strict=False)) if a != b), None)
        at = f"rank {rank + 1} is passage {places[rank][1]} of {places[rank][0]}" if rank is not None else ""
        raise InvalidReceipt(f"passages: replayed, {at or f'there are {len(places)} and not {len(given.places)}'}")
    for rank, (one, passage) in enumerate(zip(found, given.passages, strict=True), 1):
        if _bytes_of(one) != passage:
            raise InvalidReceipt(f"passages: replayed, the bytes of rank {rank} are others")
    for rank, (one, score) in enumerate(zip(found, given.scores, strict=True), 1):
        if packed_scores([one.score]) != packed_scores([score]):
            raise InvalidReceipt(f"scores: replayed, rank {rank} has {one.score!r} and not {score!r}")


def _is_within(given: _Given, found: Sequence[Found]) -> bool:
    """Say whether the answer is what was found with some of it left out, byte for byte."""
    rest = iter([(_bytes_of(one), packed_scores([one.score])) for one in found])
    wanted = zip(given.passages, given.scores, strict=True)
    return all((passage, packed_scores([score])) in rest for passage, score in wanted)


def _require_near(given: _Given, found: Sequence[Found], within: float) -> None:
    if not _are_near(given, found, within):
        raise InvalidReceipt(f"scores: replayed, a passage is another or its score differs by more than {within:g}")
    last = given.scores[-1] if len(given.places) == given.query.k else -math.inf
    better = [one for one in found if (one.manifest, one.index) not in given.places and one.score > last + 2 * within]
    if better and not given.is_partial:
        raise InvalidReceipt(f"passages: passage {better[0].index} of {better[0].manifest} is better and left out")


def _are_near(given: _Given, found: Sequence[Found], within: float) -> bool:
    known = {(one.manifest, one.index): one for one in found}
    for place, passage, score in zip(given.places, given.passages, given.scores, strict=True):
        one = known.get(place)
        if one is None or _bytes_of(one) != passage or abs(one.score - score) > within:
            return False
    return True


def _only(given: _Given, ranks: Sequence[int]) -> _Given:
    return _Given(
        query=given.query,
        places=tuple(given.places[rank] for rank in ranks),
        passages=tuple(given.passages[rank] for rank in ranks),
        scores=tuple(given.scores[rank] for rank in ranks),
        is_partial=given.is_partial,
        vector=given.vector,
        rules=given.rules,
        only=given.only,
    )


def _scopes(asked: tuple[Cid, ...], needed: set[Cid]) -> Iterator[tuple[Cid, ...]]:
    """Yield the sets of datasets that may have been searched where some were used up, the largest first."""
    free = [cid for cid in asked if cid not in needed]
    tried = 0
    for left_out in range(len(free) + 1):
        for gone in combinations(free, left_out):
            scope = tuple(cid for cid in asked if cid not in gone)
            if not scope or tried == SCOPES_MAX:
                return
            tried += 1
            yield scope


def _outgoing(given: _Given, engine: LocalEngine, scope: tuple[Cid, ...], *, k: int) -> tuple[Found, ...]:
    vector = given.vector if given.query.options.mode is not Mode.KEYWORD else b""
    only = tuple(given.only.get(cid, b"") for cid in scope)
    answer = _searched(engine, given.query, scope, vector, k=k, shaping=shaping_of(given.rules), only=only)
    return answer.found


def _searched(
    engine: LocalEngine,
    query: Query,
    scope: tuple[Cid, ...],
    vector: bytes,
    *,
    k: int,
    shaping: Shaping = AS_IT_IS,
    only: tuple[bytes, ...] = (),
) -> Answer:
    options = query.options if k else PLAIN
    ask = Ask(text=query.text, vector=vector, datasets=scope, k=k, options=options, shaping=shaping, only=only)
    (answer,) = engine.search([ask])
    if isinstance(answer, VaultError):
        raise answer
    return answer


def _deeper(k: int) -> int:
    return min(K_LIMIT, 2 * k + 10)


def _bytes_of(one: Found) -> tuple[object, ...]:
    sent = one.message
    return (one.proof, sent.body, sent.salt)


def datasets_of(file: ReceiptFile, manifests: Mapping[Cid, object]) -> tuple[Cid, ...]:
    """Return the datasets that a question was asked of: those it names, or all that the policy means."""
    return tuple(sorted(file.query.datasets or manifests))
