"""Founding a DAO: its charter from what people say, with the custodians' numbers that follow from their count."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from vault.charter import CUSTODIANS_MAX, Charter, Custodian, Voting, Window
from vault.errors import MalformedObject
from vault.hpke import HYBRID
from vault.roll import Roll

# An enclave renews once half of one is used. What is not used of one when an enclave crashes is lost to every licensee:
# its passages to their budgets for good, its spend to their credit for a day (`vault.ledger`).
WINDOW = Window(entries=10_000, passages=200, spend=1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """How many custodians do what: t shares rebuild a key, q signatures make something fresh, f may lie."""

    shares: int
    signatures: int
    liars: int


def numbers_for(
    custodians: int, *, shares: int | None = None, signatures: int | None = None, liars: int | None = None
) -> Numbers:
    """Return the charter's numbers for `custodians` of them, keeping those that are given.

    By default f is the largest that the charter's rule allows, q the least that f asks for, and t = q: whatever serves
    needs q custodians anyway, and fewer than t that collude learn nothing.
    """
    if not 1 <= custodians <= CUSTODIANS_MAX:
        raise MalformedObject(f"a DAO has 1 … {CUSTODIANS_MAX} custodians, not {custodians}")
    tolerated = [f for f in range(custodians) if (custodians + f) // 2 + 1 <= custodians - f]
    f = tolerated[-1] if liars is None else liars
    q = (custodians + f) // 2 + 1 if signatures is None else signatures
    return Numbers(shares=q if shares is None else shares, signatures=q, liars=f)


def charter_of(
    name: str,
    roll: Roll,
    custodians: Sequence[Custodian],
    numbers: Numbers,
    *,
    chain_id: int,
    voting: Voting,
    lease_s: int,
    treasury: bytes,
    guardians: Sequence[bytes] = (),
    guardian_signatures: int | None = None,
    window: Window = WINDOW,
) -> Charter:
    """Return the charter of a new DAO; its nonce is random, so the same words never found the same DAO twice.

    Args:
        guardian_signatures: how many guardians act together; more than half of them by default.
    """
    together = (len(guardians) // 2 + 1 if guardians else 0) if guardian_signatures is None else guardian_signatures
    return Charter(
        nonce=secrets.token_bytes(32),
        name=name,
        chain_id=chain_id,
        roll=roll.cid,
        members=len(roll.members),
        weights_root=roll.tree().root,
        total_weight=roll.total.to_bytes(32, "big"),
        voting=voting,
        guardians=tuple(sorted(guardians)),
        guardian_signatures=together,
        lease_s=lease_s,
        window=window,
        custodians=tuple(custodians),
        shares=numbers.shares,
        signatures=numbers.signatures,
        liars=numbers.liars,
        suite_floor=HYBRID,
        treasury=treasury,
    )
