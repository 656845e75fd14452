"""What custodians tell one another: whose word counts, what follows from several, and what records keep (rule F5)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.cid import DAG_CBOR, Cid
from tests.people import NOW, custodian, dao, seeded
from vault.charter import Window
from vault.custody_state import (
    ADOPTED_MAX,
    NOBODY,
    QUESTION_BYTES_MAX,
    UNLEASED,
    CustodyState,
    Standing,
    StateQuestion,
    all_windows,
    highest_standing,
    is_rolled_back,
    last_hand_back,
    merged,
    other_state_key,
    others_needed,
    succeeding,
    verify_question,
    verify_state,
)
from vault.errors import ForkedHistory, InvalidSignature, MalformedObject, StaleState
from vault.lease import CLOCK_SKEW_S, ledger_id
from vault.machine import BLANK, MachineKey
from vault.records.custody import CustodyRecords
from vault.records.database import Records
from vault.release import HandBack
from vault.window import WINDOWS_MAX, Anchor, OpenWindow

pytest_plugins = ["tests.records"]

DAO = dao(3, custodians=4, signatures=3, liars=1, shares=2)
GENESIS, CHARTER = DAO.genesis, DAO.charter
LEDGER = ledger_id(GENESIS)
ASKER, OTHER = custodian("0").signing, custodian("1").signing
LARGEST = NOW + CHARTER.lease_s + CLOCK_SKEW_S
LINEAGE = seeded("lineage")


def anchor(sequence: int, name: str = "entry") -> Anchor:
    return Anchor(sequence=sequence, mac=seeded(f"{name} {sequence}"))


def standing(sequence: int = 5, *, instance: str | None = "x", not_after: int = NOW, entry: str = "entry") -> Standing:
    name = seeded(instance) if instance else None
    return Standing(instance=name, not_after=not_after, anchor=anchor(sequence, entry))


def window(instance: str, start: int = 5, entries: int = 10) -> OpenWindow:
    size = Window(entries=entries, passages=entries, spend=entries)
    return OpenWindow(instance=seeded(instance), start=start, window=size)


def question(key: MachineKey = ASKER, **fields: Any) -> StateQuestion:
    usual = {
        "custodian": key.public,
        "asked": OTHER.public,
        "genesis": GENESIS,
        "nonce": seeded("nonce"),
        "number": 9,
        "signature": BLANK,
    }
    return StateQuestion(**(usual | fields)).signed_by(key)


def state(key: MachineKey = OTHER, **fields: Any) -> CustodyState:
    usual: dict[str, Any] = {
        "custodian": key.public,
        "question": question().digest(),
        "genesis": GENESIS,
        "head": DAO.history.head.cid(),
        "epoch": 0,
        "standing": standing(not_after=LARGEST),
        "returned": None,
        "state_key": b"",
        "windows": (),
        "last_question": b"",
        "signature": BLANK,
    }
    return CustodyState(**(usual | fields)).signed_by(key)


def flood(liar: int) -> CustodyState:
    """Return what a liar says that invents as many windows as fit, each before all true ones by its instance."""
    size = Window(entries=10, passages=10, spend=10)
    names = ((liar * WINDOWS_MAX + n).to_bytes(32, "big") for n in range(WINDOWS_MAX))
    return state(windows=tuple(OpenWindow(instance=name, start=1 << 40, window=size) for name in names))


def states(*standings: Standing) -> list[CustodyState]:
    return [state(custodian(str(n)).signing, standing=one) for n, one in enumerate(standings, 1)]


class TestWhoseWordCounts:
    def test_another_custodians_answer_to_the_question(self) -> None:
        verify_question(question(), CHARTER, asked=OTHER.public)
        verify_state(state(), question(), CHARTER, at=NOW)

    @pytest.mark.parametrize(
        ("answer", "error"),
        [
            (state(ASKER), InvalidSignature),
            (state(MachineKey(seeded("stranger"))), InvalidSignature),
            (replace(state(), epoch=1), InvalidSignature),
            (replace(state(), custodian=custodian("2").signing.public), InvalidSignature),
            (state(question=question(nonce=seeded("older")).digest()), StaleState),
            (state(question=question(number=8).digest()), StaleState),
            (state(genesis=Cid.of(DAG_CBOR, b"other")), StaleState),
            (state(standing=standing(not_after=LARGEST + 1)), StaleState),
        ],
        ids=["own", "stranger", "changed", "as another", "old nonce", "old number", "other DAO", "endless lease"],
    )
    def test_and_no_other(self, answer: CustodyState, error: type[Exception]) -> None:
        with pytest.raises(error):
            verify_state(answer, question(), CHARTER, at=NOW)

    def test_only_custodians_of_the_dao_may_ask(self) -> None:
        stranger = MachineKey(seeded("stranger"))
        wrongs = (question(stranger), replace(question(), number=10), replace(question(), custodian=OTHER.public))
        for wrong in (*wrongs, question(asked=stranger.public)):
            with pytest.raises(InvalidSignature):
                verify_question(wrong, CHARTER, asked=OTHER.public)

    @pytest.mark.parametrize(
        ("shown", "is_set_back"),
        [
            (question(), False),  # somebody handed on what we asked just now
            (question(number=8), False),
            (question(nonce=seeded("other")), True),
            (question(number=10), True),
            (question(number=70), True),
        ],
    )
    def test_another_question_of_as_high_a_number_shows_a_rollback(
        self, shown: StateQuestion, is_set_back: bool
    ) -> None:
        assert is_rolled_back(question(), state(last_question=shown.encoded())) is is_set_back

    def test_nobody_shows_a_rollback_that_was_none(self) -> None:
        assert not is_rolled_back(question(), state())
        forged = replace(question(), number=70)
        to_another = question(number=70, asked=custodian("2").signing.public)
        for shown in (forged, to_another, question(OTHER, number=70), replace(question(OTHER), custodian=ASKER.public)):
            with pytest.raises(InvalidSignature):
                is_rolled_back(question(), state(last_question=shown.encoded()))
        with pytest.raises(MalformedObject):
            is_rolled_back(question(), state(last_question=b"\xa0"))

    def test_a_question_fits_its_bound(self) -> None:
        assert len(question(number=(1 << 63) - 1).encoded()) <= QUESTION_BYTES_MAX

    @given(st.binary(max_size=400))
    def test_random_bytes_are_no_state(self, data: bytes) -> None:
        for kind in (CustodyState, StateQuestion):
            with pytest.raises(MalformedObject):
                kind.from_bytes(data)

    @pytest.mark.parametrize(
        ("n", "q", "f", "needed"), [(1, 1, 0, 0), (2, 2, 0, 1), (3, 2, 0, 2), (3, 3, 0, 2), (4, 3, 1, 3)]
    )
    def test_q_others_are_needed_or_all_there_are(self, n: int, q: int, f: int, needed: int) -> None:
        charter = dao(custodians=n, signatures=q, liars=f, shares=f + 1).charter
        assert others_needed(charter) == needed


class TestTheHighest:
    def test_whatever_one_remembers_counts_where_one_is_enough(self) -> None:
        found = highest_standing(
            states(standing(5, not_after=NOW + 9), standing(7, instance="y", not_after=NOW), standing(6)),
            support=1,
            ended_by=NOW,
        )
        assert (found.instance, found.not_after, found.anchor) == (seeded("x"), NOW + 9, anchor(7))

    def test_a_liar_alone_raises_nothing_where_two_are_needed(self) -> None:
        liar = standing(10**9, instance="z", not_after=NOW + 500)
        found = highest_standing(
            states(liar, standing(5, not_after=NOW + 8), standing(5, not_after=NOW + 9)), support=2
        )
        assert (found.instance, found.not_after, found.anchor) == (seeded("x"), NOW + 8, anchor(5))
        assert highest_standing(states(liar), support=2) == UNLEASED

    def test_two_entries_of_one_number_are_a_fork(self) -> None:
        with pytest.raises(ForkedHistory):
            highest_standing(states(standing(5), standing(5, entry="other")), support=1)
        for join in (succeeding, partial(merged, at=NOW, skew_s=0)):
            with pytest.raises(ForkedHistory):
                join(standing(5), standing(5, entry="other"))

    def test_a_lease_outlasts_a_hand_back_that_somebody_missed(self) -> None:
        found = highest_standing(states(standing(instance=None), standing()), support=1)
        assert found.instance == seeded("x")

    def test_a_running_lease_outweighs_a_hand_back_by_a_clock_that_is_ahead(self) -> None:
        """One took the first instance's hand-back; another, 10 s behind, has leased the second one since."""
        told = states(standing(instance=None, not_after=NOW + 620), standing(instance="y", not_after=NOW + 610))
        for order in (told, told[::-1]):
            assert highest_standing(order, support=1, ended_by=NOW).instance == seeded("y")
        theirs, ours = (state.standing for state in told)
        assert merged(theirs, ours, at=NOW, skew_s=30).instance == seeded("y")

    @pytest.mark.parametrize(("ended_by", "instance"), [(NOW, NOBODY), (NOW + 8, NOBODY), (NOW + 9, seeded("y"))])
    def test_of_two_running_leases_neither_is_believed(self, ended_by: int, instance: bytes) -> None:
        told = states(standing(not_after=NOW + 9), standing(instance="y", not_after=NOW + 500))
        found = highest_standing(told, support=1, ended_by=ended_by)
        assert (found.instance, found.not_after) == (instance, NOW + 500)

    def test_leases_that_have_ended_leave_the_ledger_free(self) -> None:
        told = states(standing(not_after=NOW), standing(instance="y", not_after=NOW - 5))
        assert highest_standing(told, support=1, ended_by=NOW).instance is None

    def test_a_restored_custodian_takes_the_others_lease_and_the_higher_anchor(self) -> None:
        ours, theirs = standing(7, not_after=NOW + 9), standing(5, instance="y")
        assert succeeding(ours, theirs) == standing(7, instance="y")

    @pytest.mark.parametrize(("at", "instance"), [(NOW, "x"), (NOW + 38, "x"), (NOW + 39, "y")])
    def test_another_one_keeps_its_own_lease_while_that_runs(self, at: int, instance: str) -> None:
        """Or it would have leased two instances at once (rule F1)."""
        ours, theirs = standing(5, not_after=NOW + 9), standing(7, instance="y", not_after=NOW + 500)
        assert merged(ours, theirs, at=at, skew_s=30).instance == seeded(instance)
        assert merged(ours, theirs, at=at, skew_s=30).anchor == anchor(7)

    def test_joining_with_nothing_changes_nothing(self) -> None:
        assert merged(standing(7), UNLEASED, at=NOW + 99, skew_s=0) == standing(7)
        assert merged(UNLEASED, standing(7), at=NOW, skew_s=0) == standing(7)

    def test_windows_are_joined_and_the_largest_counts(self) -> None:
        first = state(windows=(window("x", 5, 10), window("y")))
        second = state(windows=(window("x", 7, 4),))
        assert set(all_windows([first, second])) == {window("x", 7, 10), window("y")}

    def test_a_liars_windows_do_not_push_out_what_several_report(self) -> None:
        found = all_windows([flood(0), *[state(windows=(window("x"),)) for _ in range(2)]])
        assert window("x") in found and len(found) == ADOPTED_MAX

    @pytest.mark.parametrize("liars", [1, 2, 5])
    def test_nor_do_several_what_one_honest_custodian_reports(self, liars: int) -> None:
        share = ADOPTED_MAX // (liars + 1)
        honest = tuple(window(f"honest {n}") for n in range(share))
        for agreed in (False, True):
            lies = [flood(0 if agreed else n) for n in range(liars)]
            for told in ([*lies, state(windows=honest)], [state(windows=honest), *lies]):
                found = all_windows(told)
                assert set(honest) <= set(found) and len(found) == ADOPTED_MAX
                assert len({window.instance for window in found}) == ADOPTED_MAX

    def test_there_is_room_left_for_the_next_grant(self) -> None:
        assert len(all_windows([flood(n) for n in range(4)])) == WINDOWS_MAX - 1


INSTANCE, STRANGER = MachineKey(seeded("instance")), MachineKey(seeded("stranger"))


def hand_back(key: MachineKey = INSTANCE, at: Anchor | None = None, **fields: Any) -> HandBack:
    usual: dict[str, Any] = {
        "genesis": GENESIS,
        "ledger": LEDGER,
        "instance": key.public,
        "anchor": at or anchor(5),
        "signature": BLANK,
    }
    return HandBack(**(usual | fields)).signed_by(key)


class TestHandBacks:
    def found(self, *backs: HandBack | None, windows: tuple[OpenWindow, ...] = ()) -> HandBack | None:
        states = [state(returned=back, windows=windows if n == 0 else ()) for n, back in enumerate(backs)]
        return last_hand_back(states, LEDGER, anchor(5))

    def test_one_that_shows_it_is_enough(self) -> None:
        assert self.found(None, hand_back()) == hand_back()
        assert self.found(None, None) is None

    @pytest.mark.parametrize(
        "back",
        [
            hand_back(at=anchor(4)),
            hand_back(at=anchor(5, "other")),
            hand_back(ledger=seeded("other")),
            hand_back(genesis=dao(3, name="Other").genesis),
            replace(hand_back(), instance=STRANGER.public),
            replace(hand_back(), anchor=None).signed_by(INSTANCE),
        ],
    )
    def test_one_of_another_end_counts_for_nothing(self, back: HandBack) -> None:
        assert self.found(back) is None
        assert self.found(back, hand_back()) == hand_back()

    def test_one_of_an_instance_whose_window_is_missed_goes_first(self) -> None:
        invented = hand_back(STRANGER)
        missed = replace(window("x"), instance=INSTANCE.public)
        assert self.found(invented, hand_back(), invented, windows=(missed,)) == hand_back()
        assert self.found(invented, hand_back(), hand_back()) == hand_back()


class TestStateKeys:
    def test_more_than_f_must_say_so(self) -> None:
        ours, theirs = seeded("ours"), seeded("theirs")
        assert not other_state_key([state(state_key=theirs), state(state_key=ours)], ours, liars=1)
        assert other_state_key([state(state_key=theirs), state(state_key=theirs)], ours, liars=1)
        assert other_state_key([state(state_key=theirs), state(state_key=theirs)], b"", liars=1)
        assert not other_state_key([state(), state(), state()], ours, liars=1)


class TestRecords:
    @pytest.fixture
    def custody(self, records: Records) -> CustodyRecords:
        return CustodyRecords(records)

    def adopt(self, custody: CustodyRecords, found: Standing, **more: Any) -> None:
        usual: dict[str, Any] = {"manifests": (), "windows": None, "has_caught_up": False}
        custody.adopt(GENESIS, LEDGER, found, **(usual | more))

    def test_a_custodian_that_was_never_restored(self, custody: CustodyRecords) -> None:
        assert (custody.restored_at(), custody.caught_up(), custody.standing(LEDGER)) == (None, [], UNLEASED)

    def test_restoring_takes_back_what_was_caught_up_with(self, custody: CustodyRecords) -> None:
        custody.mark_restored(NOW)
        self.adopt(custody, standing(), has_caught_up=True)
        assert (custody.restored_at(), custody.caught_up()) == (NOW, [GENESIS])
        custody.mark_restored(NOW + 1, number=40)
        assert (custody.restored_at(), custody.caught_up(), custody.next_number()) == (NOW + 1, [], 41)

    def test_numbers_only_grow(self, custody: CustodyRecords) -> None:
        assert [custody.next_number(), custody.next_number()] == [1, 2]
        custody.mark_restored(NOW, number=1)
        assert custody.next_number() == 3

    def test_the_question_of_the_highest_number_is_kept(self, custody: CustodyRecords) -> None:
        assert custody.keep_question(ASKER.public, 5, b"five") == b""
        assert custody.keep_question(ASKER.public, 9, b"nine") == b"five"
        assert custody.keep_question(ASKER.public, 7, b"seven") == b"nine"
        assert custody.keep_question(ASKER.public, 9, b"again") == b"nine"
        assert custody.keep_question(OTHER.public, 1, b"one") == b""

    def test_an_anchor_is_never_lowered(self, custody: CustodyRecords) -> None:
        self.adopt(custody, standing(7, not_after=NOW))
        with pytest.raises(ForkedHistory):
            self.adopt(custody, standing(6, instance="y"))
        assert custody.standing(LEDGER) == standing(7, not_after=NOW)
        self.adopt(custody, standing(8, instance="y", not_after=NOW - 1))
        assert custody.standing(LEDGER) == standing(8, instance="y", not_after=NOW - 1)
        assert custody.kept(LEDGER, ()).anchor == (8, anchor(8).mac)

    def test_a_contradiction_adopts_nothing(self, custody: CustodyRecords) -> None:
        self.adopt(custody, standing(7))
        with pytest.raises(ForkedHistory):
            self.adopt(
                custody,
                standing(7, entry="other", not_after=NOW + 5),
                manifests=[(LINEAGE, 1, GENESIS)],
                windows=[window("x")],
                has_caught_up=True,
            )
        assert (custody.standing(LEDGER), custody.caught_up()) == (standing(7), [])
        assert (custody.latest_manifest(LINEAGE), custody.open_windows(LEDGER)) == (None, [])

    def test_manifests_are_registered_upwards(self, custody: CustodyRecords) -> None:
        cids = [Cid.of(DAG_CBOR, bytes([n])) for n in range(4)]
        custody.register_manifest(LINEAGE, 2, cids[2], genesis=GENESIS)
        self.adopt(custody, UNLEASED, manifests=[(LINEAGE, 1, cids[1]), (LINEAGE, 2, cids[0])])
        assert custody.latest_manifest(LINEAGE) == (2, cids[2])
        self.adopt(custody, UNLEASED, manifests=[(LINEAGE, 3, cids[3])])
        assert custody.registered(b"", most=9) == [(LINEAGE, 3, cids[3])]

    def test_registered_manifests_come_in_pages(self, custody: CustodyRecords) -> None:
        lineages = sorted(seeded(f"lineage {n}") for n in range(5))
        for lineage in lineages:
            custody.register_manifest(lineage, 1, Cid.of(DAG_CBOR, lineage), genesis=GENESIS)
        assert [row[0] for row in custody.registered(b"", most=2)] == lineages[:2]
        assert [row[0] for row in custody.registered(lineages[1], most=9)] == lineages[2:]

    def test_a_hand_back_takes_the_place_of_the_one_before(self, custody: CustodyRecords) -> None:
        self.adopt(custody, standing(5), returned=b"first")
        self.adopt(custody, standing(6))
        assert custody.reports(LEDGER)[1] == b"first"
        self.adopt(custody, standing(7), returned=b"second")
        assert custody.reports(LEDGER)[1] == b"second"

    def test_windows_take_the_place_of_forgotten_ones(self, custody: CustodyRecords) -> None:
        self.adopt(custody, standing(), windows=[window("x"), window("y")])
        self.adopt(custody, standing(), windows=[window("y", 9), window("z")])
        assert set(custody.open_windows(LEDGER)) == {window("y", 9), window("z")}
        self.adopt(custody, standing())
        assert len(custody.open_windows(LEDGER)) == 2
