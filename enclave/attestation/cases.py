"""Running one case of an index: its files verified at its time, judged by the strict default, and compared."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from enclave.attestation.case_kinds import ANCHOR, COPIES, JUDGED_PARAMS, RIM_ANCHOR, RIMS, TEES, Tee
from enclave.attestation.certificates import certificates_from_pem
from enclave.attestation.claims import Claims, Shown
from enclave.attestation.comparison import differences
from enclave.attestation.errors import (
    BindingMismatch,
    ChainInvalid,
    EvidenceMalformed,
    EvidenceRefused,
    NonceMismatch,
)
from enclave.attestation.index import ACCEPT, REJECT, Case, UnusableCase
from enclave.attestation.roots import NVIDIA_RIM, require_root
from enclave.attestation.strict import require_strict
from enclave.attestation.unverified import claimed_or_nothing

ERROR: Final = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a case, and where that is not what its index expects."""

    verdict: str  # accept, reject, or error: it could not be run
    reason: str | None  # the class of the refusal
    told: str  # the refusal, or why it could not be run
    claims: Mapping[str, Shown]
    differences: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Say whether all is as expected."""
        return not self.differences


@dataclass(slots=True)
class _Run:
    """One case on its way: its parts by role, and the claims found so far."""

    case: Case
    tee: Tee
    stored: Mapping[str, bytes]
    parts: Mapping[str, bytes]
    claims: dict[str, Shown] | None = None
    counted: dict[str, Any] = field(default_factory=dict)  # of the reference measurements, under the params' names


def outcome(case: Case, files: Mapping[str, bytes]) -> Outcome:
    """Return what becomes of a case. `files` holds the bytes of each of its files by path, as stored."""
    try:
        run = _prepared(case, files)
        refusal = _refusal(run)
    except UnusableCase as error:
        return unusable(str(error))
    except ModuleNotFoundError as error:
        return unusable(f"{error.name} is not installed; install with: pip install 'coffer[attestation]'")
    readings = _readings(run)
    compared = [differences(case.expected, case.params, refusal, claims, run.counted) for claims in readings]
    return Outcome(
        verdict=ACCEPT if refusal is None else REJECT,
        reason=None if refusal is None else refusal.reason,
        told="" if refusal is None else str(refusal),
        claims=readings[0],
        differences=min(compared, key=len),
    )


def unusable(problem: str) -> Outcome:
    """Return the outcome of a case that cannot be run."""
    return Outcome(verdict=ERROR, reason=None, told=problem, claims={}, differences=(f"not run: {problem}",))


def _prepared(case: Case, files: Mapping[str, bytes]) -> _Run:
    """Return the case's parts, intact as stored and mutated as asked, or raise `UnusableCase`."""
    if case.tee not in TEES:
        raise UnusableCase(f"tee: found {case.tee!r}, wanted one of {', '.join(TEES)}")
    tee = TEES[case.tee]
    known = {tee.evidence, ANCHOR, *tee.may, *(name for names in tee.needs.values() for name in names)}
    stored: dict[str, bytes] = {}
    parts: dict[str, bytes] = {}
    for file in case.files:
        file.require_intact(files[file.path])
        if file.role not in known:
            continue  # material beside the evidence, of which nothing is judged
        if file.role in stored:
            raise UnusableCase(f"files: the role {file.role!r} stands twice")
        stored[file.role] = parts[file.role] = files[file.path]
    for mutation in case.mutations:
        judged = [file for file in case.files if file.role in parts]
        named = [file for file in judged if mutation.file in (None, file.path, file.path.rpartition("/")[2])]
        if not named or (len(named) > 1 and mutation.file is not None):
            raise UnusableCase(f"mutations: {mutation.file!r} is not one file of the case")
        parts[named[0].role] = mutation.applied(parts[named[0].role])
    for names in ((tee.evidence,), *tee.needs.values()):
        found = sum(name in parts for name in names)
        if found == 0 or (found > 1 and ANCHOR not in names):  # a root may be given as itself and as what to trust
            raise UnusableCase(f"files: wanted one of role {' or '.join(names)}")
    if strange := sorted((case.params.keys() & JUDGED_PARAMS) - tee.params):
        raise UnusableCase(f"params: {strange[0]} means nothing for {case.tee}")
    return _Run(case=case, tee=tee, stored=stored, parts=parts)


def _refusal(run: _Run) -> EvidenceRefused | None:
    """Return why the strict default refuses the case's evidence, or None where it accepts."""
    try:
        _require_anchor(run.parts.get(ANCHOR), run.tee.roots)
        _require_anchor(run.parts.get(RIM_ANCHOR), (NVIDIA_RIM,))
        claims = _verified(run)
        if claims is not None:
            _require_params(claims, run.case.params)
            require_strict(claims, at=run.case.at)
    except EvidenceRefused as error:
        return error
    return None


def _require_anchor(anchor: bytes | None, roots: Sequence[str]) -> None:
    """Raise `ChainInvalid` unless the root that an index wants trusted is one that is pinned here."""
    if anchor is not None:
        require_root(_der(anchor), *roots)


def _der(certificate: bytes) -> bytes:
    """Return a certificate in DER that may be in PEM."""
    from cryptography.hazmat.primitives.serialization import Encoding

    if b"-----BEGIN" not in certificate[:4096]:
        return certificate
    try:
        (only,) = certificates_from_pem(certificate)
    except (EvidenceMalformed, ValueError) as error:
        raise ChainInvalid("a file that should hold one certificate in PEM does not") from error
    return only.public_bytes(Encoding.DER)


def _verified(run: _Run) -> Claims | None:
    """Return the verified claims of the evidence, or None for a reference manifest, of which nothing is judged."""
    document, at = run.parts[run.tee.evidence], run.case.at
    match run.tee.kind:
        case "tdx":
            claims = _tdx(run, document, at)
        case "sgx":
            from enclave.attestation.sgx import verified_sgx

            claims = verified_sgx(document, run.parts["dcap_collateral_v3"], at=at)
        case "snp":
            claims = _snp(run, document, at)
        case "nitro":
            from enclave.attestation.nitro import verified_nitro

            claims = verified_nitro(document, at=at)
        case "nvidia":
            return _nvidia(run, document, at)
        case _:
            from enclave.attestation.rim import verified_rim

            run.claims = verified_rim(document, at=at).shown()
            return None
    run.claims = claims.shown()
    return claims


def _tdx(run: _Run, quote: bytes, at: int) -> Claims:
    from enclave.attestation.tdx import verified_tdx

    claims: Claims = verified_tdx(quote, run.parts["dcap_collateral_v3"], at=at)
    if "dstack_event_log" not in run.parts:
        return claims
    from enclave.attestation.dstack import verified_dstack

    run.claims = claims.shown()  # what the quote says holds, whatever is found of the log
    return verified_dstack(quote, run.parts["dcap_collateral_v3"], run.parts["dstack_event_log"], at=at)


def _snp(run: _Run, report: bytes, at: int) -> Claims:
    from enclave.attestation.snp import verified_snp

    for name in COPIES:
        if run.stored[run.tee.evidence] not in run.stored.get(name, run.stored[run.tee.evidence]):
            raise UnusableCase(f"files: the report is not the one in the {name}")
    signer, intermediate, root = (
        _der(next(run.parts[name] for name in names if name in run.parts)) for names in run.tee.needs.values()
    )
    return verified_snp(report, signer=signer, intermediate=intermediate, root=root, at=at)


def _nvidia(run: _Run, report: bytes, at: int) -> Claims:
    from enclave.attestation.nvidia import require_reference, verified_nvidia
    from enclave.attestation.rim import verified_rim

    nonce = _param(run.case.params, "nonce")
    claims = verified_nvidia(report, run.parts["device_cert_chain"], nonce=nonce, at=at)
    run.claims = claims.shown()
    rims = [verified_rim(run.parts[role], at=at) for role in RIMS if role in run.parts]
    if rims:
        active = {index: values for rim in rims for index, values in rim.active.items()}
        missed = [index for index in sorted(active) if claims.blocks.get(index + 1) not in active[index]]
        matching = len(active) - len(missed)
        run.counted = {"rim_active": len(active), "rim_matching": matching, "rim_mismatch_index": missed}
        require_reference(claims, rims, kinds={rim.kind for rim in rims})
    return claims


def _require_params(claims: Claims, params: Mapping[str, Any]) -> None:
    """Raise `BindingMismatch` unless the evidence was made for what the case says."""
    if claims.kind == "nvidia":
        return
    facts = dict(claims.facts())
    if claims.kind != "nitro":  # which has a field for it; elsewhere a nonce begins the report data
        facts["nonce"] = facts.get("report_data")
    for name in ("report_data", "user_data", "public_key", "nonce"):
        wanted, found = _param(params, name), facts.get(name)
        if wanted is None:
            continue
        if isinstance(found, bytes) and name == "nonce" and claims.kind != "nitro":
            found = found[: len(wanted)]
        if not (isinstance(found, bytes) and hmac.compare_digest(found, wanted)):
            refused = NonceMismatch if name == "nonce" else BindingMismatch
            raise refused(f"{name}: the evidence was made for another than the case's")


def _param(params: Mapping[str, Any], name: str) -> bytes | None:
    if params.get(name) is None:
        return None
    try:
        return bytes.fromhex(params[name])
    except (ValueError, TypeError):
        raise UnusableCase(f"params: {name} is not bytes in hex") from None


def _readings(run: _Run) -> Sequence[dict[str, Shown]]:
    """Return the claims to compare: the verified ones, or else what the file says as stored and as mutated."""
    if run.claims is not None:
        return [run.claims]
    documents = dict.fromkeys((run.stored[run.tee.evidence], run.parts[run.tee.evidence]))
    return [claimed_or_nothing(run.tee.kind, document) for document in documents]
