"""FAISS's inverted lists and graphs: trained on given vectors, written as bytes, and read back with everything checked.

They only find candidates; `rag.approximate` scores them.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from rag.index_plan import IVF_KINDS, Device, IndexPlan, Kind, UnusablePlan

if TYPE_CHECKING:
    from numpy.typing import NDArray

TRAINED_PER_CELL = 128  # vectors k-means looks at for each centroid; FAISS warns below 39 and samples above 256
HEADER_BYTES = 64 * 1024  # more than FAISS writes around the arrays
ROW_ID_BYTES = 8  # of a row in an inverted list, and of a row's offset in a graph


def faiss_module() -> Any:
    """Return FAISS, imported when it is first needed; its type stubs lack most of what is used here."""
    return importlib.import_module("faiss")


def has_gpu() -> bool:
    """Tell whether this FAISS is the one for GPUs, and there is a GPU."""
    faiss = faiss_module()
    return hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0


def trained(vectors: NDArray[np.float32], plan: IndexPlan, *, threads: int) -> Any:
    """Return a structure that holds `vectors`, on the plan's device; the same for the same seed and threads.

    On a GPU training runs there, where FAISS sums in no fixed order: centroids may differ in their last bits.
    """
    with _threads(threads):
        if plan.kind is Kind.HNSW:
            structure = _hnsw(plan)
            structure.add(vectors)
            return structure
        structure = _inverted_lists(plan)
        if plan.device is Device.GPU:
            structure = on_gpu(structure)
        structure.train(_sample(vectors, plan))
        structure.add(vectors)
        return structure


def on_gpu(structure: Any) -> Any:
    """Return the structure copied to the first GPU. From here on one thread alone may use it.

    Raises: UnusablePlan: no GPU can be used.
    """
    if not has_gpu():
        raise UnusablePlan("no GPU can be used: install the extra `gpu` on a machine with one, or plan for the CPU")
    faiss = faiss_module()
    return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, structure)  # which shares in the resources


def written(structure: Any, plan: IndexPlan) -> bytes:
    """Return a structure as bytes that can be read on any device."""
    faiss = faiss_module()
    on_cpu = faiss.index_gpu_to_cpu(structure) if plan.device is Device.GPU else structure
    return bytes(faiss.serialize_index(on_cpu).tobytes())


def read(data: bytes, plan: IndexPlan) -> Any:
    """Return the structure that `written` gave these bytes for, checked against the plan.

    FAISS's reader is not made for hostile bytes. Give it only what was authenticated, as a sealed snapshot's segments
    are; what is checked here catches the wrong snapshot, not an attacker.

    Raises: UnusablePlan: the bytes are not those of an index of this plan.
    """
    faiss = faiss_module()
    if len(data) > structure_bytes(plan) + HEADER_BYTES:
        raise UnusablePlan(f"{len(data)} bytes are more than an index of {plan.count} rows can have")
    try:
        structure = faiss.deserialize_index(np.frombuffer(data, dtype=np.uint8))
    except (RuntimeError, MemoryError) as error:
        raise UnusablePlan("the bytes are not those of a FAISS index") from error
    expected = _inverted_lists(plan) if plan.kind in IVF_KINDS else _hnsw(plan)
    if type(structure) is not type(expected):
        raise UnusablePlan(f"the bytes hold a {type(structure).__name__}, the plan says {plan.kind}")
    size = (structure.ntotal, structure.d, structure.metric_type)
    if size != (plan.count, plan.dimension, faiss.METRIC_INNER_PRODUCT) or not structure.is_trained:
        held = f"{structure.ntotal} vectors of dimension {structure.d}"
        raise UnusablePlan(f"the index holds {held}; the plan says {plan.count} of dimension {plan.dimension}")
    if not (_has_lists_of(structure, plan) if plan.kind in IVF_KINDS else _has_graph_of(structure, plan)):
        raise UnusablePlan(f"the index was not built with the parameters of this plan: {plan.kind}")
    return structure


def structure_bytes(plan: IndexPlan) -> int:
    """Return about how many bytes a structure takes, in memory or written: its arrays, which dwarf the rest."""
    vector = 4 * plan.dimension
    if plan.kind is Kind.EXACT:
        return 0
    if plan.kind is Kind.HNSW:
        # Every row has 2m links of 4 bytes; one in m has m more, one in m² again: FAISS draws layers with 1/ln(m).
        links = 4 * 2 * plan.m + 4 * plan.m / (plan.m - 1)
        return int(plan.count * (vector + links + ROW_ID_BYTES + 4) * 1.002) + 64 * plan.m
    code = vector if plan.kind is Kind.IVF_FLAT else plan.dimension
    return plan.count * (code + ROW_ID_BYTES) + plan.nlist * (vector + 16)


def _inverted_lists(plan: IndexPlan) -> Any:
    faiss = faiss_module()
    quantizer = faiss.IndexFlatIP(plan.dimension)
    given = (quantizer, plan.dimension, plan.nlist)
    if plan.kind is Kind.IVF_FLAT:
        made = faiss.IndexIVFFlat(*given, faiss.METRIC_INNER_PRODUCT)
    else:
        made = faiss.IndexIVFScalarQuantizer(*given, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
    made.cp.seed = plan.seed
    made.cp.max_points_per_centroid = TRAINED_PER_CELL
    made.cp.min_points_per_centroid = 1  # a small corpus is trained on all it has, without a warning on stderr
    return made


def _hnsw(plan: IndexPlan) -> Any:
    faiss = faiss_module()
    made = faiss.IndexHNSWFlat(plan.dimension, plan.m, faiss.METRIC_INNER_PRODUCT)
    made.hnsw.efConstruction = plan.ef_construction
    made.hnsw.rng = faiss.RandomGenerator(plan.seed)
    return made


def _sample(vectors: NDArray[np.float32], plan: IndexPlan) -> NDArray[np.float32]:
    """Return the vectors that k-means sees, drawn by the seed: never a copy of all of a large corpus."""
    wanted = plan.nlist * TRAINED_PER_CELL
    if len(vectors) <= wanted:
        return vectors
    rows = np.random.default_rng(plan.seed).choice(len(vectors), wanted, replace=False, shuffle=False)
    return np.ascontiguousarray(vectors[np.sort(rows)])


def _has_lists_of(structure: Any, plan: IndexPlan) -> bool:
    """Tell whether there are as many cells as planned, and every row is in one of them, once."""
    faiss = faiss_module()
    lists, quantizer = structure.invlists, faiss.downcast_index(structure.quantizer)
    if structure.nlist != plan.nlist or lists.nlist != plan.nlist or lists.code_size != structure.code_size:
        return False
    if type(quantizer) is not faiss.IndexFlatIP or (quantizer.ntotal, quantizer.d) != (plan.nlist, plan.dimension):
        return False
    seen = np.zeros(plan.count, dtype=np.bool_)
    for cell in range(plan.nlist):
        if size := lists.list_size(cell):
            rows = faiss.rev_swig_ptr(lists.get_ids(cell), size)
            if rows.min() < 0 or rows.max() >= plan.count:
                return False
            seen[rows] = True
    return bool(seen.all()) and sum(lists.list_size(cell) for cell in range(plan.nlist)) == plan.count


def _has_graph_of(structure: Any, plan: IndexPlan) -> bool:
    """Tell whether the graph has the planned width, and every link leads to a row."""
    faiss = faiss_module()
    storage, graph = faiss.downcast_index(structure.storage), structure.hnsw
    if type(storage) is not faiss.IndexFlatIP or (storage.ntotal, storage.d) != (plan.count, plan.dimension):
        return False
    widths = faiss.vector_to_array(graph.cum_nneighbor_per_level)
    offsets, links = faiss.vector_to_array(graph.offsets), faiss.vector_to_array(graph.neighbors)
    if len(widths) < 2 or widths[1] != 2 * plan.m or len(offsets) != plan.count + 1 or offsets[-1] != len(links):
        return False
    if graph.efConstruction != plan.ef_construction or not 0 <= graph.entry_point < plan.count:
        return False
    is_ordered = offsets[0] == 0 and bool((np.diff(offsets.astype(np.int64)) >= 2 * plan.m).all())
    return is_ordered and bool((links >= -1).all()) and bool((links < plan.count).all())


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Have FAISS use so many threads in this thread, then as many as before."""
    faiss = faiss_module()
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
