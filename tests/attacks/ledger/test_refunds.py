"""What was charged and can no longer be delivered comes back: once, and only if it did not arrive (rule L3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests import builders
from tests.attacks.session.machine import ZEROS, Machine
from tests.builders import seeded, wallet
from tests.deployment import Deployment, deployed
from tests.enclaves import PRICE, TEE, configuration, credential, license_of, world
from vault.action import Scope
from vault.dataset import DatasetRef
from vault.errors import AccessDenied, RequestConflict, Revoked
from vault.receipt import receipt_digest


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    with deployed(tmp_path) as deployment:
        deployment.add_credit(1_000)
        yield deployment


@pytest.fixture
def machine(deployment: Deployment) -> Iterator[Machine]:
    with Machine(deployment) as machine:
        yield machine.open()


def revoke(deployment: Deployment) -> None:
    setting = deployment.world
    deployment.custodies.submit(setting.decided(builders.carried(setting.history, builders.revoking(Scope.DAO))))
    deployment.enclave.step()


def credit(deployment: Deployment) -> int:
    return deployment.licensee_credit(wallet("licensee"))


def test_an_undelivered_answer_is_refunded_after_a_revocation_once(deployment: Deployment, machine: Machine) -> None:
    query = machine.query()
    machine.ask(query)
    revoke(deployment)
    with pytest.raises(Revoked, match="refunded"):
        machine.ask(query)
    assert credit(deployment) == 1_000
    with pytest.raises(RequestConflict):
        machine.ask(query)
    balances = deployment.enclave.instance.meter().books.balances()
    assert {name: held for name, held in balances.items() if held} == {
        "paid-in/USDC": -1_000,
        f"licensee/0x{wallet('licensee').address.hex()}/USDC": 1_000,
    }


def test_one_that_arrived_is_not(deployment: Deployment, machine: Machine) -> None:
    query = machine.query()
    machine.last_receipt = receipt_digest(machine.ask(query).receipt)
    revoke(deployment)
    with pytest.raises(Revoked) as refused:
        machine.ask(query)
    assert "refunded" not in str(refused.value)
    assert credit(deployment) == 1_000 - PRICE


def test_one_that_a_later_answer_followed_is_not(deployment: Deployment, machine: Machine) -> None:
    query = machine.query()
    machine.ask(query)
    machine.ask()
    revoke(deployment)
    with pytest.raises(Revoked) as refused:
        machine.ask(query)
    assert "refunded" not in str(refused.value)
    assert credit(deployment) == 1_000 - 2 * PRICE


def test_asking_again_under_a_license_that_never_allowed_it_refunds_nothing(tmp_path: Path) -> None:
    """Or a licensee with two licenses would read everything for nothing."""
    setting = world()
    policy = builders.policy(
        setting.genesis,
        title="Second",
        datasets=(DatasetRef.pinned(setting.dataset.manifest),),
        tees=(TEE,),
        configurations=(configuration(setting.genesis),),
    )
    history = setting.decided(builders.carried(setting.history, builders.adopting(policy)), policy)
    setting = replace(setting, history=history)
    second = credential(setting, license=license_of(setting, under=policy), seed=seeded("second key"))
    with deployed(tmp_path, setting) as deployment:
        deployment.add_credit(1_000)
        with Machine(deployment) as machine, Machine(deployment, second) as other:
            query = machine.open().query()
            machine.ask(query)
            other.open()
            other.last_receipt = ZEROS
            with pytest.raises(AccessDenied) as refused:
                other.ask(query)
        assert "refunded" not in str(refused.value)
        assert credit(deployment) == 1_000 - PRICE
