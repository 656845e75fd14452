"""The engines that are compared, each behind the same two calls: how hard to look, and the ten best rows of a query.

All run in this process. Graphs have the same width and were linked with the same care: M 32, ef_construction 200.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rag.approximate import ApproximateIndex
from rag.exact import TileIndex
from rag.index_plan import Device, IndexPlan, Kind

if TYPE_CHECKING:
    from numpy.typing import NDArray

K = 10
M = 32
EF_CONSTRUCTION = 200
SEED = 0
EFFORTS = (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
PROBES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
EXACT = (0,)
CHROMA_EFFORTS = (10, 32, 64, 128, 256)
CHROMA_BATCH = 5000  # it takes no more than 5,461 at once
Ask = Callable[[Any], Sequence[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A built index."""

    name: str
    is_ours: bool
    efforts: tuple[int, ...]  # (0,) for exact search
    look: Callable[[int], None]  # sets the effort of the queries to come
    ask: Ask  # takes a query of shape (1, dimension)
    close: Callable[[], None] = field(default=lambda: None)

    @property
    def is_exact(self) -> bool:
        """Tell whether nothing is to be missed."""
        return self.efforts == EXACT


def our_exact(vectors: NDArray[np.float32]) -> Engine:
    """Return our exact search."""
    return _ours("ours, exact", TileIndex(vectors), EXACT)


def our_hnsw(vectors: NDArray[np.float32]) -> Engine:
    """Return our graph: FAISS's candidates, scored again by the exact index."""
    plan = _plan(vectors, Kind.HNSW, m=M, ef_construction=EF_CONSTRUCTION, ef_search=EFFORTS[0])
    return _ours("ours, HNSW", _built(vectors, plan), EFFORTS)


def our_ivf(vectors: NDArray[np.float32]) -> Engine:
    """Return our inverted lists."""
    return _ours("ours, IVF-Flat", _built(vectors, _plan(vectors, Kind.IVF_FLAT, nlist=1024, nprobe=1)), PROBES)


def our_ivf_sq8(vectors: NDArray[np.float32]) -> Engine:
    """Return our inverted lists of 8-bit codes."""
    plan = _plan(vectors, Kind.IVF_SQ8, nlist=1024, nprobe=1, oversampling=4)
    return _ours("ours, IVF-SQ8", _built(vectors, plan), PROBES)


def faiss_flat(vectors: NDArray[np.float32]) -> Engine:
    """Return FAISS's exact search."""
    index = import_module("faiss").IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return Engine(
        name=_named("faiss flat", "faiss-cpu"),
        is_ours=False,
        efforts=EXACT,
        look=_nothing,
        ask=lambda query: index.search(query, K)[1][0].tolist(),
    )


def faiss_hnsw(vectors: NDArray[np.float32]) -> Engine:
    """Return FAISS's graph as it is."""
    faiss = import_module("faiss")
    index = faiss.IndexHNSWFlat(vectors.shape[1], M, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = EF_CONSTRUCTION
    index.add(vectors)

    def look(effort: int) -> None:
        index.hnsw.efSearch = effort

    return Engine(
        name=_named("faiss HNSW", "faiss-cpu"),
        is_ours=False,
        efforts=EFFORTS,
        look=look,
        ask=lambda query: index.search(query, K)[1][0].tolist(),
    )


def hnswlib(vectors: NDArray[np.float32]) -> Engine:
    """Return hnswlib's graph."""
    index = import_module("hnswlib").Index(space="ip", dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors), ef_construction=EF_CONSTRUCTION, M=M, random_seed=SEED)
    index.add_items(vectors)
    return Engine(
        name=_named("hnswlib", "hnswlib"),
        is_ours=False,
        efforts=EFFORTS,
        look=index.set_ef,
        ask=lambda query: index.knn_query(query, k=K)[0][0].tolist(),
    )


def chroma(vectors: NDArray[np.float32]) -> Engine:
    """Return Chroma in this process, without documents.

    It reads the effort when it opens a collection and not again, so each effort has a copy of its own.
    """
    clients = import_module("chromadb.api.shared_system_client")
    folder = tempfile.TemporaryDirectory(prefix="coffer-bench-")
    built = Path(folder.name) / "built"
    graph = {"space": "ip", "max_neighbors": M, "ef_construction": EF_CONSTRUCTION, "ef_search": EFFORTS[0]}
    collection = chroma_client(built).create_collection(
        "passages", configuration={"hnsw": graph}, embedding_function=None
    )
    for start in range(0, len(vectors), CHROMA_BATCH):
        part = vectors[start : start + CHROMA_BATCH]
        collection.add(ids=[str(row) for row in range(start, start + len(part))], embeddings=part)
    collections: dict[int, Any] = {}
    current: list[Any] = []
    clients.SharedSystemClient.clear_system_cache()

    def look(effort: int) -> None:
        if effort not in collections:
            copied = shutil.copytree(built, Path(folder.name) / str(effort))
            opened = chroma_client(copied).get_collection("passages", embedding_function=None)
            opened.modify(configuration={"hnsw": {"ef_search": effort}})
            collections[effort] = opened
        current[:] = [collections[effort]]

    def ask(query: NDArray[np.float32]) -> list[int]:
        found = current[0].query(query_embeddings=query, n_results=K, include=["distances"])
        return [int(row) for row in found["ids"][0]]

    return Engine(
        name=_named("Chroma", "chromadb"),
        is_ours=False,
        efforts=CHROMA_EFFORTS,
        look=look,
        ask=ask,
        close=folder.cleanup,
    )


def chroma_client(folder: Path | str) -> Any:
    """Return Chroma on a folder, which tells nobody that it runs."""
    chromadb = import_module("chromadb")
    return chromadb.PersistentClient(str(folder), settings=chromadb.config.Settings(anonymized_telemetry=False))


def lancedb(vectors: NDArray[np.float32]) -> Engine:
    """Return LanceDB without an index, as it is below a hundred thousand rows or so."""
    pyarrow = import_module("pyarrow")
    folder = tempfile.TemporaryDirectory(prefix="coffer-bench-")
    column = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(vectors.reshape(-1)), vectors.shape[1])
    rows = pyarrow.table({"row": pyarrow.array(np.arange(len(vectors))), "vector": column})
    table = import_module("lancedb").connect(folder.name).create_table("passages", rows)

    def ask(query: NDArray[np.float32]) -> list[int]:
        asked = table.search(query[0]).distance_type("dot").limit(K).select(["row", "_distance"])
        found: list[int] = asked.to_arrow()["row"].to_pylist()
        return found

    return Engine(
        name=_named("LanceDB flat", "lancedb"),
        is_ours=False,
        efforts=EXACT,
        look=_nothing,
        ask=ask,
        close=folder.cleanup,
    )


def qdrant(vectors: NDArray[np.float32]) -> Engine:
    """Return Qdrant's local mode, which compares everything, in Python."""
    module = import_module("qdrant_client")
    client = module.QdrantClient(":memory:")
    shape = module.models.VectorParams(size=vectors.shape[1], distance=module.models.Distance.DOT)
    client.create_collection("passages", vectors_config=shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that its local mode is slow beyond 20,000 rows is what is measured here
        client.upload_collection("passages", vectors=vectors, ids=range(len(vectors)))

    def ask(query: NDArray[np.float32]) -> list[int]:
        found = client.query_points("passages", query=query[0], limit=K, with_payload=False)
        return [point.id for point in found.points]

    return Engine(
        name=_named("Qdrant local", "qdrant-client"),
        is_ours=False,
        efforts=EXACT,
        look=_nothing,
        ask=ask,
        close=client.close,
    )


ENGINES: tuple[Callable[[NDArray[np.float32]], Engine], ...] = (
    our_exact,
    our_hnsw,
    our_ivf,
    our_ivf_sq8,
    faiss_flat,
    faiss_hnsw,
    hnswlib,
    chroma,
    lancedb,
    qdrant,
)


def _ours(name: str, index: TileIndex | ApproximateIndex, efforts: tuple[int, ...]) -> Engine:
    current: list[TileIndex | ApproximateIndex] = [index]

    def look(effort: int) -> None:
        if isinstance(index, ApproximateIndex):
            current[0] = index.with_effort(effort)

    def ask(query: NDArray[np.float32]) -> list[int]:
        return [hit.index for hit in current[0].search(query, k=K)[0]]

    return Engine(name=name, is_ours=True, efforts=efforts, look=look, ask=ask)


def _built(vectors: NDArray[np.float32], plan: IndexPlan) -> ApproximateIndex:
    return ApproximateIndex.build(vectors, plan, exact=TileIndex(vectors), threads=os.cpu_count() or 1)


def _plan(vectors: NDArray[np.float32], kind: Kind, *, oversampling: int = 1, **parameters: int) -> IndexPlan:
    count, dimension = (int(size) for size in vectors.shape)
    shape = {"count": count, "dimension": dimension, "oversampling": oversampling, "seed": SEED}
    return IndexPlan(kind=kind, device=Device.CPU, **shape, **parameters)


def _named(name: str, package: str) -> str:
    return f"{name} {version(package)}"


def _nothing(_: int) -> None:
    """Exact search looks everywhere, however hard it is told to look."""
