"""How owners, members and enclaves speak to a custodian: pinned to the TLS key that the custodian signed for."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from itertools import islice
from typing import Any, Self, TypeVar

import grpc

from storage.cid import Cid
from vault.car import blocks_from_car, car_of
from vault.charter import Custodian
from vault.custody_state import CustodyState, StateQuestion
from vault.destruction import ORDER_BYTES_MAX, RECEIPT_BYTES_MAX, Destruction, DestructionReceipt
from vault.errors import InvalidSignature, ServiceUnavailable
from vault.evidence import Binding, Evidence
from vault.head_vote import MISSING_MAX, VOTE_BYTES_MAX, VOTES_MAX, HeadVote, KnownTip
from vault.lease import Lease
from vault.links import Piece, next_links
from vault.machine import verify_machine
from vault.manifest import Manifest, ShareDeposit
from vault.release import HandBack, Identity, LeaseRequest, ShareRelease, StateDeposit
from vault.submitting import submitted
from vault.tls import PinnedCertificate
from vault.v1 import custody_pb2 as pb
from vault.v1 import custody_pb2_grpc as rpc
from vault.voting_client import VotingClient
from vault.wire import error_from

CALL_TIMEOUT_S = 15.0
Response = TypeVar("Response")


class CustodyClient(VotingClient):
    """One custodian on one pinned channel. When it was lost, the next call has the custodian prove itself anew."""

    def __init__(
        self, address: str, *, expected: bytes | None = None, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """Name a custodian; nothing is asked before the first call, so one that is down now may be up by then.

        Args:
            expected: the signing key a charter names; None only where the charter is still to be learned.
            sleep: waits before a large chain is handed in further, where its bytes come too fast.
        """
        self.address = address
        self._expected = expected
        self._sleep = sleep
        self._custodian: Custodian | None = None
        self._channel: grpc.Channel | None = None
        self._stub: rpc.CustodyServiceStub | None = None

    @classmethod
    def connect(cls, address: str, *, expected: bytes | None = None) -> Self:
        """Connect to `host:port` now and have the custodian prove itself, or raise `ServiceUnavailable`."""
        client = cls(address, expected=expected)
        client._connected()
        return client

    @property
    def custodian(self) -> Custodian:
        """Return who the custodian proved to be, or raise `ServiceUnavailable` where it does not answer."""
        self._connected()
        assert self._custodian is not None  # noqa: S101  # what connecting leaves behind
        return self._custodian

    @staticmethod
    def _proven(address: str, expected: bytes | None) -> tuple[grpc.Channel, Custodian]:
        pinned = PinnedCertificate.fetch(address)
        channel = pinned.channel(address)
        nonce = secrets.token_bytes(32)
        try:
            answer = rpc.CustodyServiceStub(channel).Identify(pb.IdentifyRequest(nonce=nonce), timeout=CALL_TIMEOUT_S)
        except grpc.RpcError as error:
            channel.close()
            raise error_from(error, f"custodian at {address}") from error
        try:
            custodian = Custodian.from_bytes(answer.custodian)
            digest = sha256(custodian.encoded()).digest()
            identity = Identity(nonce=nonce, tls_key=pinned.key_hash, custodian=digest)
            verify_machine(custodian.key, identity.encoded(), answer.signature)
            if expected is not None and custodian.key != expected:
                raise InvalidSignature(f"the service at {address} is not custodian {expected.hex()}")  # noqa: TRY301
        except Exception:
            channel.close()
            raise
        return channel, custodian

    def submit_head(self, head: Cid, blocks: Mapping[Cid, bytes], votes: Sequence[HeadVote] = ()) -> int:
        """Hand in a head and the blocks that lead to it, in as many calls as their size needs.

        Returns the epoch that the custodian follows by then. Where it is one of several, see
        `vault.submitting.handed_to_all`.
        """
        return submitted(self, head, blocks, votes, sleep=self._sleep)

    def submit_blocks(
        self,
        head: Cid,
        blocks: Mapping[Cid, bytes],
        votes: Sequence[HeadVote] = (),
        *,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> int:
        """Hand in a head and blocks that fit one message, beside those staged; return the epoch followed."""
        request = pb.SubmitHeadRequest(
            head=head.binary, car=car_of(blocks), votes=[vote.encoded() for vote in votes[:VOTES_MAX]]
        )
        return int(self._call(lambda stub: stub.SubmitHead, request, timeout_s=timeout_s).epoch)

    def stage_blocks(self, blocks: Mapping[Cid, bytes]) -> None:
        """Hand in blocks that fit one message, ahead of the head that needs them."""
        self._call(lambda stub: stub.StageBlocks, pb.StageBlocksRequest(car=car_of(blocks)))

    def deposit_share(self, manifest: Manifest, deposit: ShareDeposit) -> None:
        """Hand in a manifest and this custodian's share."""
        request = pb.DepositShareRequest(manifest=manifest.encoded(), deposit=deposit.encoded())
        self._call(lambda stub: stub.DepositShare, request)

    def destroy_share(self, manifest: Manifest, order: Destruction) -> DestructionReceipt:
        """Hand in an owner's order to destroy a share; return the custodian's word, nothing verified but form."""
        request = pb.DestroyShareRequest(manifest=manifest.encoded(), order=order.encoded())
        answer = self._call(lambda stub: stub.DestroyShare, request)
        return DestructionReceipt.from_bytes(answer.receipt, bytes_max=RECEIPT_BYTES_MAX)

    def destroyed(self, genesis: Cid, after: bytes) -> tuple[list[Destruction], bytes]:
        """Return a page of owners' orders carried out there, and where the next begins; their form is verified."""
        request = pb.ListDestroyedRequest(genesis=genesis.binary, after=after)
        answer = self._call(lambda stub: stub.ListDestroyed, request)
        return [Destruction.from_bytes(order, bytes_max=ORDER_BYTES_MAX) for order in answer.orders], bytes(answer.next)

    def challenge(self, instance: bytes, keys: bytes) -> bytes:
        """Return a nonce for one piece of evidence over the HPKE keys with that digest."""
        return bytes(self._call(lambda stub: stub.Challenge, pb.ChallengeRequest(instance=instance, keys=keys)).nonce)

    def release(
        self, binding: Binding, evidence: Evidence, request: LeaseRequest, *, known_head: Cid | None
    ) -> tuple[Lease, dict[Cid, bytes], list[ShareRelease], ShareRelease | None]:
        """Return the lease, the chain's blocks, and the shares sealed to the bound keys; nothing verified but form."""
        answer = self._call(
            lambda stub: stub.Release,
            pb.ReleaseRequest(
                binding=binding.encoded(),
                evidence=evidence.encoded(),
                known_head=known_head.binary if known_head else b"",
                request=request.encoded(),
            ),
        )
        return (
            Lease.from_bytes(answer.lease),
            blocks_from_car(answer.car),
            [ShareRelease.from_bytes(share) for share in answer.shares],
            ShareRelease.from_bytes(answer.state_share) if answer.state_share else None,
        )

    def deposit_state(self, deposit: StateDeposit) -> None:
        """Hand in this custodian's share of the state key."""
        self._call(lambda stub: stub.DepositState, pb.DepositStateRequest(deposit=deposit.encoded()))

    def hand_back(self, hand_back: HandBack) -> None:
        """Give a lease back."""
        self._call(lambda stub: stub.HandBack, pb.HandBackRequest(hand_back=hand_back.encoded()))

    def tips(self, custodian: bytes) -> list[tuple[Cid, Cid, int]]:
        """Return genesis, head and epoch of every DAO it knows whose charter has `custodian`; nothing is verified."""
        return [(tip.genesis, tip.head, tip.epoch) for tip in self.known_tips(custodian)]

    def known_tips(self, custodian: bytes) -> list[KnownTip]:
        """Do as `tips`, and say which votes for heads it knows."""
        answer = self._call(lambda stub: stub.GetTips, pb.GetTipsRequest(custodian=custodian))
        return [
            KnownTip(genesis=Cid(tip.genesis), head=Cid(tip.head), epoch=int(tip.epoch), votes=bytes(tip.votes))
            for tip in answer.tips
        ]

    def head_votes(self, genesis: Cid) -> tuple[list[HeadVote], list[Cid]]:
        """Return custodians' votes for heads that it knows, and heads that it lacks; nothing is verified but form."""
        answer = self._call(lambda stub: stub.GetHeadVotes, pb.GetHeadVotesRequest(genesis=genesis.binary))
        votes = [HeadVote.from_bytes(vote, bytes_max=VOTE_BYTES_MAX) for vote in islice(answer.votes, VOTES_MAX)]
        return votes, [Cid(head) for head in islice(answer.missing, MISSING_MAX)]

    def chain(self, genesis: Cid, known: Cid | None) -> tuple[Cid, dict[Cid, bytes]]:
        """Return the next whole links after a known head, and the last head of them; nothing is verified but form.

        At the end it is the known head again. Raises: what `vault.links.next_links` does.
        """
        return self.branch(genesis, known, None)

    def branch(self, genesis: Cid, known: Cid | None, tip: Cid | None) -> tuple[Cid, dict[Cid, bytes]]:
        """Do as `chain`, toward a head that may come next."""

        def ask(known: Cid | None, skip: int) -> Piece:
            request = pb.GetChainRequest(genesis=genesis.binary, known_head=known.binary if known else b"", skip=skip)
            request.branch = tip.binary if tip else b""
            answer = self._call(lambda stub: stub.GetChain, request)
            return Piece(head=Cid(answer.head) if answer.head else None, blocks=blocks_from_car(answer.car))

        return next_links(ask, known)

    def custody_state(self, question: StateQuestion) -> CustodyState:
        """Return what it says it remembers; nothing is verified but form."""
        answer = self._call(lambda stub: stub.GetCustodyState, pb.GetCustodyStateRequest(question=question.encoded()))
        return CustodyState.from_bytes(answer.state)

    def manifests(self, genesis: Cid, after: bytes) -> tuple[list[Manifest], bytes]:
        """Return a page of the manifests registered under a DAO, and where the next begins; no owner is verified."""
        request = pb.ListManifestsRequest(genesis=genesis.binary, after=after)
        answer = self._call(lambda stub: stub.ListManifests, request)
        return [Manifest.from_bytes(manifest) for manifest in answer.manifests], bytes(answer.next)

    def close(self) -> None:
        """Close the channel."""
        if self._channel is not None:
            self._channel.close()
        self._channel = self._stub = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(
        self,
        method: Callable[[rpc.CustodyServiceStub], Callable[..., Any]],
        request: Any,
        *,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> Any:
        try:
            return method(self._connected())(request, timeout=timeout_s)
        except grpc.RpcError as error:
            failure = error_from(error, f"custodian at {self.address}")
            if isinstance(failure, ServiceUnavailable):  # restarted, it has another TLS key and the same signing key
                self.close()
            raise failure from error

    def _connected(self) -> rpc.CustodyServiceStub:
        if self._stub is None:
            channel, custodian = self._proven(self.address, self._expected)
            if self._custodian not in (None, custodian):
                channel.close()
                raise InvalidSignature(f"the custodian at {self.address} shows other keys than before")
            self._custodian, self._channel, self._stub = custodian, channel, rpc.CustodyServiceStub(channel)
        return self._stub
