"""Machines as a member reads and edits them: JSON with a word for every field."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.tees import ANY, CPU_ONLY, expected, tee_from_json, tee_json
from tests.machines import accepted_tee, anything
from tests.people import seeded
from vault.errors import MalformedObject
from vault.expectation import KINDS, Form, Rule


def described(kind: str = "tdx", **changed: Any) -> dict[str, Any]:
    """Return an entry as a member's editor shows it; `changed` replace its expectations."""
    said = tee_json(accepted_tee(kind, gpu=kind == "tdx"))
    return {**said, "expectations": {**said["expectations"], **changed}}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gpu", [False, True])
def test_an_entry_comes_back_from_its_json(kind: str, gpu: bool) -> None:
    tee = accepted_tee(kind, gpu=gpu)
    assert tee_from_json(json.loads(json.dumps(tee_json(tee)))) == tee


def test_values_read_as_people_write_them() -> None:
    said = described("snp", vmpl={"at-most": 1}, host_data=ANY, product=["Milan", "Genoa"], guest_svn={"at-least": 3})
    tee = tee_from_json(said)
    found = {item.field: item for item in tee.expectations}
    assert found["vmpl"].values == ((1).to_bytes(8, "big"),) and found["vmpl"].rule is Rule.AT_MOST
    assert found["host_data"] == anything("host_data")
    assert found["product"].values == (b"Genoa", b"Milan")
    assert tee_json(tee)["expectations"]["guest_svn"] == {"at-least": 3}


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("mr_td", "any"),
        ("mr_td", ["xyz"]),
        ("mr_td", ["00"]),
        ("mr_td", []),
        ("mr_td", [1]),
        ("mr_td", None),
        ("mr_td", ANY),
        ("tee_tcb_svn", {"each-at-least": 5}),
        ("tee_tcb_svn", {"each-at-least": "00", "at-least": 1}),
        ("out_of_date_s", {"at-most": -1}),
        ("out_of_date_s", {"at-most": 1 << 70}),
        ("out_of_date_s", {"under": 1}),
        ("out_of_date_s", {"at-most": "soon"}),
    ],
)
def test_what_cannot_be_meant_is_refused_by_the_field(field: str, said: Any) -> None:
    with pytest.raises(MalformedObject, match=field):
        tee_from_json(described(**{field: said}))


def test_what_is_left_out_or_unknown_is_refused() -> None:
    said = described()
    short = {name: value for name, value in said["expectations"].items() if name != "rt_mr1"}
    for wrong, told in (
        ({**said, "expectations": short}, "nothing is said of rt_mr1"),
        ({**said, "expectations": {**said["expectations"], "rt_mr9": ANY}}, 'no field "rt_mr9"'),
        ({**said, "expectations": []}, "a map"),
        ({**said, "kind": "sev"}, "no TEE of kind"),
        ({**said, "kind": None}, "no TEE of kind"),
        ({**said, "gpu": None}, CPU_ONLY),
        ({**said, "gpu": {}}, "nothing is said of driver_version"),
        ({name: value for name, value in said.items() if name != "gpu"}, CPU_ONLY),
    ):
        with pytest.raises(MalformedObject, match=told):
            tee_from_json(wrong)


def test_a_machine_is_described_by_its_measurements_and_no_older_firmware() -> None:
    facts = {
        "measurement": seeded("m", 48),
        "vmpl": 1,
        "product": "Milan",
        "reported_tcb": bytes([4, 0, 0, 0, 0, 0, 24, 9]),
    }
    found = {item.field: item for item in expected(KINDS["snp"], facts)}
    assert found["measurement"].values == (facts["measurement"],)
    assert found["reported_tcb"].rule is Rule.EACH_AT_LEAST
    assert found["vmpl"].rule is Rule.AT_MOST
    assert found["host_data"].rule is Rule.ANY
    assert all(
        found[name].rule is Rule.ANY
        for name, field in KINDS["snp"].items()
        if name not in facts or field.form is Form.BYTES
    )


def test_no_description_grants_grace_to_an_old_platform() -> None:
    found = {item.field: item for item in expected(KINDS["tdx"], {"tcb_status": "OutOfDate"})}
    assert found["tcb_status"].values == (b"UpToDate",)
    assert found["out_of_date_s"].values == (bytes(8),)


def test_a_template_that_was_not_filled_in_and_members_of_no_meaning_are_refused() -> None:
    said = described("snp")
    with pytest.raises(MalformedObject, match="placeholder"):
        tee_from_json(described("snp", product=["@product@"]))
    with pytest.raises(MalformedObject, match="placeholder"):
        tee_from_json(described("snp", reported_tcb={"each-at-least": "@reported_tcb@"}))
    with pytest.raises(MalformedObject, match='"surprise"'):
        tee_from_json({**said, "surprise": 1})


@pytest.mark.parametrize(
    ("field", "said", "told"),
    [
        ("mr_td", ["00" * 47], "has 47 bytes; write a list of 1 to 16 values, each of 48 bytes (96 digits) in hex"),
        ("mr_td", ["xyz"], '"xyz" is not hex'),
        ("mr_td", ["00 " * 48], "is not hex"),
        ("mr_td", "00" * 48, "this is no list"),
        ("mr_td", [], "the list has 0 values"),
        ("mr_td", ["00" * 48] * 17, "the list has 17 values"),
        ("mr_td", [7], "7 is not hex"),
        ("td_attributes", ["00"], "of 8 bytes (16 digits) in hex, in the order in which coffer attest show prints it"),
        ("app_id", ["00" * 129], "is not hex"),
        ("tcb_status", ["UpToDate\n"], "is no word"),
        ("tcb_status", ["x" * 129], "is no word"),
        ("tee_tcb_svn", ["00" * 16], 'this is no {"each-at-least": …}'),
        ("tee_tcb_svn", {"each-at-least": "00" * 8}, "has 8 bytes; write"),
        ("out_of_date_s", {"at-least": 1}, 'this is no {"at-most": …}'),
        ("out_of_date_s", {"at-most": True}, "true is no whole number"),
        ("out_of_date_s", {"at-most": 1.0}, "1.0 is no whole number"),
        ("tcb_evaluation_data_number", {"at-least": 1 << 64}, "no whole number"),
    ],
)
def test_a_mistake_is_named_with_the_form_that_the_field_takes(field: str, said: Any, told: str) -> None:
    with pytest.raises(MalformedObject, match=re.escape(told)) as caught:
        tee_from_json(described("dstack", **{field: said}))
    assert str(caught.value).startswith(f"dstack, {field}: ") and len(str(caught.value)) < 400


@pytest.mark.parametrize("kind", KINDS)
def test_any_is_offered_only_where_it_is_taken(kind: str) -> None:
    for name, field in KINDS[kind].items():
        with pytest.raises(MalformedObject) as caught:
            tee_from_json(described(kind, **{name: None}))
        assert (ANY in str(caught.value)) is not field.is_needed
        if field.is_needed:
            with pytest.raises(MalformedObject, match="every genuine machine"):
                tee_from_json(described(kind, **{name: ANY}))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
def test_any_json_is_an_entry_or_refused(said: Any) -> None:
    for name in ("kind", "expectations", "gpu", "mr_td", "tcb_status", "tee_tcb_svn", "out_of_date_s"):
        whole = described()
        changed = {**whole, name: said} if name in whole else described(**{name: said})
        try:
            tee_from_json(changed).check()
        except MalformedObject as error:
            assert str(error)
