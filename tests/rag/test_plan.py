"""Plans: what is chosen, why, what it is expected to cost, and records that hold nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.index_costs import bytes_text, ms_text, predicted
from rag.index_plan import PPM, SEED_MAX, Device, IndexPlan, Kind, MeasuredRecall, UnusablePlan
from rag.plan import COUNT_MAX, Wanted, cells_for, choose, plan_for

GIB = 1 << 30
WANTED = Wanted(
    count=1_000_000,
    dimension=384,
    memory_bytes=64 * GIB,
    recall_ppm=950_000,
    k=10,
    device=Device.CPU,
    latency_us=100_000,
)
HNSW = IndexPlan(
    kind=Kind.HNSW,
    device=Device.CPU,
    count=1000,
    dimension=8,
    m=16,
    ef_construction=40,
    ef_search=64,
    oversampling=1,
    seed=1,
)
IVF = IndexPlan(
    kind=Kind.IVF_SQ8, device=Device.GPU, count=1000, dimension=8, nlist=16, nprobe=4, oversampling=4, seed=1
)
RECALL = MeasuredRecall(k=10, queries=100, found=950, wanted=1000, lower_ppm=930_000, source="given")


def chosen(**changes: object) -> Kind:
    return choose(replace(WANTED, **changes)).prediction.plan.kind  # type: ignore[arg-type]


def test_exact_search_is_taken_while_it_is_fast_enough_and_then_the_graph_and_then_lists() -> None:
    assert chosen() is Kind.EXACT
    assert chosen(latency_us=10_000) is Kind.HNSW
    assert chosen(count=30_000_000, memory_bytes=256 * GIB, latency_us=200_000) is Kind.IVF_FLAT
    assert chosen(count=30_000_000, memory_bytes=80 * GIB, latency_us=200_000) is Kind.IVF_SQ8


def test_less_memory_gives_up_the_graph_then_whole_vectors_then_speed_and_then_everything() -> None:
    fast = replace(WANTED, latency_us=20_000)
    needs = {option.kind: option.prediction.memory_bytes for option in choose(fast).options if option.prediction}
    assert needs[Kind.EXACT] < needs[Kind.IVF_SQ8] < needs[Kind.IVF_FLAT] < needs[Kind.HNSW]
    kinds = []
    for kind in (Kind.HNSW, Kind.IVF_FLAT, Kind.IVF_SQ8, Kind.EXACT):
        choice = choose(replace(fast, memory_bytes=needs[kind]))
        assert choice.prediction.memory_bytes <= needs[kind]
        kinds.append(choice.prediction.plan.kind)
    assert kinds == [Kind.HNSW, Kind.IVF_FLAT, Kind.IVF_SQ8, Kind.EXACT]
    with pytest.raises(UnusablePlan, match=r"need .* at least, and .* may be used"):
        choose(replace(fast, memory_bytes=needs[Kind.EXACT] - 1))


def test_all_of_the_recall_can_only_be_had_exactly() -> None:
    choice = choose(replace(WANTED, recall_ppm=PPM, latency_us=1))
    assert choice.prediction.plan.kind is Kind.EXACT
    assert "nothing that fits is as fast as wanted" in choice.why
    assert all("100%" in option.against for option in choice.options if option.kind is not Kind.EXACT)


def test_a_gpu_has_no_graph_and_keeps_the_exact_index_beside_it() -> None:
    on_gpu = replace(WANTED, device=Device.GPU, count=50_000_000, memory_bytes=80 * GIB)
    choice = choose(on_gpu)
    assert choice.prediction.plan.kind is Kind.IVF_FLAT
    assert choice.prediction.host_bytes == 50_000_000 * 384 * 5
    assert choice.prediction.memory_bytes < 80 * GIB < choice.prediction.host_bytes
    (graph,) = [option for option in choice.options if option.kind is Kind.HNSW]
    assert graph.prediction is None
    assert "GPU" in graph.against
    assert choice.why.startswith("exact search does not fit; inverted lists fit")
    assert chosen(device=Device.GPU, memory_bytes=100 * GIB) is Kind.EXACT


def test_everything_considered_says_what_speaks_against_it_but_what_was_chosen() -> None:
    for latency_us in (100_000, 5_000, 1):
        choice = choose(replace(WANTED, latency_us=latency_us))
        assert [option.kind for option in choice.options] == [Kind.EXACT, Kind.HNSW, Kind.IVF_FLAT, Kind.IVF_SQ8]
        assert {option.kind for option in choice.options if not option.against} == {choice.prediction.plan.kind}


@given(
    count=st.integers(1, COUNT_MAX),
    dimension=st.integers(1, 4096),
    memory_bytes=st.integers(1, 1 << 45),
    recall_ppm=st.integers(1, PPM),
    device=st.sampled_from(Device),
    latency_us=st.integers(1, 10**7),
)
def test_whatever_is_chosen_fits_and_can_be_recorded(
    count: int, dimension: int, memory_bytes: int, recall_ppm: int, device: Device, latency_us: int
) -> None:
    wanted = Wanted(
        count=count,
        dimension=dimension,
        memory_bytes=memory_bytes,
        recall_ppm=recall_ppm,
        k=10,
        device=device,
        latency_us=latency_us,
    )
    try:
        choice = choose(wanted)
    except UnusablePlan:
        exact = plan_for(Kind.EXACT, wanted)
        assert predicted(exact).memory_bytes > memory_bytes
        return
    assert choice.prediction.memory_bytes <= memory_bytes
    assert recall_ppm < PPM or choice.prediction.plan.kind is Kind.EXACT
    assert IndexPlan.from_record(choice.prediction.plan.record()) == choice.prediction.plan


@given(count=st.integers(1, COUNT_MAX))
def test_every_cell_has_vectors_to_be_trained_on(count: int) -> None:
    cells = cells_for(count)
    assert cells.bit_count() == 1
    assert cells == 1 or count / cells >= 39
    assert cells <= 6 * count**0.5


@pytest.mark.parametrize(
    "change",
    [
        {"count": 0},
        {"count": COUNT_MAX + 1},
        {"dimension": 0},
        {"memory_bytes": 0},
        {"recall_ppm": 0},
        {"recall_ppm": PPM + 1},
        {"k": 0},
        {"k": 1001},
        {"latency_us": 0},
    ],
    ids=str,
)
def test_wishes_that_nothing_can_meet_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(UnusablePlan, match="must be 1 to"):
        replace(WANTED, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize("recall_ppm", [500_000, 900_000, 950_000, 990_000, 999_999])
@pytest.mark.parametrize("kind", [Kind.HNSW, Kind.IVF_FLAT, Kind.IVF_SQ8])
def test_more_recall_is_planned_with_no_less_effort(kind: Kind, recall_ppm: int) -> None:
    plan, more = (plan_for(kind, replace(WANTED, recall_ppm=ppm)) for ppm in (recall_ppm, 999_999))
    assert plan.effort <= more.effort
    assert predicted(plan).latency_us <= predicted(more).latency_us


@pytest.mark.parametrize("plan", [HNSW, IVF, plan_for(Kind.EXACT, WANTED)], ids=lambda plan: plan.kind)
def test_a_plan_survives_its_record_which_holds_only_numbers_and_text(plan: IndexPlan) -> None:
    record = plan.record()
    assert {type(value) for value in record.values()} == {int, str}
    assert IndexPlan.from_record(record) == plan


def test_a_measurement_survives_its_record() -> None:
    assert RECALL.recall_ppm == 950_000
    assert MeasuredRecall.from_record(RECALL.record()) == RECALL
    assert {type(value) for value in RECALL.record().values()} == {int, str}


HNSW_BROKEN = {
    "kind": "pq",
    "device": "tpu",
    "count": 0,
    "dimension": 8193,
    "nlist": 1,
    "nprobe": 1,
    "m": 1,
    "ef_construction": 0,
    "ef_search": 4097,
    "oversampling": 0,
    "seed": SEED_MAX + 1,
}


@pytest.mark.parametrize("name", HNSW_BROKEN)
def test_one_broken_field_of_a_plan_is_enough(name: str) -> None:
    with pytest.raises(UnusablePlan, match=name):
        IndexPlan.from_record(HNSW.record() | {name: HNSW_BROKEN[name]})


@pytest.mark.parametrize("change", [{"nlist": 1001}, {"nlist": 0}, {"nprobe": 17}, {"nprobe": 0}, {"m": 2}], ids=str)
def test_inverted_lists_have_cells_and_no_links(change: dict[str, int]) -> None:
    with pytest.raises(UnusablePlan, match="must be"):
        IndexPlan.from_record(IVF.record() | change)


def test_a_graph_on_a_gpu_is_refused() -> None:
    with pytest.raises(UnusablePlan, match="no HNSW on a GPU"):
        replace(HNSW, device=Device.GPU)


RECALL_BROKEN = {
    "k": 0,
    "queries": 0,
    "found": 1001,
    "wanted": 1001,
    "lower_ppm": 950_001,
    "source": "a\nb",
}


@pytest.mark.parametrize("name", RECALL_BROKEN)
def test_one_broken_field_of_a_measurement_is_enough(name: str) -> None:
    with pytest.raises(UnusablePlan):
        MeasuredRecall.from_record(RECALL.record() | {name: RECALL_BROKEN[name]})


@pytest.mark.parametrize("cls", [IndexPlan, MeasuredRecall])
@pytest.mark.parametrize("value", [None, 1.0, True, b"10", "10", [10], 2**70])
def test_a_field_of_another_type_is_refused(cls: type[IndexPlan | MeasuredRecall], value: object) -> None:
    record = (HNSW if cls is IndexPlan else RECALL).record()
    for name in record:
        if isinstance(record[name], int) or not isinstance(value, str):
            with pytest.raises(UnusablePlan):
                cls.from_record(record | {name: value})


def test_a_field_missing_or_beyond_is_refused() -> None:
    for record, cls in ((HNSW.record(), IndexPlan), (RECALL.record(), MeasuredRecall)):
        for name in record:
            with pytest.raises(UnusablePlan, match="no fewer and no others"):
                cls.from_record({key: value for key, value in record.items() if key != name})
        with pytest.raises(UnusablePlan, match="no fewer and no others"):
            cls.from_record(record | {"more": 1})


@pytest.mark.parametrize(
    ("count", "text"), [(1, "1 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (3 * GIB, "3.0 GiB")]
)
def test_bytes_are_told_in_their_largest_unit(count: int, text: str) -> None:
    assert bytes_text(count) == text


@pytest.mark.parametrize(("us", "text"), [(250, "0.25 ms"), (1_000, "1 ms"), (12_345, "12 ms"), (1_234_567, "1235 ms")])
def test_times_are_told_in_milliseconds(us: int, text: str) -> None:
    assert ms_text(us) == text


@pytest.mark.parametrize(
    ("latency_us", "words"),
    [
        (999, "below 1 ms"),
        (1_000, "1 to 10 ms"),
        (99_999, "10 to 100 ms"),
        (999_999, "0.1 to 1 s"),
        (10**6, "above 1 s"),
    ],
)
def test_a_latency_has_a_class(latency_us: int, words: str) -> None:
    assert replace(predicted(HNSW), latency_us=latency_us).latency_class == words
