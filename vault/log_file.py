"""What an auditor is shown of the public log: a signed head, and proofs of all that it is asked about (R1, R3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from storage.cid import Cid
from vault.codec import Digest, Length, Record
from vault.errors import InvalidReceipt, VaultError
from vault.evidence import Appraiser
from vault.merkle import PATH_MAX
from vault.transparency import TreeHead
from vault.vouching import Signed, Vouching

FILE_BYTES_MAX: Final = 64 << 20
PROOFS_MAX: Final = 1 << 15


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafProof(Record):
    """The way from one leaf up to the head's root."""

    index: int
    path: Annotated[tuple[Digest, ...], Length(0, PATH_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundProof(Record):
    """That a receipt was refunded."""

    receipt: Digest
    index: int
    path: Annotated[tuple[Digest, ...], Length(0, PATH_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier(Record):
    """That the log begins with the one of an earlier size."""

    size: int
    proof: Annotated[tuple[Digest, ...], Length(0, 2 * PATH_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFile(Record):
    """A head of the log with proofs, and what vouches for the instance that signed it."""

    TYPE: ClassVar[str] = "coffer/log-file/v1"

    head: TreeHead
    leaves: Annotated[tuple[LeafProof, ...], Length(0, PROOFS_MAX)]
    refunds: Annotated[tuple[RefundProof, ...], Length(0, PROOFS_MAX)]
    earlier: Annotated[tuple[Earlier, ...], Length(0, PROOFS_MAX)]
    vouching: Vouching


def verify_log_file(file: LogFile, *, genesis: Cid, appraiser: Appraiser, allow_simulated: bool) -> Iterator[str]:
    """Check the head's signature down to the evidence, yielding a sentence for each link that holds.

    Raises: `InvalidReceipt` naming the first fact that does not hold.
    """
    head = file.head
    try:
        head.verify()
    except VaultError as error:
        raise InvalidReceipt(f"log head: {error}") from error
    if head.genesis != genesis:
        raise InvalidReceipt("log head: from another DAO")
    yield f"log of {head.size} entries signed by enclave instance {head.instance.hex()[:16]}…"
    signed = Signed(instance=head.instance, evidence=head.evidence, ledger=head.ledger, head=head.head, at=head.at)
    yield from file.vouching.verify(signed, genesis=genesis, appraiser=appraiser, allow_simulated=allow_simulated)
