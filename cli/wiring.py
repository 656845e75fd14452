"""The composition root: the only place that picks adapters. Heavy imports stay inside the functions that need them."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from cli.home import Home, Settings
from cli.machine import make_attester
from cli.sealed_files import read_sealed, write_sealed
from enclave.attestation.appraise import EvidenceAppraiser
from enclave.configuration import EnclaveConfiguration
from enclave.found import Engine
from storage.cid import Cid
from storage.model import Blobs
from vault.client import CustodyClient
from vault.custodian import SEED_BYTES, CustodianKeys
from vault.custody import Custody
from vault.errors import ServiceUnavailable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from enclave.instance import Instance
    from rag.chunk import Chunker
    from rag.embed import Dtype
    from rag.model import Embedder, Index
    from vault.records.database import Records

INDEX_NAME = "tiles/float64-rescored"


def clock() -> int:
    """Return UTC seconds by this machine's clock."""
    return int(time.time())


def names_a_node(storage: str) -> bool:
    """Say whether a storage is an IPFS node's multiaddr; otherwise it is a folder."""
    return storage.startswith(("/ip4/", "/ip6/", "/dns"))


def open_storage(settings: Settings) -> Blobs:
    """Return the block store the settings name: an IPFS node by multiaddr, otherwise a folder."""
    if names_a_node(settings.storage):
        from storage.ipfs import IpfsBlobs

        return IpfsBlobs(settings.storage)
    from storage.directory import DirectoryBlobs

    return DirectoryBlobs(Path(settings.storage) if settings.storage else Home(settings.home).blocks)


def open_staging(settings: Settings) -> Blobs:
    """Return where sealed blocks wait until they are published."""
    from storage.directory import DirectoryBlobs

    return DirectoryBlobs(Home(settings.home).staging)


def open_database(settings: Settings) -> Records:
    """Return the records, migrated."""
    from vault.records.database import open_records

    return open_records(settings.records or f"sqlite:///{Home(settings.home).records}")


def appraiser(settings: Settings) -> EvidenceAppraiser:
    """Return the judge of evidence."""
    return EvidenceAppraiser(production=settings.production)


def custodians_of(settings: Settings) -> list[CustodyClient]:
    """Return a client for every configured custodian; one that is down now is asked again later."""
    if not settings.custodians:
        raise ServiceUnavailable("no custodian is configured; name one with --custodian HOST:PORT or in the settings")
    return [CustodyClient(address) for address in settings.custodians]


def make_custodian_keys(home: Home, password: str) -> CustodianKeys:
    """Make a custodian's keys and seal them into its home."""
    seed = secrets.token_bytes(SEED_BYTES)
    write_sealed(home.custodian_key, seed, password=password, purpose="custodian keys")
    return CustodianKeys.from_seed(seed)


def open_custodian_keys(home: Home, password: str) -> CustodianKeys:
    """Open a custodian's keys."""
    return CustodianKeys.from_seed(read_custodian_seed(home, password))


def read_custodian_seed(home: Home, password: str) -> bytes:
    """Return what a custodian's keys are made of."""
    return read_sealed(home.custodian_key, password=password, purpose="custodian keys")


def open_custodian_blocks(settings: Settings) -> Blobs:
    """Return where a custodian keeps its blocks."""
    from storage.directory import DirectoryBlobs

    return DirectoryBlobs(Home(settings.home).blocks)


def make_custody(
    settings: Settings, keys: CustodianKeys, records: Records, *, only: frozenset[Cid] | None = None
) -> Custody:
    """Return a custodian over its own records and blocks, for certain DAOs or for whichever name it."""
    from storage.directory import DirectoryBlobs
    from vault.records.custody import CustodyRecords

    return Custody(
        keys,
        CustodyRecords(records),
        DirectoryBlobs(Home(settings.home).blocks),
        appraiser(settings),
        clock=clock,
        production=settings.production,
        skew_s=settings.lease_skew_s,
        only=only,
    )


def model_of(settings: Settings) -> tuple[Path, bytes]:
    """Return the embedding model's folder and the pinned hash of its weights, already checked."""
    from rag.errors import UnknownModel
    from rag.weights import MINILM, MINILM_SHA256, model_path, verify_model

    if settings.model and not settings.model_sha256:
        raise UnknownModel("a model of your own needs its hash pinned: set model_sha256 to the SHA-256 of its weights")
    if settings.model_sha256 and not re.fullmatch(r"[0-9a-fA-F]{64}", settings.model_sha256):
        raise UnknownModel("model_sha256 is the SHA-256 of the model's weights, in 64 hex digits")
    path = model_path(settings.model or MINILM)
    return path, verify_model(path, bytes.fromhex(settings.model_sha256) if settings.model_sha256 else MINILM_SHA256)


def make_chunker(settings: Settings) -> Chunker:
    """Return the chunker of the configured model's tokenizer."""
    from rag.chunk import Chunker

    return Chunker(model_of(settings)[0])


def make_embedder(settings: Settings) -> Embedder:
    """Return the embedder of the configured model."""
    from rag.embed import open_embedder

    path, digest = model_of(settings)
    return open_embedder(path, expected_hash=digest, dtype=dtype_of(settings))


def dtype_of(settings: Settings) -> Dtype:
    """Return the number format of the model's weights."""
    from rag.embed import default_dtype

    return settings.dtype or default_dtype()


def make_engine(settings: Settings) -> Engine:
    """Return an engine in this process; the enclave runs it in its worker."""
    from enclave.engine import LocalEngine

    return LocalEngine(make_embedder(settings), make_index, open_storage(settings))


def make_index(vectors: NDArray[np.float32]) -> Index:
    """Return the index that the enclave searches: exact, in memory."""
    from rag.exact import TileIndex

    return TileIndex(vectors)


def enclave_configuration(settings: Settings, genesis: Cid) -> EnclaveConfiguration:
    """Return the configuration an enclave with these settings runs under."""
    digest = model_of(settings)[1]
    return EnclaveConfiguration(
        genesis=genesis, model=digest, dtype=dtype_of(settings), index=INDEX_NAME, version=version("coffer")
    )


def make_instance(settings: Settings, genesis: Cid, records: Records) -> Instance:
    """Return one enclave instance with its custodians, journal and engine process."""
    from enclave.instance import Instance
    from enclave.keys import InstanceKeys
    from enclave.worker import WorkerEngine
    from vault.lease import ledger_id
    from vault.records.journal import Journal

    public = settings.model_copy(update={"password": ""})
    start_engine: Callable[[], WorkerEngine] = partial(WorkerEngine, partial(make_engine, public))
    return Instance(
        InstanceKeys.fresh(),
        make_attester(settings),
        custodians_of(settings),
        Journal(records, ledger_id(genesis)),
        start_engine,
        genesis=genesis,
        configuration=enclave_configuration(settings, genesis).cid(),
        clock=clock,
    )
