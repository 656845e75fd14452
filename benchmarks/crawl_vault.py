"""A vault's rules around an engine, in this process: what a crawler meets, without the network between.

Questions go through the policy's permit, the meter's window and credit, the budgets, the output rules and the ledger,
as they do in an enclave; every version and owner of a corpus is sealed, opened and searched by the enclave's own
engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import meter
from enclave.asked import Asked
from enclave.engine import LocalEngine
from enclave.found import Answer, Ask, Dataset
from enclave.metering import Meter, claimed_anchor
from enclave.quoting import quoted
from rag.exact import TileIndex
from rag.model import Embedder
from storage.memory import MemoryBlobs
from vault.dataset import DatasetRef
from vault.envelope import Passage
from vault.errors import BudgetExhausted, RateExceeded
from vault.keys import SecretKey
from vault.license import License
from vault.limits import Coverage, coverage
from vault.manifest import dataset_id
from vault.policy import Policy
from vault.publishing import Draft, Sealed, seal_dataset
from vault.question import PLAIN, Options, Query, Quote, count_bytes
from vault.records.database import open_records
from vault.records.journal import Journal
from vault.signing import BLANK_SIGNATURE, SigningKey

UNBOUNDED = 10**9


class Known:
    """An embedder that has embedded a corpus before; what is new, it embeds."""

    def __init__(self, embedder: Embedder, vectors: Mapping[str, NDArray[np.float32]]) -> None:
        self._embedder = embedder
        self._vectors = vectors
        self.dimension, self.model_hash, self.dtype = embedder.dimension, embedder.model_hash, embedder.dtype

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit rows."""
        return self._embedder.embed_queries(texts)

    def embed_passages(self, texts: Sequence[str], *, progress: Any = None) -> NDArray[np.float32]:
        """Return unit rows."""
        rows = np.stack([self._vectors[text] for text in texts])
        if progress is not None:
            progress(len(texts))
        return rows


@dataclass(frozen=True, slots=True)
class Given:
    """What an answer shows: texts with their scores, best first, how much of the budget is left, or a count."""

    texts: tuple[str, ...]
    names: tuple[str, ...]
    scores: tuple[float, ...]
    budget_left: int
    is_partial: bool
    count: int | None  # of what meets a filter, as far as it is told


@dataclass(frozen=True, slots=True)
class Key:
    """A key that somebody asks with, under a license of its own: one person may have many of both."""

    who: str
    number: int = 0


@dataclass(slots=True)
class Vault:
    """One policy on some datasets, and the books of who asked."""

    policy: Policy
    engine: LocalEngine
    desk: Meter
    covered: Coverage
    loop: asyncio.AbstractEventLoop
    at: int = meter.AT
    refusals: dict[str, int] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)

    def asked(
        self, key: Key, text: str = "", vector: bytes = b"", *, k: int = 10, options: Options = PLAIN
    ) -> Given | None:
        """Return what is given to who asks with a key, or None where it is refused. With k 0 and a filter it counts."""
        number = next(self._numbers)
        query = Query(
            request=number.to_bytes(32, "big"),
            policy=self.policy.cid(),
            text=text,
            vector=vector,
            k=k,
            salt=bytes(32),
            options=options,
        )
        license = self.license(key)
        asked = Asked(
            license=license,
            delegation=license.cid().digest,
            policy=self.policy,
            permit=self.policy.admit(license, k=query.passages_max, at=self.at),
            coverage=self.covered,
            query=query,
            spend_cap=UNBOUNDED,
        )
        try:
            return self.loop.run_until_complete(self._given(asked))
        except (BudgetExhausted, RateExceeded) as error:
            kind = type(error).__name__
            self.refusals[kind] = self.refusals.get(kind, 0) + 1
            return None

    def quoted(self, key: Key, k: int) -> Quote:
        """Return what is told of an answer before it is paid for, however often a key asks."""
        license = self.license(key)
        delegation = license.cid().digest
        cap = {"spend_cap": UNBOUNDED, "at": self.at}
        return quoted(self.desk, self.policy, license, delegation, self.covered, k=k, **cap)

    def seen(self, who: str) -> int:
        """Return how many distinct passages the holder of a licensee's budget was shown."""
        return self.desk.books.seen_count(self.policy.licensees.holder(_address(who)))

    async def _given(self, asked: Asked) -> Given:
        query = asked.query
        with self.desk.reserved(asked, at=self.at) as room:
            (found,) = self.engine.search(
                [Ask(text=query.text, vector=query.vector, datasets=room.datasets, k=query.k, options=query.options)]
            )
            if not isinstance(found, Answer):
                raise found
            if query.is_count:
                found = replace(found, vector=count_bytes(self.policy.output.told_count(found.matching)))
            booked = self.desk.book_answer(asked, found.found, found.vector, meter.GROUNDS, at=self.at, room=room)
            await self.desk.metered(booked)
        names = {(one.manifest, one.index): one for one in found.found}
        shown = [names[passage.manifest, passage.index] for passage in booked.passages]
        left = self.desk.books.quota_left(asked.permit.holder, asked.coverage.whole)
        return Given(
            texts=tuple(passage.text for passage in booked.passages),
            names=tuple(one.lasting for one in shown),
            scores=tuple(passage.score for passage in booked.passages),
            budget_left=left,
            is_partial=booked.is_partial,
            count=int.from_bytes(found.vector, "big") if query.is_count else None,
        )

    def license(self, key: Key) -> License:
        """Return the license that a key asks under: each has its own."""
        address = _address(key.who)
        return License(
            genesis=meter.GENESIS,
            policy=self.policy.cid(),
            issuer=self.policy.licensees.signer_of(address),
            licensee=address,
            epoch=0,
            issued_at=meter.AT - 1 - key.number,
            expires_at=meter.AT + 86_400,
            signature=BLANK_SIGNATURE,
        )


@dataclass(frozen=True, slots=True)
class Version:
    """One version of one owner's dataset, sealed."""

    sealed: Sealed
    blobs: MemoryBlobs


def sealed_version(owner: str, texts: Sequence[str], embedder: Embedder, before: Version | None = None) -> Version:
    """Seal texts, one passage each, as a dataset of their owner or as the next version of one."""
    key, previous = SigningKey(sha256(owner.encode()).digest()), before.sealed.manifest if before else None
    draft = Draft(
        genesis=meter.GENESIS,
        dataset=previous.dataset if previous else dataset_id(key.address, sha256(owner.encode()).digest()),
        title=owner,
        version=previous.version + 1 if previous else 1,
        previous=previous.cid() if previous else None,
        allow_simulated=True,
        model=embedder.model_hash,
    )
    blobs = MemoryBlobs()
    passages = [Passage(sha256(text.encode()).hexdigest()[:16], 0, max(len(text), 1), text) for text in texts]
    sealed = seal_dataset(
        passages, draft, charter=meter.HISTORY.charter, owner=key, blobs=blobs, progress=lambda _: None
    )
    return Version(sealed, blobs)


@contextmanager
def vault(
    versions: Sequence[Version], embedder: Embedder, policy: Mapping[str, Any], who: Sequence[str]
) -> Iterator[Vault]:
    """Serve versions under a policy, with endless credit for those who ask, until the block ends."""
    references = tuple(DatasetRef.latest(version.sealed.manifest) for version in versions)
    made = replace(meter.POLICY, datasets=references, **{"passages_max": UNBOUNDED, **policy})
    with ExitStack() as closing:
        folder = closing.enter_context(TemporaryDirectory(prefix="coffer-bench-"))
        records = closing.enter_context(open_records(f"sqlite:///{Path(folder)}/crawl.db"))
        loop = asyncio.new_event_loop()
        closing.callback(loop.close)
        journal = Journal(records, meter.LEDGER)
        desk = Meter(journal, SecretKey(bytes(32)), meter.LEDGER, meter.KEY, claimed_anchor(journal))
        served = Vault(made, opened(versions, embedder), desk, coverage(made, _manifests(versions)), loop)
        loop.run_until_complete(_funded(desk, [served.license(Key(one)) for one in who]))
        yield served
        loop.run_until_complete(desk.close())


def opened(versions: Sequence[Version], embedder: Embedder) -> LocalEngine:
    """Return the enclave's engine over these versions."""
    blobs = MemoryBlobs()
    for version in versions:
        for cid in version.blobs.cids():
            blobs.put(cid, version.blobs.get(cid))
    engine = LocalEngine(embedder, TileIndex, blobs)
    datasets = [Dataset(manifest=one.sealed.manifest, key=one.sealed.key) for one in versions]
    engine.open(datasets, lambda _, __: None)
    return engine


def replaced(served: Vault, versions: Sequence[Version], embedder: Embedder) -> None:
    """Serve other versions from now on, under the same policy and books."""
    served.engine = opened(versions, embedder)
    served.covered = coverage(served.policy, _manifests(versions))


def _manifests(versions: Sequence[Version]) -> list[Any]:
    return [version.sealed.manifest for version in versions]


async def _funded(desk: Meter, licenses: Sequence[License]) -> None:
    await desk.open(meter.KEY.public, (), at=meter.AT)
    for license in {license.licensee: license for license in licenses}.values():
        await desk.add_credit(meter._deposit(license), at=meter.AT)
    desk.grant(meter.GROUNDS)


def _address(who: str) -> bytes:
    return sha256(b"licensee " + who.encode()).digest()[:20]
