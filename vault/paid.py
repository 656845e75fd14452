"""Whether each receipt was paid to each account once, in its epoch, and as the policy splits it (rules L4, R2)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from storage.cid import Cid
from vault.finding import Audited, Finding, Held, Lie, Refunds
from vault.royalty import shares_of
from vault.statement import Settlement, amount_seal, payment_id
from vault.statement_file import StatementFile


def check_payments(
    receipts: Sequence[Held],
    files: Sequence[StatementFile],
    settlements: dict[int, Settlement],
    refunded: Refunds,
    found: Audited,
) -> None:
    """Hold every receipt against every statement; what does not fit goes into `found`."""
    books = _Books(files, settlements)
    judged, untold = 0, Counter[str]()
    for one in receipts:
        epoch = books.epoch_of(one.receipt.entry)
        if epoch is None:
            found.open.append(f"{one.name}: no statement of its epoch was given")
            continue
        judged += 1
        due = dict(_due(one))
        untold.update(account for account, amount in due.items() if amount and not books.has(account, epoch))
        for account in books.accounts:
            found.findings += _judged(books, one, account, due.get(account, 0), epoch, refunded.get(one.digest))
    if judged:
        found.held.append(f"{judged} receipts held against {len(files)} statements")
    for account, count in sorted(untold.items()):
        found.open.append(f"{account}: {count} of the receipts owe it something, and no statement of it was given")


class _Books:
    """Statements by account and epoch, ready to be asked for one payment after another."""

    def __init__(self, files: Sequence[StatementFile], settlements: dict[int, Settlement]) -> None:
        self._settlements = sorted(settlements.items())
        self._paid: dict[str, dict[int, dict[bytes, bytes]]] = defaultdict(dict)
        self._taken_back: dict[str, dict[int, set[bytes]]] = defaultdict(dict)
        for file in files:
            statement = file.statement
            self._paid[statement.account][statement.epoch] = dict(statement.pairs())
            self._taken_back[statement.account][statement.epoch] = set(statement.refund_ids())
        self.accounts = sorted(self._paid)

    def epoch_of(self, entry: int) -> int | None:
        """Return the epoch that a ledger entry belongs to, as far as it is known."""
        return next((epoch for epoch, one in self._settlements if one.first <= entry <= one.last), None)

    def has(self, account: str, epoch: int | None) -> bool:
        """Say whether the account's statement of that epoch was given."""
        return epoch in self._paid.get(account, ())

    def seal(self, account: str, epoch: int, id: bytes) -> bytes | None:
        """Return how the payment is sealed in that epoch; None for no payment."""
        return self._paid[account].get(epoch, {}).get(id)

    def paid_in(self, account: str, id: bytes) -> list[int]:
        """Return the epochs that paid it."""
        return sorted(epoch for epoch, paid in self._paid[account].items() if id in paid)

    def taken_back_in(self, account: str, id: bytes) -> list[int]:
        """Return the epochs that took it back."""
        return sorted(epoch for epoch, ids in self._taken_back[account].items() if id in ids)


def _judged(books: _Books, one: Held, account: str, due: int, own: int, refunded_at: int | None) -> Iterator[Finding]:
    """Yield what is wrong with the payment of one receipt to one account."""
    where = f"{one.name}, {account}"
    id = payment_id(one.receipt.request, one.digest, account)
    paid_in, seal = books.paid_in(account, id), books.seal(account, own, id)
    if len(paid_in) > 1:
        yield Finding(Lie.TWICE, f"{where}: in epochs {' and '.join(map(str, paid_in))}")
    elif paid_in and paid_in != [own]:
        yield Finding(Lie.OVERPAID, f"{where}: in epoch {paid_in[0]}, which it does not belong to")
    if seal is None:
        if due and books.has(account, own) and (refunded_at is None or books.epoch_of(refunded_at) != own):
            yield Finding(Lie.UNPAID, f"{where}: {due} micro-units are due in epoch {own}")
    elif not due:
        yield Finding(Lie.OVERPAID, f"{where}: it owes this account nothing")
    elif seal != amount_seal(one.receipt.request, one.digest, account, due):
        yield Finding(Lie.CHANGED, f"{where}: {due} micro-units are due, and epoch {own} paid another amount")
    yield from _refund_judged(books, where, account, id, own, refunded_at)


def _refund_judged(
    books: _Books, where: str, account: str, id: bytes, own: int, refunded_at: int | None
) -> Iterator[Finding]:
    taken_back = books.taken_back_in(account, id)
    if refunded_at is None:
        if taken_back:
            yield Finding(Lie.UNPAID, f"{where}: epoch {taken_back[0]} takes it back, and no refund of it is shown")
        return
    refunding = books.epoch_of(refunded_at)
    if refunding == own and books.seal(account, own, id) is not None:
        yield Finding(Lie.OVERPAID, f"{where}: it was refunded before epoch {own} closed, and paid all the same")
    is_left = refunding not in (None, own) and books.has(account, refunding) and books.paid_in(account, id)
    if is_left and refunding not in taken_back:
        yield Finding(Lie.OVERPAID, f"{where}: it was refunded in epoch {refunding}, and is not taken back there")


def _due(one: Held) -> Iterator[tuple[str, int]]:
    """Yield what a receipt owes to each account, from the policy, the owners and the weights alone."""
    owners: dict[Cid, bytes] = {manifest.cid(): manifest.owner for manifest in one.file.manifests}
    passages = one.receipt.passages
    shares = shares_of(
        one.receipt.price,
        one.file.policy,
        [owners[proof.manifest] for proof in passages],
        one.receipt.weights,
    )
    return ((share.account, share.amount) for share in shares)
