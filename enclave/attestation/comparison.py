"""What was found of a case against what its index expects, difference by difference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from enclave.attestation.claims import Shown
from enclave.attestation.errors import EvidenceRefused
from enclave.attestation.index import ACCEPT, REJECT, Expected

_DIFFERENCE_CHARS: Final = 200


def differences(
    expected: Expected,
    params: Mapping[str, Any],
    refusal: EvidenceRefused | None,
    claims: Mapping[str, Shown],
    counted: Mapping[str, Any],
) -> tuple[str, ...]:
    """Return in words where a finding is not as expected; nothing where all is.

    Args:
        params: the case's; those that `counted` names say what has to be counted.
        claims: as found; there may be more of them than expected.
    """
    verdict = REJECT if refusal else ACCEPT
    found: list[str] = []
    if verdict != expected.verdict:
        told = f" ({refusal.reason}: {refusal})" if refusal else ""
        found.append(f"verdict: found {verdict}{told}, wanted {expected.verdict}")
    elif refusal and expected.reasons and not _classes(refusal) & set(expected.reasons):
        found.append(f"reason_class: found {refusal.reason} ({refusal}), wanted {' or '.join(expected.reasons)}")
    if expected.tcb_status is not None:
        found += _unlike("tcb_status", claims.get("tcb_status"), expected.tcb_status)
    if expected.advisory_ids is not None:
        advisories = claims.get("advisory_ids")
        ours = sorted(map(str, advisories)) if isinstance(advisories, list) else None
        found += _unlike("advisory_ids", ours, list(expected.advisory_ids))
    for name, wanted in expected.claims.items():
        found += _unlike(name, claims.get(name), wanted)
    for name in sorted(counted.keys() & params.keys()):
        found += _unlike(name, counted[name], params[name])
    return tuple(text if len(text) <= _DIFFERENCE_CHARS else f"{text[:_DIFFERENCE_CHARS]}…" for text in found)


def _classes(refusal: EvidenceRefused) -> set[str]:
    """Return the refusal's class and those it falls in: an expired certificate is an invalid chain as well."""
    return {base.reason for base in type(refusal).__mro__ if issubclass(base, EvidenceRefused)}


def _unlike(name: str, found: Any, wanted: Any) -> list[str]:
    """Return where a claim is not as wanted; maps may hold more than is wanted, hex may be in capitals."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return [text for key, value in wanted.items() for text in _unlike(f"{name}.{key}", found.get(key), value)]
    same = type(found) is type(wanted) and found == wanted
    if isinstance(found, str) and isinstance(wanted, str):
        same = found == wanted or (_is_hex(found) and found.lower() == wanted.lower())
    return [] if same else [f"{name}: found {found!r}, wanted {wanted!r}"]


def _is_hex(text: str) -> bool:
    return len(text) % 2 == 0 and all(char in "0123456789abcdefABCDEF" for char in text)
