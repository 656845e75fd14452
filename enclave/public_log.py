"""The public log as an instance shows it: heads that it signs, and proofs of what is durable (rules R1, R3)."""

from __future__ import annotations

from enclave.durable_books import DurableBooks
from enclave.grounds import Grounds
from vault.errors import MalformedObject
from vault.machine import BLANK, MachineKey
from vault.transparency import TreeHead


class PublicLog:
    """The log of one ledger. What is booked and not durable yet is never shown: a crash could take it back."""

    def __init__(self, kept: DurableBooks, key: MachineKey) -> None:
        self._kept = kept
        self._key = key
        self._head: TreeHead | None = None  # the last one, given again while it is the same

    def head(self, grounds: Grounds, *, at: int) -> TreeHead:
        """Return the signed head of all that is durable; one signature for every size and lease."""
        size, terms = self._kept.anchor.sequence, grounds.terms
        last = self._head
        if last is not None and (last.size, last.evidence, last.head) == (size, terms.evidence, terms.head):
            return last
        head = TreeHead(
            genesis=terms.genesis,
            ledger=terms.ledger,
            size=size,
            root=self._kept.log.root(size),
            at=at,
            instance=self._key.public,
            evidence=terms.evidence,
            head=terms.head,
            signature=BLANK,
        ).signed_by(self._key)
        self._head = head
        return head

    def path(self, index: int, size: int) -> tuple[bytes, ...]:
        """Return the inclusion proof of a leaf in the log of that size. Raises `MalformedObject` for what is not."""
        self._require(size)
        if not 0 <= index < size:
            raise MalformedObject(f"a log of {size} entries has no leaf {index}")
        return self._kept.log.path(index, size)

    def refund_place(self, leaf: bytes, size: int) -> int | None:
        """Return where a refund's leaf stands in the log of that size, if it does."""
        self._require(size)
        index = self._kept.refund_place(leaf)
        return index if index is not None and index < size else None

    def consistency(self, old: int, size: int) -> tuple[bytes, ...]:
        """Return the proof that the log of one size begins with that of another; `MalformedObject` for what is not."""
        self._require(size)
        if not 0 <= old <= size:
            raise MalformedObject(f"a log of {size} entries never had {old} before that")
        return self._kept.log.consistency(old, size)

    def _require(self, size: int) -> None:
        known = self._kept.anchor.sequence
        if not 0 <= size <= known:
            raise MalformedObject(f"the log has {known} entries, not {size}; ask for a head first")
