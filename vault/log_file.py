"""What an auditor is shown of the public log: a signed head, and proofs of all that it is asked about (R1, R3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Final

from storage.cid import Cid
from vault.codec import Digest, Length, Record, record
from vault.errors import ForkedHistory, InvalidReceipt, VaultError
from vault.evidence import Appraiser
from vault.lease import Terms, agreed_terms
from vault.merkle import PATH_MAX
from vault.transparency import TreeHead
from vault.vouching import Signed, Vouching
from vault.witness import needs_proof, require_witnessed, witnessed_size

FILE_BYTES_MAX: Final = 64 << 20
PROOFS_MAX: Final = 1 << 15


@record
class LeafProof(Record):
    """The way from one leaf up to the head's root."""

    index: int
    path: Annotated[tuple[Digest, ...], Length(0, PATH_MAX)]


@record
class RefundProof(Record):
    """That a receipt was refunded."""

    receipt: Digest
    index: int
    path: Annotated[tuple[Digest, ...], Length(0, PATH_MAX)]


@record
class Earlier(Record):
    """That the log begins with the one of an earlier size."""

    size: int
    proof: Annotated[tuple[Digest, ...], Length(0, 2 * PATH_MAX)]


@record
class LogFile(Record):
    """A head of the log with proofs, and what vouches for the instance that signed it."""

    TYPE: ClassVar[str] = "coffer/log-file/v1"

    head: TreeHead
    leaves: Annotated[tuple[LeafProof, ...], Length(0, PROOFS_MAX)]
    refunds: Annotated[tuple[RefundProof, ...], Length(0, PROOFS_MAX)]
    earlier: Annotated[tuple[Earlier, ...], Length(0, PROOFS_MAX)]
    vouching: Vouching

    def leased(self) -> Terms:
        """Return what the custodians agreed on that leased the instance; they signed the log as far as their anchor."""
        head, vouching = self.head, self.vouching
        return agreed_terms(vouching.leases, vouching.charter, genesis=head.genesis, at=head.at)

    def witnesses(self) -> int:
        """Return how many custodians signed that."""
        terms = self.leased()
        return len({lease.custodian for lease in self.vouching.leases if lease.terms == terms})


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
    yield _witnessed(file)


def _witnessed(file: LogFile) -> str:
    terms, head = file.leased(), file.head
    size = witnessed_size(terms)
    proofs = {one.size: one.proof for one in file.earlier}
    if needs_proof(terms, head) and size not in proofs:
        raise InvalidReceipt(f"witnesses: no proof that the log begins with the {size} entries that custodians signed")
    try:
        require_witnessed(head, terms, proofs[size] if needs_proof(terms, head) else ())
    except ForkedHistory as error:
        raise InvalidReceipt(f"witnesses: {error}") from error
    return f"first {size} entries signed by {file.witnesses()} of {len(file.vouching.charter.custodians)} custodians"
