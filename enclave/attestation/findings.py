"""What evidence says, field by field, beside what a policy demands of it: for people to read, never to decide by.

Whether an enclave is accepted, `EvidenceAppraiser` alone says. It stops at the first field that is wrong; a person who
looks for the reason wants to see all of them.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from enclave.attestation.claims import Fact
from enclave.attestation.errors import EvidenceRefused
from enclave.attestation.judge import require_expected, require_sound, wanted
from enclave.attestation.verify import verified
from vault.evidence import Binding, Evidence
from vault.expectation import Expectation, Rule
from vault.policy import AcceptedTee

NOTHING = "nothing"
_TOGETHER = frozenset({"tcb_status", "out_of_date_s"})  # the one says for how long the other is borne


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One field: what was found, what is wanted, and whether it fits; None where nobody judges it."""

    field: str
    found: str
    wanted: str
    fits: bool | None


def machine_findings(
    evidence: Evidence, binding: Binding, accepted: Iterable[AcceptedTee], *, at: int
) -> tuple[Finding, ...]:
    """Return what the evidence says of its machine beside the policy's entry that most of it fits.

    Raises: an `EvidenceRefused` where the evidence itself does not verify, so that nothing it says counts.
    """
    facts = verified(evidence, at=at).facts()
    entries = [entry for entry in accepted if entry.kind == evidence.kind]
    best = max(
        (_fields(facts, entry.expectations, at) for entry in entries),
        key=lambda findings: sum(finding.fits is not False for finding in findings),
        default=(),
    )
    report = facts.get("report_data")
    is_bound = isinstance(report, bytes) and hmac.compare_digest(report, binding.report_data())
    kinds = " or ".join(sorted({entry.kind for entry in accepted}))
    return (
        Finding(field="kind", found=evidence.kind, wanted=kinds, fits=bool(entries)),
        Finding(field="report_data", found=_text(report), wanted=binding.report_data().hex(), fits=is_bound),
        _soundness(facts),
        *best,
    )


def _soundness(facts: Mapping[str, Fact]) -> Finding:
    try:
        require_sound(facts)
    except EvidenceRefused as error:
        return Finding(field="debug", found=str(error), wanted="off", fits=False)
    return Finding(field="debug", found="off", wanted="off", fits=True)


def _fields(facts: Mapping[str, Fact], expectations: Iterable[Expectation], at: int) -> tuple[Finding, ...]:
    known = list(expectations)
    together = [expectation for expectation in known if expectation.field in _TOGETHER]
    return tuple(_field(facts, one, together if one.field in _TOGETHER else [one], at) for one in known)


def _field(facts: Mapping[str, Fact], expectation: Expectation, judged: list[Expectation], at: int) -> Finding:
    fits: bool | None = True
    try:
        require_expected(facts, judged, at=at)
    except EvidenceRefused:
        fits = False
    if expectation.rule is Rule.ANY:
        fits = None
    full = " or ".join(value.hex() for value in expectation.values)
    is_bytes = isinstance(facts.get(expectation.field), bytes) and expectation.rule is Rule.ONE_OF
    return Finding(
        field=expectation.field,
        found=_text(facts.get(expectation.field)),
        wanted=full if is_bytes else wanted(expectation),
        fits=fits,
    )


def _text(fact: Fact) -> str:
    if isinstance(fact, bytes):
        return fact.hex() or NOTHING
    return NOTHING if fact is None else str(fact)
