"""Attacks on opening a session: false keys, replays, expired grants, licenses of others (rule E6)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from enclave.admission import NONCE_LIFETIME_S, SESSION_S_MAX
from enclave.v1 import retrieval_pb2 as pb
from tests import builders
from tests.attacks.session.machine import Machine
from tests.builders import resigned, seeded, wallet
from tests.deployment import Deployment, deployed
from tests.enclaves import configuration, credential, delegated, license_of, world
from tests.people import DAY_S, NOW
from vault.errors import AccessDenied, InvalidSignature, MalformedObject, NotYet, Revoked, VaultError, WrongKey
from vault.hpke import CLASSIC, seal
from vault.machine import MachineKey
from vault.session import secret_context

WORLD = world()
MALLORY = wallet("mallory")


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("deployment"), WORLD) as deployment:
        yield deployment


@pytest.fixture
def machine(deployment: Deployment) -> Iterator[Machine]:
    with Machine(deployment) as machine:
        yield machine


class TestOpening:
    def test_the_valid_one_opens(self, machine: Machine) -> None:
        assert len(machine.open().session) == 16

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("genesis", WORLD.policy.cid()),
            ("license", WORLD.policy.cid()),
            ("delegation", WORLD.policy.cid()),
            ("tls_key", seeded("another tls key")),
            ("instance", seeded("another instance")),
            ("ledger", seeded("another ledger")),
            ("server_nonce", seeded("a nonce of my own")),
            ("expires_at", NOW),
            ("expires_at", NOW + SESSION_S_MAX + 1),
        ],
    )
    def test_one_wrong_fact_is_enough(self, machine: Machine, field: str, value: Any) -> None:
        with pytest.raises(AccessDenied):
            machine.open(**{field: value})

    def test_a_key_that_was_not_delegated_to_opens_nothing(self, machine: Machine) -> None:
        other = MachineKey(seeded("another key"))
        with pytest.raises(AccessDenied):
            machine.open(session_key=other.public, key=other)
        with pytest.raises(InvalidSignature):
            machine.open(key=other)

    def test_an_opening_changed_after_signing_opens_nothing(self, machine: Machine) -> None:
        opening, secret = machine.opening()
        with pytest.raises(InvalidSignature):
            machine.open(replace(opening, spend_cap=opening.spend_cap + 1), secret)

    def test_a_replayed_opening_opens_nothing(self, machine: Machine) -> None:
        opening, secret = machine.opening()
        machine.open(opening, secret)
        with pytest.raises(AccessDenied, match="server nonce is unknown, used"):
            machine.open(opening, secret)

    def test_a_spent_or_old_server_nonce_opens_nothing(self, machine: Machine) -> None:
        nonce = machine.nonce()
        machine.open(server_nonce=nonce)
        with pytest.raises(AccessDenied, match="server nonce is unknown, used"):
            machine.open(server_nonce=nonce)
        opening, secret = machine.opening()
        WORLD.clock.advance(NONCE_LIFETIME_S)
        with pytest.raises(AccessDenied, match="server nonce is unknown, used"):
            machine.open(opening, secret)

    @pytest.mark.parametrize("size", [48, 64, 1200, 2048])
    @pytest.mark.parametrize("suite", [CLASSIC, "MLKEM768X25519-HKDF-SHA256-AES256GCM", "none"])
    def test_a_secret_that_does_not_open_is_a_wrong_key(self, machine: Machine, size: int, suite: str) -> None:
        with pytest.raises(WrongKey):
            machine.open(sealed_secret=bytes(size), suite=suite)

    def test_a_secret_sealed_for_another_nonce_does_not_open(self, machine: Machine) -> None:
        (earlier, _), nonce = machine.opening(), machine.nonce()
        with pytest.raises(WrongKey):
            machine.open(server_nonce=nonce, sealed_secret=earlier.sealed_secret)

    def test_a_secret_of_another_length_is_refused(self, machine: Machine) -> None:
        opening, _ = machine.opening()
        keys = machine.deployment.enclave.keys.hpke.public
        recipient = next(key for key in keys if key.suite == opening.suite)
        info = secret_context(
            genesis=opening.genesis,
            instance=opening.instance,
            ledger=opening.ledger,
            server_nonce=opening.server_nonce,
            suite=opening.suite,
        )
        with pytest.raises(AccessDenied, match="32 bytes"):
            machine.open(server_nonce=opening.server_nonce, sealed_secret=seal(recipient, bytes(31), info=info))

    @pytest.mark.parametrize("part", ["license", "delegation", "opening"])
    def test_bytes_that_are_no_objects_are_malformed(self, machine: Machine, part: str) -> None:
        parts = {
            "license": machine.credential.license.encoded(),
            "delegation": machine.credential.delegation.encoded(),
            "opening": machine.opening()[0].encoded(),
        }
        with pytest.raises(MalformedObject):
            machine.channel.call(machine.stub.OpenSession, pb.OpenSessionRequest(**(parts | {part: b"garbage"})))


class TestGrants:
    def refused(
        self, deployment: Deployment, asking: Any, expected: type[VaultError], match: str | None = None
    ) -> None:
        with Machine(deployment, asking) as machine, pytest.raises(expected, match=match):
            machine.open()

    def test_an_expired_delegation(self, deployment: Deployment) -> None:
        now = WORLD.clock()
        with Machine(deployment, credential(WORLD, expires_at=now + 1)) as machine:
            assert len(machine.open().session) == 16
        self.refused(deployment, credential(WORLD, expires_at=now), AccessDenied, "delegation has expired")

    def test_an_expired_license(self, deployment: Deployment) -> None:
        expired = license_of(WORLD, issued_at=NOW - DAY_S, expires_at=WORLD.clock())
        self.refused(deployment, credential(WORLD, license=expired), AccessDenied, "license has expired")

    def test_a_license_that_the_policys_issuer_did_not_grant(self, deployment: Deployment) -> None:
        own = resigned(WORLD.history, MALLORY, license_of(WORLD), issuer=MALLORY.address)
        self.refused(deployment, credential(WORLD, license=own), AccessDenied, "not granted by the policy's issuer")
        forged = replace(own, issuer=wallet("issuer").address)
        self.refused(deployment, credential(WORLD, license=forged), InvalidSignature)

    def test_a_license_for_a_policy_that_is_not_in_force(self, deployment: Deployment) -> None:
        other = builders.policy(WORLD.genesis, title="Never adopted", configurations=(configuration(WORLD.genesis),))
        self.refused(deployment, credential(WORLD, license=license_of(WORLD, under=other)), Revoked)

    def test_a_license_dated_into_an_epoch_that_has_not_come(self, deployment: Deployment) -> None:
        epoch = WORLD.history.head.epoch
        ahead = license_of(WORLD, epoch=epoch + 1)  # it would outlive the revocation that makes that epoch
        self.refused(deployment, credential(WORLD, license=ahead), NotYet, f"only seen epoch {epoch}")

    def test_a_license_from_another_dao(self, deployment: Deployment) -> None:
        other = world(name="Elsewhere")
        self.refused(deployment, credential(other), InvalidSignature)
        claimed = resigned(WORLD.history, wallet("issuer"), license_of(WORLD), genesis=other.genesis)
        self.refused(deployment, credential(WORLD, license=claimed), AccessDenied, "from another DAO")

    def test_a_delegation_that_the_licensee_did_not_sign(self, deployment: Deployment) -> None:
        license, seed = license_of(WORLD), seeded("session key")
        terms = {"spend_cap": 10**9, "expires_at": NOW + DAY_S}
        asking = credential(WORLD)
        mallorys = delegated(WORLD, license, MALLORY, seed, **terms)
        self.refused(deployment, replace(asking, delegation=mallorys), AccessDenied, "not the licensee's")
        forged = replace(mallorys, licensee=wallet("licensee").address)
        self.refused(deployment, replace(asking, delegation=forged), InvalidSignature)

    def test_a_delegation_of_another_license(self, deployment: Deployment) -> None:
        longer = license_of(WORLD, expires_at=NOW + 2 * DAY_S)
        delegation = credential(WORLD, license=longer).delegation
        self.refused(deployment, replace(credential(WORLD), delegation=delegation), AccessDenied, "not of this license")
