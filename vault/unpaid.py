"""What an account owes by its channel, and how much more it may: at most a set amount, so many answers (rule L5).

What is unpaid is the lent credit that is used up. Credit in suspense (rule F3) is not used up: it comes back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vault.channel import Channel, Promised, Redeemable, Voucher
from vault.entry import Entry, Kind
from vault.errors import AccessDenied, CreditExhausted, RequestConflict, VoucherDue
from vault.ledger import Books
from vault.losses import suspense_of
from vault.promises import Standing, promised_account
from vault.royalty import Transfer, licensee_account
from vault.voucher_rules import VoucherRules


@dataclass(frozen=True, slots=True, kw_only=True)
class Debt:
    """What one account owes by its channel."""

    channel: Channel
    voucher: Voucher | None  # the highest
    unpaid: int  # micro-units that were charged and no voucher covers
    queries: int  # answers since the last voucher, if anything is unpaid

    @property
    def due(self) -> int:
        """Return the amount of a voucher that would cover everything, as far as the channel holds it."""
        return min(self.channel.limit, (self.voucher.amount if self.voucher is not None else 0) + self.unpaid)


def debt_of(books: Books, account: str) -> Debt | None:
    """Return what an account owes by its channel; None where it never had one."""
    standing = books.promises.of(account)
    return _debt(books, standing, standing.lent - _credit(books, account)) if standing is not None else None


def require_promised(
    books: Books, account: str, rules: VoucherRules | None, *, price: int, held: int, racing: int, at: int
) -> None:
    """Raise unless an answer is paid for in advance, or may stay unpaid for now.

    Args:
        rules: of the policy in force.
        price: the most that it may cost.
        held: what other answers on their way may cost.
        racing: how many these are.
        at: UTC seconds.
    Raises: `VoucherDue` where a voucher mends it, `CreditExhausted` where none does.
    """
    standing = books.promises.of(account)
    if standing is None:
        return
    used = standing.lent - _credit(books, account)  # less than nothing where there is prepaid credit
    unpaid = used + held + price
    if unpaid <= 0:
        return
    debt = _debt(books, standing, used)
    if rules is None:
        raise CreditExhausted("this policy takes no vouchers, and what is paid for is used up; add credit")
    if at >= debt.channel.expires_at:
        raise CreditExhausted(f"the channel ended at {debt.channel.expires_at}; have the treasury open another one")
    is_full = debt.channel.limit - standing.amount < unpaid
    if is_full:
        raise CreditExhausted(
            f"the channel holds {debt.channel.limit} micro-units and vouchers stand at {standing.amount}; "
            "have the treasury raise its limit"
        )
    if unpaid > rules.unpaid_max:
        raise VoucherDue(
            f"{unpaid} micro-units would be unpaid and at most {rules.unpaid_max} may be; "
            f"hand in a voucher for {debt.due}"
        )
    if debt.queries + racing >= rules.unpaid_queries_max:
        raise VoucherDue(
            f"{debt.queries + racing} answers are unpaid and at most {rules.unpaid_queries_max} may be; "
            f"hand in a voucher for {debt.due}"
        )


def channel_entry(books: Books, channel: Channel, rules: VoucherRules, *, at: int) -> Entry:
    """Return the entry that opens a verified channel, or raises its terms.

    Raises: `RequestConflict` where the books have it, or a later one, already; `AccessDenied` for one that has ended.
    """
    if at >= channel.expires_at:
        raise AccessDenied("the channel has ended already; sign one that lasts longer")
    account = licensee_account(channel.licensee, channel.currency)
    known = books.promises.of(account)
    if known is not None and known.channel.id == channel.id:
        _require_raised(known.channel, channel)
    elif known is not None and channel.number <= known.channel.number:
        raise RequestConflict(f"channel {known.channel.number} of this licensee is in the books; number the next one")
    blank = Standing(channel=channel, voucher=None, before=0, credited=0, answers=0)
    after = (known or blank).credited_with(channel, _amount_on(known, channel), rules.unpaid_max)
    return _entry(books, Promised(channel=channel, voucher=None), after - (known.credited if known else 0), at=at)


def voucher_entry(books: Books, account: str, voucher: Voucher, rules: VoucherRules | None, *, at: int) -> Entry | None:
    """Return the entry that books a voucher; None for the very amount that the books have already.

    Args:
        rules: of the policy in force; without them the voucher is taken, and nothing further lent.
    Raises: `AccessDenied`, `InvalidSignature` for one that does not hold here; `RequestConflict` for a lower one;
        `CreditExhausted` for one over the channel's limit.
    """
    standing = books.promises.of(account)
    if standing is None:
        raise AccessDenied("there is no channel to draw on; have the treasury open one under a policy with vouchers")
    channel = standing.channel
    voucher.verify(channel)
    if at >= channel.expires_at:
        raise AccessDenied(f"the channel ended at {channel.expires_at}, and vouchers on it count no more")
    if voucher.amount > channel.limit:
        raise CreditExhausted(f"the voucher is for {voucher.amount}, and the channel holds {channel.limit}")
    if voucher.amount < standing.amount:
        raise RequestConflict(f"a voucher for {standing.amount} is held already, and vouchers only rise")
    if voucher.amount == standing.amount:
        return None
    after = standing.credited_with(channel, voucher.amount, rules.unpaid_max if rules is not None else 0)
    return _entry(books, Promised(channel=None, voucher=voucher), after - standing.credited, at=at, on=channel)


def redeemable(books: Books) -> Iterator[Redeemable]:
    """Yield the last voucher of every channel, and what of it was used; of earlier channels, all of it."""
    for earlier in books.promises.earlier():
        if earlier.voucher is not None:
            yield Redeemable(channel=earlier.channel, voucher=earlier.voucher, claimable=earlier.amount)
    for account, standing in books.promises.standings():
        if standing.voucher is not None:
            unused = max(0, _credit(books, account) - standing.lent)
            claimable = max(0, standing.amount - unused)
            yield Redeemable(channel=standing.channel, voucher=standing.voucher, claimable=claimable)


def _debt(books: Books, standing: Standing, used: int) -> Debt:
    unpaid = max(0, used)
    queries = books.receipt_chain(standing.channel.licensee)[0] - standing.answers if unpaid else 0
    return Debt(channel=standing.channel, voucher=standing.voucher, unpaid=unpaid, queries=queries)


def _credit(books: Books, account: str) -> int:
    return books.balance(account) + books.balance(suspense_of(account))


def _amount_on(known: Standing | None, channel: Channel) -> int:
    return known.amount if known is not None and known.channel.id == channel.id else 0


def _require_raised(known: Channel, channel: Channel) -> None:
    before, after = (known.limit, known.expires_at), (channel.limit, channel.expires_at)
    if before == after:
        raise RequestConflict("this channel is in the books already; it counts once")
    if after[0] < before[0] or after[1] < before[1]:
        raise RequestConflict("a channel's limit and end only rise; the books have it with higher ones")


def _entry(books: Books, promised: Promised, amount: int, *, at: int, on: Channel | None = None) -> Entry:
    channel = promised.channel or on
    if channel is None:
        raise ValueError("a voucher is drawn on a channel")
    currency, licensee = channel.currency, channel.licensee
    moved = Transfer(
        debit=promised_account(licensee, currency), credit=licensee_account(licensee, currency), amount=max(1, amount)
    )
    return Entry(
        sequence=books.last_sequence + 1,
        kind=Kind.CHANNEL if promised.channel is not None else Kind.VOUCHER,
        at=at,
        licensee=licensee,
        reference=channel.id,
        transfers=(moved,) if amount > 0 else (),
        query=None,
        promised=promised,
    )
