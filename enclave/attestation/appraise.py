"""Appraisal: verified evidence against what a policy accepts, and against the keys it has to vouch for."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import Final

from enclave.attestation.bundle import GpuBundle
from enclave.attestation.claims import Claims, Fact
from enclave.attestation.errors import (
    BindingMismatch,
    EvidenceMalformed,
    EvidenceRefused,
    KindUnsupported,
    MeasurementMismatch,
)
from enclave.attestation.judge import require_expected, require_sound
from enclave.attestation.roots import ROOTS
from enclave.attestation.verify import verified
from vault.errors import MalformedObject
from vault.evidence import Appraisal, Binding, Evidence
from vault.expectation import KINDS, Form
from vault.policy import SIMULATED, AcceptedTee

MAIN_MEASUREMENT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "simulated": "measurement",
        "tdx": "mr_td",
        "dstack": "compose_hash",
        "sgx": "mr_enclave",
        "snp": "measurement",
        "nitro": "pcr0",
    }
)


@dataclass(frozen=True, slots=True)
class _Machine:
    """What verified evidence says of a CPU and of the GPUs beside it."""

    claims: Claims
    facts: Mapping[str, Fact]
    devices: Sequence[Mapping[str, Fact]]


class EvidenceAppraiser:
    """Appraises every kind of evidence that `verify` knows; in production, never the simulated one."""

    def __init__(self, *, production: bool, pinned: Mapping[str, bytes] = ROOTS) -> None:
        """Take the hash of each vendor's root by name; another table than ours only in tests."""
        self._production = production
        self._pinned = pinned
        self._last: tuple[tuple[bytes, int], _Machine | EvidenceRefused] | None = None

    def appraise(self, evidence: Evidence, *, binding: Binding, accepted: Iterable[AcceptedTee], at: int) -> Appraisal:
        """Return the appraisal under the first accepted entry that fits, or raise the last one's `EvidenceRefused`."""
        if evidence.kind == SIMULATED and self._production:
            raise KindUnsupported("evidence is simulated, which production refuses whatever a policy says")
        _require_gpu_bound(evidence, binding)
        machine = self._verified(evidence, at)
        require_bound(machine.facts, binding)
        require_sound(machine.facts)
        refusal: EvidenceRefused = KindUnsupported(f"kind: the policy does not name a TEE of kind {evidence.kind}")
        for entry in accepted:
            if entry.kind != evidence.kind:
                continue
            try:
                require_expected(machine.facts, entry.expectations, at=at)
                _require_devices(machine.devices, entry, at)
            except EvidenceRefused as error:
                refusal = error
            else:
                return _appraisal(machine, entry, evidence)
        if isinstance(refusal, MeasurementMismatch):
            raise MeasurementMismatch(
                f"{refusal}; for this build the DAO has to adopt a policy: coffer enclave describe, coffer dao propose"
            ) from refusal
        raise refusal

    def _verified(self, evidence: Evidence, at: int) -> _Machine:
        """Verify once what is appraised under one policy after another: the last outcome is kept, refusal or not."""
        key = (evidence.digest(), at)
        if self._last is None or self._last[0] != key:
            try:
                self._last = key, _verified(evidence, at, self._pinned)
            except EvidenceRefused as error:
                self._last = key, error
        outcome = self._last[1]
        if isinstance(outcome, EvidenceRefused):
            raise outcome
        return outcome


def _verified(evidence: Evidence, at: int, pinned: Mapping[str, bytes]) -> _Machine:
    claims = verified(evidence, at=at, pinned=pinned)
    if not evidence.gpu:
        return _Machine(claims, claims.facts(), ())
    from enclave.attestation.gpus import verified_gpus

    try:
        bundle = GpuBundle.from_bytes(evidence.gpu)
    except MalformedObject as error:
        raise EvidenceMalformed("the GPU evidence is malformed") from error
    devices = [device.facts() for device in verified_gpus(bundle, at=at, pinned=pinned)]
    return _Machine(claims, claims.facts(), devices)


def require_bound(facts: Mapping[str, Fact], binding: Binding) -> None:
    """Raise `BindingMismatch` unless the evidence's 64 bytes of report data are the binding's (rule E1)."""
    found = facts.get("report_data")
    if not isinstance(found, bytes) or not hmac.compare_digest(found, binding.report_data()):
        raise BindingMismatch("report_data: the evidence was made for other keys, nonces or configuration")


def _require_gpu_bound(evidence: Evidence, binding: Binding) -> None:
    """Raise `BindingMismatch` unless the GPU evidence is the one that the CPU's vouches for, or there is none."""
    digest = sha256(evidence.gpu).digest() if evidence.gpu else b""
    if not hmac.compare_digest(digest, binding.gpu_evidence):
        raise BindingMismatch("gpu_evidence: the GPU evidence is not the one the CPU's evidence vouches for")


def _require_devices(devices: Sequence[Mapping[str, Fact]], entry: AcceptedTee, at: int) -> None:
    if entry.cpu_only:
        if devices:
            raise BindingMismatch("gpu: found GPU evidence, wanted none: the policy is for the CPU only")
        return
    if not devices:
        raise BindingMismatch("gpu: found no GPU evidence, wanted one vouched for by the CPU's")
    for facts in devices:
        require_expected(facts, entry.gpu, at=at)


def _appraisal(machine: _Machine, entry: AcceptedTee, evidence: Evidence) -> Appraisal:
    fields = KINDS[evidence.kind]
    names = [name for name, field in fields.items() if field.form is Form.MEASUREMENT]
    measurements = {name: fact for name in names if isinstance(fact := machine.facts.get(name), bytes)}
    return Appraisal(
        kind=machine.claims.kind,
        measurement=measurements[MAIN_MEASUREMENT[evidence.kind]],
        measurements=tuple(measurements.values()),
        accepted=entry,
        evidence=evidence.digest(),
    )
