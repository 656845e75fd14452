"""Judging claims by expectations. Each field must fit; a refusal names it, what was found and what was wanted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from enclave.attestation.claims import Fact
from enclave.attestation.errors import (
    AttributesRefused,
    DebugEnabled,
    EvidenceRefused,
    MeasurementMismatch,
    TcbRefused,
)
from vault.expectation import NUMBER_BYTES, Expectation, Rule, number

SHOWN_BYTES = 16
OUT_OF_DATE: Final = "OutOfDate"
_TCB_FIELDS: Final = frozenset(
    {
        "tcb_status",
        "out_of_date_s",
        "tcb_evaluation_data_number",
        "tee_tcb_svn",
        "cpu_svn",
        "isv_svn",
        "guest_svn",
        "reported_tcb",
        "committed_tcb",
        "launch_tcb",
    }
)
_ATTRIBUTES: Final = frozenset({"td_attributes", "xfam", "vmpl", "product", "signed_by"})


def require_sound(facts: Mapping[str, Fact]) -> None:
    """Refuse what no policy may allow: debug mode, and a migration agent (rule E3)."""
    if facts.get("debug"):
        raise DebugEnabled("debug: the evidence is of a machine in debug mode, whose memory its host may read")
    if facts.get("migrate"):
        raise AttributesRefused("migrate: the guest may be handed to a migration agent")


def require_expected(facts: Mapping[str, Fact], expectations: Iterable[Expectation], *, at: int) -> None:
    """Raise an `EvidenceRefused` for the first field that is not as expected.

    A platform whose `tcb_status` is OutOfDate may be accepted for `out_of_date_s` seconds after the date of the TCB
    level it matched; any other status has to be named.
    """
    expected = {expectation.field: expectation for expectation in expectations}
    grace = expected.pop("out_of_date_s", None)
    if grace is not None and facts.get("tcb_status") == OUT_OF_DATE:
        status = expected.pop("tcb_status")
        if not status.accepts(OUT_OF_DATE.encode()):
            _require_in_grace(facts, grace, status, at)
    for name, expectation in expected.items():
        if expectation.rule is Rule.ANY:
            continue
        found = facts.get(name)
        if found is None or not expectation.accepts(encoded(found)):
            raise _refusal(name)(f"{name}: found {_fact_text(found)}, wanted {wanted(expectation)}")


def _require_in_grace(facts: Mapping[str, Fact], grace: Expectation, status: Expectation, at: int) -> None:
    dated = facts.get("tcb_date")
    age = at - dated if isinstance(dated, int) else None
    if grace.rule is Rule.ANY or (age is not None and age <= number(grace.values[0])):
        return
    since = "of unknown date" if age is None else f"{age // 86_400} days old"
    raise TcbRefused(
        f"tcb_status: found {OUT_OF_DATE} (its TCB level is {since}), wanted {wanted(status)}, "
        f"or a TCB level of at most {number(grace.values[0]) // 86_400} days"
    )


def encoded(fact: Fact) -> bytes:
    """Return a fact as expectations hold it. Numbers above 2^64 and truth values are no such thing."""
    match fact:
        case bytes():
            return fact
        case str():
            return fact.encode()
        case int() if not isinstance(fact, bool) and 0 <= fact < 1 << (8 * NUMBER_BYTES):
            return fact.to_bytes(NUMBER_BYTES, "big")
    raise EvidenceRefused("a claim holds a value that no policy can judge")


def wanted(expectation: Expectation) -> str:
    """Return an expectation in words."""
    match expectation.rule:
        case Rule.ANY:
            return "anything"
        case Rule.ONE_OF:
            return " or ".join(_value_text(value) for value in expectation.values)
        case Rule.AT_LEAST:
            return f"at least {number(expectation.values[0])}"
        case Rule.AT_MOST:
            return f"at most {number(expectation.values[0])}"
        case Rule.EACH_AT_LEAST:
            return f"at least {expectation.values[0].hex()} in each byte"


def _refusal(name: str) -> type[EvidenceRefused]:
    if name in _TCB_FIELDS:
        return TcbRefused
    return AttributesRefused if name in _ATTRIBUTES else MeasurementMismatch


def _fact_text(fact: Fact) -> str:
    if isinstance(fact, bytes):
        return _value_text(fact)
    return "nothing" if fact is None else str(fact)


def _value_text(value: bytes) -> str:
    if value.isascii() and value.decode().isprintable() and value:
        return value.decode()
    return value[:SHOWN_BYTES].hex() + ("…" if len(value) > SHOWN_BYTES else "")
