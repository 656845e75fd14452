"""Appraisals of captured evidence against the cryptography in them alone, and a key release by three custodians.

The evidence lies in the shared folder beside the checkout; a kind without it is left out, and the result says so.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding

from benchmarks.harness import Row, result, row, seconds_in_turn
from cli import wiring
from cli.stage import Stage
from cli.stage_policy import Terms
from enclave.attestation.bundle import IntelBundle, SnpBundle
from enclave.attestation.certificates import certificate_from_der
from enclave.attestation.nitro_document import NitroEnvelope
from enclave.attestation.snp_report import SnpReport
from enclave.attestation.spdm import frame_from
from enclave.attestation.strict import require_strict
from enclave.attestation.verify import verified
from enclave.keys import InstanceKeys
from enclave.opening import Opening
from vault.ballot import Support
from vault.client import CustodyClient
from vault.envelope import Passage
from vault.evidence import Evidence
from vault.lease import EMPTY_ANCHOR

EVIDENCE = Path(__file__).resolve().parents[2] / "shared" / "evidence"
BATCH = 40
RELEASES = 60
WARM_UP = 10
CUSTODIANS = 3
RELEASE_GOAL_MS = 25.0
Check = Callable[[], object]


def run() -> dict[str, Any]:
    """Measure what appraising costs, and how long a key release takes."""
    rows: list[Row] = []
    if (EVIDENCE / "index.json").is_file():
        rows = [_appraisals(name, ours, least, against) for name, ours, least, against in _captured()]
    measured = result("attest", [*rows, _key_release()])
    if not rows:
        measured["left_out"] = "appraisals: no captured evidence lies beside the checkout"
    return measured


def _appraisals(name: str, ours: Check, least: Check, against: str) -> Row:
    def times(check: Check) -> None:
        for _ in range(BATCH):
            check()

    mine, theirs = seconds_in_turn(partial(times, ours), partial(times, least))
    return row(f"appraisals of {name}", "/s", BATCH / mine, against, BATCH / theirs, goal=None, less=False)


def _captured() -> list[tuple[str, Check, Check, str]]:
    """Return each kind's name, our whole appraisal, the least it contains, and what that is."""
    bare = "the signatures alone, of evidence and chain"
    return [
        ("a TDX quote", *_tdx(), "dcap-qvl alone"),
        ("a SEV-SNP report", *_snp(), bare),
        ("a Nitro document", *_nitro(), bare),
        ("an NVIDIA H100 report", *_nvidia(), bare),
    ]


def _tdx() -> tuple[Check, Check]:
    import dcap_qvl

    files, at = _case("tdx-v4-b0c06f-uptodate")
    quote, collateral, root = files["quote"], files["dcap_collateral_v3"], files["trust_anchor"]
    evidence = Evidence(kind="tdx", document=IntelBundle(quote=quote, collateral=collateral).encoded())

    def least() -> None:
        parsed = dcap_qvl.QuoteCollateralV3.from_json(collateral.decode())
        assert dcap_qvl.verify_with_root_ca(quote, parsed, root, at).status == "UpToDate"

    return partial(_appraise, evidence, at), least


def _snp() -> tuple[Check, Check]:
    files, at = _case("snp-milan-v3-vcek")
    report, chain = files["snp_report"], [files[role] for role in ("vcek", "ask", "trust_anchor")]
    bundle = SnpBundle(report=report, signer=chain[0], intermediate=chain[1], root=chain[2])
    found = SnpReport(report)
    signature = encode_dss_signature(*found.signature)
    evidence = Evidence(kind="snp", document=bundle.encoded())
    return partial(_appraise, evidence, at), _signatures(chain, signature, found.signed)


def _nitro() -> tuple[Check, Check]:
    files, at = _case("nitro-2025-dstack")
    document = NitroEnvelope.from_bytes(files["cose_sign1"])
    chain = [document.certificate, *reversed(document.cabundle)]
    evidence = Evidence(kind="nitro", document=files["cose_sign1"])
    return partial(_appraise, evidence, at), _signatures(chain, _der(document.signature), document.signed)


def _nvidia() -> tuple[Check, Check]:
    from enclave.attestation.nvidia import verified_nvidia

    files, at = _case("nvgpu-h100-550")
    report, pem = files["spdm_measurements_request_and_response"], files["device_cert_chain"]
    frame = frame_from(report)
    chain = [certificate.public_bytes(Encoding.DER) for certificate in x509.load_pem_x509_certificates(pem)]

    def ours() -> None:
        require_strict(verified_nvidia(report, pem, nonce=frame.transcript().nonce, at=at), at=at)

    return ours, _signatures(chain, _der(frame.signature), frame.signed)


def _appraise(evidence: Evidence, at: int) -> None:
    require_strict(verified(evidence, at=at), at=at)


def _signatures(chain: list[bytes], signature: bytes, signed: bytes) -> Check:
    """Return the floor: parse the chain, check that each certificate signed the one before, and the evidence's own."""

    def least() -> None:
        certificates = [certificate_from_der(der) for der in chain]
        for issued, issuer in zip(certificates, [*certificates[1:], certificates[-1]], strict=True):
            issued.verify_directly_issued_by(issuer)
        key = certificates[0].public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        key.verify(signature, signed, ec.ECDSA(SHA384()))

    return least


def _der(signature: bytes) -> bytes:
    half = len(signature) // 2
    return encode_dss_signature(int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big"))


def _case(id: str) -> tuple[dict[str, bytes], int]:
    cases = json.loads((EVIDENCE / "index.json").read_text())["cases"]
    case = next(case for case in cases if case["id"] == id)
    at = int(datetime.fromisoformat(case["verification_time"]).timestamp())
    return {file["role"]: (EVIDENCE / file["path"]).read_bytes() for file in case["files"]}, at


def _key_release() -> Row:
    """Measure from the first challenge to the opened key: three custodians in processes of their own, on loopback."""
    taken = []
    with tempfile.TemporaryDirectory(prefix="coffer-bench-") as folder, ExitStack() as closing:
        stage = closing.enter_context(Stage(Path(folder)))
        services = _staged(stage, closing)
        settings = stage.settings("enclave")
        opening = Opening(
            services,
            wiring.make_attester(settings),
            InstanceKeys.fresh(),
            genesis=stage.genesis,
            configuration=wiring.enclave_configuration(settings, stage.genesis).cid(),
            monotonic=time.monotonic,
            clock=wiring.clock,
        )
        for number in range(RELEASES + WARM_UP):
            started = time.perf_counter()
            _, keys = opening.open(EMPTY_ANCHOR)
            if number >= WARM_UP:
                taken.append(1000 * (time.perf_counter() - started))
            assert len(keys.data_keys) == 1
    p50 = statistics.median(taken)
    what = f"a key release by {CUSTODIANS} custodians, challenge to opened key, p50"
    return row(what, "ms", p50, "the goal", RELEASE_GOAL_MS, goal=1.0, less=True)


def _staged(stage: Stage, closing: ExitStack) -> list[CustodyClient]:
    """Found a DAO, give its custodians their shares, and return a client of each."""
    stage.found(1, lease_s=600, custodians=CUSTODIANS)
    stage.seal("owner", "", [Passage("document", 0, 7, "a digest")], lambda _: None)
    policy = stage.policy("benchmark", Terms(price=1, k_max=1, passages_max=1, queries_per_minute=1))
    stage.adopt(policy, {"member-1": Support.FOR})
    stage.deposit()
    return list(closing.enter_context(stage.custody()).values())
