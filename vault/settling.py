"""Makes an epoch's settlement and statements from its ledger entries: the same bytes every time (rules L4, R2)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from storage.cid import Cid
from vault.earnings import ClosedEpoch, Earned, credits_of
from vault.entry import Entry, Kind, QueryDetail
from vault.errors import LedgerTampered
from vault.receipt_message import payload_digest
from vault.royalty import largest_remainder, owner_account
from vault.statement import (
    LINES_MAX,
    SHOWN_MIN,
    THE_REST,
    CurrencySettled,
    Line,
    Settlement,
    Statement,
    address_of,
    amount_seal,
    blinded,
    claim_leaf,
    currency_of,
    passage_key,
    payment_id,
    statement_salt,
)
from vault.sum_tree import SumProof, SumTree
from vault.weights import LeafTree

_Place = tuple[Cid, int]


@dataclass(slots=True)
class _Draft:
    """What is being added up for one account."""

    payments: dict[bytes, bytes] = field(default_factory=dict)
    passages: dict[_Place, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))  # answers, amount
    other: list[int] = field(default_factory=lambda: [0, 0])  # of what no passage earned
    earned: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """One epoch's settlement, and its statements by account with their proofs."""

    settlement: Settlement
    statements: Mapping[str, Statement]
    sum_proofs: Mapping[str, SumProof]
    claim_proofs: Mapping[str, tuple[bytes, ...]]


def settled(
    entries: Iterable[Entry], closed: ClosedEpoch, *, genesis: Cid, ledger: bytes, secret: bytes, log_root: bytes
) -> Settled:
    """Return what an epoch came to.

    Args:
        entries: the ledger's from `closed.first` to `closed.last`.
        secret: of this epoch; it blinds passages and hides leaves.
        log_root: of the log at the close.
    Raises: `LedgerTampered` where the entries are not those that the epoch was closed with.
    """
    drafts = _drafts(entries, closed)
    added_up = {account: draft.earned for account, draft in drafts.items()}
    if added_up != {account: earned.earned for account, earned in closed.accounts.items() if earned.earned}:
        raise LedgerTampered(f"the entries of epoch {closed.number} are not those that it was closed with")
    claims: dict[tuple[str, bytes], int] = defaultdict(int)
    for account, earned in closed.accounts.items():
        claims[currency_of(account), address_of(account)] += earned.total
    statements = {
        account: _statement(account, earned, drafts.get(account) or _Draft(), closed, claims, genesis, ledger, secret)
        for account, earned in closed.accounts.items()
    }
    by_currency: dict[str, list[Statement]] = defaultdict(list)
    for statement in statements.values():
        by_currency[statement.currency].append(statement)
    currencies: list[CurrencySettled] = []
    sum_proofs: dict[str, SumProof] = {}
    claim_proofs: dict[str, tuple[bytes, ...]] = {}
    for currency, ones in sorted(by_currency.items()):
        told, sums, proofs = _currency(currency, ones)
        currencies.append(told)
        sum_proofs |= sums
        claim_proofs |= proofs
    settlement = Settlement(
        genesis=genesis,
        ledger=ledger,
        epoch=closed.number,
        first=closed.first,
        last=closed.last,
        began_at=closed.began_at,
        at=closed.at,
        log_root=log_root,
        currencies=tuple(currencies),
    )
    return Settled(settlement=settlement, statements=statements, sum_proofs=sum_proofs, claim_proofs=claim_proofs)


def _drafts(entries: Iterable[Entry], closed: ClosedEpoch) -> dict[str, _Draft]:
    drafts: dict[str, _Draft] = defaultdict(_Draft)
    for entry in entries:
        if entry.kind is Kind.QUERY and entry.query is not None and entry.sequence not in closed.refunds:
            digest = payload_digest(entry.query.receipt)
            for account, amount in credits_of(entry).items():
                draft, request = drafts[account], entry.query.body
                draft.payments[payment_id(request, digest, account)] = amount_seal(request, digest, account, amount)
                draft.earned += amount
                _divide(draft, entry.query, account, amount)
    return drafts


def _divide(draft: _Draft, query: QueryDetail, account: str, amount: int) -> None:
    """Split what an account got of one answer over its passages, by their weights."""
    own = [one for one in query.passages if owner_account(one.owner, currency_of(account)) == account and one.weight]
    if not own:
        draft.other[0] += 1
        draft.other[1] += amount
        return
    for passage, part in zip(own, largest_remainder(amount, [one.weight for one in own]), strict=True):
        line = draft.passages[passage.manifest, passage.index]
        line[0] += 1
        line[1] += part


def _statement(
    account: str,
    earned: Earned,
    draft: _Draft,
    closed: ClosedEpoch,
    claims: Mapping[tuple[str, bytes], int],
    genesis: Cid,
    ledger: bytes,
    secret: bytes,
) -> Statement:
    refunds = sorted(
        payment_id(refund.query.body, payload_digest(refund.query.receipt), account)
        for refund in closed.refunds.values()
        if refund.query is not None and refund.sequence < closed.first and account in credits_of(refund)
    )
    return Statement(
        genesis=genesis,
        ledger=ledger,
        epoch=closed.number,
        account=account,
        salt=statement_salt(secret, account),
        earned=earned.earned,
        refunded=earned.refunded,
        owed_before=earned.owed_before,
        owed=earned.owed,
        amount=earned.amount,
        total=earned.total,
        claim=claims[currency_of(account), address_of(account)],
        lines=_lines(draft, passage_key(secret, account)),
        payments=b"".join(id + seal for id, seal in sorted(draft.payments.items())),
        refunds=b"".join(refunds),
    )


def _lines(draft: _Draft, key: bytes) -> tuple[Line, ...]:
    """Return what each passage earned that was shown often enough, and the rest together."""
    often = [(amount, place, count) for place, (count, amount) in draft.passages.items() if count >= SHOWN_MIN]
    often = sorted(often, key=lambda one: (-one[0], one[1][0].binary, one[1][1]))[:LINES_MAX]
    told = {place for _, place, _ in often}
    count, amount = draft.other
    for place, (shown, earned) in draft.passages.items():
        if place not in told:
            count, amount = count + shown, amount + earned
    lines = [Line(passage=blinded(key, *place), count=shown, amount=earned) for earned, place, shown in often]
    rest = [Line(passage=THE_REST, count=count, amount=amount)] if count else []
    return tuple(rest + sorted(lines, key=lambda line: line.passage))


def _currency(
    currency: str, statements: list[Statement]
) -> tuple[CurrencySettled, dict[str, SumProof], dict[str, tuple[bytes, ...]]]:
    """Return one currency's part; leaves stand in the order of their hashes, which says nothing of whose they are."""
    leaves = sorted(((one.leaf(), one) for one in statements), key=lambda pair: pair[0].hash)
    tree = SumTree([leaf for leaf, _ in leaves])
    claims = {one.address: one.claim for one in statements if one.claim}
    claim_tree = LeafTree([claim_leaf(address, claim) for address, claim in claims.items()]) if claims else None
    told = CurrencySettled(
        currency=currency,
        charged=sum(one.earned for one in statements),
        refunded=sum(one.refunded for one in statements),
        owed_before=sum(one.owed_before for one in statements),
        owed=sum(one.owed for one in statements),
        total=tree.root.sum,
        accounts=len(statements),
        sum_root=tree.root.hash,
        claims_root=claim_tree.root if claim_tree else bytes(32),
    )
    return (
        told,
        {one.account: tree.proof(index) for index, (_, one) in enumerate(leaves)},
        {
            one.account: claim_tree.proof(claim_leaf(one.address, one.claim)) if claim_tree and one.claim else ()
            for one in statements
        },
    )
