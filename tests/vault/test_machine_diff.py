"""What a policy changes on machines, in words: no term gets weaker without being named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.builders import MEASUREMENT, dao, policy, seeded
from tests.machines import accepted_tee, anything
from vault.expectation import GPU, KINDS, NUMBER_BYTES, Expectation, Form, Rule
from vault.machine_diff import machine_changes, tee_words
from vault.policy import AcceptedTee
from vault.policy_diff import changes

FREE = [(kind, name) for kind, fields in KINDS.items() for name, field in fields.items() if not field.is_needed]
FIELDS = [(kind, name) for kind, fields in KINDS.items() for name in fields]


def told(before: AcceptedTee | None, after: AcceptedTee | None) -> list[str]:
    return list(machine_changes([before] if before else [], [after] if after else []))


def other(kind: str, name: str) -> Expectation:
    """Return a valid expectation of a field that is neither ANY nor the usual one."""
    field = KINDS[kind][name]
    values = {
        Form.TEXT: b"other",
        Form.FLOOR: (7).to_bytes(NUMBER_BYTES, "big"),
        Form.CEILING: (7).to_bytes(NUMBER_BYTES, "big"),
    }
    value = values.get(field.form) or seeded(f"other {name}", field.size or 32)
    return Expectation(field=name, rule=field.form.rule, values=(value,))


@pytest.mark.parametrize(("kind", "name"), FREE)
def test_a_field_that_may_be_anything_now_is_named_with_what_it_had_to_be(kind: str, name: str) -> None:
    strict, weak = accepted_tee(kind), accepted_tee(kind, anything(name))
    (line,) = told(strict, weak)
    assert f": {name} may be anything now; before: " in line
    assert not line.endswith("before: ")
    (back,) = told(weak, strict)
    assert f": {name} must be " in back and back.endswith("now; before: anything")


@pytest.mark.parametrize(("kind", "name"), FIELDS)
def test_a_field_that_is_judged_by_another_value_is_named(kind: str, name: str) -> None:
    before, after = accepted_tee(kind), accepted_tee(kind, other(kind, name))
    lines = told(before, after)
    assert lines and any(name in line for line in lines)
    if KINDS[kind][name].form in (Form.FLOOR, Form.CEILING):
        bound = "least" if KINDS[kind][name].form is Form.FLOOR else "most"
        assert f"{name} must be at {bound} 7 now; before: at {bound} {int(bound == 'least')}" in "\n".join(lines)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_accepted_now_and_no_more_never_has_the_same_words(kind: str) -> None:
    weak = [anything(name) for name, field in KINDS[kind].items() if not field.is_needed]
    lines = told(accepted_tee(kind), accepted_tee(kind, *weak))
    assert len(lines) == len(set(lines)) >= len(weak)
    assert not any(line.startswith(("accepted now", "not accepted")) for line in lines if kind != "simulated")


def test_values_that_a_field_may_have_besides_are_told_one_by_one() -> None:
    name = "tcb_status"
    (usual,) = (one.values for one in accepted_tee("tdx").expectations if one.field == name)
    wide = Expectation(field=name, rule=Rule.ONE_OF, values=tuple(sorted((*usual, b"OutOfDate"))))
    (line,) = told(accepted_tee("tdx"), accepted_tee("tdx", wide))
    assert line.endswith("tcb_status may be 'OutOfDate', too")
    (line,) = told(accepted_tee("tdx", wide), accepted_tee("tdx"))
    assert line.endswith("tcb_status may not be 'OutOfDate' any more")


@pytest.mark.parametrize("kind", ["snp", "tdx"])
def test_another_program_is_told_with_all_that_its_machine_may_be(kind: str) -> None:
    measured = [other(kind, name) for name, field in KINDS[kind].items() if field.form is Form.MEASUREMENT]
    weak = [anything(name) for name in ("id_key_digest", "reported_tcb") if name in KINDS[kind]] or [
        anything("tee_tcb_svn")
    ]
    lines = told(accepted_tee(kind), accepted_tee(kind, *measured, *weak))
    assert [line.partition(":")[0] for line in (lines[0], lines[-1])] == ["accepted now", "not accepted any more"]
    assert lines[2].endswith("may be anything: " + ", ".join(one.field for one in weak))
    for name in KINDS[kind]:
        assert any(name in line for line in lines[1:3])


def test_a_weaker_entry_beside_a_strict_one_is_told_as_new() -> None:
    strict, weak = accepted_tee("snp"), accepted_tee("snp", anything("reported_tcb"))
    lines = list(machine_changes([strict], [strict, weak]))
    assert lines[0] == f"accepted now: {tee_words(weak)}" and lines[-1].endswith("may be anything: reported_tcb")


def test_of_several_entries_those_of_one_program_belong_together() -> None:
    def program(name: str, *changed: Expectation) -> AcceptedTee:
        measured = Expectation(field="measurement", rule=Rule.ONE_OF, values=(seeded(name, 48),))
        return accepted_tee("snp", measured, *changed)

    before = [program("one"), program("two")]
    after = [program("two", anything("guest_svn")), program("one", anything("image_id"))]
    expected = {"one": "image_id", "two": "guest_svn"}
    lines = [line.partition(" now; ")[0] for line in machine_changes(before, after)]
    assert sorted(lines) == sorted(
        f"TEE snp {seeded(name, 48).hex()[:16]}…: {field} may be anything" for name, field in expected.items()
    )


def test_gpus_that_are_judged_no_more_are_told() -> None:
    with_gpu, without = accepted_tee("snp", gpu=True), accepted_tee("snp")
    (line,) = told(with_gpu, without)
    assert line.endswith("its GPUs are not judged any more, and may be anything")
    lines = told(without, with_gpu)
    assert "its GPUs are judged now" in lines[0] and all(f"GPU {name} is " in lines[1] for name in GPU)
    loose = replace(with_gpu, gpu=tuple(anything(one.field) if one.field == "fwid" else one for one in with_gpu.gpu))
    (line,) = told(with_gpu, loose)
    assert ": GPU fwid may be anything now; before: " in line


def test_a_simulated_tee_is_said_to_protect_nothing() -> None:
    lines = told(None, AcceptedTee.simulated(MEASUREMENT, seeded("anchor")))
    assert "SIMULATED TEE, which protects nothing" in lines[0]
    assert lines[1].startswith("SIMULATED TEE ")


def test_a_policy_tells_the_terms_of_its_machines() -> None:
    genesis = dao().genesis
    strict, weak = (
        policy(genesis, tees=(one,)) for one in (accepted_tee("tdx"), accepted_tee("tdx", anything("tee_tcb_svn")))
    )
    assert any("tee_tcb_svn may be anything now" in line for line in changes(strict, weak, corpora={}))
    assert any(line.endswith("may be anything: tee_tcb_svn") for line in changes(None, weak, corpora={}))
