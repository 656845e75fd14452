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
from cli.place_settings import MAIN
from cli.quantities import basis_points_from
from cli.sealed_files import read_sealed, write_sealed
from enclave.attestation.appraise import EvidenceAppraiser
from enclave.configuration import EnclaveConfiguration
from enclave.found import Engine
from storage.cid import Cid
from storage.model import Blobs
from vault.charter import BASIS_POINTS
from vault.client import CustodyClient
from vault.copies.model import Blame, Kind
from vault.custodian import SEED_BYTES, CustodianKeys
from vault.custody import Custody
from vault.errors import ServiceUnavailable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from enclave.instance import Instance
    from rag.chosen import IndexChoice
    from rag.chunk import Chunker
    from rag.embed import Dtype
    from rag.model import Embedder, Index
    from rag.rerank import Reranker
    from vault.records.database import Records

SHA256_HEX = re.compile(r"[0-9a-fA-F]{64}")


def clock() -> int:
    """Return UTC seconds by this machine's clock."""
    return int(time.time())


def names_a_node(storage: str) -> bool:
    """Say whether a storage is an IPFS node's multiaddr; otherwise it is a folder."""
    return storage.startswith(("/ip4/", "/ip6/", "/dns"))


def open_storage(settings: Settings) -> Blobs:
    """Return the block store the settings name: an IPFS node by multiaddr, otherwise a folder."""
    if names_a_node(settings.storage):
        return open_blobs(Kind.IPFS, settings.storage)
    return open_blobs(Kind.DIRECTORY, settings.storage or str(Home(settings.home).blocks))


def open_blobs(kind: Kind, at: str) -> Blobs:
    """Return the blocks on an IPFS node, or in a folder."""
    if kind is Kind.IPFS:
        from storage.ipfs import IpfsBlobs

        return IpfsBlobs(at)
    from storage.directory import DirectoryBlobs

    return DirectoryBlobs(Path(at))


def open_gateway(url: str, *, private: bool) -> Blobs:
    """Return the blocks that a gateway can fetch."""
    from storage.gateway import GatewayBlobs

    return GatewayBlobs(url, allow_private=private)


def open_reading(settings: Settings, blame: Blame = lambda place, fault: None) -> Blobs:
    """Return blocks from whichever place sends the right one soonest; what is put goes to the main storage.

    Filecoin providers are left out: they send pieces, and which blocks are in them is in the owner's records.
    """
    others = {name: place for name, place in settings.places.items() if place.kind is not Kind.FILECOIN}
    main = open_storage(settings)
    if not others:
        return main
    from storage.spread import SpreadBlobs

    readers = {
        name: open_gateway(place.read or place.at, private=place.private)
        if place.kind in (Kind.GATEWAY, Kind.PINNING)
        else open_blobs(place.kind, place.at)
        for name, place in others.items()
    }
    names = [MAIN, *readers]
    return SpreadBlobs(main, list(readers.values()), blame=lambda number, fault: blame(names[number], fault))


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
    if settings.model_sha256 and not SHA256_HEX.fullmatch(settings.model_sha256):
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
    return open_embedder(path, expected_hash=digest, dtype=dtype_of(settings), device=settings.device)


def dtype_of(settings: Settings) -> Dtype:
    """Return the number format of the model's weights."""
    from rag.embed import default_dtype

    return settings.dtype or default_dtype(settings.device)


def make_engine(settings: Settings) -> Engine:
    """Return an engine in this process; the enclave runs it in its worker."""
    from enclave.engine import LocalEngine

    return LocalEngine(make_embedder(settings), index_maker(settings), open_reading(settings), make_reranker(settings))


def index_choice(settings: Settings) -> IndexChoice:
    """Return what the enclave builds of each dataset's vectors."""
    from rag.chosen import IndexChoice
    from rag.index_plan import PPM, Kind

    recall_ppm = basis_points_from(settings.index_recall) * (PPM // BASIS_POINTS)
    return IndexChoice(
        kind=Kind(settings.index), recall_ppm=recall_ppm, passages_from=settings.index_from, device=settings.device
    )


def index_maker(settings: Settings) -> Callable[[NDArray[np.float32]], Index]:
    """Return what makes the index of a dataset's vectors."""
    from rag.chosen import made_index

    return partial(made_index, choice=index_choice(settings))


def reranker_hash(settings: Settings) -> bytes:
    """Return the pinned hash over the cross-encoder's files, already checked; nothing where none is offered."""
    if not settings.reranker:
        return b""
    from rag.errors import UnknownModel
    from rag.rerank import reranker_digest

    actual = reranker_digest(Path(settings.reranker))
    if not settings.reranker_sha256:
        raise UnknownModel(
            f"pin the reranker's files: if they are the ones you mean, set reranker_sha256 to {actual.hex()}"
        )
    if not SHA256_HEX.fullmatch(settings.reranker_sha256):
        raise UnknownModel("reranker_sha256 is a SHA-256 in 64 hex digits; without it, we say which one it would be")
    if actual != bytes.fromhex(settings.reranker_sha256):
        raise UnknownModel(
            f"the reranker's files have SHA-256 {actual.hex()}, not the pinned {settings.reranker_sha256}"
        )
    return actual


def make_reranker(settings: Settings) -> Reranker | None:
    """Return the configured cross-encoder, if any."""
    if not reranker_hash(settings):
        return None
    from rag.rerank import CrossEncoder, reranker_pins

    path = Path(settings.reranker)
    made = CrossEncoder(path, expected=reranker_pins(path))
    reranker_hash(settings)  # what was loaded is what is pinned, whoever wrote to the folder meanwhile
    return made


def enclave_configuration(settings: Settings, genesis: Cid) -> EnclaveConfiguration:
    """Return the configuration an enclave with these settings runs under."""
    from rag.weights import settings_digest

    path, digest = model_of(settings)
    return EnclaveConfiguration(
        genesis=genesis,
        model=digest,
        model_settings=settings_digest(path),
        dtype=dtype_of(settings),
        index=index_choice(settings).name,
        reranker=reranker_hash(settings),
        version=version("coffer"),
        epoch_s=settings.epoch_s,
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
        epoch_s=settings.epoch_s,
    )
