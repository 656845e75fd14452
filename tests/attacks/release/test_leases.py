"""One ledger, one instance, one history: what a custodian leases, and when it does not (rules F1, L1, E4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from enclave.state_key import deposit_state_key
from tests import builders
from tests.attacks.release.asking import Asking, log_root
from tests.builders import seeded
from tests.enclaves import Clock, Custodians, LocalCustodian, Remembered, opening, world
from vault.errors import (
    AccessDenied,
    ForkedHistory,
    InvalidSignature,
    LyingCustodian,
    MalformedObject,
    NotYet,
    ServiceUnavailable,
    StaleState,
    WrongKey,
)
from vault.keys import SecretKey
from vault.lease import CLOCK_SKEW_S, EMPTY_ANCHOR, Anchor, agreed_terms, ledger_id
from vault.machine import BLANK, MachineKey
from vault.merkle import EMPTY_ROOT
from vault.release import HandBack, StateDeposit

WORLD = world()
LEASE_S = WORLD.dao.charter.lease_s
LEDGER = ledger_id(WORLD.genesis)
ENTRY = Anchor(sequence=5, mac=seeded("entry 5"))


@pytest.fixture(scope="module")
def remembered() -> Remembered:
    return Remembered.by_custodians(WORLD)


@pytest.fixture
def custodians(tmp_path: Path, remembered: Remembered) -> Iterator[Custodians]:
    with Custodians(replace(WORLD, clock=Clock()), tmp_path, remembered=remembered) as made:
        yield made


def hand_back(asking: Asking, **fields: Any) -> HandBack:
    usual = {
        "genesis": WORLD.genesis,
        "ledger": LEDGER,
        "instance": asking.keys.instance,
        "anchor": EMPTY_ANCHOR,
        "signature": BLANK,
    }
    return HandBack(**(usual | fields)).signed_by(asking.keys.receipt)


class TestOneInstance:
    def test_a_second_instance_waits_until_the_lease_and_the_skew_have_ended(self, custodians: Custodians) -> None:
        Asking(custodians.world, custodians).release()
        second = Asking(custodians.world, custodians)
        custodians.world.clock.advance(LEASE_S + CLOCK_SKEW_S - 1)
        with pytest.raises(NotYet, match="another instance holds this ledger"):
            second.release()
        custodians.world.clock.advance(1)
        assert second.release().lease.terms.instance == second.keys.instance

    def test_or_until_the_first_has_handed_it_back(self, custodians: Custodians) -> None:
        first, second = Asking(custodians.world, custodians), Asking(custodians.world, custodians)
        first.release()
        custodians.all[0].hand_back(hand_back(first))
        second.release()
        custodians.world.clock.advance(1)  # what an instance asked up to the second of its hand-back is void
        with pytest.raises(NotYet):
            first.release()

    def test_nobody_else_can_hand_it_back(self, custodians: Custodians) -> None:
        first, second = Asking(custodians.world, custodians), Asking(custodians.world, custodians)
        first.release()
        custodians.all[0].hand_back(hand_back(second))  # its own, which it does not hold: nothing happens
        forged = replace(hand_back(second), instance=first.keys.instance)
        with pytest.raises(InvalidSignature):
            custodians.all[0].hand_back(forged)
        with pytest.raises(AccessDenied, match="not this DAO's ledger"):
            custodians.all[0].hand_back(hand_back(first, ledger=seeded("other")))
        custodians.world.clock.advance(1)
        with pytest.raises(NotYet):
            second.release()

    def test_a_custodian_that_was_restarted_remembers_whom_it_leased(self, custodians: Custodians) -> None:
        Asking(custodians.world, custodians).release()
        custodians.restart(0)
        with pytest.raises(NotYet):
            Asking(custodians.world, custodians).release()

    def test_challenges_do_not_survive_a_restart(self, custodians: Custodians) -> None:
        asking = Asking(custodians.world, custodians)
        binding = asking.binding()
        asking.custody = custodians.restart(0)
        with pytest.raises(AccessDenied, match="unknown, used or too old"):
            asking.release(binding)


class TestAnchors:
    def renewed(self, asking: Asking, anchor: Anchor) -> Any:
        return asking.release(anchor=anchor, wants_shares=False).lease

    def test_a_ledger_below_the_anchored_entry_is_refused(self, custodians: Custodians) -> None:
        asking = Asking(custodians.world, custodians)
        anchor = Anchor(sequence=5, mac=seeded("entry 5"))
        assert self.renewed(asking, anchor).terms.anchor == anchor
        for claimed in (EMPTY_ANCHOR, Anchor(sequence=4, mac=seeded("entry 4")), replace(anchor, mac=seeded("other"))):
            for wants_shares in (True, False):
                with pytest.raises(ForkedHistory, match="anchored"):
                    asking.release(anchor=claimed, wants_shares=wants_shares)
        self.renewed(asking, Anchor(sequence=6, mac=seeded("entry 6")))

    def test_what_is_only_claimed_before_the_keys_are_there_is_not_remembered(self, custodians: Custodians) -> None:
        """Or a host could brick a ledger by inventing an anchor no ledger ever reaches."""
        asking = Asking(custodians.world, custodians)
        asking.release(anchor=Anchor(sequence=10**9, mac=seeded("invented")))
        lease = asking.release(anchor=EMPTY_ANCHOR).lease
        assert (lease.terms.anchor, lease.remembered) == (EMPTY_ANCHOR, EMPTY_ANCHOR)


class TestTheLogsRoot:
    """Custodians sign it with every window, and so when it was what it was (rule R3)."""

    def test_is_signed_with_a_window_and_with_nothing_else(self, custodians: Custodians) -> None:
        asking = Asking(custodians.world, custodians)
        anchor = Anchor(sequence=5, mac=seeded("entry 5"))
        assert asking.release().lease.terms.log is None
        lease = asking.renew(anchor).lease
        assert (lease.terms.anchor, lease.terms.log) == (anchor, log_root(anchor))
        later = Asking(custodians.world, custodians)
        custodians.world.clock.advance(LEASE_S + CLOCK_SKEW_S)
        taken_over = later.renew(anchor).lease  # another instance held the ledger: this one has yet to read the books
        assert (taken_over.terms.window, taken_over.terms.log) == (None, None)

    @pytest.mark.parametrize(
        ("asked", "why"),
        [
            ({"wants_shares": True, "log": seeded("root")}, "a renewal names the log's root"),
            ({"wants_shares": False, "log": None}, "a renewal names the log's root"),
            ({"wants_shares": False, "log": seeded("root")}, "the empty log has the empty root"),
            ({"wants_shares": False, "log": EMPTY_ROOT, "anchor": ENTRY}, "the empty log has the empty root"),
        ],
    )
    def test_is_named_by_a_renewal_alone(self, custodians: Custodians, asked: dict[str, Any], why: str) -> None:
        asking = Asking(custodians.world, custodians)
        with pytest.raises(MalformedObject, match=why):
            asking.release(**asked)


class TestStateKey:
    """Rule L1: made once, by the instance that holds the lease, and checked like a data key."""

    def opened(self, custodians: Custodians) -> Asking:
        asking = Asking(custodians.world, custodians)
        asking.release()
        return asking

    def deposit(self, asking: Asking, key: SecretKey = SecretKey(seeded("state key")), **fields: Any) -> None:  # noqa: B008
        class Changing(LocalCustodian):
            def deposit_state(self, deposit: StateDeposit) -> None:
                super().deposit_state(replace(deposit, **fields).signed_by(asking.keys.receipt))

        charter = WORLD.dao.charter
        deposit_state_key(key, asking.keys.receipt, charter, WORLD.genesis, LEDGER, [Changing(asking.custody)])

    def test_it_is_kept_and_given_to_the_next_instance(self, custodians: Custodians) -> None:
        first = self.opened(custodians)
        self.deposit(first)
        custodians.all[0].hand_back(hand_back(first))
        _, secrets = opening(custodians.world, custodians.local()).open(EMPTY_ANCHOR)
        assert secrets.state_key == SecretKey(seeded("state key"))

    def test_a_second_one_is_taken_while_the_first_was_never_used(self, custodians: Custodians) -> None:
        """An opening that ended between two custodians left them with shares of different keys."""
        first = self.opened(custodians)
        self.deposit(first)
        first.hand_back(None)
        second = self.opened(custodians)
        self.deposit(second, SecretKey(seeded("another")))
        second.hand_back(None)
        _, secrets = opening(custodians.world, custodians.local()).open(EMPTY_ANCHOR)
        assert secrets.state_key == SecretKey(seeded("another"))

    @pytest.mark.parametrize("anchor", [EMPTY_ANCHOR, Anchor(sequence=1, mac=seeded("entry 1"))])
    def test_a_second_one_is_refused_once_a_window_is_open_or_an_entry_anchored(
        self, custodians: Custodians, anchor: Anchor
    ) -> None:
        first = self.opened(custodians)
        self.deposit(first)
        first.renew(anchor)
        with pytest.raises(ForkedHistory, match="has a state key already"):
            self.deposit(first, SecretKey(seeded("another")))
        custodians.world.clock.advance(LEASE_S + CLOCK_SKEW_S)
        later = Asking(custodians.world, custodians)
        later.release(anchor=anchor)
        with pytest.raises(ForkedHistory, match="has a state key already"):
            self.deposit(later, SecretKey(seeded("another")))

    def test_nor_once_an_anchored_window_was_returned(self, custodians: Custodians) -> None:
        first = self.opened(custodians)
        self.deposit(first)
        first.renew()
        first.hand_back(Anchor(sequence=1, mac=seeded("entry 1")))
        later = Asking(custodians.world, custodians)
        later.release(anchor=Anchor(sequence=1, mac=seeded("entry 1")))
        with pytest.raises(ForkedHistory, match="has a state key already"):
            self.deposit(later, SecretKey(seeded("another")))

    def test_nor_by_an_instance_whose_lease_has_passed_to_another(self, custodians: Custodians) -> None:
        first = self.opened(custodians)
        self.deposit(first)
        custodians.world.clock.advance(LEASE_S + CLOCK_SKEW_S)
        self.opened(custodians)
        with pytest.raises(AccessDenied, match="holds this ledger's lease"):
            self.deposit(first, SecretKey(seeded("another")))

    def test_who_holds_no_lease_cannot_deposit_one(self, custodians: Custodians) -> None:
        with pytest.raises(AccessDenied, match="holds this ledger's lease"):
            self.deposit(Asking(custodians.world, custodians))

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"ledger": seeded("other")}, AccessDenied),
            ({"custodian": seeded("other")}, AccessDenied),
            ({"index": 1}, AccessDenied),
            ({"suite": "none"}, WrongKey),
            ({"sealed": bytes(2000)}, WrongKey),
            ({"commitments": (seeded("other"),)}, LyingCustodian),
        ],
    )
    def test_one_wrong_fact_is_enough_to_refuse_it(
        self, custodians: Custodians, fields: dict[str, Any], expected: type[Exception]
    ) -> None:
        with pytest.raises(expected):
            self.deposit(self.opened(custodians), **fields)

    def test_it_is_signed_by_the_instance_it_names(self, custodians: Custodians) -> None:
        asking = self.opened(custodians)

        class Forging(LocalCustodian):
            def deposit_state(self, deposit: StateDeposit) -> None:
                super().deposit_state(replace(deposit, instance=asking.keys.instance))

        mallory = MachineKey(seeded("mallory"))
        with pytest.raises(InvalidSignature):
            deposit_state_key(
                SecretKey(seeded("k")), mallory, WORLD.dao.charter, WORLD.genesis, LEDGER, [Forging(asking.custody)]
            )

    def test_every_custodian_is_needed_for_the_first(self, tmp_path: Path) -> None:
        setting = world(custodians=2)
        with Custodians(setting, tmp_path) as custodians, pytest.raises(ServiceUnavailable, match="is needed"):
            deposit_state_key(
                SecretKey(seeded("k")),
                MachineKey(seeded("i")),
                setting.dao.charter,
                setting.genesis,
                LEDGER,
                custodians.local()[:1],
            )


class TestHeads:
    def test_an_older_head_is_refused_and_the_same_again_is_fine(self, custodians: Custodians) -> None:
        before = WORLD.history
        after = WORLD.decided(builders.carried(before, builders.revoking(builders.Scope.LICENSEE, bytes(20))))
        custodians.submit(after)
        custodians.submit(after)
        for custody in custodians.all:
            with pytest.raises(StaleState):
                custody.submit_head(before.head.cid(), WORLD.blocks().items())
        assert Asking(custodians.world, custodians).release().lease.terms.epoch == 2

    def test_a_second_head_of_one_epoch_is_refused_also_after_a_restart(self, custodians: Custodians) -> None:
        one = WORLD.decided(builders.carried(WORLD.history, builders.revoking(builders.Scope.LICENSEE, bytes(20))))
        other = WORLD.decided(builders.carried(WORLD.history, builders.revoking(builders.Scope.LICENSEE, b"o" * 20)))
        custodians.submit(one)
        for _ in range(2):
            with pytest.raises(ForkedHistory):
                custodians.submit(other)
            custodians.restart(0)

    def test_a_chain_with_a_block_missing_is_malformed(self, custodians: Custodians) -> None:
        after = WORLD.decided(builders.carried(WORLD.history, builders.revoking(builders.Scope.LICENSEE, b"x" * 20)))
        with pytest.raises(MalformedObject, match="lacks a block"):
            custodians.all[0].submit_head(after.head.cid(), [(after.head.cid(), after.head.encoded())])

    def test_a_dao_nobody_submitted_is_unknown(self, custodians: Custodians) -> None:
        other = world(name="Unknown")
        with pytest.raises(AccessDenied, match="knows no DAO"):
            Asking(other, custodians).release()


class TestAgreement:
    """`agreed_terms`: one valid lease, one wrong fact at a time."""

    @pytest.fixture
    def lease(self, custodians: Custodians) -> Any:
        return Asking(custodians.world, custodians).release().lease

    def agreed(self, *leases: Any, at: int = WORLD.clock()) -> Any:
        return agreed_terms(leases, WORLD.dao.charter, genesis=WORLD.genesis, at=at)

    def resigned(self, lease: Any, **fields: Any) -> Any:
        return replace(lease, **fields).signed_by(WORLD.dao.custodians[0].signing)

    def test_it_holds_from_the_skew_before_until_the_end(self, lease: Any) -> None:
        assert self.agreed(lease) == lease.terms
        assert self.agreed(lease, at=lease.issued_at - CLOCK_SKEW_S) == lease.terms
        assert self.agreed(lease, at=lease.not_after - 1) == lease.terms

    def test_outside_it_is_stale(self, lease: Any) -> None:
        for at in (lease.issued_at - CLOCK_SKEW_S - 1, lease.not_after, lease.not_after + 10_000):
            with pytest.raises(StaleState):
                self.agreed(lease, at=at)

    def test_no_lease_is_stale(self) -> None:
        with pytest.raises(StaleState):
            self.agreed()

    def test_a_strangers_or_changed_lease_is_refused(self, lease: Any) -> None:
        stranger = MachineKey(seeded("stranger"))
        with pytest.raises(InvalidSignature):
            self.agreed(replace(lease, custodian=stranger.public).signed_by(stranger))
        with pytest.raises(InvalidSignature):
            self.agreed(replace(lease, not_after=lease.not_after + 1))

    def test_another_daos_lease_counts_for_nothing(self, lease: Any) -> None:
        foreign = self.resigned(lease, terms=replace(lease.terms, genesis=WORLD.policy.cid()))
        with pytest.raises(StaleState):
            self.agreed(foreign)

    def test_one_custodian_twice_counts_once(self, tmp_path: Path) -> None:
        setting = world(custodians=3)
        with Custodians(setting, tmp_path) as custodians:
            lease = Asking(setting, custodians).release().lease
        with pytest.raises(StaleState, match="fewer than 2"):
            agreed_terms([lease, lease], setting.dao.charter, genesis=setting.genesis, at=setting.clock())
