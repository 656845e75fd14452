"""A statement with all that an offline check needs: from an amount to the enclave's evidence and the DAO's genesis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from storage.cid import Cid
from vault.codec import Record, record
from vault.errors import InvalidReceipt, InvalidSignature, MalformedObject, VaultError
from vault.evidence import Appraiser
from vault.signing import address_text
from vault.statement import (
    STATEMENT_BYTES_MAX,
    Proven,
    Settlement,
    Statement,
    Vouched,
    claim_leaf,
    verified_settlement,
)
from vault.vouching import Signed, Vouching
from vault.weights import root_from_proof

FILE_BYTES_MAX: Final = STATEMENT_BYTES_MAX + (4 << 20)


class InvalidStatement(InvalidReceipt):
    """A statement that does not verify; the message names the first fact that is wrong."""


@record
class StatementFile(Record):
    """A proven statement, and what vouches for the instance that signed its settlement."""

    TYPE: ClassVar[str] = "coffer/statement-file/v1"

    proven: Proven
    vouching: Vouching

    @property
    def statement(self) -> Statement:
        """Return the statement, unverified."""
        return self.proven.statement

    @property
    def settlement(self) -> Settlement:
        """Return the settlement; raise `InvalidStatement` where its signature does not hold."""
        return self.vouched().settlement

    def vouched(self) -> Vouched:
        """Return what the instance signed; raise `InvalidStatement` where the signature does not hold."""
        try:
            return verified_settlement(self.proven.message, self.vouching.binding.receipt_key)
        except (InvalidSignature, MalformedObject) as error:
            raise InvalidStatement(f"signature: {error}") from error


def verify_statement_file(
    file: StatementFile, *, genesis: Cid, appraiser: Appraiser, allow_simulated: bool
) -> Iterator[str]:
    """Check a statement link by link, yielding a sentence for each that holds.

    Raises: `InvalidStatement` naming the first fact that does not hold.
    """
    vouched = file.vouched()
    settlement = vouched.settlement
    _require(settlement.genesis == genesis, "genesis: the settlement is from another DAO")
    yield f"settlement of epoch {settlement.epoch} signed by enclave instance {vouched.instance.hex()[:16]}…"
    signed = Signed(
        instance=vouched.instance,
        evidence=vouched.evidence,
        ledger=settlement.ledger,
        head=vouched.head,
        at=vouched.at,
    )
    try:
        yield from file.vouching.verify(signed, genesis=genesis, appraiser=appraiser, allow_simulated=allow_simulated)
        verify_proven(file.proven, vouched)
    except InvalidStatement:
        raise
    except VaultError as error:
        raise InvalidStatement(str(error)) from error
    yield from _told(file.statement, settlement)


def verify_proven(proven: Proven, vouched: Vouched) -> None:
    """Check a statement against the settlement over it, whose signature was verified; raise `InvalidReceipt`."""
    statement, settlement = proven.statement, vouched.settlement
    named = statement.genesis, statement.ledger, statement.epoch
    _require(named == (settlement.genesis, settlement.ledger, settlement.epoch), "epoch: the settlement is of another")
    settled = settlement.currency(statement.currency)
    root = proven.sum_proof.root(statement.leaf())
    _require(proven.sum_proof.size == settled.accounts, "sum proof: for a tree of another size")
    _require(root.hash == settled.sum_root, "amount: the statement is not a leaf of the settlement's sum tree")
    _require(root.sum == settled.total, "total: the sum tree has another one than the settlement says")
    if not statement.claim:
        _require(not proven.claim_proof, "claim: a proof of nothing")
        return
    claims = root_from_proof(claim_leaf(statement.address, statement.claim), proven.claim_proof)
    _require(claims == settled.claims_root, "claim: not under the root of claims that the settlement names")


def verify_chain(earlier: Statement, later: Statement) -> None:
    """Raise `InvalidStatement` unless an account's statements of two epochs, one after the other, fit together."""
    named = earlier.genesis, earlier.account, earlier.epoch + 1
    _require(named == (later.genesis, later.account, later.epoch), "epoch: not the next one of this account")
    _require(later.total == earlier.total + later.amount, "total: not that of the epoch before and this amount")
    _require(later.owed_before == earlier.owed, "owed_before: not what the epoch before says is owed")
    _require(later.claim >= earlier.claim, "claim: less than in the epoch before")


def _told(statement: Statement, settlement: Settlement) -> Iterator[str]:
    unit, settled = f"micro-{statement.currency}", settlement.currency(statement.currency)
    yield (
        f"{statement.amount} {unit} of {statement.account} is a leaf of the sum tree; "
        f"{len(statement.lines)} lines and {len(list(statement.pairs()))} payments belong to it"
    )
    yield (
        f"all accounts together: {settled.total} {unit} due; {settled.charged} charged, {settled.refunded} refunded, "
        f"{settled.owed_before} owed before, {settled.owed} owed now: it adds up"
    )
    if statement.claim:
        root = f"0x{settled.claims_root.hex()}"
        yield f"{address_text(statement.address)} may claim {statement.claim} {unit} in all under root {root}"


def _require(holds: bool, wrong: str) -> None:
    if not holds:
        raise InvalidStatement(wrong)
