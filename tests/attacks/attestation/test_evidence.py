"""Attacks with evidence: used twice, borrowed, relayed, of the wrong program or machine (rules E1, E3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from enclave.attestation.appraise import EvidenceAppraiser
from enclave.attestation.errors import (
    BindingMismatch,
    DebugEnabled,
    EvidenceMalformed,
    KindUnsupported,
    MeasurementMismatch,
    SignatureInvalid,
)
from enclave.attestation.simulated import SimulatedReport
from tests.attacks.release.asking import Asking
from tests.builders import seeded
from tests.enclaves import APPRAISER, MEASUREMENT, SIMULATOR, TEE, Clock, Custodians, Remembered, attester, world
from tests.machines import accepted_tee
from vault.custodian import NONCE_LIFETIME_S
from vault.errors import AccessDenied, InvalidSignature, MalformedObject, NotYet, WrongKey
from vault.evidence import RELEASE, SERVE, Binding, Evidence, Nonce
from vault.hpke import CLASSIC, HYBRID, HpkeKeys
from vault.lease import EMPTY_ANCHOR, Anchor
from vault.machine import BLANK, MachineKey
from vault.policy import SIMULATED
from vault.release import release_context

WORLD = world(custodians=2, suite_floor=HYBRID)
REPORT_DATA = seeded("report data", 64)
BINDING = Binding(
    purpose=RELEASE,
    nonces=(Nonce(challenger=b"", nonce=seeded("nonce")),),
    hpke=HpkeKeys.from_seed(seeded("hpke", 128)).public,
    tls_key=seeded("tls"),
    receipt_key=seeded("receipt"),
    gpu_evidence=b"",
    configuration=WORLD.configuration,
    genesis=WORLD.genesis,
)


@pytest.fixture(scope="module")
def remembered() -> Remembered:
    return Remembered.by_custodians(WORLD)


@pytest.fixture
def custodians(tmp_path: Path, remembered: Remembered) -> Iterator[Custodians]:
    with Custodians(replace(WORLD, clock=Clock()), tmp_path, remembered=remembered) as made:
        yield made


@pytest.fixture
def asking(custodians: Custodians) -> Asking:
    return Asking(custodians.world, custodians)


class TestChallenges:
    def test_a_challenge_is_good_once(self, asking: Asking) -> None:
        binding = asking.binding()
        asking.release(binding)
        with pytest.raises(AccessDenied, match="unknown, used or too old"):
            asking.release(binding)

    def test_also_where_the_first_use_was_refused(self, asking: Asking) -> None:
        binding = asking.binding()
        with pytest.raises(BindingMismatch):
            asking.release(binding, attester().evidence(REPORT_DATA))
        with pytest.raises(AccessDenied, match="unknown, used or too old"):
            asking.release(binding)

    def test_it_ends_to_the_second(self, asking: Asking) -> None:
        fresh, late = asking.binding(), asking.binding()
        asking.world.clock.advance(NONCE_LIFETIME_S - 1)
        asking.release(fresh)
        asking.world.clock.advance(1)
        with pytest.raises(AccessDenied, match="unknown, used or too old"):
            asking.release(late)

    def test_another_instances_challenge_is_refused(self, custodians: Custodians, asking: Asking) -> None:
        theirs = Asking(custodians.world, custodians).challenge()
        with pytest.raises(AccessDenied, match="unknown, used or too old"):
            asking.release(asking.binding(nonces=(theirs,)))

    def test_another_custodians_challenge_is_refused(self, custodians: Custodians, asking: Asking) -> None:
        other = custodians.all[1]
        nonce = Nonce(challenger=other.public.key, nonce=other.challenge(asking.keys.instance, asking.keys_digest))
        with pytest.raises(AccessDenied, match="binds no challenge of this custodian"):
            asking.release(asking.binding(nonces=(nonce,)))
        with pytest.raises(AccessDenied, match="unknown, used or too old"):  # nor under our name
            asking.release(asking.binding(nonces=(replace(nonce, challenger=asking.custody.public.key),)))

    def test_a_nonce_of_ones_own_choice_is_refused(self, asking: Asking) -> None:
        nonce = Nonce(challenger=asking.custody.public.key, nonce=seeded("mine"))
        with pytest.raises(AccessDenied, match="unknown, used or too old"):
            asking.release(asking.binding(nonces=(nonce,)))

    def test_two_challenges_of_one_custodian_in_one_binding_are_refused(self, asking: Asking) -> None:
        both = sorted([asking.challenge(), asking.challenge()], key=lambda nonce: nonce.nonce)
        with pytest.raises(AccessDenied, match="binds no challenge"):
            asking.release(asking.binding(nonces=tuple(both)))

    def test_nonces_out_of_order_are_no_binding(self, asking: Asking) -> None:
        both = sorted([asking.challenge(), asking.challenge()], key=lambda nonce: nonce.nonce, reverse=True)
        for nonces in (tuple(both), (both[0], both[0])):
            with pytest.raises(MalformedObject, match="sorted and stand once"):
                asking.binding(nonces=nonces)

    def test_evidence_for_clients_is_not_evidence_for_custodians(self, asking: Asking) -> None:
        with pytest.raises(AccessDenied, match="binds no challenge"):
            asking.release(asking.binding(purpose=SERVE))

    def test_used_challenges_are_bounded_and_room_returns(
        self, asking: Asking, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("vault.challenges.SPENT_MAX", 2)
        asking.release()
        asking.release()
        with pytest.raises(NotYet, match="too many challenges were used"):
            asking.release()
        asking.world.clock.advance(NONCE_LIFETIME_S)
        asking.release()


class TestBorrowedEvidence:
    """One quote vouches for one set of keys, one configuration, one DAO."""

    OTHER = HpkeKeys.from_seed(seeded("other", 128)).public

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("hpke", OTHER),
            ("tls_key", seeded("tls")),
            ("gpu_evidence", seeded("gpu")),
            ("configuration", WORLD.policy.cid()),
            ("genesis", WORLD.policy.cid()),
        ],
    )
    def test_it_serves_nobody_else(self, asking: Asking, field: str, value: Any) -> None:
        genuine = asking.binding()
        evidence = asking.evidence(genuine)
        with pytest.raises(AccessDenied):
            asking.release(replace(genuine, **{field: value}), evidence)

    def test_a_tls_key_swapped_under_genuine_evidence_is_a_mismatch(self, asking: Asking) -> None:
        genuine = asking.binding()
        with pytest.raises(BindingMismatch):
            asking.release(replace(genuine, tls_key=seeded("tls")), asking.evidence(genuine))

    @pytest.mark.parametrize("is_attested", [False, True])
    def test_hpke_keys_other_than_the_challenged_ones_are_refused(self, asking: Asking, is_attested: bool) -> None:
        genuine = asking.binding()
        swapped = replace(genuine, hpke=self.OTHER)
        with pytest.raises(AccessDenied, match="given for other HPKE keys"):
            asking.release(swapped, asking.evidence(swapped if is_attested else genuine))

    def test_what_a_relay_asks_with_an_instances_evidence_is_refused(self, asking: Asking) -> None:
        """Or a false custodian could have real ones remember an anchor, or close windows, in an instance's name."""
        relay, invented = MachineKey(seeded("relay")), Anchor(sequence=9, mac=seeded("invented"))
        earlier = asking.request(asking.binding(), anchor=invented, wants_shares=False)
        binding = asking.binding()
        genuine = asking.request(binding, wants_shares=False)
        with pytest.raises(InvalidSignature):
            asking.release(binding, request=replace(genuine, anchor=invented, log=seeded("invented root")))
        binding = asking.binding()
        with pytest.raises(AccessDenied, match="not by the instance"):
            asking.release(binding, request=replace(asking.request(binding), instance=relay.public).signed_by(relay))
        with pytest.raises(AccessDenied, match="not made for this evidence"):
            asking.release(asking.binding(), request=earlier)
        assert asking.release().lease.terms.anchor == EMPTY_ANCHOR

    def test_a_receipt_key_swapped_under_it_is_refused(self, asking: Asking) -> None:
        other = MachineKey(seeded("other instance")).public
        nonce = Nonce(challenger=asking.custody.public.key, nonce=asking.custody.challenge(other, asking.keys_digest))
        genuine = asking.binding(nonces=(nonce,))
        with pytest.raises(AccessDenied, match="not by the instance"):
            asking.release(replace(genuine, receipt_key=other), asking.evidence(genuine))


class TestWhatRuns:
    def test_a_configuration_the_policy_does_not_accept_is_refused(self, asking: Asking) -> None:
        with pytest.raises(AccessDenied, match="does not accept enclave configuration"):
            asking.release(asking.binding(configuration=WORLD.policy.cid()))

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"measurement": seeded("another program", 48)}, MeasurementMismatch),
            ({"key": MachineKey(seeded("another install"))}, MeasurementMismatch),
        ],
    )
    def test_another_program_or_install_is_refused(
        self, custodians: Custodians, fields: dict[str, Any], expected: type[Exception]
    ) -> None:
        with pytest.raises(expected):
            Asking(custodians.world, custodians, attester=attester(**fields)).release()

    def test_after_the_policy_has_expired_nothing_is_leased(self, tmp_path: Path) -> None:
        setting = world(policy={"expires_at": WORLD.clock() + 100})
        with Custodians(setting, tmp_path) as custodians:
            asking = Asking(setting, custodians)
            setting.clock.advance(99)
            asking.release()
            setting.clock.advance(1)
            with pytest.raises(AccessDenied, match="policy has expired"):
                asking.release()


class TestSuites:
    def test_the_offer_cannot_be_shortened_under_the_evidence(self, asking: Asking) -> None:
        genuine = asking.binding()
        classic = tuple(key for key in genuine.hpke if key.suite == CLASSIC)
        with pytest.raises(AccessDenied, match="given for other HPKE keys"):
            asking.release(replace(genuine, hpke=classic), asking.evidence(genuine))

    def test_an_enclave_below_the_charters_floor_gets_nothing(self, asking: Asking) -> None:
        classic = tuple(key for key in asking.binding().hpke if key.suite == CLASSIC)
        with pytest.raises(WrongKey, match="floor"):
            asking.release(asking.binding(hpke=classic))

    def test_the_strongest_offered_suite_is_used(self, asking: Asking) -> None:
        assert {share.suite for share in asking.release().shares} == {HYBRID}


@pytest.mark.parametrize("fact", ["genesis", "subject", "key_version", "custodian", "index", "suite", "report_data"])
def test_a_released_share_opens_in_its_own_context_alone(asking: Asking, fact: str) -> None:
    share = asking.release().shares[0]
    facts: dict[str, Any] = {
        "genesis": WORLD.genesis,
        "subject": share.subject,
        "key_version": share.key_version,
        "custodian": share.custodian,
        "index": share.index,
        "suite": share.suite,
        "report_data": share.report_data,
    }
    open_with = asking.keys.hpke.open
    assert open_with(share.suite, share.sealed, info=release_context(**facts)) == WORLD.dataset.shares[0]
    others = {"genesis": WORLD.policy.cid(), "key_version": 2, "index": 1, "suite": CLASSIC}
    wrong = others.get(fact, seeded("wrong", 64 if fact == "report_data" else 32))
    with pytest.raises(WrongKey):
        open_with(share.suite, share.sealed, info=release_context(**(facts | {fact: wrong})))


class TestAppraisal:
    """The judge itself: one valid report, one broken fact at a time."""

    def report(self, **fields: Any) -> Evidence:
        usual = {
            "simulator": SIMULATOR.public,
            "measurement": MEASUREMENT,
            "report_data": BINDING.report_data(),
            "debug": False,
            "signature": BLANK,
        }
        report = SimulatedReport(**(usual | fields))
        return Evidence(kind=SIMULATED, document=report.signed_by(SIMULATOR).encoded())

    def appraise(self, evidence: Evidence, **options: Any) -> Any:
        usual = {"binding": BINDING, "accepted": [TEE], "at": 0}
        return APPRAISER.appraise(evidence, **(usual | options))

    def test_the_valid_one_is_accepted(self) -> None:
        appraisal = self.appraise(self.report())
        assert (appraisal.kind, appraisal.measurement, appraisal.accepted) == (SIMULATED, MEASUREMENT, TEE)
        assert appraisal.evidence == self.report().digest()

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"debug": True}, DebugEnabled),
            ({"report_data": seeded("other", 64)}, BindingMismatch),
            ({"measurement": seeded("other", 48)}, MeasurementMismatch),
        ],
    )
    def test_one_wrong_fact_is_enough(self, fields: dict[str, Any], expected: type[Exception]) -> None:
        with pytest.raises(expected):
            self.appraise(self.report(**fields))

    def test_bytes_changed_after_signing_are_refused(self) -> None:
        document = self.report().document
        flipped = document.replace(MEASUREMENT, seeded("other", 48))
        assert flipped != document
        with pytest.raises(SignatureInvalid):
            self.appraise(Evidence(kind=SIMULATED, document=flipped))

    def test_bytes_that_are_no_report_are_refused(self) -> None:
        with pytest.raises(EvidenceMalformed):
            self.appraise(Evidence(kind=SIMULATED, document=b"not a report"))

    def test_a_kind_this_build_cannot_verify_is_refused(self) -> None:
        with pytest.raises(KindUnsupported):
            self.appraise(Evidence(kind="sev", document=self.report().document))

    def test_a_report_under_another_kinds_name_is_refused(self) -> None:
        with pytest.raises(EvidenceMalformed):
            self.appraise(Evidence(kind="tdx", document=self.report().document))

    def test_gpu_evidence_that_the_cpu_does_not_vouch_for_is_refused(self) -> None:
        with pytest.raises(BindingMismatch, match="gpu_evidence"):
            self.appraise(replace(self.report(), gpu=b"evidence of any GPU"))

    def test_gpu_evidence_that_was_left_out_is_missed(self) -> None:
        bound = replace(BINDING, gpu_evidence=seeded("gpu"))
        with pytest.raises(BindingMismatch, match="gpu_evidence"):
            self.appraise(self.report(report_data=bound.report_data()), binding=bound)

    @pytest.mark.parametrize("accepted", [[], [accepted_tee("tdx")]])
    def test_a_policy_that_does_not_name_the_kind_is_kept_to(self, accepted: list[Any]) -> None:
        with pytest.raises(KindUnsupported):
            self.appraise(self.report(), accepted=accepted)

    def test_in_production_the_simulated_kind_is_refused(self) -> None:
        with pytest.raises(KindUnsupported, match="production"):
            EvidenceAppraiser(production=True).appraise(self.report(), binding=BINDING, accepted=[TEE], at=0)
