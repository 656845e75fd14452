"""What a custodian carries out at once: acts of enough guardians, and delegations of votes (rules F4, G3, G4).

Guardians' signatures are taken from anyone and one by one; whoever brings the last one that is needed has the act
carried out. What is carried out is a head like any other: custodians vote on which comes next (`vault.succession`), and
what is taken here and does not come next comes later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from storage.cid import Cid
from vault.errors import InvalidDecision, NotYet
from vault.guardian import EPOCHS_VALID, GuardianAct, GuardianSignature
from vault.history import Cause, History
from vault.station import Station
from vault.utc import time_text
from vault.vote_delegation import DelegationBatch

ACT_SIGNATURES_KEPT = 64  # acts that wait, in which one guardian has a part

TakeEffect = Callable[[Cid, Cause], int]
"""Has a cause carried out, and returns the epoch followed by then; `vault.custody.Custody.take_effect` is it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActState:
    """An act with all signatures that came, and the epoch of the head that carries it out."""

    signed: GuardianAct
    epoch: int | None  # None while signatures are missing, or custodians vote on what comes next


class Acting:
    """Acts and delegations of every DAO that one custodian serves."""

    def __init__(
        self,
        station: Station,
        *,
        require_caught_up: Callable[[History], None],
        take_effect: TakeEffect,
    ) -> None:
        self._store, self._histories, self._clock = station.store, station.histories, station.clock
        self._require_caught_up = require_caught_up
        self._take_effect = take_effect
        self._delegated = {genesis: history.delegated_epoch for genesis, history in station.histories.items()}
        self.on_news: Callable[[], None] = _nobody  # called when an act has more signatures than before

    def submit_act(self, signed: GuardianAct) -> ActState:
        """Take guardians' signatures of an act; carry it out once there are enough.

        Raises: `InvalidSignature`, `InvalidDecision`, and what `vault.history.advanced` raises once it is carried out.
        """
        genesis, act = signed.act.genesis, signed.act
        history = self._histories[genesis]
        if act.digest() in history.done:
            return ActState(signed=signed, epoch=history.head.epoch)
        signed.verify_signatures(history.charter, genesis=genesis)
        _require_current(history, signed)
        kept = self._store.kept_act(act.digest())
        before = GuardianAct.from_bytes(kept) if kept else None
        together = _joined(history, before, signed)
        if len(together.signatures) >= max(1, history.charter.guardian_signatures):
            self._require_caught_up(history)
            epoch = self._take_effect(genesis, together)
            if act.digest() in self._histories[genesis].done:
                self._store.drop_acts(genesis, [act.digest()], before_epoch=max(0, epoch - EPOCHS_VALID))
                return ActState(signed=together, epoch=epoch)
        if before is None or before.signatures != together.signatures:
            if before is None:
                self._require_admitted(together)
            self._histories.entrust(genesis)
            self._store.keep_act(genesis, act.digest(), act.epoch, together.encoded())
            self.on_news()
        return ActState(signed=together, epoch=None)

    def acts(self, genesis: Cid) -> list[GuardianAct]:
        """Return the acts that wait for more signatures."""
        history = self._histories[genesis]
        found = (GuardianAct.from_bytes(body) for body in self._store.kept_acts(genesis))
        return [one for one in found if one.act.digest() not in history.done and _is_current(history, one)]

    def submit_delegations(self, batch: DelegationBatch) -> int:
        """Have a batch of delegations put into force, next or later, and return the epoch followed by then.

        Raises: `NotYet` where one was taken too lately; what `vault.history.advanced` raises.
        """
        self._require_caught_up(self._histories[batch.genesis])
        self.require_due(batch)
        epoch = self._take_effect(batch.genesis, batch)
        self._store.keep_delegated(batch.genesis, self._clock())
        return epoch

    def require_due(self, batch: DelegationBatch) -> None:
        """Raise `NotYet` where delegations took effect too lately for others: each batch takes an epoch for good."""
        history = self._histories.get(batch.genesis)
        if history is None:
            return
        self._note(history)
        last = self._store.delegated_at(batch.genesis)
        if last is None:
            return
        every_s = history.charter.voting.delegations_every_s
        if any(has_just_chosen(history, one.delegation.delegator) for one in batch.delegations):
            every_s *= 2  # others have a period of their own first: one member would use up every batch
        if self._clock() < (free_at := last + every_s):
            raise NotYet(f"delegations are taken again from {time_text(free_at)} on")

    def note_delegations(self) -> None:
        """Remember when delegations took effect, whoever brought them; what took effect before we knew is long ago.

        A new charter ends all of them; members may choose anew at once.
        """
        for history in self._histories.values():
            self._note(history)

    def _note(self, history: History) -> None:
        before = self._delegated.get(history.genesis)
        if before is not None and history.delegated_epoch > max(before, history.charter_epoch):
            self._store.keep_delegated(history.genesis, self._clock())
        self._delegated[history.genesis] = history.delegated_epoch

    def _require_admitted(self, signed: GuardianAct) -> None:
        """Raise `InvalidDecision` where a guardian began more acts than it may: each takes room until it is old."""
        begun = [one.guardian for act in self.acts(signed.act.genesis) for one in act.signatures]
        if all(begun.count(one.guardian) >= ACT_SIGNATURES_KEPT for one in signed.signatures):
            raise InvalidDecision(
                f"{ACT_SIGNATURES_KEPT} acts of these guardians wait for more signatures; finish those"
            )


def has_just_chosen(history: History, delegator: bytes) -> bool:
    """Say whether a member's choice came with the last batch that took effect under this charter."""
    choices = history.delegations.get(delegator, ())
    return bool(choices) and choices[-1].epoch == history.delegated_epoch > history.charter_epoch


def _is_current(history: History, signed: GuardianAct) -> bool:
    act = signed.act
    return history.heads[act.epoch : act.epoch + 1] == (act.head,) and history.head.epoch < act.epoch + EPOCHS_VALID


def _require_current(history: History, signed: GuardianAct) -> None:
    if not _is_current(history, signed):
        raise InvalidDecision(f"the act was not made against one of the last {EPOCHS_VALID} heads of this DAO")


def _joined(history: History, before: GuardianAct | None, signed: GuardianAct) -> GuardianAct:
    """Return the act with both sets of signatures, of those who are guardians still."""
    signatures: dict[bytes, GuardianSignature] = {one.guardian: one for one in signed.signatures}
    for one in before.signatures if before else ():
        if one.guardian in history.charter.guardians:
            signatures.setdefault(one.guardian, one)
    ordered = tuple(signatures[guardian] for guardian in sorted(signatures))
    return GuardianAct(act=signed.act, signatures=ordered)


def _nobody() -> None:
    """Tell nobody."""
