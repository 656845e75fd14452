"""What of the passages found may leave: as many as every quota of the policy still allows (rules O1 to O3).

What is exhausted refuses before anything is searched; what remains of a found answer is cut to what may be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from enclave.asked import Asked
from enclave.found import Found
from storage.cid import Cid
from vault.errors import BudgetExhausted
from vault.ledger import Books
from vault.licensees import SHARED_BUDGET
from vault.limits import Place, Quota
from vault.policy import K_LIMIT


@dataclass(slots=True, kw_only=True)  # as `Outgoing`: made with every question
class Room:
    """What an answer may bring, as it stands before the search."""

    datasets: tuple[Cid, ...]  # those of which something may still be seen
    passages: int  # new ones at most, one that is new out of several datasets counting for each
    budget_left: int  # of the policy's budget
    is_whole: bool  # no dataset is used up
    asked: Asked
    shown: tuple[int, int]  # to the holder of the budget, by then

    def is_for(self, books: Books, asked: Asked) -> bool:
        """Say whether it would be the same, were it worked out again for this question."""
        before = self.asked
        is_same = asked is before or (
            asked.permit == before.permit
            and asked.coverage is before.coverage
            and asked.query.datasets == before.query.datasets
        )
        return is_same and books.shown_to(asked.permit.holder) == self.shown


@dataclass(slots=True, kw_only=True)
class Selected:
    """What may leave of what was found, best first."""

    passages: tuple[Found, ...]
    identities: tuple[bytes, ...]
    budget_left: int  # once it has left


def room_for(books: Books, asked: Asked, *, at_most: int = K_LIMIT) -> Room:
    """Return what the budgets allow, or raise `BudgetExhausted` where no answer could leave.

    Args:
        at_most: new passages that anything else lets through.
    """
    holder, covered = asked.permit.holder, asked.coverage
    budget_left = books.quota_left(holder, covered.whole)
    if budget_left == 0:
        raise BudgetExhausted(_all_seen(books, asked))
    left = {
        cid: min([books.quota_left(holder, quota) for quota in place.quotas]) if place.quotas else budget_left
        for cid, place in covered.places.items()
        if asked.is_asked(cid)
    }
    datasets = tuple([cid for cid, passages in left.items() if passages])
    if not datasets:
        raise BudgetExhausted("of every dataset, all that the policy's shares allow has been seen")
    owners_min = asked.policy.output.owners_min
    if owners_min > 1 and len({covered.places[cid].owner for cid in datasets}) < owners_min:
        raise BudgetExhausted("too few owners are left of whose passages more may be seen; no answer could leave")
    new = sum([_own_left(books, holder, covered.places[cid], budget_left) for cid in datasets])
    return Room(
        datasets=datasets,
        passages=min(asked.permit.k, new, at_most),
        budget_left=budget_left,
        is_whole=len(datasets) == len(left),
        asked=asked,
        shown=books.shown_to(holder),
    )


def selected(books: Books, asked: Asked, found: Sequence[Found], identities: Sequence[bytes], room: Room) -> Selected:
    """Return the passages that every quota lets out; none where fewer owners than the policy asks for would be left.

    Args:
        identities: of the passages found, in their order.
    """
    holder, places = asked.permit.holder, asked.coverage.places
    left = _Left(books, holder, asked.coverage.whole, room.budget_left)
    befores = books.seen.all_shown_from(holder, identities)
    shown: dict[bytes, tuple[bytes, ...]] = {}
    passages: list[Found] = []
    kept: list[bytes] = []
    new = 0
    manifest: Cid | None = None  # of the passage before: most are of few datasets
    place: Place | None = None
    for passage, identity, before in zip(found, identities, befores, strict=True):
        if passage.manifest is not manifest:
            manifest = passage.manifest
            place = places.get(manifest)
        if place is None:
            continue
        if shown:
            before = shown.get(identity, before)
        if place.lineage not in before:
            if new == room.passages or not left.take(place, before):
                continue
            new += 1
            shown[identity] = (*before, place.lineage)
        passages.append(passage)
        kept.append(identity)
    owners_min = asked.policy.output.owners_min
    if owners_min > 1 and len({passage.owner for passage in passages}) < owners_min:
        return Selected(passages=(), identities=(), budget_left=room.budget_left)
    return Selected(passages=tuple(passages), identities=tuple(kept), budget_left=left.budget)


class _Left:
    """How many more passages each quota lets out, counted down as an answer is put together.

    Quotas are told apart as objects: hashing them would cost more than all the rest of judging an answer.
    """

    def __init__(self, books: Books, holder: bytes, whole: Quota, budget_left: int) -> None:
        self._books = books
        self._holder = holder
        self._whole = _Counted(whole.lineages, budget_left)
        self._counted = {id(whole): self._whole}
        self._of: dict[int, tuple[_Counted, ...]] = {}  # by place

    @property
    def budget(self) -> int:
        """Return how many more passages of the whole budget may leave."""
        return self._whole.left

    def take(self, place: Place, before: tuple[bytes, ...]) -> bool:
        """Count a passage that was shown before out of these lineages; say whether all quotas had room for it.

        Its place's own lineage is not among them: every quota of a place has that, and would not count it again.
        """
        counted = self._of.get(id(place)) or self._quotas_of(place)
        if before:
            counted = tuple([one for one in counted if one.lineages.isdisjoint(before)])
        for one in counted:
            if not one.left:
                return False
        for one in counted:
            one.left -= 1
        return True

    def _quotas_of(self, place: Place) -> tuple[_Counted, ...]:
        found = [self._whole]
        for quota in place.quotas:
            if id(quota) not in self._counted:
                left = self._books.quota_left(self._holder, quota)
                self._counted[id(quota)] = _Counted(quota.lineages, left)
            found.append(self._counted[id(quota)])
        self._of[id(place)] = counted = tuple(found)
        return counted


@dataclass(slots=True)
class _Counted:
    lineages: frozenset[bytes]
    left: int


def _own_left(books: Books, holder: bytes, place: Place, budget_left: int) -> int:
    """Return how many passages may be new out of one dataset: some may be known from others, and cost those nothing."""
    if not place.quotas:
        return budget_left
    own = [books.quota_left(holder, quota) for quota in place.quotas if quota.lineages == {place.lineage}]
    return min(own, default=budget_left)


def _all_seen(books: Books, asked: Asked) -> str:
    holder, most = asked.permit.holder, asked.policy.passages_max
    lost = books.lost_passages(holder)
    because = f", {lost} of them lost with an enclave that did not return its window" if lost else ""
    if holder == SHARED_BUDGET:
        return f"all who ask without a credential have together been shown the {most} passages they may see{because}"
    return f"the license has been shown all {most} passages it may see{because}"
