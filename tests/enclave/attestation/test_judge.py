"""Judging verified claims: every field counts, and a refusal says what was found and what was wanted."""

from __future__ import annotations

from typing import Any

import pytest

from enclave.attestation.errors import AttributesRefused, DebugEnabled, EvidenceRefused, MeasurementMismatch, TcbRefused
from enclave.attestation.judge import encoded, require_expected, require_sound
from tests.machines import accepted_tee, anything
from vault.expectation import KINDS, NUMBER_BYTES, Expectation, Form, Rule

DAY_S = 86_400
AT = 1_760_000_000


def facts(kind: str) -> dict[str, Any]:
    """Return claims that `accepted_tee(kind)` accepts."""
    found: dict[str, Any] = {}
    for item in accepted_tee(kind).expectations:
        form = KINDS[kind][item.field].form
        value = item.values[0]
        if form is Form.TEXT:
            found[item.field] = value.decode()
        elif form in (Form.FLOOR, Form.CEILING):
            found[item.field] = int.from_bytes(value, "big")
        else:
            found[item.field] = value
    return {**found, "debug": False, "tcb_date": AT - 10 * DAY_S}


def judge(kind: str, found: dict[str, Any], *changed: Expectation) -> None:
    require_expected(found, accepted_tee(kind, *changed).expectations, at=AT)


def grace(seconds: int) -> Expectation:
    return Expectation(field="out_of_date_s", rule=Rule.AT_MOST, values=(seconds.to_bytes(NUMBER_BYTES, "big"),))


JUDGED = [(kind, name) for kind, fields in KINDS.items() for name in fields if name != "out_of_date_s"]


@pytest.mark.parametrize("kind", KINDS)
def test_claims_as_expected_are_accepted(kind: str) -> None:
    judge(kind, facts(kind))


@pytest.mark.parametrize(("kind", "name"), JUDGED)
def test_one_wrong_field_is_enough_and_is_named(kind: str, name: str) -> None:
    found = facts(kind)
    form = KINDS[kind][name].form
    wrong: Any = {Form.TEXT: "other", Form.FLOOR: 0, Form.CEILING: 1}.get(form)
    if wrong is None:
        value = found[name]
        wrong = bytes([value[0] - 1 if value[0] else 0xFF]) + value[1:] if form is not Form.SVNS else bytes(len(value))
    with pytest.raises(EvidenceRefused, match=f"^{name}: found .*wanted"):
        judge(kind, {**found, name: wrong})


@pytest.mark.parametrize(("kind", "name"), JUDGED)
def test_a_field_that_the_evidence_lacks_is_refused_unless_any_was_said(kind: str, name: str) -> None:
    found = {key: value for key, value in facts(kind).items() if key != name}
    with pytest.raises(EvidenceRefused, match=f"^{name}: found nothing"):
        judge(kind, found)
    if not KINDS[kind][name].is_needed:
        judge(kind, found, anything(name))


@pytest.mark.parametrize(
    ("kind", "name", "wrong", "kind_of_refusal"),
    [
        ("tdx", "mr_td", bytes(48), MeasurementMismatch),
        ("tdx", "tcb_status", "Revoked", TcbRefused),
        ("snp", "reported_tcb", bytes(8), TcbRefused),
        ("snp", "vmpl", 3, AttributesRefused),
        ("nitro", "pcr0", bytes(48), MeasurementMismatch),
    ],
)
def test_the_class_of_a_refusal_says_what_kind_of_field_it_was(
    kind: str, name: str, wrong: Any, kind_of_refusal: type[EvidenceRefused]
) -> None:
    with pytest.raises(kind_of_refusal):
        judge(kind, {**facts(kind), name: wrong})


class TestGrace:
    """A platform that the vendor calls OutOfDate, for a while that the policy states."""

    found: dict[str, Any] = {**facts("tdx"), "tcb_status": "OutOfDate"}  # noqa: RUF012  # never changed

    def test_without_a_grace_period_it_is_refused(self) -> None:
        with pytest.raises(TcbRefused, match=r"tcb_status: found OutOfDate .*10 days old.*wanted UpToDate"):
            judge("tdx", self.found)

    def test_it_is_accepted_to_the_second(self) -> None:
        judge("tdx", self.found, grace(10 * DAY_S))
        with pytest.raises(TcbRefused):
            judge("tdx", self.found, grace(10 * DAY_S - 1))

    @pytest.mark.parametrize(
        "status", ["Revoked", "SWHardeningNeeded", "ConfigurationNeeded", "OutOfDateConfigurationNeeded"]
    )
    def test_it_covers_no_other_status(self, status: str) -> None:
        with pytest.raises(TcbRefused):
            judge("tdx", {**self.found, "tcb_status": status}, grace(10**9))

    def test_a_level_without_a_date_has_no_age(self) -> None:
        with pytest.raises(TcbRefused, match="unknown date"):
            judge("tdx", {**self.found, "tcb_date": None}, grace(10**9))

    def test_a_policy_may_name_the_status_itself(self) -> None:
        statuses = Expectation(field="tcb_status", rule=Rule.ONE_OF, values=(b"OutOfDate", b"UpToDate"))
        judge("tdx", self.found, statuses)


@pytest.mark.parametrize("kind", KINDS)
def test_debug_is_refused_whatever_a_policy_says(kind: str) -> None:
    require_sound(facts(kind))
    with pytest.raises(DebugEnabled):
        require_sound({**facts(kind), "debug": True})


def test_a_migration_agent_is_refused_whatever_a_policy_says() -> None:
    with pytest.raises(AttributesRefused):
        require_sound({**facts("snp"), "migrate": True})


@pytest.mark.parametrize("value", [True, -1, 1 << 64, None, 1.5])
def test_a_claim_that_no_policy_can_hold_is_refused(value: Any) -> None:
    with pytest.raises(EvidenceRefused):
        encoded(value)
