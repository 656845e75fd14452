"""What counts as probing: questions that hardly differ around one passage, of one holder, within an hour."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from enclave.asked import Asked
from enclave.probing import HOLDERS_MAX, HOUR_S, KEPT_EACH, NEAR_BITS, Probe, Probes
from storage.cid import DAG_CBOR, Cid
from tests.people import seeded
from vault.errors import RateExceeded
from vault.question import PLAIN, Mode, Query

KEY, HOLDER, PASSAGE = seeded("probes"), b"holder", seeded("passage")
POLICY = Cid.of(DAG_CBOR, b"policy")
DIMENSION = 384


def query(text: str = "a question", **fields: object) -> Query:
    usual = {"request": seeded(f"request {text}"), "policy": POLICY, "text": text, "k": 5, "salt": bytes(32)}
    return Query(**(usual | fields))  # type: ignore[arg-type]


def unit(seed: int, dimension: int = DIMENSION) -> NDArray[np.float32]:
    row = np.random.default_rng(seed).standard_normal(dimension)
    return (row / np.linalg.norm(row)).astype(np.float32)


def turned(row: NDArray[np.float32], cosine: float, seed: int) -> NDArray[np.float32]:
    """Return a unit vector at this cosine from another one."""
    other = unit(seed).astype(np.float64)
    other -= (other @ row) * row
    made = cosine * row + np.sqrt(1 - cosine**2) * other / np.linalg.norm(other)
    return made.astype(np.float32)


def probe(
    probes: Probes, row: NDArray[np.float32], text: str, *, at: int = 0, holder: bytes = HOLDER, near: bytes = PASSAGE
) -> Probe:
    return Probe(holder, probes.sketch(query(text), row.astype("<f4").tobytes(), near), at)


def noted(probes: Probes, count: int, *, cosine: float = 0.97, holder: bytes = HOLDER, near: bytes = PASSAGE) -> None:
    for number in range(count):
        probes.note(probe(probes, turned(unit(0), cosine, 100 + number), f"q{number}", holder=holder, near=near))


def test_questions_that_hardly_differ_are_counted_and_others_are_not() -> None:
    probes = Probes(KEY)
    noted(probes, 7)
    assert len(probes.alike(probe(probes, unit(0), "one more"))) == 7
    assert probes.alike(probe(probes, unit(1), "another")) == []
    assert probes.alike(probe(probes, unit(0), "of another passage", near=seeded("other"))) == []
    assert probes.alike(probe(probes, unit(0), "of another holder", holder=b"somebody")) == []
    assert len(probes.alike(probe(probes, unit(0), "later", at=HOUR_S - 1))) == 7
    assert probes.alike(probe(probes, unit(0), "an hour later", at=HOUR_S)) == []


def test_the_same_question_again_counts_once_and_is_never_one_too_many() -> None:
    probes = Probes(KEY)
    for at in range(5):
        probes.note(probe(probes, unit(0), "the same", at=at))
    assert len(probes.alike(probe(probes, unit(0), "another"))) == 1
    assert probes.alike(probe(probes, unit(0), "the same")) == []


def test_another_filter_or_number_of_passages_makes_another_question() -> None:
    probes, row = Probes(KEY), unit(0).tobytes()
    sketches = [
        probes.sketch(asked, row, PASSAGE).question
        for asked in (query(), query(k=6), query(options=replace(PLAIN, where=b"\xa0")), query(datasets=(POLICY,)))
    ]
    assert len(set(sketches)) == 4
    again = probes.sketch(query(request=seeded("b"), salt=seeded("c"), price_max=7), row, PASSAGE)
    assert again.question == sketches[0]


def test_questions_by_words_alone_are_sketched_by_their_words() -> None:
    probes = Probes(KEY)
    said = " ".join(f"word{n}" for n in range(30))
    options = replace(PLAIN, mode=Mode.KEYWORD)
    for number in range(4):
        asked = query(f"{said} extra{number}", options=options)
        probes.note(Probe(HOLDER, probes.sketch(asked, b"", PASSAGE), 0))
    one_more = probes.sketch(query(f"{said} extra9", options=options), b"", PASSAGE)
    unlike = probes.sketch(query("quite different words altogether", options=options), b"", PASSAGE)
    assert len(probes.alike(Probe(HOLDER, one_more, 0))) == 4
    assert probes.alike(Probe(HOLDER, unlike, 0)) == []


@settings(deadline=None, max_examples=40)
@given(st.floats(0.93, 1), st.integers(1, 10_000))
def test_what_is_close_is_near_and_what_is_far_is_not(cosine: float, seed: int) -> None:
    probes = Probes(KEY)
    base, near, far = unit(0), turned(unit(0), cosine, seed), turned(unit(0), cosine - 0.63, seed)

    def apart(row: NDArray[np.float32]) -> int:
        sides = [probes.sketch(query(), one.tobytes(), PASSAGE).sides for one in (base, row)]
        return int(np.bitwise_count(sides[0] ^ sides[1]).sum())

    assert apart(near) <= NEAR_BITS < apart(far)


def test_sketches_depend_on_the_key_and_nothing_else() -> None:
    row = unit(3).tobytes()
    first, again, other = (Probes(key).sketch(query(), row, PASSAGE) for key in (KEY, KEY, seeded("other key")))
    assert (first.sides == again.sides).all() and first.question == again.question
    assert (first.sides != other.sides).any() and first.question != other.question


def test_what_is_remembered_is_bounded_in_holders_and_in_questions() -> None:
    probes = Probes(KEY)
    row = probe(probes, unit(0), "a")
    for number in range(HOLDERS_MAX + 5):
        probes.note(replace(row, holder=b"%d" % number))
    assert len(probes._holders) == HOLDERS_MAX
    sketch = row.sketch
    for number in range(KEPT_EACH + 30):
        probes.note(Probe(HOLDER, replace(sketch, question=b"%d" % number), number))
    known = probes._holders[HOLDER]
    assert len(known.questions) == len(known.places) == KEPT_EACH
    assert min(known.at.tolist()) == 30
    assert all(known.questions[place] == question for question, place in known.places.items())


def test_nothing_shows_a_question(capsys: pytest.CaptureFixture[str]) -> None:
    probes = Probes(KEY)
    noted(probes, 1)
    shown = repr(probes._holders) + repr(probe(probes, unit(0), "secret words"))
    assert "secret" not in shown and "sides" not in repr(probe(probes, unit(0), "x").sketch)


def test_a_policy_without_the_rule_keeps_nothing(asked: Asked) -> None:
    probes = Probes(KEY)
    assert probes.judged(asked, unit(0).tobytes(), [PASSAGE], at=0) is None
    probes.note(None)
    assert not probes._holders


def test_the_hint_says_when_the_next_one_may_be_asked(asked: Asked) -> None:
    probes = Probes(KEY)
    limited = replace(asked, policy=replace(asked.policy, output=replace(asked.policy.output, probes_per_hour=3)))
    for number in range(3):
        again = replace(limited, query=query(f"q{number}"))
        probes.note(probes.judged(again, turned(unit(0), 0.98, number).tobytes(), [PASSAGE], at=100 * number))
    with pytest.raises(RateExceeded) as refused:
        probes.judged(replace(limited, query=query("one more")), unit(0).tobytes(), [PASSAGE], at=250)
    assert refused.value.wait_s == HOUR_S - 250
    assert probes.judged(replace(limited, query=query("one more")), unit(0).tobytes(), [PASSAGE], at=HOUR_S)


@pytest.fixture
def asked() -> Asked:
    from tests.enclave.test_selection import asked as asked_with

    return asked_with(budget=5, each=(5, 5, 5), owned=(5, 5))
