"""What an audit is made of: receipts as they are held, lies by name, and what the whole came to."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from vault.receipt import Receipt, ReceiptFile, receipt_digest, verified_receipt

Refunds: TypeAlias = dict[bytes, int]  # the digest of a receipt → the ledger entry that refunded it


class Lie(StrEnum):
    """What does not fit, one word for each way."""

    FORKED = "forked"  # two receipts in one place
    GAP = "gap"  # a number without a receipt
    UNCHAINED = "unchained"  # a receipt that does not name the one before
    UNLOGGED = "unlogged"  # a receipt that the log does not hold where it should
    SPLIT = "split"  # two logs, settlements or statements where there is one
    UNPAID = "unpaid"  # an account that is owed for a receipt, and not paid
    OVERPAID = "overpaid"  # an account that is paid for a receipt that owes it nothing
    TWICE = "paid twice"
    CHANGED = "changed"  # another amount
    UNDERCHARGED = "undercharged"  # an epoch that charged less than the receipts in it
    RETRACTED = "retracted"  # a refund of a receipt that its licensee had confirmed


@dataclass(frozen=True, slots=True)
class Finding:
    """One lie, and about what."""

    lie: Lie
    about: str

    def __str__(self) -> str:
        return f"{self.lie}: {self.about}"


@dataclass(slots=True)
class Audited:
    """What an audit came to."""

    findings: list[Finding] = field(default_factory=list)
    held: list[str] = field(default_factory=list)  # what was checked and fits
    open: list[str] = field(default_factory=list)  # what could not be judged, and for want of what


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A receipt as it is audited."""

    file: ReceiptFile
    receipt: Receipt
    digest: bytes

    @property
    def licensee(self) -> bytes:
        """Return whose it is."""
        return self.file.license.licensee

    @property
    def name(self) -> str:
        """Return what a person calls it."""
        return f"receipt {self.receipt.sequence} of 0x{self.licensee.hex()} (ledger entry {self.receipt.entry})"


def held_receipt(file: ReceiptFile) -> Held:
    """Return a receipt to audit; its file was verified."""
    receipt = verified_receipt(file.message, file.binding.receipt_key)
    return Held(file=file, receipt=receipt, digest=receipt_digest(file.message))
