"""The strict default: what any genuine machine must be like, each requirement broken alone."""

from __future__ import annotations

import pytest

from enclave.attestation.errors import AttributesRefused, DebugEnabled, EvidenceRefused, KindUnsupported, TcbRefused
from enclave.attestation.nitro import NitroClaims
from enclave.attestation.simulated import UnsafeSimulatedAttester, verified_simulated
from enclave.attestation.strict import GRACE, STRICT, require_strict
from tests.enclave.attestation import aws, nvidia_gpu
from tests.enclave.attestation.amd import Guest
from tests.enclave.attestation.intel import ENCLAVE, TD, TD15, TD15_EX, Machine
from tests.people import DAY_S, NOW
from vault.expectation import KINDS, Rule
from vault.machine import MachineKey

DEBUG = 1 << 19
MIGRATE = 1 << 18


def test_genuine_machines_of_every_kind_are_accepted() -> None:
    nitro: NitroClaims = aws.ENCLAVE.verified()
    for claims in (TD.verified(), TD15.verified(), TD15_EX.verified(), ENCLAVE.verified(), Guest().verified(), nitro):
        require_strict(claims, at=NOW)
    require_strict(nvidia_gpu.Gpu().claims(), at=NOW)


@pytest.mark.parametrize("status", ["OutOfDate", "SWHardeningNeeded", "ConfigurationNeeded"])
@pytest.mark.parametrize("machine", [TD, ENCLAVE], ids=["tdx", "sgx"])
def test_a_platform_that_is_not_up_to_date_gets_no_grace(machine: Machine, status: str) -> None:
    claims = machine.with_(status=status).verified()
    for at in (NOW, NOW - 400 * DAY_S):  # the very day of its TCB level
        with pytest.raises(TcbRefused, match=f"found {status}, wanted UpToDate"):
            require_strict(claims, at=at)


@pytest.mark.parametrize("vmpl", [0, 1, 2, 3])
def test_a_guest_runs_at_a_privileged_level(vmpl: int) -> None:
    claims = Guest(vmpl=vmpl).verified()
    if vmpl <= 1:
        require_strict(claims, at=NOW)
    else:
        with pytest.raises(AttributesRefused, match=f"vmpl: found {vmpl}, wanted at most 1"):
            require_strict(claims, at=NOW)


@pytest.mark.parametrize(("bit", "refusal"), [(DEBUG, DebugEnabled), (MIGRATE, AttributesRefused)])
def test_neither_debugging_nor_migration_is_accepted(bit: int, refusal: type[EvidenceRefused]) -> None:
    with pytest.raises(refusal):
        require_strict(Guest(policy=Guest().policy | bit).verified(), at=NOW)


def test_a_nitro_enclave_without_measurements_is_in_debug_mode() -> None:
    pcrs = {index: bytes(48) for index in range(16)}
    with pytest.raises(DebugEnabled):
        require_strict(aws.ENCLAVE.with_(fields={"pcrs": pcrs}).verified(), at=NOW)


def test_simulated_evidence_is_refused() -> None:
    evidence = UnsafeSimulatedAttester(MachineKey(bytes(32)), bytes(48)).evidence(bytes(64))
    with pytest.raises(KindUnsupported):
        require_strict(verified_simulated(evidence.document), at=NOW)


def test_every_field_that_a_policy_could_name_is_judged_or_named_as_any() -> None:
    for kind, fields in KINDS.items():
        assert {expectation.field for expectation in STRICT[kind]} == set(fields) - {GRACE}
    judged = {(kind, e.field) for kind, all_of in STRICT.items() for e in all_of if e.rule is not Rule.ANY}
    assert judged == {("tdx", "tcb_status"), ("dstack", "tcb_status"), ("sgx", "tcb_status"), ("snp", "vmpl")}
