"""Keys and answers for machines with evidence of their own kind, in production, where nothing simulated counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.tees import expected
from enclave.attestation.verify import verified
from enclave.status import State
from tests.deployment import deployed
from tests.enclave.attestation import amd
from tests.enclaves import World, attester, world
from tests.hardware import MACHINES, PINNED, snp_machine
from tests.people import NOW, seeded
from vault.expectation import KINDS
from vault.policy import AcceptedTee
from vault.receipt_check import verify_receipt_file


def accepting(machine: object) -> AcceptedTee:
    """Return the entry a DAO would vote for after it read `coffer enclave describe` on this machine."""
    facts = verified(machine.evidence(bytes(64)), at=NOW, pinned=PINNED).facts()  # type: ignore[attr-defined]
    kind: str = machine.kind  # type: ignore[attr-defined]
    return AcceptedTee(kind=kind, expectations=expected(KINDS[kind], facts), cpu_only=True, gpu=())


def world_for(*entries: AcceptedTee) -> World:
    """Return a DAO of three custodians whose owners allow no simulated TEE."""
    return world(custodians=3, shares=2, signatures=2, policy={"tees": entries}, manifest={"allow_simulated": False})


@pytest.mark.parametrize("kind", MACHINES)
def test_a_machine_gets_its_keys_answers_and_gives_receipts_that_verify(kind: str, tmp_path: Path) -> None:
    machine = MACHINES[kind](tmp_path)
    setting = world_for(accepting(machine))
    with deployed(tmp_path, setting, production=True, pinned=PINNED, machine=machine) as deployment:
        deployment.add_credit(1_000)
        with deployment.client(allow_simulated=False) as client:
            answer = client.search("tides", k=2)
            assert answer.results and answer.receipt.tee == kind
        checks = verify_receipt_file(
            answer.file, genesis=setting.genesis, appraiser=deployment.appraiser, allow_simulated=False
        )
        assert any(kind in check for check in checks)
        assert deployment.enclave.step() is State.SERVING  # renewed on fresh evidence


def test_another_program_on_the_same_machine_gets_nothing(tmp_path: Path) -> None:
    setting = world_for(accepting(snp_machine()))
    other = snp_machine(amd.VCEK_GUEST.with_(patches={0x090: seeded("other program", 48)}))
    with deployed(tmp_path, setting, production=True, pinned=PINNED, machine=other, is_started=False) as deployment:
        deployment.enclave = deployment.start_enclave(machine=other)
        assert deployment.enclave.settle() is State.STOPPED
        assert "measurement: found" in deployment.enclave.instance.status.reason
        assert not deployment.enclave.engines


def test_in_production_a_simulated_machine_gets_nothing_even_where_policy_and_owner_name_it(tmp_path: Path) -> None:
    with deployed(tmp_path, world(), production=True, is_started=False) as deployment:
        deployment.enclave = deployment.start_enclave(machine=attester())
        assert deployment.enclave.settle() is State.STOPPED
        assert "production" in deployment.enclave.instance.status.reason
