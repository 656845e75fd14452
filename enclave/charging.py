"""Answers on their way: room is kept for each before it is searched for, and it is charged for before it leaves.

What is here judges and books without a wait in between, so on one event loop that is atomic (rules O1 to O3, L1 to L3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType

from enclave.allowance import Allowance, Reserved, WindowUsedUp
from enclave.answer_entry import answer_entry
from enclave.answer_forms import KeptForms
from enclave.answer_receipt import answer_receipt
from enclave.asked import Asked
from enclave.channels import Channels
from enclave.durable_books import DurableBooks
from enclave.found import Found
from enclave.grounds import Grounds
from enclave.identities import Identities
from enclave.leaving import Leaving
from enclave.output import shaped
from enclave.probing import Probe, Probes
from enclave.selection import Room, Selected, room_for, selected
from vault.attribution import weights_of
from vault.errors import CreditExhausted
from vault.holds import Held, require_credit
from vault.ledger import Books
from vault.royalty import licensee_account
from vault.scores import packed_scores


@dataclass(slots=True, kw_only=True)
class Booked:
    """An answer that is charged for and not durable yet: it must not leave."""

    sequence: int  # of its entry
    receipt: bytes = field(repr=False)  # encoded, and not signed yet
    passages: tuple[Found, ...]
    is_partial: bool


class Reservation:
    """Room for one answer while the block runs, and the most it could cost held."""

    __slots__ = ("_allowance", "_kept", "_room")

    def __init__(self, allowance: Allowance, kept: Reserved, room: Room) -> None:
        self._allowance = allowance
        self._kept = kept
        self._room = room

    def __enter__(self) -> Room:
        self._allowance.reserve(self._kept)
        return self._room

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._allowance.release(self._kept)


class Charging:
    """Judges answers by books and window, and books them."""

    def __init__(
        self, kept: DurableBooks, allowance: Allowance, channels: Channels, identities: Identities, probes: Probes
    ) -> None:
        self._kept = kept
        self._allowance = allowance
        self._channels = channels
        self._identities = identities
        self._probes = probes
        self._forms = KeptForms()

    def reserved(self, asked: Asked, *, at: int) -> Reservation:
        """Return what keeps room for one answer, and gives what it may bring; see `Meter.reserved`."""
        books, window, permit = self._kept.books, self._allowance, asked.permit
        account = licensee_account(asked.license.licensee, asked.policy.currency)
        room = room_for(books, asked)
        held = window.held(account, asked.delegation)
        self._channels.require_promised(asked, account, held=held.credit, at=at)
        self._require_affordable(books, asked, account, permit.price_max, held.credit, held.spend)
        at_most = window.passages_at_most(room.passages)
        if at_most < room.passages:
            room = replace(room, passages=at_most)
        kept = Reserved(permit.holder, account, asked.delegation, permit.licensee, room.passages, permit.price_max)
        return Reservation(window, kept, room)

    def booked(
        self,
        asked: Asked,
        found: Sequence[Found],
        vector: bytes,
        grounds: Grounds,
        *,
        at: int,
        room: Room,
        confirms: bytes,
    ) -> Booked:
        """Charge for an answer, at once; see `Meter.book_answer`."""
        books, forms = self._kept.books, self._forms.of(asked, grounds)
        chain = books.receipt_chain(asked.license.licensee)
        room = self._still_allowed(books, asked, room, forms.account, before=chain[0])
        identities = [self._identities.of(passage) for passage in found]
        probe: Probe | None = self._probes.judged(asked, vector, identities, at=at)
        chosen = selected(books, asked, found, identities, room)
        leaving = self._leaving(books, asked, chosen, vector, at=at, before=chain[0])
        leaving.is_partial |= len(chosen.passages) < len(found) or not room.is_whole
        receipt = answer_receipt(leaving, forms, chain, confirms=confirms)
        booking, encoded = answer_entry(leaving, forms, grounds.terms.instance, receipt)
        self._kept.book(booking, encoded)
        self._probes.note(probe)
        return Booked(
            sequence=leaving.sequence, receipt=receipt, passages=leaving.passages, is_partial=leaving.is_partial
        )

    def _leaving(self, books: Books, asked: Asked, chosen: Selected, vector: bytes, *, at: int, before: int) -> Leaving:
        policy = asked.policy
        passages = shaped(chosen.passages, policy.output)
        scores = [passage.score for passage in passages]
        hides_matches = policy.output.owners_min > 1 and not passages and asked.query.k > 0  # says not whether any did
        return Leaving(
            asked=asked,
            passages=passages,
            identities=chosen.identities,
            weights=weights_of(policy.attribution, scores, chosen.identities),
            scores=packed_scores(scores),
            vector=vector,
            price=policy.price_of(len(passages), before=before),
            budget_left=chosen.budget_left,
            is_partial=hides_matches,
            at=at,
            sequence=books.last_sequence + 1,
        )

    def _still_allowed(self, books: Books, asked: Asked, room: Room, account: str, *, before: int) -> Room:
        """Return the room as it is by now; raise where answers that came first have left too little for this one."""
        own = room.asked.permit.price_max  # held for this very answer
        most = max(own, asked.policy.price_of(asked.permit.k, before=before))
        if most > asked.query.price_max:
            raise CreditExhausted(f"after answers that came first it may cost {most}, over the request's price_max")
        held = self._allowance.held(account, asked.delegation)
        if not room.is_for(books, asked):
            room = replace(room_for(books, asked, at_most=room.passages), asked=room.asked)
        self._allowance.require_spend(account, most - own)
        self._require_affordable(books, asked, account, most, held.credit - own, held.spend - own)
        return room

    def _require_affordable(
        self, books: Books, asked: Asked, account: str, price: int, credit_held: int, spend_held: int
    ) -> None:
        """Raise unless credit that is not held for others covers the most that the answer may cost."""
        held = Held(credit_held, spend_held)
        require_credit(books, account, asked.delegation, price=price, spend_cap=asked.spend_cap, held=held)
        fresh = self._allowance.fresh_credit(account)
        if fresh and books.balance(account) - credit_held - fresh < price:
            raise WindowUsedUp("this credit counts once the custodians have anchored it; ask again shortly")
