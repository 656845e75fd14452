"""What licensees have promised by vouchers, re-added from the ledger's entries (rules F3, L5).

A channel lends its licensee's account as much credit as may be unpaid, and each voucher adds what it rises by; together
never more than lies in escrow. So the account can be charged no more than vouchers and deposits cover and what may be
unpaid beside them. All of it comes from the account `promised/…`, which counts negative, as `paid-in/…` does.

An account has one channel at a time. Where another follows, what the first one lent stays lent: nobody gets a second
loan by beginning anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from vault.channel import Channel, Promised, Voucher
from vault.errors import LedgerTampered
from vault.royalty import licensee_account

PROMISED: Final = "promised"


def promised_account(licensee: bytes, currency: str) -> str:
    """Return the account that a licensee's credit by vouchers comes from."""
    return f"{PROMISED}/0x{licensee.hex()}/{currency}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where one account stands with its channel."""

    channel: Channel  # the one in force
    voucher: Voucher | None  # the highest on it
    before: int  # what vouchers on earlier channels came to
    credited: int  # what all channels ever credited the account with
    answers: int  # that its licensee had had by the last voucher

    @property
    def amount(self) -> int:
        """Return what the highest voucher on the channel is for."""
        return self.voucher.amount if self.voucher is not None else 0

    @property
    def lent(self) -> int:
        """Return the credit that no voucher covers."""
        return self.credited - self.before - self.amount

    def credited_with(self, channel: Channel, amount: int, unpaid_max: int) -> int:
        """Return what the account is to have been credited with, once vouchers on a channel come to `amount`."""
        before = self.before + (self.amount if channel.id != self.channel.id else 0)
        return max(self.credited, before + min(amount + unpaid_max, channel.limit))


class Promises:
    """The channels of one ledger."""

    def __init__(self) -> None:
        self._accounts: dict[str, Standing] = {}
        self._owners: dict[bytes, str] = {}  # the account of each channel in force, by the channel's id
        self._earlier: list[Standing] = []  # of channels that others followed

    def of(self, account: str) -> Standing | None:
        """Return where an account stands, if it ever had a channel."""
        return self._accounts.get(account)

    def standings(self) -> list[tuple[str, Standing]]:
        """Return every account that has a channel, and where it stands."""
        return [*self._accounts.items()]

    def earlier(self) -> list[Standing]:
        """Return how accounts stood with channels that others followed."""
        return [*self._earlier]

    def after(self, promised: Promised, credited: int, *, answers: int) -> tuple[str, Standing]:
        """Return an account, and where it will stand once this is booked.

        Args:
            credited: what the entry moves to the licensee's account.
            answers: that the licensee has had.
        Raises: `LedgerTampered` where it does not follow from what was before.
        """
        if promised.channel is not None:
            account, after = self._opened(promised.channel, credited)
        else:
            account, after = self._paid(promised, credited, answers)
        if after.amount > after.channel.limit or after.lent < 0:
            raise LedgerTampered("a voucher covers no more than its channel holds, and less than it credits")
        return account, after

    def note(self, promised: Promised, credited: int, *, answers: int) -> None:
        """Take in what an entry booked; see `after`."""
        account, after = self.after(promised, credited, answers=answers)
        known = self._accounts.get(account)
        if known is not None and known.channel.id != after.channel.id:
            del self._owners[known.channel.id]
            if known.voucher is not None:
                self._earlier.append(known)
        self._accounts[account] = after
        self._owners[after.channel.id] = account

    def _opened(self, channel: Channel, credited: int) -> tuple[str, Standing]:
        account = licensee_account(channel.licensee, channel.currency)
        known = self._accounts.get(account)
        if known is None:
            return account, Standing(channel=channel, voucher=None, before=0, credited=credited, answers=0)
        if known.channel.id == channel.id:
            return account, replace(known, channel=channel, credited=known.credited + credited)
        if channel.number <= known.channel.number:
            raise LedgerTampered("an account went back to an earlier channel")
        return account, Standing(
            channel=channel,
            voucher=None,
            before=known.before + known.amount,
            credited=known.credited + credited,
            answers=known.answers,
        )

    def _paid(self, promised: Promised, credited: int, answers: int) -> tuple[str, Standing]:
        voucher = promised.voucher
        account = self._owners.get(voucher.channel) if voucher is not None else None
        if account is None or voucher is None:
            raise LedgerTampered("a voucher on a channel that is not in force was booked")
        known = self._accounts[account]
        if voucher.amount <= known.amount:
            raise LedgerTampered("a voucher that does not rise was booked")
        return account, replace(known, voucher=voucher, credited=known.credited + credited, answers=answers)
