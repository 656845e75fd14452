"""A royalty world: what real sessions at a real enclave left behind, told as that enclave would, or as a liar would.

`World` holds the entries of its ledger, the receipts, and the key of the instance with all that vouches for it. From
entries, true or altered, it makes statements and a log that verify each by itself: whoever lies has the key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from enclave.client import EnclaveClient
from storage.cid import Cid
from tests.builders import seeded, wallet
from tests.deployment import Deployment, deployed
from tests.enclaves import world
from vault.audit import audited
from vault.booking import booking_of
from vault.earnings import Earnings
from vault.entry import Entry, Kind
from vault.finding import Audited, Held, held_receipt
from vault.lease import Terms, ledger_id
from vault.ledger_seal import LedgerSeal
from vault.log_file import Earlier, LeafProof, LogFile, RefundProof
from vault.machine import BLANK, MachineKey
from vault.merkle_log import MerkleLog
from vault.receipt import ReceiptFile
from vault.receipt_message import payload_digest
from vault.settling import settled
from vault.statement import Proven, Settlement, Vouched
from vault.statement_file import StatementFile
from vault.transparency import TreeHead, booking_leaf
from vault.vouching import Vouching
from vault.witness import witnessed_size

EPOCH_S = 60
SECOND = wallet("second licensee")
Changed = Callable[[list[Entry]], list[Entry]]


@dataclass(frozen=True)
class Told:
    """Receipts, statements and a log that an auditor is given."""

    receipts: tuple[ReceiptFile, ...]
    statements: tuple[StatementFile, ...]
    log: LogFile | None
    logs: tuple[LogFile, ...] = ()  # others

    def audited(self) -> Audited:
        logs = [*self.logs, *([self.log] if self.log is not None else [])]
        return audited([held_receipt(file) for file in self.receipts], self.statements, logs)

    def held(self) -> list[Held]:
        return [held_receipt(file) for file in self.receipts]


@dataclass(frozen=True)
class World:
    """Three epochs of one enclave: two licensees ask, and the last one gives back a charge of the one before."""

    genesis: Cid
    key: MachineKey
    terms: Terms
    vouching: Vouching
    entries: tuple[Entry, ...]
    names: tuple[bytes, ...]  # of the entries
    receipts: tuple[ReceiptFile, ...]
    at: int

    def told(self, *, settle: Changed = list, log: Changed = list, receipts: Sequence[ReceiptFile] = ()) -> Told:
        """Return what is told: of these entries, or of altered ones."""
        return Told(
            receipts=tuple(receipts or self.receipts),
            statements=tuple(self.statements(settle([*self.entries]))),
            log=self.log(log([*self.entries])),
        )

    def statements(self, entries: Sequence[Entry], *, epoch: int = 0, **settlement: Any) -> Iterator[StatementFile]:
        """Yield every account's statement of one epoch, or all; fields of settlements may be replaced."""
        true_log = self.merkle(self.entries)
        for closed in _earnings(entries).closed.values():
            if epoch not in (0, closed.number):
                continue
            made = settled(
                [entry for entry in entries if closed.first <= entry.sequence <= closed.last],
                closed,
                genesis=self.genesis,
                ledger=ledger_id(self.genesis),
                secret=seeded(f"epoch {closed.number}"),
                log_root=true_log.root(closed.last),
            )
            message = self.vouched(replace(made.settlement, **settlement))
            for account, statement in made.statements.items():
                yield StatementFile(
                    proven=Proven(
                        message=message,
                        statement=statement,
                        sum_proof=made.sum_proofs[account],
                        claim_proof=made.claim_proofs[account],
                    ),
                    vouching=self.vouching,
                )

    def vouched(self, settlement: Settlement) -> bytes:
        """Return the instance's signature over a settlement."""
        terms = self.terms
        return Vouched(
            settlement=settlement, instance=terms.instance, evidence=terms.evidence, head=terms.head, at=self.at
        ).signed(self.key)

    def merkle(self, entries: Sequence[Entry]) -> MerkleLog:
        """Return the log over these entries."""
        log, charges = MerkleLog(), _charges(entries)
        for number, entry in enumerate(entries):
            charge = charges.get((entry.licensee, entry.reference))
            digest = payload_digest(charge.query.receipt) if charge is not None and charge.query is not None else b""
            log.append(booking_leaf(booking_of(entry), partial(self.names.__getitem__, number), digest))
        return log

    def log(self, entries: Sequence[Entry]) -> LogFile:
        """Return the log over these entries, with every proof an audit may want."""
        log, charges = self.merkle(entries), _charges(entries)
        head = TreeHead(
            genesis=self.genesis,
            ledger=ledger_id(self.genesis),
            size=log.size,
            root=log.root(log.size),
            at=self.at,
            instance=self.terms.instance,
            evidence=self.terms.evidence,
            head=self.terms.head,
            signature=BLANK,
        ).signed_by(self.key)
        voids = [
            (number, charges[entry.licensee, entry.reference])
            for number, entry in enumerate(entries)
            if entry.kind is Kind.VOID
        ]
        return LogFile(
            head=head,
            leaves=tuple(LeafProof(index=index, path=log.path(index, log.size)) for index in range(log.size)),
            refunds=tuple(
                RefundProof(receipt=payload_digest(charge.query.receipt), index=number, path=log.path(number, log.size))
                for number, charge in voids
                if charge.query is not None
            ),
            earlier=tuple(
                Earlier(size=size, proof=log.consistency(size, log.size))
                for size in sorted(
                    {witnessed_size(self.terms), *(one.sequence for one in entries if one.kind is Kind.EPOCH)}
                )
                if size <= log.size
            ),
            vouching=self.vouching,
        )


def _charges(entries: Sequence[Entry]) -> dict[tuple[bytes, bytes], Entry]:
    return {(entry.licensee, entry.reference): entry for entry in entries if entry.kind is Kind.QUERY}


def _earnings(entries: Sequence[Entry]) -> Earnings:
    earnings, charges = Earnings(), _charges(entries)
    for entry in entries:
        refunded = charges.get((entry.licensee, entry.reference)) if entry.kind is Kind.VOID else None
        earnings.note(booking_of(entry), refunded)
    return earnings


@contextmanager
def royalty_deployment(folder: Path) -> Iterator[Deployment]:
    """Run an enclave whose epochs last a minute, with credit for two licensees."""
    with deployed(folder, world(policy={"price_per_passage": 7}), epoch_s=EPOCH_S) as deployment:
        deployment.add_credit(5_000)
        deployment.add_credit(5_000, SECOND)
        yield deployment


def close_epoch(deployment: Deployment) -> None:
    """Let the epoch's time pass, and the enclave notice."""
    deployment.world.clock.advance(EPOCH_S)
    royalties = deployment.enclave.instance.meter().royalties
    deployment.loop.call(royalties.close_due(at=deployment.enclave.instance.now()))


def take_back(deployment: Deployment, file: ReceiptFile) -> None:
    """Give a charge back, as the enclave does where an answer may not be given again and was not confirmed."""
    meter = deployment.enclave.instance.meter()
    entry = meter.books.charge(file.license.licensee, file.query.request)
    assert entry is not None
    deployment.loop.call(meter.void(entry, at=deployment.enclave.instance.now()))


def ask(client: EnclaveClient, *questions: str) -> list[ReceiptFile]:
    """Ask, and return the receipts."""
    return [client.search(question, k=2).file for question in questions]


def royalty_world(folder: Path) -> World:
    """Run the sessions, and return what they left."""
    with royalty_deployment(folder) as deployment:
        second = deployment.credential(SECOND)
        with deployment.client() as one, deployment.client(second) as other:
            first = ask(one, "rain", "tide table") + ask(other, "wind")
            close_epoch(deployment)
            first += ask(one, "harbor", "rain at noon") + ask(other, "fog")
        undelivered = first.pop()  # its licensee never got it, and the next epoch gives it back
        close_epoch(deployment)
        take_back(deployment, undelivered)
        with deployment.client() as one, deployment.client(second) as other:
            first += ask(one, "ebb") + ask(other, "flood")
        close_epoch(deployment)
        return _left(deployment, tuple(first))


def _left(deployment: Deployment, receipts: tuple[ReceiptFile, ...]) -> World:
    instance = deployment.enclave.instance
    meter = instance.meter()
    entries = tuple(meter.royalties.entries(1, meter.anchor.sequence))
    seal = LedgerSeal(meter.state_key, ledger_id(deployment.world.genesis))
    grounds = instance.serving()
    vouching = Vouching(
        charter=grounds.history.charter,
        head=grounds.history.head,
        policies=tuple(grounds.history.policies.values()),
        leases=grounds.leases,
        binding=grounds.binding,
        evidence=grounds.evidence,
    )
    return World(
        genesis=deployment.world.genesis,
        key=deployment.enclave.keys.receipt,
        terms=grounds.terms,
        vouching=vouching,
        entries=entries,
        names=tuple(seal.entry_name(entry.encoded()) for entry in entries),
        receipts=receipts,
        at=instance.now(),
    )
