"""The strict default policy: what any genuine machine must be like, whatever program it runs.

TDX and SGX platforms are up to date, with no period of grace; SEV-SNP guests run at VMPL 0 or 1; no machine is in debug
mode, has a migration agent or is simulated. Every other field is named as ANY, since which program is right is for a
DAO to say: this judges evidence for people, and never releases a key.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from enclave.attestation.claims import Claims
from enclave.attestation.errors import KindUnsupported
from enclave.attestation.judge import require_expected, require_sound
from vault.expectation import GPU, KINDS, NUMBER_BYTES, Expectation, Rule
from vault.policy import SIMULATED

GRACE: Final = "out_of_date_s"  # left out: a grace of nothing
VMPL_MAX: Final = 1

_JUDGED: Final = {
    "tcb_status": (Rule.ONE_OF, b"UpToDate"),
    "vmpl": (Rule.AT_MOST, VMPL_MAX.to_bytes(NUMBER_BYTES, "big")),
}


def _expectation(name: str) -> Expectation:
    if name not in _JUDGED:
        return Expectation(field=name, rule=Rule.ANY, values=())
    rule, value = _JUDGED[name]
    return Expectation(field=name, rule=rule, values=(value,))


STRICT: Final[Mapping[str, tuple[Expectation, ...]]] = MappingProxyType(
    {
        kind: tuple(_expectation(name) for name in sorted(fields) if name != GRACE)
        for kind, fields in {**KINDS, "nvidia": GPU}.items()
    }
)


def require_strict(claims: Claims, *, at: int) -> None:
    """Raise an `EvidenceRefused` for the first claim that the strict default does not accept."""
    if claims.kind == SIMULATED:
        raise KindUnsupported("kind: found simulated evidence, which protects nothing and is for tests alone")
    facts = claims.facts()
    require_sound(facts)
    require_expected(facts, STRICT[claims.kind], at=at)
