"""Decisions of many ballots: how large their bundle is, and that a pool of processes comes to the same count."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from multiprocessing import get_context

import pytest

from benchmarks.govern import BALLOTS, MEGABYTES_GOAL, MEMBERS, Voted, closed_by, size_of, voted_by
from vault.closing import BallotPage
from vault.decision import Decision, Fetch
from vault.errors import InvalidSignature

SCALE = 10


@cache
def voted() -> Voted:
    """Return a tenth of the largest vote that is measured: as many members to a ballot, and so as large a proof."""
    return voted_by(MEMBERS // SCALE, BALLOTS // SCALE)


def test_the_bundle_of_20_000_ballots_among_100_000_members_stays_below_12_megabytes() -> None:
    bundle, roll = size_of(voted().bundle.blocks), size_of(voted().roll.blocks())
    assert SCALE * bundle <= MEGABYTES_GOAL * 1e6
    assert SCALE * (bundle + roll) <= MEGABYTES_GOAL * 1e6
    assert max(map(len, voted().bundle.blocks.values())) <= 1 << 20


def test_a_page_of_the_longest_reasons_fits_a_block() -> None:
    page = BallotPage.from_bytes(voted().bundle.blocks[voted().bundle.decision.pages()[0]])
    assert len(page.reasons) == 1024
    longest = BallotPage(**{name: getattr(page, name) for name in COLUMNS}, reasons=("\U0001f30a" * 50,) * 1024)
    assert len(longest.encoded()) <= 1 << 20
    assert BallotPage.from_bytes(longest.encoded()) == longest


COLUMNS = ("proposal", "voters", "weights", "supports", "periods", "sequences", "signatures")


def test_a_pool_of_processes_comes_to_the_same_count_and_finds_the_same_forgery() -> None:
    history, bundle = voted().history, voted().bundle
    alone = history.counted(bundle.decision, bundle.blocks.__getitem__)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        assert history.counted(bundle.decision, bundle.blocks.__getitem__, pool=pool) == alone
        assert alone.cast() > 0
        first, last = (BallotPage.from_bytes(bundle.blocks[cid]) for cid in bundle.decision.pages())
        columns = {name: getattr(last, name) for name in COLUMNS}
        columns["signatures"] = last.signatures[:-65] + last.signatures[:65]
        forged = BallotPage(**columns, reasons=last.reasons)
        assert forged != last and first.proposal == last.proposal
        with pytest.raises(InvalidSignature):
            history.counted(*with_page(forged, first), pool=pool)


def with_page(forged: BallotPage, first: BallotPage) -> tuple[Decision, Fetch]:
    """Return the decision of custodians that closed with a page in place of the second one."""
    bundle = voted().bundle
    word = closed_by(voted().history, bundle.decision.proposal, [first, forged])
    decision = replace(bundle.decision, closings=word)
    return decision, (bundle.blocks | {forged.cid(): forged.encoded()}).__getitem__
