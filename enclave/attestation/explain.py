"""Evidence explained to a person: what it is, who signed it, what it claims, and whether it would be accepted, and why.

Nothing is guessed: where what verifies it is not at hand, it is not verified, and the explanation says what is missing.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from enclave.attestation.claims import Shown
from enclave.attestation.errors import BindingMismatch, EvidenceMalformed, EvidenceRefused, NonceMismatch
from enclave.attestation.evidence_parts import Material, Missing, Subject, subjects_of
from enclave.attestation.recognize import Found
from enclave.attestation.roots import AWS_NITRO, INTEL_SGX, NVIDIA_DEVICE, NVIDIA_RIM
from enclave.attestation.strict import require_strict
from enclave.attestation.unverified import claimed

ADVICE: Final[Mapping[str, str]] = {
    "parse_error": "the file is damaged or of another format: fetch it again, as the bytes the machine made",
    "signature": "it is altered, or not from this signer: do not use it; ask the machine for evidence again",
    "cert_chain": "fetch the certificates that the vendor issued for this very machine",
    "cert_expired": "ask for evidence again, with today's certificates; for old evidence, give its time with --at",
    "cert_not_yet_valid": "check the clock, or the time given with --at",
    "cert_revoked": "the vendor takes this machine's keys for stolen: do not use the machine",
    "collateral_invalid": "fetch the collateral that Intel publishes for this platform's FMSPC",
    "collateral_expired": "fetch fresh collateral from Intel; for old evidence, give its time with --at",
    "collateral_not_yet_valid": "check the clock, or the time given with --at",
    "tcb_no_match": "the machine's firmware is older than all its vendor still describes: have its operator update it",
    "tcb_status": "have the machine's operator update its firmware; a DAO may accept the status in a policy by name",
    "binding": "parts of different machines or requests were put together: get them from one machine, in one go",
    "nonce_mismatch": "it was made for another request, and may be old: ask again, with a nonce of your own",
    "event_log_mismatch": "the log is not the one that was measured: fetch quote and log from the machine in one go",
    "td_attributes_policy": "have the machine's operator start it with the settings that this field asks for",
    "measurement_mismatch": "it runs other firmware than its vendor signed: update it, or find the right manifest",
    "debug_enabled": "start the machine without debug mode, in which its host may read its memory",
    "unsupported": "this build does not judge such evidence",
}
KEY_CLAIMS: Final[Mapping[str, tuple[str, ...]]] = {
    "tdx": ("mr_td", "rt_mr0", "rt_mr1", "rt_mr2", "rt_mr3", "report_data", "tcb_status", "advisory_ids", "debug"),
    "dstack": ("compose_hash", "app_id", "mr_td", "rt_mr0", "rt_mr1", "rt_mr2", "report_data", "tcb_status", "debug"),
    "sgx": ("mr_enclave", "mr_signer", "isv_prod_id", "isv_svn", "report_data", "tcb_status", "advisory_ids", "debug"),
    "snp": ("measurement", "report_data", "host_data", "vmpl", "reported_tcb", "product", "signed_by", "debug"),
    "nitro": ("pcrs", "module_id", "timestamp_ms", "public_key", "user_data", "nonce", "debug"),
    "nvidia": ("driver_version", "vbios_version", "fwid", "request_nonce"),
    "rim": ("colloquial_version",),
    "simulated": ("measurement", "report_data", "simulator", "debug"),
}
JUDGED: Final[Mapping[str, tuple[str, ...]]] = {  # by the strict default, of evidence that it accepts
    "tdx": ("not in debug mode", "platform up to date"),
    "dstack": ("not in debug mode", "platform up to date", "the log is the one that was measured"),
    "sgx": ("not in debug mode", "platform up to date"),
    "snp": ("not in debug mode", "age of its firmware not judged (a policy names the least TCB)"),
    "nitro": ("not in debug mode",),
    "nvidia": ("firmware as NVIDIA signed it",),
}
COMPARE: Final = "give NVIDIA's manifests of both its driver and its VBIOS with --rim"
OWN_NONCE: Final = (
    "whether it is fresh was not checked: its nonce comes with it, and the machine's evidence vouches for both"
)
FRESH: Final = "whether it is fresh was not checked: give what the machine was asked with as --nonce"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What a file is and what it is worth."""

    what: str
    kind: str  # of its claims; empty where it makes none
    signed_by: str = ""
    claims: Mapping[str, Shown] = field(default_factory=dict)
    is_verified: bool = False  # the vendor's signatures bear the claims out
    is_accepted: bool = False  # and the strict default accepts them
    reason: str | None = None
    told: str = ""
    advice: str = ""
    caveats: tuple[str, ...] = ()
    established: tuple[str, ...] = ()  # in words: what holds, and what is not known
    at: int = 0

    def shown(self) -> dict[str, Any]:
        """Return the explanation as JSON."""
        return {
            "what": self.what,
            "kind": self.kind,
            "signed_by": self.signed_by,
            "claims": dict(self.claims),
            "verified": self.is_verified,
            "accepted": self.is_accepted,
            "reason": self.reason,
            "told": self.told,
            "advice": self.advice,
            "caveats": list(self.caveats),
            "established": list(self.established),
            "at": self.at,
        }


def explained(found: Found, material: Material, *, at: int, nonce: bytes | None) -> Sequence[Explanation]:
    """Return an explanation of each piece of evidence in a file, or of the file where there is none.

    Args:
        material: what else is at hand to verify it with.
        at: Unix seconds; everything is judged at that time.
        nonce: what the machine was asked with, if that is known.
    """
    size = f"{found.form.value}, {len(found.data)} bytes"
    if not found.form.is_evidence:
        told = "this is not evidence by itself; name the evidence, and this file with --with"
        return [Explanation(what=size, kind="", told=told, at=at)]
    try:
        subjects = subjects_of(found, material)
    except EvidenceMalformed as error:
        return [_refused(Explanation(what=size, kind="", at=at), error)]
    return [_explained(subject, size, at=at, nonce=nonce) for subject in subjects]


def _explained(subject: Subject, what: str, *, at: int, nonce: bytes | None) -> Explanation:
    blank = Explanation(what=what, kind=subject.kind, claims=_ordered(subject.kind, _claimed(subject)), at=at)
    try:
        claims, uncompared = subject.verified(at, nonce if subject.kind == "nvidia" and subject.is_asked else None)
    except Missing as error:
        return replace(blank, told=str(error), advice="without it, nothing of this is verified")
    except EvidenceRefused as error:
        return _refused(blank, error)
    verified = replace(
        blank,
        claims=_ordered(subject.kind, claims.shown()),
        signed_by=_signer(subject.kind, claims),
        is_verified=True,
        caveats=uncompared,
    )
    if subject.kind == "rim":
        return replace(verified, is_accepted=True, established=("genuine: NVIDIA signed it",))
    try:
        _require_asked(claims, nonce)
        require_strict(claims, at=at)
    except EvidenceRefused as error:
        return _refused(verified, error)
    fresh, caveat = _freshness(subject, nonce)
    if uncompared:
        established = ("genuine", "firmware not compared with all that NVIDIA signed", fresh)
        told = "not all that the strict default judges could be judged"
        return replace(
            verified,
            told=f"{told}: {'; '.join(established)}",
            advice=COMPARE,
            caveats=(*uncompared, *caveat),
            established=established,
        )
    return replace(verified, is_accepted=True, caveats=caveat, established=("genuine", *JUDGED[subject.kind], fresh))


def _freshness(subject: Subject, nonce: bytes | None) -> tuple[str, tuple[str, ...]]:
    """Return whether evidence that was not refused is known to be fresh, in words, and what to add to them."""
    if not subject.is_asked:
        return "not known to be fresh (its nonce is its own)", (OWN_NONCE,)
    if nonce is None:
        return "not known to be fresh (no --nonce)", (FRESH,)
    return "made for what --nonce says", ()


def _refused(explanation: Explanation, error: EvidenceRefused) -> Explanation:
    return replace(explanation, reason=error.reason, told=str(error), advice=ADVICE.get(error.reason, ""))


def _claimed(subject: Subject) -> dict[str, Shown]:
    try:
        return claimed(subject.kind, subject.document)
    except EvidenceRefused:
        return {}


def _require_asked(claims: Any, nonce: bytes | None) -> None:
    """Raise unless the evidence was made for what the machine was asked with; short report data ends in zeros."""
    if nonce is None or claims.kind == "nvidia":
        return
    facts = claims.facts()
    if claims.kind == "nitro":
        found = facts.get("nonce") or b""
        if not hmac.compare_digest(found, nonce):
            raise NonceMismatch(f"nonce: found {found.hex()[:16] or 'none'}, wanted {nonce.hex()[:16]}")
        return
    found = facts["report_data"]
    if not hmac.compare_digest(found, nonce.ljust(len(found), b"\0")):
        raise BindingMismatch(f"report_data: found {found.hex()[:16]}…, wanted {nonce.hex()[:16]}…")


def _ordered(kind: str, claims: Mapping[str, Shown]) -> dict[str, Shown]:
    """Return the claims, those first that say which machine runs what."""
    first = [name for name in KEY_CLAIMS.get(kind, ()) if name in claims]
    return {name: claims[name] for name in [*first, *(name for name in claims if name not in first)]}


def _signer(kind: str, claims: Any) -> str:
    """Return who vouches for verified claims, in words."""
    facts = {} if kind == "rim" else claims.facts()
    match kind:
        case "tdx" | "sgx" | "dstack":
            fmspc = facts["fmspc"].hex().upper()
            return f"an Intel platform of FMSPC {fmspc}, certified by the {facts['pck_ca']} CA under {INTEL_SGX}"
        case "snp" if facts["signed_by"] == "VLEK":
            return f"{facts['csp_id']}'s VLEK on an AMD {facts['product']}, certified under AMD ARK-{facts['product']}"
        case "snp":
            return f"the VCEK of an AMD {facts['product']} chip, certified under AMD ARK-{facts['product']}"
        case "nitro":
            return f"the Nitro hypervisor of {facts['module_id']}, certified under {AWS_NITRO}"
        case "nvidia":
            return f"an NVIDIA {facts['model']} of key {facts['device'].hex()[:16]}, certified under {NVIDIA_DEVICE}"
        case "rim":
            return f"NVIDIA, under {NVIDIA_RIM}"
    return f"a simulator of key {facts['simulator'].hex()[:16]}, which anybody can make"
