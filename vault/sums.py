"""What books come to: sums that two readings of the same entries must have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from vault.errors import LedgerTampered
from vault.promises import Standing


class Sums(NamedTuple):
    """Everything that is judged by, as it stands after one entry."""

    sequence: int
    balances: Mapping[str, int]  # by account
    spent: Mapping[bytes, int]  # by delegation
    shown: Mapping[bytes, tuple[int, int]]  # by the holder of a budget: passages, and passages by lineage
    receipts: Mapping[bytes, tuple[int, bytes]]  # by licensee: how many, and the digest of the last
    answered: int  # requests that can be asked again
    deposits: int
    voided: int
    promised: Mapping[str, Standing]  # by account, where it has a channel
    earned: Mapping[str, tuple[int, int]]  # by payee, of the epochs that closed: in all, and owed
    log_root: bytes

    def require_equal(self, readded: Sums) -> None:
        """Raise `LedgerTampered`, naming what differs, unless the rows add up to these sums and to zero."""
        for name, ours, theirs in zip(self._fields, self, readded, strict=True):
            if ours != theirs:
                said = name.replace("_", " ")
                raise LedgerTampered(f"{said}: the rows up to entry {self.sequence} do not add up to what is served on")
        by_currency: dict[str, int] = {}
        for account, amount in self.balances.items():
            currency = account.rpartition("/")[2]
            by_currency[currency] = by_currency.get(currency, 0) + amount
        for currency, total in by_currency.items():
            if total:
                raise LedgerTampered(f"balances: the accounts in {currency} add up to {total} and not to zero")
