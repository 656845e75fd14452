"""What gathers on a board until it is enough: guardians' signatures of an act, and members' delegations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import sha256

from storage.cid import Cid
from vault.acting import has_just_chosen
from vault.action import Scope
from vault.acts import cancellation, emergency_revocation, weight_bytes
from vault.assembly import put_cause, roll_of
from vault.board import Board, Kind
from vault.codec import encode
from vault.errors import AccessDenied, InvalidDecision, VaultError
from vault.guardian import EPOCHS_VALID, Act, GuardianAct, GuardianSignature
from vault.history import History
from vault.signing import BLANK_SIGNATURE, address_text
from vault.vote_delegation import BATCH_MAX, CHOICES_MAX, DelegationBatch, ProvenDelegation, VoteDelegation


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """An act with the signatures there are so far, and how many it takes."""

    signed: GuardianAct
    needed: int

    @property
    def is_enough(self) -> bool:
        """Say whether it can be carried out."""
        return len(self.signed.signatures) >= self.needed


def acts_on(board: Board, history: History, *others: GuardianAct) -> list[Gathered]:
    """Return the acts on a board, and others, that can still be carried out, each with all signatures that verify."""
    found: dict[bytes, GuardianAct] = {}
    for signed in (*_acts(board, history), *others):
        good = _verified(signed, history)
        if good is None or not _is_open(good.act, history):
            continue
        known = found.get(good.act.digest())
        found[good.act.digest()] = good if known is None else merged(known, good.signatures)
    return [Gathered(signed=signed, needed=history.charter.guardian_signatures) for signed in found.values()]


def with_signature(board: Board, history: History, act: Act, signature: GuardianSignature) -> Gathered:
    """Return an act with one more guardian's signature, verified.

    Raises: `InvalidSignature` where it is none of this act, or none of this guardian.
    """
    alone = GuardianAct(act=act, signatures=(signature,))
    alone.verify_signatures(history.charter, genesis=history.genesis)
    before = (one.signed.signatures for one in acts_on(board, history) if one.signed.act == act)
    return Gathered(signed=merged(alone, next(before, ())), needed=history.charter.guardian_signatures)


def act_to_sign(board: Board, history: History, wanted: Act, guardian: bytes) -> Act:
    """Return the act a guardian is to sign: an open one that does what `wanted` does, or `wanted` itself.

    Raises: `AccessDenied` for who is no guardian; `InvalidDecision` where there is nothing to stop any more.
    """
    if not history.charter.guardians:
        raise AccessDenied("this DAO has no guardians; members can vote on a revocation: coffer dao propose --revoke")
    if guardian not in history.charter.guardians:
        raise AccessDenied(f"{address_text(guardian)} is no guardian of this DAO; its charter names who is")
    if wanted.cancels is not None and wanted.cancels in history.done | history.canceled:
        raise InvalidDecision("the proposal was carried out or canceled before")
    same = [one.signed for one in acts_on(board, history) if _what(one.signed.act) == _what(wanted)]
    return max(same, key=lambda one: (len(one.signatures), one.act.digest())).act if same else wanted


def put_act(board: Board, history: History, signed: GuardianAct) -> None:
    """Put an act on the board with the signatures there are."""
    put_cause(board, history.genesis, signed)


def cancel_act(history: History, proposal: Cid) -> Act:
    """Return the act that cancels a proposal."""
    return _shared(cancellation(history, proposal))


def revoke_act(history: History, scope: Scope, subject: bytes) -> Act:
    """Return the act that revokes at once."""
    return _shared(emergency_revocation(history, scope, subject))


def _shared(act: Act) -> Act:
    """Return an act whose nonce follows from the rest, so that guardians who sign apart sign the same.

    The head is part of it and moves on with every act, so no two acts of a DAO have one nonce.
    """
    blank = replace(act, nonce=bytes(32))
    return replace(act, nonce=sha256(b"coffer/act-nonce/v1" + encode(blank.value())).digest())


def merged(signed: GuardianAct, more: Iterable[GuardianSignature]) -> GuardianAct:
    """Return an act with more signatures of it."""
    by_guardian = {one.guardian: one for one in (*more, *signed.signatures)}
    return replace(signed, signatures=tuple(by_guardian[guardian] for guardian in sorted(by_guardian)))


def _what(act: Act) -> tuple[object, ...]:
    return act.cancels, act.revokes, act.subject


def _acts(board: Board, history: History) -> list[GuardianAct]:
    acts = []
    for _, body in board.list(Kind.ACT, history.genesis):
        try:
            acts.append(GuardianAct.from_bytes(body))
        except VaultError:
            continue
    return acts


def _verified(signed: GuardianAct, history: History) -> GuardianAct | None:
    """Return an act with those of its signatures that verify; None where none does."""
    good = []
    for one in signed.signatures:
        try:
            replace(signed, signatures=(one,)).verify_signatures(history.charter, genesis=history.genesis)
        except VaultError:
            continue
        good.append(one)
    return replace(signed, signatures=tuple(good)) if good else None


def _is_open(act: Act, history: History) -> bool:
    is_ours = history.heads[act.epoch : act.epoch + 1] == (act.head,)
    is_young = act.epoch + EPOCHS_VALID > history.head.epoch
    is_new = act.digest() not in history.done and act.cancels not in history.done | history.canceled
    return is_ours and is_young and is_new


def blank_choice(board: Board, history: History, delegator: bytes, delegate_to: bytes) -> VoteDelegation:
    """Return a member's choice of a delegate as its wallet is to sign it, above every choice that is known here."""
    roll = roll_of(board, history.charter)
    roll.weight_of(delegator)
    roll.weight_of(delegate_to)  # who is no member cannot vote for anyone
    return VoteDelegation(
        genesis=history.genesis,
        delegator=delegator,
        delegate=delegate_to,
        sequence=next_choice(board, history, delegator),
        signature=BLANK_SIGNATURE,
    )


def proven(board: Board, history: History, choice: VoteDelegation) -> ProvenDelegation:
    """Return a signed choice with the delegator's weight and its proof, verified."""
    roll = roll_of(board, history.charter)
    weight = weight_bytes(roll, choice.delegator)
    one = ProvenDelegation(delegation=choice, weight=weight, proof=roll.tree().proof(choice.delegator))
    one.verify(history.charter, genesis=history.genesis)
    return one


def next_choice(board: Board, history: History, delegator: bytes) -> int:
    """Return the sequence number above every choice of a delegate that a member made before, as far as known here."""
    known = [choice.sequence for choice in history.delegations.get(delegator, ())]
    known += [one.sequence for one in _choices(board, history) if one.delegator == delegator]
    return max(known, default=-1) + 1


def waiting(board: Board, history: History) -> list[ProvenDelegation]:
    """Return the delegations on a board that are newer than those in the head; the latest of each member."""
    latest: dict[bytes, ProvenDelegation] = {}
    for one in _proven(board, history):
        choice = one.delegation
        done = history.delegations.get(choice.delegator, ())
        known = latest.get(choice.delegator)
        if done and done[-1].sequence >= choice.sequence:
            continue
        if len(done) >= CHOICES_MAX:
            continue  # a batch with it would be refused as a whole
        if known is None or known.delegation.sequence < choice.sequence:
            latest[choice.delegator] = one
    return [latest[delegator] for delegator in sorted(latest)]


def next_batch(board: Board, history: History, first: ProvenDelegation) -> DelegationBatch:
    """Return a batch of `first` and of others that wait, as many as there is room for."""
    others = [
        one
        for one in waiting(board, history)
        if one.delegation.delegator != first.delegation.delegator
        and not has_just_chosen(history, one.delegation.delegator)  # or the whole batch would wait with it
    ]
    chosen = sorted((first, *others[: BATCH_MAX - 1]), key=lambda one: one.delegation.delegator)
    return DelegationBatch(genesis=history.genesis, delegations=tuple(chosen))


def _proven(board: Board, history: History) -> list[ProvenDelegation]:
    good = []
    for _, body in board.list(Kind.DELEGATION, history.genesis):
        try:
            one = ProvenDelegation.from_bytes(body)
            one.verify(history.charter, genesis=history.genesis)
        except VaultError:
            continue
        good.append(one)
    return good


def _choices(board: Board, history: History) -> list[VoteDelegation]:
    return [one.delegation for one in _proven(board, history)]
