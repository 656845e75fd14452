"""What Intel vouches for in a quote: the platform that made it, verified by us and by `dcap-qvl` in turn.

Our own checks come first. They decide the reason of a refusal, and leave the library nothing to read that Intel did
not sign. The library then matches the platform with Intel's TCB levels and identities, and checks all again.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding

from enclave.attestation.certificates import verified_chain
from enclave.attestation.collateral import (
    Collateral,
    chain_from,
    collateral_from,
    common_name,
    is_signed,
    is_signed_by,
    require_current,
    verify_collateral,
)
from enclave.attestation.errors import (
    AttributesRefused,
    BindingMismatch,
    ChainInvalid,
    CollateralExpired,
    CollateralInvalid,
    CollateralNotYetValid,
    DebugEnabled,
    EvidenceRefused,
    MeasurementMismatch,
    SignatureInvalid,
    TcbNotMatched,
    TcbRefused,
)
from enclave.attestation.quote import EnclaveReport, Quote, TdReport, enclave_report_from
from enclave.attestation.roots import INTEL_SGX

UP_TO_DATE: Final = "UpToDate"
TCB_STATUSES: Final = frozenset(
    {
        UP_TO_DATE,
        "SWHardeningNeeded",
        "ConfigurationNeeded",
        "ConfigurationAndSWHardeningNeeded",
        "OutOfDate",
        "OutOfDateConfigurationNeeded",
        "TDRelaunchAdvised",
        "TDRelaunchAdvisedConfigurationNeeded",
    }
)

_PCK: Final = "Intel SGX PCK Certificate"
_PCK_CAS: Final = {"Intel SGX PCK Platform CA": "platform", "Intel SGX PCK Processor CA": "processor"}
_SEPT_VE_DISABLE: Final = 1 << 28  # Intel TDX Module ABI, TDATTRIBUTES
_MIGRATABLE: Final = 1 << 29
_SERVTD_EXT: Final = 1 << 17
_REFUSALS: Final[tuple[tuple[str, type[EvidenceRefused]], ...]] = (
    ("No matching TCB level", TcbNotMatched),
    ("TDX module TCB level", TcbNotMatched),
    ("current TDX TCB", TcbNotMatched),
    ("is below minimum required", TcbNotMatched),
    ("TCB status is invalid", TcbRefused),
    ("Debug mode", DebugEnabled),
    ("SEPT_VE_DISABLE", AttributesRefused),
    ("TD profiling", AttributesRefused),
    ("TD migration", AttributesRefused),
    ("TD attributes", AttributesRefused),
    ("SERVTD_EXT", AttributesRefused),
    ("MR service TD", AttributesRefused),
    ("TDX module identity", MeasurementMismatch),
    ("QE report hash", BindingMismatch),
    ("QE MRSIGNER", SignatureInvalid),
    ("QE ISVPRODID", SignatureInvalid),
    ("QE MISCSELECT", SignatureInvalid),
    ("QE ATTRIBUTES", SignatureInvalid),
    ("report signature is invalid", SignatureInvalid),
    ("Signature is invalid for qe_report", SignatureInvalid),
    ("issue date is in the future", CollateralNotYetValid),
    ("TCBInfo expired", CollateralExpired),
    ("QE Identity expired", CollateralExpired),
    ("certificate chain", ChainInvalid),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """The platform a quote comes from, and how it stands with Intel.

    `tcb_date` is in UTC seconds: the date of the TCB level the platform meets, or that of its quoting enclave or of
    its current TDX module where that one is not up to date and the date is older.
    """

    fmspc: bytes
    pck_ca: str
    tcb_status: str
    advisory_ids: tuple[str, ...]
    tcb_evaluation_data_number: int
    tcb_date: int


def verified_platform(quote: Quote, collateral: bytes, *, at: int, pinned: Mapping[str, bytes]) -> Platform:
    """Return the platform that made `quote`, which runs no debug enclave or TD, verified at `at` (UTC seconds).

    Raises: EvidenceRefused: by its class, the first check that fails. A status other than Revoked refuses nothing here.
    """
    parts = collateral_from(collateral)
    require_current(parts, at=at)
    chain = chain_from(quote.pck_chain, what="PCK certificates")
    pck_ca = _verified_pck(chain, at=at, pinned=pinned)
    fmspc = _fmspc(chain[0])
    verify_collateral(parts, chain, fmspc=fmspc, tee_type=quote.tee_type, at=at, pinned=pinned)
    _verify_signatures(quote, chain[0])
    claims = _appraised(quote, parts, root=chain[-1].public_bytes(Encoding.DER), at=at)
    _require_sound(quote.body)
    status = claims["tcb"]["status"]
    if status not in TCB_STATUSES:
        raise TcbRefused(f"tcb_status: found {status}, which no policy may accept")
    return Platform(
        fmspc=fmspc,
        pck_ca=pck_ca,
        tcb_status=status,
        advisory_ids=tuple(sorted(set(claims["tcb"]["advisory_ids"]))),
        tcb_evaluation_data_number=min(claims["tcb"]["eval_data_number"], claims["qe"]["tcb_eval_data_number"]),
        tcb_date=_tcb_date(claims),
    )


def _verified_pck(chain: Sequence[x509.Certificate], *, at: int, pinned: Mapping[str, bytes]) -> str:
    """Return which CA issued the PCK certificate, after walking the chain to the pinned root."""
    if len(chain) != 3:
        raise ChainInvalid(f"PCK certificates: found {len(chain)}, wanted 3")
    verified_chain(chain, roots=[INTEL_SGX], at=at, pinned=pinned)
    issuer = common_name(chain[1].subject)
    if common_name(chain[0].subject) != _PCK or issuer not in _PCK_CAS:
        raise ChainInvalid("PCK certificates: the chain is genuine, but not one of a PCK certificate")
    return _PCK_CAS[issuer]


def _fmspc(pck: x509.Certificate) -> bytes:
    import dcap_qvl

    try:
        return bytes(dcap_qvl.parse_pck_extension_from_pem(pck.public_bytes(Encoding.PEM)).fmspc)
    except ValueError as error:
        raise ChainInvalid("PCK certificates: the SGX extension cannot be read") from error


def _verify_signatures(quote: Quote, pck: x509.Certificate) -> None:
    """Raise unless PCK certificate, quoting enclave, attestation key and body vouch for one another in that order."""
    if not is_signed(pck, quote.qe_report_signature, quote.qe_report):
        raise SignatureInvalid("quote: the quoting enclave's report is not signed by the PCK certificate's key")
    quoting_enclave = enclave_report_from(quote.qe_report)
    if quoting_enclave.debug:
        raise DebugEnabled("quote: the quoting enclave is a debug one, whose keys its host may read")
    bound = sha256(quote.attestation_key + quote.qe_auth).digest()
    if not hmac.compare_digest(quoting_enclave.report_data, bound + bytes(32)):
        raise BindingMismatch("quote: the quoting enclave vouches for another attestation key")
    try:
        key = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), b"\x04" + quote.attestation_key)
    except ValueError as error:
        raise SignatureInvalid("quote: the attestation key is not a point of P-256") from error
    if not is_signed_by(key, quote.signature, quote.signed):
        raise SignatureInvalid("quote: not signed by the attestation key")


def _appraised(quote: Quote, parts: Collateral, *, root: bytes, at: int) -> Any:
    """Return what `dcap-qvl` finds out about the quote, as its JSON says it."""
    import dcap_qvl

    collateral = dcap_qvl.QuoteCollateralV3(
        parts.pck_crl_issuer_chain,
        parts.root_ca_crl.der,
        parts.pck_crl.der,
        parts.tcb_info.issuer_chain,
        parts.tcb_info.text,
        parts.tcb_info.signature,
        parts.qe_identity.issuer_chain,
        parts.qe_identity.text,
        parts.qe_identity.signature,
    )
    policy = dcap_qvl.QuotePolicy.claims_only(at)  # judging is for appraisal; the library alone cannot
    try:
        claims = dcap_qvl.QuoteVerifier(root).verify_with_policy(quote.encoded, collateral, at, policy)
    except ValueError as error:
        raise _refusal(str(error), quote.body) from error
    return json.loads(claims.to_json())


def _refusal(text: str, body: EnclaveReport | TdReport) -> EvidenceRefused:
    """Return the refusal for what the library said: only TCB levels come before a body's attributes."""
    named = next((refusal for part, refusal in _REFUSALS if part in text), CollateralInvalid)
    if named is not TcbNotMatched:
        _require_sound(body)
    return named(f"Intel's collateral does not bear the quote out: {text[:200]}")


def _require_sound(body: EnclaveReport | TdReport) -> None:
    """Raise unless the body is of a machine whose own settings leave it protected."""
    if body.debug:
        raise DebugEnabled("quote: debug mode is on, so the host may read the memory")
    if isinstance(body, EnclaveReport):
        return
    attributes = int.from_bytes(body.td_attributes, "little")
    if not attributes & _SEPT_VE_DISABLE:
        raise AttributesRefused("td_attributes: SEPT_VE_DISABLE is not set, so the host may remap private pages")
    if attributes & (_MIGRATABLE | _SERVTD_EXT) or any(body.mr_service_td or b""):
        raise AttributesRefused("td_attributes: the TD may be handed to a service TD")


def _tcb_date(claims: Any) -> int:
    """Return the date that a grace period counts from; see `Platform`."""
    dated = int(claims["platform"]["tcb_date_tag"])
    levels = [claims["qe"]["tcb_level"], claims["platform"]["current_tcb_level"]]
    lagging = [level["tcbDate"] for level in levels if level is not None and level["tcbStatus"] != UP_TO_DATE]
    late = [int(datetime.fromisoformat(date).astimezone(UTC).timestamp()) for date in lagging]
    return min([dated, *late])
