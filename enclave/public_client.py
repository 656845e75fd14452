"""A client's side of the public log and of statements: nothing is believed that a proof does not show (rules R1, R2).

with client.log() as log:
    head = log.followed(last_head)      # raises ForkedHistory where the log shrank or split; keep what it returns
    log.require_receipt(receipt, message, head)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from enclave.channel import EnclaveChannel
from enclave.v1 import royalty_pb2, royalty_pb2_grpc, transparency_pb2, transparency_pb2_grpc
from storage.cid import Cid
from vault.errors import InvalidReceipt, InvalidSignature, MalformedObject
from vault.finding import Held
from vault.lease import Terms
from vault.log_file import Earlier, LeafProof, RefundProof
from vault.merkle import PATH_MAX
from vault.receipt import FIRST_PREVIOUS
from vault.statement import STATEMENT_BYTES_MAX, Proven, Settlement, Vouched, verified_settlement
from vault.statement_file import verify_proven
from vault.transparency import TreeHead, refund_leaf, require_extends
from vault.witness import needs_proof, require_witnessed, witnessed_size

PROOFS_MAX = 1024  # in one call
STATEMENT_TIMEOUT_S = 300.0
STATEMENTS_MAX = 64  # of one address in one epoch: three kinds of account, in each currency


class LogClient:
    """The public log of the enclave behind a channel, whose instance was attested. Use it from one thread at a time."""

    def __init__(self, channel: EnclaveChannel, terms: Terms) -> None:
        self._channel = channel
        self._genesis: Cid = terms.genesis
        self._ledger = terms.ledger
        self._instance = terms.instance
        self._terms = terms
        self._stub = transparency_pb2_grpc.TransparencyServiceStub(channel.channel)

    @property
    def ledger(self) -> bytes:
        """Return whose log it is."""
        return self._ledger

    def head(self) -> TreeHead:
        """Return the log's head, signed by the attested instance; its log begins with what custodians signed.

        Raises: `InvalidSignature`, or `ForkedHistory` where it does not.
        """
        answer = self._channel.call(self._stub.GetTreeHead, transparency_pb2.GetTreeHeadRequest())
        head = TreeHead.from_bytes(answer.head)
        head.verify()
        if (head.instance, head.genesis, head.ledger) != (self._instance, self._genesis, self._ledger):
            raise InvalidSignature("the log's head is of another instance or ledger than the attested one")
        proof = self.consistency(self.witnessed, head.size) if needs_proof(self._terms, head) else ()
        require_witnessed(head, self._terms, proof)
        return head

    @property
    def witnessed(self) -> int:
        """Return how many entries of the log q custodians signed, with the leases that were verified here."""
        return witnessed_size(self._terms)

    def followed(self, last: TreeHead | None) -> TreeHead:
        """Return the log's head, proven to hold all that `last` held; raise `ForkedHistory` where it does not.

        Args:
            last: what this returned before, of this or an earlier instance, if anything.
        """
        head = self.head()
        if last is not None:
            proof = self.consistency(last.size, head.size) if last.size <= head.size else ()
            require_extends(head, last, proof)
        return head

    def path(self, index: int, size: int) -> tuple[bytes, ...]:
        """Return the inclusion proof of a leaf, unverified."""
        return self.paths([index], size)[0].path

    def paths(self, indices: Sequence[int], size: int) -> list[LeafProof]:
        """Return the inclusion proofs of leaves, in their order, unverified."""
        found: list[LeafProof] = []
        for start in range(0, len(indices), PROOFS_MAX):
            some = indices[start : start + PROOFS_MAX]
            proofs = self._proofs(transparency_pb2.GetInclusionProofRequest(size=size, indices=some), len(some))
            found += [LeafProof(index=index, path=proof) for index, (_, proof) in zip(some, proofs, strict=True)]
        return found

    def refunds(self, digests: Sequence[bytes], size: int) -> list[RefundProof]:
        """Return which of the receipts with these digests the log shows as refunded, with proofs, unverified."""
        found: list[RefundProof] = []
        for start in range(0, len(digests), PROOFS_MAX):
            some = digests[start : start + PROOFS_MAX]
            leaves = [refund_leaf(digest) for digest in some]
            proofs = self._proofs(transparency_pb2.GetInclusionProofRequest(size=size, refunds=leaves), len(some))
            found += [
                RefundProof(receipt=digest, index=index, path=path)
                for digest, (index, path) in zip(some, proofs, strict=True)
                if index is not None
            ]
        return found

    def _proofs(
        self, request: transparency_pb2.GetInclusionProofRequest, count: int
    ) -> list[tuple[int | None, tuple[bytes, ...]]]:
        proofs = self._channel.call(self._stub.GetInclusionProof, request).proofs
        if len(proofs) != count:
            raise MalformedObject("the enclave sent another number of proofs than were asked for")
        return [(int(one.index) if one.found else None, _hashes(one.path, PATH_MAX)) for one in proofs]

    def consistency(self, old: int, size: int) -> tuple[bytes, ...]:
        """Return the proof that the log of one size begins with that of another, unverified."""
        request = transparency_pb2.GetConsistencyProofRequest(old=old, size=size)
        return _hashes(self._channel.call(self._stub.GetConsistencyProof, request).proof, 2 * PATH_MAX)


def log_proofs(
    log: LogClient,
    head: TreeHead,
    receipts: Iterable[Held],
    settlements: Iterable[Settlement],
    shorter: Iterable[int] = (),
) -> tuple[tuple[LeafProof, ...], tuple[RefundProof, ...], tuple[Earlier, ...]]:
    """Return what an audit of these needs of the log, unverified: proofs of leaves, of refunds, of earlier sizes.

    Where a receipt of a chain is not given, the next one names it; where the log shows its refund, that is proven too.

    Args:
        shorter: sizes of logs that this one should begin with.
    """
    held = list(receipts)
    indices = sorted({one.receipt.entry - 1 for one in held if 1 <= one.receipt.entry <= head.size})
    leaves = tuple(log.paths(indices, head.size))
    digests = {one.digest for one in held} | {one.receipt.previous for one in held} - {FIRST_PREVIOUS}
    refunds = tuple(log.refunds(sorted(digests), head.size))
    wanted = {*(one.last for one in settlements), *shorter}
    sizes = sorted({size for size in wanted if size <= head.size} | {log.witnessed})
    earlier = tuple(Earlier(size=size, proof=log.consistency(size, head.size)) for size in sizes)
    return leaves, refunds, earlier


def statements(channel: EnclaveChannel, inquiry: bytes, epoch: int, terms: Terms) -> list[tuple[Proven, bytes]]:
    """Return the statements of a signed `Inquiry`'s signer, each checked, and the key that names its passages.

    Args:
        epoch: its number; 0 for the last one that closed.
        terms: of the attested instance.
    Raises: `InvalidReceipt` where a statement does not hold.
    """
    stub = royalty_pb2_grpc.RoyaltyServiceStub(channel.channel)
    request = royalty_pb2.GetStatementRequest(inquiry=inquiry, epoch=epoch)
    bodies: list[bytearray] = []
    keys: list[bytes] = []
    for part in channel.stream(stub.GetStatement, request, timeout_s=STATEMENT_TIMEOUT_S):
        if part.number == len(bodies) + 1 <= STATEMENTS_MAX:
            bodies.append(bytearray())
            keys.append(bytes(part.passage_key))
        if not bodies or part.number != len(bodies) or len(bodies[-1]) + len(part.part) > STATEMENT_BYTES_MAX:
            raise MalformedObject("the enclave sent parts of statements out of order, or too many")
        bodies[-1] += part.part
    proven = [Proven.from_bytes(bytes(body), bytes_max=STATEMENT_BYTES_MAX) for body in bodies]
    for one in proven:
        verify_proven(one, _vouched(one, epoch, terms))
    return list(zip(proven, keys, strict=True))


def _vouched(proven: Proven, epoch: int, terms: Terms) -> Vouched:
    vouched = verified_settlement(proven.message, terms.instance)
    settlement, statement = vouched.settlement, proven.statement
    if (settlement.genesis, settlement.ledger) != (terms.genesis, terms.ledger) or epoch not in (0, settlement.epoch):
        raise InvalidReceipt("epoch: the settlement is of another epoch or ledger than was asked for")
    if (statement.genesis, statement.ledger, statement.epoch) != (terms.genesis, terms.ledger, settlement.epoch):
        raise InvalidReceipt("epoch: the statement is not of the settlement's epoch or ledger")
    return vouched


def _hashes(nodes: Sequence[bytes], most: int) -> tuple[bytes, ...]:
    if len(nodes) > most or any(len(node) != 32 for node in nodes):
        raise MalformedObject("the enclave sent a proof of hashes that are none, or too many")
    return tuple(nodes)
