"""A policy says something of every field of a machine's evidence, or it is none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.builders import seeded
from tests.machines import accepted_tee, anything
from vault.errors import MalformedObject
from vault.expectation import GPU, KINDS, NUMBER_BYTES, VALUES_MAX, Expectation, Form, Rule
from vault.policy import AcceptedTee

FIELDS = [(kind, name) for kind, fields in KINDS.items() for name in fields]
CHANGEABLE = [(kind, name) for kind, name in FIELDS if not KINDS[kind][name].is_needed]
NEEDED = [(kind, name) for kind, name in FIELDS if KINDS[kind][name].is_needed]


def bound(rule: Rule, value: int) -> Expectation:
    return Expectation(field="vmpl", rule=rule, values=(value.to_bytes(NUMBER_BYTES, "big"),))


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_that_speaks_of_every_field_stands_and_comes_back_from_its_bytes(kind: str) -> None:
    for tee in (accepted_tee(kind), accepted_tee(kind, gpu=True)):
        assert AcceptedTee.from_bytes(tee.encoded()) == tee


@pytest.mark.parametrize(("kind", "name"), FIELDS)
def test_a_field_left_out_is_an_error_and_never_a_skip(kind: str, name: str) -> None:
    tee = accepted_tee(kind)
    rest = tuple(item for item in tee.expectations if item.field != name)
    with pytest.raises(MalformedObject, match=name if rest else "length"):
        replace(tee, expectations=rest)


@pytest.mark.parametrize(("kind", "name"), CHANGEABLE)
def test_any_is_said_on_purpose(kind: str, name: str) -> None:
    assert anything(name) in accepted_tee(kind, anything(name)).expectations


@pytest.mark.parametrize(("kind", "name"), NEEDED)
def test_what_tells_one_program_from_another_may_not_be_any(kind: str, name: str) -> None:
    with pytest.raises(MalformedObject, match="every genuine machine"):
        accepted_tee(kind, anything(name))


@pytest.mark.parametrize(("kind", "name"), FIELDS)
def test_a_field_is_judged_by_its_own_rule_and_in_its_own_size(kind: str, name: str) -> None:
    field = KINDS[kind][name]
    wrong = next(rule for rule in (Rule.AT_LEAST, Rule.ONE_OF) if rule is not field.form.rule)
    with pytest.raises(MalformedObject, match="judged by"):
        accepted_tee(kind, Expectation(field=name, rule=wrong, values=(seeded(name, field.size or 8),)))
    if field.size or field.form in (Form.FLOOR, Form.CEILING):
        with pytest.raises(MalformedObject, match="bytes"):
            accepted_tee(kind, Expectation(field=name, rule=field.form.rule, values=(bytes(7),)))


def test_unknown_kinds_and_fields_and_fields_said_twice_are_refused() -> None:
    tee = accepted_tee("snp")
    for expectations in (
        (*tee.expectations, anything("zeta")),
        tee.expectations[::-1],
        (*tee.expectations, tee.expectations[-1]),
    ):
        with pytest.raises(MalformedObject):
            replace(tee, expectations=expectations)
    with pytest.raises(MalformedObject, match="no TEE of kind"):
        replace(tee, kind="sev")


def test_a_gpu_is_judged_completely_or_the_entry_says_cpu_only() -> None:
    with_gpu = accepted_tee("tdx", gpu=True)
    assert {item.field for item in with_gpu.gpu} == set(GPU)
    with pytest.raises(MalformedObject, match="CPU only"):
        replace(with_gpu, cpu_only=True)
    with pytest.raises(MalformedObject, match="nothing is said"):
        replace(with_gpu, gpu=())
    with pytest.raises(MalformedObject, match="nothing is said of driver_version"):
        replace(with_gpu, gpu=tuple(item for item in with_gpu.gpu if item.field != "driver_version"))


@pytest.mark.parametrize(
    ("rule", "values"),
    [
        (Rule.ANY, (b"a",)),
        (Rule.ONE_OF, ()),
        (Rule.ONE_OF, (b"b", b"a")),
        (Rule.ONE_OF, (b"a", b"a")),
        (Rule.ONE_OF, tuple(bytes([n]) for n in range(VALUES_MAX + 1))),
        (Rule.AT_LEAST, ()),
        (Rule.AT_MOST, (b"a", b"b")),
        (Rule.EACH_AT_LEAST, ()),
    ],
)
def test_a_rule_comes_with_exactly_the_values_it_needs(rule: Rule, values: tuple[bytes, ...]) -> None:
    with pytest.raises(MalformedObject):
        Expectation(field="x", rule=rule, values=values)


def test_numbers_compare_by_value_to_the_bound_itself() -> None:
    numbers = [n.to_bytes(NUMBER_BYTES, "big") for n in (254, 255, 256, 257)]
    assert [bound(Rule.AT_LEAST, 256).accepts(n) for n in numbers] == [False, False, True, True]
    assert [bound(Rule.AT_MOST, 255).accepts(n) for n in numbers] == [True, True, False, False]


@pytest.mark.parametrize(
    ("found", "is_accepted"),
    [
        (bytes([4, 0, 24, 219]), True),
        (bytes([5, 0, 24, 219]), True),
        (bytes([9, 9, 23, 255]), False),  # one SVN short, however high the others
        (bytes([4, 0, 24]), False),
        (bytes([4, 0, 24, 219, 0]), False),
    ],
)
def test_every_svn_of_a_vector_has_to_be_reached(found: bytes, is_accepted: bool) -> None:
    least = Expectation(field="reported_tcb", rule=Rule.EACH_AT_LEAST, values=(bytes([4, 0, 24, 219]),))
    assert least.accepts(found) is is_accepted


def test_one_of_takes_exactly_its_values_and_any_takes_all() -> None:
    one = Expectation(field="x", rule=Rule.ONE_OF, values=(b"a", b"b"))
    assert [one.accepts(value) for value in (b"a", b"b", b"c", b"", b"ab")] == [True, True, False, False, False]
    assert anything("x").accepts(b"whatever")


def test_every_accepted_measurement_can_be_named_by_a_revocation() -> None:
    tee = accepted_tee("tdx", Expectation(field="mr_td", rule=Rule.ONE_OF, values=(bytes(48), bytes([1]) * 48)))
    assert {bytes(48), bytes([1]) * 48, seeded("rt_mr2", 48)} <= set(tee.measurements())
    assert seeded("mr_owner", 48) not in tee.measurements()
