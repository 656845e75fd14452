"""Custodians that lie to an enclave, are down, or are outvoted: named, passed over, never believed (B2, F1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from enclave.keys import InstanceKeys
from storage.cid import Cid
from storage.errors import InvalidCid
from tests import builders
from tests.builders import seeded
from tests.enclaves import Custodians, LocalCustodian, Remembered, opening, world
from vault.errors import InvalidSignature, LyingCustodian, Revoked, ServiceUnavailable, StaleState, WrongKey
from vault.hpke import CLASSIC, HYBRID, seal, strongest
from vault.lease import EMPTY_ANCHOR
from vault.machine import MachineKey
from vault.merkle import EMPTY_ROOT
from vault.release import ShareRelease, release_context

WORLD = world(custodians=3)


@pytest.fixture(scope="module")
def remembered() -> Remembered:
    return Remembered.by_custodians(WORLD)


@pytest.fixture
def custodians(tmp_path: Path, remembered: Remembered) -> Iterator[Custodians]:
    with Custodians(WORLD, tmp_path, remembered=remembered) as made:
        yield made


class Down(LocalCustodian):
    """Does not answer."""

    def challenge(self, instance: bytes, keys: bytes) -> bytes:
        raise ServiceUnavailable("this custodian does not answer")


class Lying(LocalCustodian):
    """Changes its answer, and signs what it made of it with its own key."""

    def __init__(self, custodians: Custodians, index: int, lie: Callable[..., Any], *, what: str) -> None:
        super().__init__(custodians.all[index])
        self._key: MachineKey = WORLD.dao.custodians[index].signing
        self._lie, self._what = lie, what

    def release(self, binding: Any, evidence: Any, request: Any, **options: Any) -> Any:
        lease, blocks, shares, state = super().release(binding, evidence, request, **options)
        if self._what == "lease":
            lease = self._lie(lease)
            if lease.custodian == self._key.public:
                lease = lease.signed_by(self._key)
        elif self._what == "unsigned lease":
            lease = self._lie(lease)
        else:
            shares = [self._lie(share, binding).signed_by(self._key) for share in shares]
        return lease, blocks, shares, state


def another_share(share: ShareRelease, binding: Any) -> ShareRelease:
    """Return the release of a share that is not the one committed to, sealed as it should be."""
    recipient = strongest(binding.hpke, floor=WORLD.dao.charter.suite_floor)
    info = release_context(
        genesis=WORLD.genesis,
        subject=share.subject,
        key_version=share.key_version,
        custodian=share.custodian,
        index=share.index,
        suite=share.suite,
        report_data=share.report_data,
    )
    return replace(share, sealed=seal(recipient, seeded("a lie"), info=info))


class TestShares:
    def test_a_lying_custodian_is_named_where_too_few_shares_are_left(self, custodians: Custodians) -> None:
        asked = [
            LocalCustodian(custodians.all[0]),
            Lying(custodians, 1, another_share, what="share"),
            Down(custodians.all[2]),
        ]
        liar = custodians.all[1].public.key.hex()
        with pytest.raises(LyingCustodian, match=liar):
            opening(WORLD, asked).open(EMPTY_ANCHOR)

    def test_and_passed_over_where_enough_are(self, custodians: Custodians) -> None:
        asked = [Lying(custodians, 0, another_share, what="share"), *custodians.local()[1:]]
        _, secrets = opening(WORLD, asked).open(EMPTY_ANCHOR)
        assert secrets.data_keys == {WORLD.dataset.manifest.cid(): WORLD.dataset.data_key}

    def test_one_custodian_down_is_passed_over(self, custodians: Custodians) -> None:
        _, secrets = opening(WORLD, [Down(custodians.all[0]), *custodians.local()[1:]]).open(EMPTY_ANCHOR)
        assert secrets.data_keys == {WORLD.dataset.manifest.cid(): WORLD.dataset.data_key}

    @pytest.mark.parametrize(
        ("field", "value", "expected"),
        [
            ("report_data", seeded("other evidence", 64), InvalidSignature),
            ("index", 2, InvalidSignature),
            ("index", 99, InvalidSignature),
            ("suite", "none", WrongKey),
            ("sealed", bytes(1200), WrongKey),
            ("subject", seeded("other"), WrongKey),
            ("key_version", 2, WrongKey),
        ],
    )
    def test_a_share_with_one_wrong_fact_counts_for_nothing(
        self, custodians: Custodians, field: str, value: Any, expected: type[Exception]
    ) -> None:
        def lie(share: ShareRelease, _: Any) -> ShareRelease:
            return replace(share, **{field: value})

        asked = [LocalCustodian(custodians.all[0]), Lying(custodians, 1, lie, what="share")]
        with pytest.raises(expected):
            opening(WORLD, asked).open(EMPTY_ANCHOR)

    def test_a_share_cannot_be_handed_on_by_another_custodian(self, custodians: Custodians) -> None:
        first, second = custodians.local()[:2]

        class Relaying(LocalCustodian):
            def release(self, binding: Any, evidence: Any, request: Any, **options: Any) -> Any:
                lease, blocks, _, state = super().release(binding, evidence, request, **options)
                assert is_relayed.wait(10)
                return lease, blocks, relayed, state

        relayed: list[ShareRelease] = []
        is_relayed = Event()

        class Kept(LocalCustodian):
            def release(self, binding: Any, evidence: Any, request: Any, **options: Any) -> Any:
                lease, blocks, shares, state = super().release(binding, evidence, request, **options)
                relayed.extend(shares)
                is_relayed.set()
                return lease, blocks, shares, state

        with pytest.raises(InvalidSignature, match="whose index it bears"):
            opening(WORLD, [Kept(first.custody), Relaying(second.custody)]).open(EMPTY_ANCHOR)


class TestLeases:
    def liar(self, custodians: Custodians, *, signed: bool = True, **fields: Any) -> Lying:
        def lie(lease: Any) -> Any:
            terms = {name: value for name, value in fields.items() if hasattr(lease.terms, name)}
            own = {name: value for name, value in fields.items() if name not in terms}
            return replace(lease, terms=replace(lease.terms, **terms), **own)

        return Lying(custodians, 0, lie, what="lease" if signed else "unsigned lease")

    def lies(self) -> list[dict[str, Any]]:
        return [
            {"head": WORLD.genesis},
            {"epoch": 7},
            {"manifests": ()},
            {"ledger": seeded("ledger")},
            {"instance": seeded("instance")},
            {"evidence": seeded("evidence")},
            {"genesis": WORLD.policy.cid()},
            {"nonce": seeded("nonce")},
            {"custodian": seeded("custodian")},
        ]

    @pytest.mark.parametrize("which", range(9))
    def test_one_lying_lease_is_outvoted(self, custodians: Custodians, which: int) -> None:
        asked = [self.liar(custodians, **self.lies()[which]), *custodians.local()[1:]]
        grounds, _ = opening(WORLD, asked).open(EMPTY_ANCHOR)
        honest = {custody.public.key for custody in custodians.all[1:]}
        assert {lease.custodian for lease in grounds.leases} == honest

    def test_an_unsigned_lease_is_passed_over(self, custodians: Custodians) -> None:
        asked = [self.liar(custodians, signed=False, epoch=9), *custodians.local()[1:]]
        grounds, _ = opening(WORLD, asked).open(EMPTY_ANCHOR)
        assert len(grounds.leases) == 2

    @pytest.mark.parametrize("which", range(7))
    def test_without_q_that_agree_nothing_is_opened(self, custodians: Custodians, which: int) -> None:
        asked = [self.liar(custodians, **self.lies()[which]), LocalCustodian(custodians.all[1])]
        with pytest.raises((StaleState, InvalidSignature)):
            opening(WORLD, asked).open(EMPTY_ANCHOR)

    @pytest.mark.parametrize("lifetime_s", [1, 10**9])
    def test_one_lease_can_neither_lengthen_nor_shorten_the_others(
        self, custodians: Custodians, lifetime_s: int
    ) -> None:
        until = WORLD.clock() + lifetime_s
        asked = [self.liar(custodians, not_after=until), *custodians.local()[1:]]
        grounds, _ = opening(WORLD, asked).open(EMPTY_ANCHOR)
        assert grounds.lifetime_s == WORLD.dao.charter.lease_s

    def test_leases_on_a_state_of_the_ledger_that_was_not_asked_for_are_refused(self, custodians: Custodians) -> None:
        rolled = replace(EMPTY_ANCHOR, sequence=5)
        asked = [self.liar(custodians, anchor=rolled)]
        asked.append(
            Lying(custodians, 1, lambda lease: replace(lease, terms=replace(lease.terms, anchor=rolled)), what="lease")
        )
        with pytest.raises(InvalidSignature, match="another instance, evidence or ledger state"):
            opening(WORLD, asked).open(EMPTY_ANCHOR)


class TestBlocks:
    def test_a_custodian_whose_blocks_cannot_be_read_is_passed_over(self, custodians: Custodians) -> None:
        class Garbled(LocalCustodian):
            def release(self, *asked: Any, **options: Any) -> Any:
                super().release(*asked, **options)
                raise InvalidCid("not a CID")  # as its client may, of what the custodian sent

        asked = [Garbled(custodians.all[0]), *custodians.local()[1:]]
        grounds, _ = opening(WORLD, asked).open(EMPTY_ANCHOR)
        assert len(grounds.leases) == 2


class TestReasons:
    def test_a_refusal_is_told_before_a_silence(self, custodians: Custodians) -> None:
        custodians.submit(WORLD.decided(builders.carried(WORLD.history, builders.revoking(builders.Scope.DAO))))
        with pytest.raises(Revoked):
            opening(WORLD, [Down(custodians.all[0]), *custodians.local()[1:]]).open(EMPTY_ANCHOR)

    def test_too_few_answers_for_silence_are_no_refusal(self, custodians: Custodians) -> None:
        keys = InstanceKeys.fresh()
        grounds, _ = opening(WORLD, custodians.local(), keys=keys).open(EMPTY_ANCHOR)
        asked = [LocalCustodian(custodians.all[0]), *(Down(custody) for custody in custodians.all[1:])]
        silent = opening(WORLD, asked, keys=keys)
        with pytest.raises(ServiceUnavailable):
            silent.renew(EMPTY_ANCHOR, EMPTY_ROOT, grounds.history)

    def test_an_enclave_on_an_older_head_than_the_custodians_takes_the_newer(self, custodians: Custodians) -> None:
        keys = InstanceKeys.fresh()
        enclave = opening(WORLD, custodians.local(), keys=keys)
        before, _ = enclave.open(EMPTY_ANCHOR)
        moved = WORLD.decided(builders.carried(WORLD.history, builders.revoking(builders.Scope.LICENSEE, bytes(20))))
        custodians.submit(moved)
        after = enclave.renew(EMPTY_ANCHOR, EMPTY_ROOT, before.history)
        assert (before.terms.epoch, after.terms.epoch) == (1, 2)
        with pytest.raises(StaleState):
            self.replayed(custodians, before.terms.head, keys).renew(EMPTY_ANCHOR, EMPTY_ROOT, after.history)

    def replayed(self, custodians: Custodians, head: Cid, keys: InstanceKeys) -> Any:
        """Return an opening whose custodians all lease an older head."""

        def older(lease: Any) -> Any:
            return replace(lease, terms=replace(lease.terms, head=head, epoch=1))

        return opening(WORLD, [Lying(custodians, index, older, what="lease") for index in range(3)], keys=keys)


class TestSuites:
    def test_a_custodian_that_answers_with_a_weaker_suite_than_both_have_is_refused(self, tmp_path: Path) -> None:
        made = world(suite_floor=CLASSIC)
        with Custodians(made, tmp_path) as custodians:

            class Downgrading(LocalCustodian):
                def release(self, binding: Any, *asked: Any, **options: Any) -> Any:
                    lease, blocks, (share,), state = super().release(binding, *asked, **options)
                    assert share.suite == HYBRID
                    (weak,) = [key for key in binding.hpke if key.suite == CLASSIC]
                    info = release_context(
                        genesis=made.genesis,
                        subject=share.subject,
                        key_version=share.key_version,
                        custodian=share.custodian,
                        index=share.index,
                        suite=CLASSIC,
                        report_data=share.report_data,
                    )
                    sealed = seal(weak, made.dataset.shares[0], info=info)
                    weaker = replace(share, suite=CLASSIC, sealed=sealed).signed_by(made.dao.custodians[0].signing)
                    return lease, blocks, [weaker], state

            with pytest.raises(WrongKey, match="weaker HPKE suite than both sides have"):
                opening(made, [Downgrading(custodians.all[0])]).open(EMPTY_ANCHOR)
