"""`coffer index plan`: predictions from sizes, measurements on vectors and texts, and one sentence for bad input."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from cli.index import app
from rag.index_plan import IndexPlan, MeasuredRecall
from tests.cli.conftest import Party
from tests.rag.oracle import clusters

MILLION = ("--count", 1_000_000, "--memory", "64GiB")


@pytest.fixture
def home(party: Party) -> Path:
    return party.home


def run(home: Path, *args: object, code: int = 0) -> Result:
    """Run `coffer index plan` and check its exit code; a bug's traceback fails the test."""
    env = {"COFFER_HOME": str(home), "COLUMNS": "200"}
    result = CliRunner().invoke(app, ["plan", *(str(arg) for arg in args)], env=env)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def report(home: Path, *args: object, code: int = 0) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(run(home, *args, "--json", code=code).stdout)
    return shown


def refused(home: Path, *args: object, code: int = 2) -> str:
    result = run(home, *args, code=code)
    assert "Traceback" not in result.output
    assert result.stdout == ""
    return " ".join(result.stderr.replace("│", " ").split())


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 4,000 vectors in vectors.npy and 200 questions in questions.npy."""
    folder = tmp_path_factory.mktemp("arrays")
    rows = clusters(3, 4200, 32)
    np.save(folder / "vectors.npy", rows[:4000])
    np.save(folder / "questions.npy", rows[4000:])
    return folder


def test_a_count_is_enough_for_a_prediction_that_claims_no_measurement(home: Path) -> None:
    shown = report(home, *MILLION)
    assert shown["plan"]["kind"] == "exact"
    assert shown["predicted"]["latency_class"] == "10 to 100 ms"
    assert shown["measured"] is None
    assert [one["kind"] for one in shown["considered"]] == ["exact", "hnsw", "ivf-flat", "ivf-sq8"]
    assert [one["kind"] for one in shown["considered"] if not one["against"]] == ["exact"]


@pytest.mark.parametrize(
    ("wishes", "kind"),
    [
        (("--latency-ms", 5), "hnsw"),
        (("--latency-ms", 5, "--recall", "100%"), "exact"),
        (("--latency-ms", 20, "--memory", "3400MiB"), "ivf-flat"),
        (("--latency-ms", 20, "--memory", "3GiB"), "ivf-sq8"),
        (("--device", "gpu"), "exact"),
        (("--kind", "ivf-sq8"), "ivf-sq8"),
    ],
    ids=str,
)
def test_wishes_decide_the_kind(home: Path, wishes: tuple[object, ...], kind: str) -> None:
    shown = report(home, *MILLION, *wishes)
    assert shown["plan"]["kind"] == kind
    assert IndexPlan.from_record(shown["plan"]).count == 1_000_000


def test_people_read_a_table_that_says_what_is_predicted(home: Path) -> None:
    shown = run(home, *MILLION, "--latency-ms", 5).stdout
    for words in ("hnsw on the cpu", "predicted", "ef_search", "nothing was measured", "against it", "GiB"):
        assert words in shown
    assert "measured  " not in shown


@pytest.mark.parametrize("kind", ["hnsw", "ivf-flat", "ivf-sq8"])
def test_vectors_are_indexed_and_measured_on_questions(home: Path, arrays: Path, kind: str) -> None:
    given = ("--vectors", arrays / "vectors.npy", "--queries", arrays / "questions.npy", "--kind", kind)
    shown = report(home, *given, "--recall", "90%")
    measured = shown["measured"]
    ppm = measured["recall"].pop("recall_ppm")
    recall = MeasuredRecall.from_record(measured["recall"])
    assert (recall.queries, recall.source, recall.k) == (100, "given", 10)
    assert ppm == recall.recall_ppm >= 900_000
    assert measured["reached"] is True
    assert measured["structure_bytes"] < shown["predicted"]["memory_bytes"]
    assert IndexPlan.from_record(shown["plan"]).kind == kind
    assert shown["why"].startswith("asked for; exact would be chosen")


def test_without_questions_noisy_passages_stand_in_and_say_so(home: Path, arrays: Path) -> None:
    shown = run(home, "--vectors", arrays / "vectors.npy", "--kind", "hnsw", "--sample", 60, "--seed", 7).stdout
    assert "30 queries that had no part in choosing the parameters: passages with noise 1.80, seed 7" in shown
    assert "confidence" in shown
    again = [report(home, "--vectors", arrays / "vectors.npy", "--kind", "ivf-flat", "--seed", 7) for _ in range(2)]
    assert again[0]["plan"] == again[1]["plan"]
    assert again[0]["measured"]["recall"] == again[1]["measured"]["recall"]


def test_an_exact_index_is_timed_and_its_recall_is_known(home: Path, arrays: Path) -> None:
    shown = report(home, "--vectors", arrays / "vectors.npy")
    assert (shown["plan"]["kind"], shown["measured"]["recall"], shown["measured"]["reached"]) == ("exact", None, True)
    assert shown["measured"]["query_us"] > 0
    assert "100%, by construction" in run(home, "--vectors", arrays / "vectors.npy").stdout


def test_a_recall_that_is_not_reached_is_said_and_exits_1(home: Path, tmp_path: Path) -> None:
    """One vector per query direction and 8-bit codes that cannot tell near-identical vectors apart."""
    random = np.random.default_rng(0)
    rows = clusters(1, 1, 32) + random.standard_normal((3000, 32)).astype(np.float32) * np.float32(1e-4)
    rows[0] = -100 * rows[1]  # stretches the codes' range
    np.save(tmp_path / "alike.npy", rows)
    given = ("--vectors", tmp_path / "alike.npy", "--kind", "ivf-sq8", "--recall", "99.9%", "--k", 100)
    assert report(home, *given, code=1)["measured"]["reached"] is False
    assert "NOT REACHED 99.9%" in run(home, *given, code=1).stdout


def test_texts_are_cut_embedded_and_measured(home: Path, tmp_path: Path) -> None:
    for number in range(6):
        (tmp_path / f"{number}.txt").write_text(f"Report {number} on tides. " * (number + 1))
    (tmp_path / "questions").write_text("When is high water?\n\nWho wrote report 3?\n" * 4)
    shown = report(home, "--texts", tmp_path, "--queries", tmp_path / "questions", "--kind", "hnsw", "--k", 2)
    assert (shown["plan"]["count"], shown["plan"]["dimension"]) == (6, 384)
    assert shown["measured"]["recall"]["queries"] == 4


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), "one of --count, --dataset, --vectors and --texts"),
        (("--count", 5, "--vectors", "x.npy"), "one of --count"),
        (("--count", 5, "--queries", "x.npy"), "--queries are asked of"),
        (("--count", 0), "the number of passages must be 1 to"),
        (("--count", -3), "the number of passages must be 1 to"),
        (("--count", 10**10), "the number of passages must be 1 to"),
        (("--count", "many"), "Invalid value for '--count'"),
        (("--count", 5, "--dimension", 0), "the dimension must be 1 to"),
        (("--count", 5, "--k", 0), "k must be 1 to 1000"),
        (("--count", 5, "--recall", "0%"), "the recall"),
        (("--count", 5, "--recall", "101%"), "is not a share"),
        (("--count", 5, "--recall", "0.9"), "is not a share"),
        (("--count", 5, "--latency-ms", 0), "the latency"),
        (("--count", 5, "--memory", "lots"), "is not a size"),
        (("--count", 5, "--memory", "8IB"), "is not a size"),
        (("--count", 5, "--memory", "0GiB"), "the memory"),
        (("--count", 5, "--device", "gpu"), "--memory 80GiB"),
        (("--count", 5, "--device", "gpu", "--memory", "1GiB", "--kind", "hnsw"), "no HNSW on a GPU"),
        (("--count", 5, "--recall", "100%", "--kind", "ivf-flat"), "only exact search finds everything"),
        (("--count", 10**6, "--memory", "1GiB"), "need 1.8 GiB at least, and 1.0 GiB may be used"),
        (("--dataset", "nonsense"), "is not a CID"),
        (("--vectors", "nowhere.npy"), "nowhere.npy does not exist"),
        (("--texts", "nowhere"), "nowhere does not exist"),
        (("--count", 5, "--kind", "ivf-flat", "--seed", -1), "seed must be"),
        (("--vectors", "nowhere.npy", "--dimension", 3), "--dimension goes with"),
        (("--count", 5, "--kind", "pq"), "pq"),
    ],
    ids=str,
)
def test_bad_input_is_one_sentence(home: Path, args: tuple[object, ...], words: str) -> None:
    assert words in refused(home, *args)


def saved(folder: Path, array: object) -> Path:
    np.save(folder / "bad.npy", np.asarray(array), allow_pickle=True)
    return folder / "bad.npy"


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros(5, np.float32), "not rows of floating-point numbers"),
        (np.zeros((0, 5), np.float32), "not rows of floating-point numbers"),
        (np.zeros((5, 3), np.int64), "not rows of floating-point numbers"),
        (np.array([[{}]], dtype=object), "not a NumPy array file"),
        (np.full((5, 3), np.nan, np.float32), "finite"),
        (np.full((5, 3), 1e300), "finite"),
        (np.full((5, 3), 1e5, np.float32), "at most 1024 long"),
        (np.ones((1, 3), np.float32), "4 queries at least, got 1"),
    ],
    ids=["row", "empty", "integers", "pickle", "nan", "float64", "long", "one"],
)
def test_an_array_that_cannot_be_indexed_is_one_sentence(home: Path, tmp_path: Path, array: object, words: str) -> None:
    assert words in refused(home, "--vectors", saved(tmp_path, array), "--kind", "ivf-flat")


@pytest.mark.parametrize("data", [b"", b"\x93NUMPY", b"PK\x03\x04", b"x" * 500, b"\x93NUMPY\x01\x00\xff\xff{"])
def test_a_file_that_is_no_array_is_one_sentence(home: Path, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "bad.npy").write_bytes(data)
    assert "not a NumPy array file" in refused(home, "--vectors", tmp_path / "bad.npy")


def test_an_array_cut_short_is_one_sentence(home: Path, arrays: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.npy").write_bytes((arrays / "vectors.npy").read_bytes()[:5000])
    assert "not a NumPy array file" in refused(home, "--vectors", tmp_path / "bad.npy")


def test_a_pipe_is_not_waited_for(home: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npy")
    assert "is not a file" in refused(home, "--vectors", tmp_path / "pipe.npy")


@pytest.mark.parametrize("sample", [("--sample", 0), ("--sample", 10**6), ("--seed", -1), ("--seed", 2**31)], ids=str)
def test_a_sample_that_cannot_be_drawn_is_one_sentence(home: Path, arrays: Path, sample: tuple[str, int]) -> None:
    assert "the sample must be 1 to" in refused(home, "--vectors", arrays / "vectors.npy", *sample)


def test_questions_of_another_dimension_or_none_are_one_sentence(home: Path, arrays: Path, tmp_path: Path) -> None:
    given = ("--vectors", arrays / "vectors.npy", "--queries")
    assert "dimension" in refused(home, *given, saved(tmp_path, np.ones((5, 31), np.float32) / 31))
    (tmp_path / "empty.txt").write_text("\n \n")
    assert "holds no question" in refused(home, *given, tmp_path / "empty.txt")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9?\n")
    assert "not text in UTF-8" in refused(home, *given, tmp_path / "latin.txt")


def test_a_folder_without_text_is_one_sentence(home: Path, tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    assert "holds no text" in refused(home, "--texts", tmp_path / "texts")


def test_a_dataset_of_this_home_is_known_by_its_cid_and_others_are_not(home: Path) -> None:
    absent = "bafyreibvjvcv745gig4mvqs4hctx4zfkono4rjejm2ta6gtyzkqxfjeily"
    assert "was not sealed in this home" in refused(home, "--dataset", absent)
