"""From the kernel's interface to the appraisal: every machine proves what it was asked with, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.tees import expected
from enclave.attestation.appraise import EvidenceAppraiser
from enclave.attestation.attester import Attester, attested
from enclave.attestation.attesters.gpu_evidence import KEPT_S, CollectedGpus
from enclave.attestation.attesters.nvidia_nvml import NvidiaGpus
from enclave.attestation.bundle import GpuBundle
from enclave.attestation.errors import (
    AttributesRefused,
    BindingMismatch,
    ChainInvalid,
    DebugEnabled,
    EvidenceRefused,
    KindUnsupported,
    MeasurementMismatch,
    NonceMismatch,
)
from enclave.attestation.gpus import verified_gpus
from enclave.attestation.roots import ROOTS
from enclave.attestation.verify import verified
from storage.cid import DAG_CBOR, Cid
from tests.enclave.attestation import amd, aws, intel
from tests.enclave.attestation.nvidia_gpu import BLOCKS, Gpu, Manifest
from tests.enclave.attestation.nvml_library import installed
from tests.enclave.attestation.pki import p384
from tests.hardware import MACHINES, PINNED, nitro_machine, snp_machine, tdx_machine
from tests.machines import anything
from tests.people import NOW, seeded
from vault.evidence import RELEASE, Appraisal, Binding, Evidence, Nonce
from vault.expectation import GPU, KINDS, NUMBER_BYTES, Expectation, Rule
from vault.hpke import HpkeKeys
from vault.policy import AcceptedTee

APPRAISER = EvidenceAppraiser(production=True, pinned=PINNED)


def binding(gpu: bytes = b"", **fields: Any) -> Binding:
    usual: dict[str, Any] = {
        "purpose": RELEASE,
        "nonces": (Nonce(challenger=b"", nonce=seeded("nonce")),),
        "hpke": HpkeKeys.from_seed(seeded("hpke", 128)).public,
        "tls_key": seeded("tls"),
        "receipt_key": seeded("receipt"),
        "gpu_evidence": gpu,
        "configuration": Cid.of(DAG_CBOR, b"configuration"),
        "genesis": Cid.of(DAG_CBOR, b"genesis"),
    }
    return Binding(**(usual | fields))


def accepting(attester: Attester, *changed: Expectation, gpu: tuple[Expectation, ...] = ()) -> AcceptedTee:
    """Return the entry that accepts this machine as it is."""
    facts = verified(attester.evidence(bytes(64)), at=NOW, pinned=PINNED).facts()
    usual = {item.field: item for item in (*expected(KINDS[attester.kind], facts), *changed)}
    expectations = tuple(usual[name] for name in sorted(usual))
    return AcceptedTee(kind=attester.kind, expectations=expectations, cpu_only=not gpu, gpu=gpu)


def appraised(attester: Attester, *entries: AcceptedTee) -> Appraisal:
    made, evidence = attested(attester, binding)
    return APPRAISER.appraise(evidence, binding=made, accepted=entries, at=NOW)


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Attester:
    made: Callable[[Path], Attester] = MACHINES[request.param]
    return made(tmp_path)


def test_a_machine_is_accepted_by_the_entry_that_describes_it(machine: Attester) -> None:
    entry = accepting(machine)
    appraisal = appraised(machine, entry)
    assert (appraisal.kind, appraisal.accepted) == (machine.kind, entry)
    assert appraisal.measurement in entry.measurements()
    assert set(entry.measurements()) <= set(appraisal.measurements)


@pytest.mark.parametrize("field", ["nonces", "tls_key", "receipt_key", "hpke", "configuration", "genesis"])
def test_evidence_vouches_for_nothing_but_what_it_was_asked_with(machine: Attester, field: str) -> None:
    others: dict[str, Any] = {
        "nonces": (Nonce(challenger=b"", nonce=seeded("other nonce")),),
        "hpke": HpkeKeys.from_seed(seeded("other hpke", 128)).public,
        "configuration": Cid.of(DAG_CBOR, b"other"),
        "genesis": Cid.of(DAG_CBOR, b"other"),
    }
    made, evidence = attested(machine, binding)
    other = replace(made, **{field: others.get(field, seeded("other"))})
    with pytest.raises(BindingMismatch):
        APPRAISER.appraise(evidence, binding=other, accepted=[accepting(machine)], at=NOW)


def test_evidence_that_the_vendor_did_not_sign_is_refused(machine: Attester) -> None:
    made, evidence = attested(machine, binding)
    with pytest.raises(ChainInvalid):
        EvidenceAppraiser(production=True, pinned=ROOTS).appraise(
            evidence, binding=made, accepted=[accepting(machine)], at=NOW
        )


def test_evidence_under_another_kinds_name_is_refused(machine: Attester) -> None:
    made, evidence = attested(machine, binding)
    for kind in KINDS:
        if kind != evidence.kind:
            with pytest.raises(EvidenceRefused):
                APPRAISER.appraise(replace(evidence, kind=kind), binding=made, accepted=[accepting(machine)], at=NOW)


def test_an_entry_of_another_kind_accepts_nothing(machine: Attester, tmp_path: Path) -> None:
    others = [accepting(make(tmp_path)) for kind, make in MACHINES.items() if kind != machine.kind]
    with pytest.raises(KindUnsupported):
        appraised(machine, *others)


def test_another_program_is_refused_with_what_to_do() -> None:
    entry = accepting(snp_machine())
    other = amd.VCEK_GUEST.with_(patches={0x090: seeded("other program", 48)})
    with pytest.raises(MeasurementMismatch, match=r"measurement: found .* wanted .*coffer enclave describe"):
        appraised(snp_machine(other), entry)


def test_one_entry_that_fits_is_enough() -> None:
    other = Expectation(field="measurement", rule=Rule.ONE_OF, values=(seeded("other", 48),))
    fitting = accepting(snp_machine())
    assert appraised(snp_machine(), accepting(snp_machine(), other), fitting).accepted == fitting


def test_debug_is_refused_for_every_machine(tmp_path: Path) -> None:
    debug_td = intel.TD.with_(body={"td_attributes": (1 << 28 | 1).to_bytes(8, "little")})
    debug_guest = amd.VCEK_GUEST.with_(policy=amd.VCEK_GUEST.policy | 1 << 19)
    debug_enclave = aws.ENCLAVE.with_(fields={"pcrs": dict.fromkeys(range(16), bytes(48))})
    for made, usual in (
        (tdx_machine(debug_td), tdx_machine()),
        (snp_machine(debug_guest), snp_machine()),
        (nitro_machine(tmp_path / "nsm", debug_enclave), nitro_machine(tmp_path / "nsm")),
    ):
        with pytest.raises(DebugEnabled):
            appraised(made, accepting(usual))


def test_a_guest_with_a_migration_agent_is_refused() -> None:
    with pytest.raises(AttributesRefused, match="migrat"):
        appraised(snp_machine(amd.VCEK_GUEST.with_(policy=amd.VCEK_GUEST.policy | 1 << 18)), accepting(snp_machine()))


def test_a_privilege_level_above_the_policys_is_refused() -> None:
    strict = Expectation(field="vmpl", rule=Rule.AT_MOST, values=(bytes(NUMBER_BYTES),))
    guest = amd.VCEK_GUEST.with_(patches={0x030: (2).to_bytes(4, "little")})
    with pytest.raises(AttributesRefused, match="vmpl: found 2, wanted at most 0"):
        appraised(snp_machine(guest), accepting(snp_machine(), strict))


class TestGpus:
    """GPUs count only through the CPU's evidence (rule E2)."""

    manifests = (
        Manifest().document(),
        Manifest(version="96.00.9F.00.01", product="GH100", entries={14: [BLOCKS[15]]}, inactive={}).document(),
    )

    def collected(self, *gpus: Gpu) -> bytes:
        with installed(*(gpus or (Gpu(),))):
            return self.collecting()()

    def collecting(self, **changed: Any) -> CollectedGpus:
        usual: dict[str, Any] = {
            "clock": lambda: NOW,
            "random": lambda size: seeded("gpu nonce", size),
            "monotonic": lambda: 0.0,
            "pinned": PINNED,
        }
        return CollectedGpus(NvidiaGpus(), self.manifests, **(usual | changed))

    def expecting(self, *changed: Expectation) -> tuple[Expectation, ...]:
        bundle = GpuBundle.from_bytes(self.collected())
        usual = {item.field: item for item in expected(GPU, verified_gpus(bundle, at=NOW, pinned=PINNED)[0].facts())}
        usual |= {item.field: item for item in changed}
        return tuple(usual[name] for name in sorted(usual))

    def test_a_machine_with_its_gpus_is_accepted(self) -> None:
        machine = tdx_machine(gpu=self.collected)
        assert appraised(machine, accepting(machine, gpu=self.expecting())).kind == "tdx"

    def test_a_policy_for_the_cpu_only_takes_no_gpu_and_the_other_takes_no_machine_without(self) -> None:
        with pytest.raises(BindingMismatch, match="CPU only"):
            appraised(tdx_machine(gpu=self.collected), accepting(tdx_machine()))
        with pytest.raises(BindingMismatch, match="found no GPU"):
            appraised(tdx_machine(), accepting(tdx_machine(), gpu=self.expecting()))

    def test_evidence_of_another_gpu_than_the_bound_one_is_refused(self) -> None:
        machine = tdx_machine(gpu=self.collected)
        made, evidence = attested(machine, binding)
        other = replace(evidence, gpu=self.collected(Gpu(name="other", key=p384("other gpu"))))
        for swapped in (other, replace(evidence, gpu=b"")):
            with pytest.raises(BindingMismatch, match="gpu_evidence"):
                APPRAISER.appraise(swapped, binding=made, accepted=[accepting(machine, gpu=self.expecting())], at=NOW)

    def test_one_gpu_cannot_stand_for_two(self) -> None:
        with pytest.raises(BindingMismatch, match="one device stands for two"):
            self.collected(Gpu(), Gpu())

    def test_a_report_over_another_nonce_is_refused(self) -> None:
        bundle = GpuBundle.from_bytes(self.collected())
        with pytest.raises(NonceMismatch):
            verified_gpus(replace(bundle, nonce=seeded("other")), at=NOW, pinned=PINNED)

    def test_firmware_that_the_policy_does_not_name_is_refused(self) -> None:
        other = Expectation(field="driver_version", rule=Rule.ONE_OF, values=(b"999.1",))
        machine = tdx_machine(gpu=self.collected)
        with pytest.raises(MeasurementMismatch, match=r"driver_version: found .*, wanted 999.1"):
            appraised(machine, accepting(machine, gpu=self.expecting(other)))

    def test_firmware_that_may_be_any_still_has_to_match_its_manifests(self) -> None:
        machine = tdx_machine(gpu=self.collected)
        assert appraised(machine, accepting(machine, gpu=self.expecting(anything("fwid"))))
        bundle = GpuBundle.from_bytes(self.collected())
        with pytest.raises(MeasurementMismatch, match="rim"):
            verified_gpus(replace(bundle, rims=bundle.rims[:1]), at=NOW, pinned=PINNED)

    def test_what_was_collected_serves_for_a_while_and_no_longer(self) -> None:
        now, nonces = 0.0, iter(range(10))
        with installed(Gpu()):
            gpus = self.collecting(monotonic=lambda: now, random=lambda size: seeded(f"nonce {next(nonces)}", size))
            first = gpus()
            now = KEPT_S - 1
            assert gpus() == first
            now = KEPT_S
            assert gpus() != first


def test_evidence_names_no_gpu_of_its_own_accord(machine: Attester) -> None:
    made, evidence = attested(machine, binding)
    assert (evidence.gpu, made.gpu_evidence) == (b"", b"")
    assert Evidence.from_bytes(evidence.encoded()) == evidence
