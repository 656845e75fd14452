from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class IdentifyRequest(_message.Message):
    __slots__ = ("nonce",)
    NONCE_FIELD_NUMBER: _ClassVar[int]
    nonce: bytes
    def __init__(self, nonce: _Optional[bytes] = ...) -> None: ...

class IdentifyResponse(_message.Message):
    __slots__ = ("custodian", "signature")
    CUSTODIAN_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    custodian: bytes
    signature: bytes
    def __init__(self, custodian: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class SubmitHeadRequest(_message.Message):
    __slots__ = ("head", "car", "votes")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    CAR_FIELD_NUMBER: _ClassVar[int]
    VOTES_FIELD_NUMBER: _ClassVar[int]
    head: bytes
    car: bytes
    votes: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, head: _Optional[bytes] = ..., car: _Optional[bytes] = ..., votes: _Optional[_Iterable[bytes]] = ...) -> None: ...

class SubmitHeadResponse(_message.Message):
    __slots__ = ("epoch",)
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    def __init__(self, epoch: _Optional[int] = ...) -> None: ...

class StageBlocksRequest(_message.Message):
    __slots__ = ("car",)
    CAR_FIELD_NUMBER: _ClassVar[int]
    car: bytes
    def __init__(self, car: _Optional[bytes] = ...) -> None: ...

class StageBlocksResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DepositShareRequest(_message.Message):
    __slots__ = ("manifest", "deposit")
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    DEPOSIT_FIELD_NUMBER: _ClassVar[int]
    manifest: bytes
    deposit: bytes
    def __init__(self, manifest: _Optional[bytes] = ..., deposit: _Optional[bytes] = ...) -> None: ...

class DepositShareResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DestroyShareRequest(_message.Message):
    __slots__ = ("manifest", "order")
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    manifest: bytes
    order: bytes
    def __init__(self, manifest: _Optional[bytes] = ..., order: _Optional[bytes] = ...) -> None: ...

class DestroyShareResponse(_message.Message):
    __slots__ = ("receipt",)
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    receipt: bytes
    def __init__(self, receipt: _Optional[bytes] = ...) -> None: ...

class ListDestroyedRequest(_message.Message):
    __slots__ = ("genesis", "after")
    GENESIS_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    genesis: bytes
    after: bytes
    def __init__(self, genesis: _Optional[bytes] = ..., after: _Optional[bytes] = ...) -> None: ...

class ListDestroyedResponse(_message.Message):
    __slots__ = ("orders", "next")
    ORDERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    orders: _containers.RepeatedScalarFieldContainer[bytes]
    next: bytes
    def __init__(self, orders: _Optional[_Iterable[bytes]] = ..., next: _Optional[bytes] = ...) -> None: ...

class ChallengeRequest(_message.Message):
    __slots__ = ("instance", "keys")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    instance: bytes
    keys: bytes
    def __init__(self, instance: _Optional[bytes] = ..., keys: _Optional[bytes] = ...) -> None: ...

class ChallengeResponse(_message.Message):
    __slots__ = ("nonce", "lifetime_s")
    NONCE_FIELD_NUMBER: _ClassVar[int]
    LIFETIME_S_FIELD_NUMBER: _ClassVar[int]
    nonce: bytes
    lifetime_s: int
    def __init__(self, nonce: _Optional[bytes] = ..., lifetime_s: _Optional[int] = ...) -> None: ...

class ReleaseRequest(_message.Message):
    __slots__ = ("binding", "evidence", "known_head", "request")
    BINDING_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    KNOWN_HEAD_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    binding: bytes
    evidence: bytes
    known_head: bytes
    request: bytes
    def __init__(self, binding: _Optional[bytes] = ..., evidence: _Optional[bytes] = ..., known_head: _Optional[bytes] = ..., request: _Optional[bytes] = ...) -> None: ...

class ReleaseResponse(_message.Message):
    __slots__ = ("lease", "car", "shares", "state_share")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    CAR_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    STATE_SHARE_FIELD_NUMBER: _ClassVar[int]
    lease: bytes
    car: bytes
    shares: _containers.RepeatedScalarFieldContainer[bytes]
    state_share: bytes
    def __init__(self, lease: _Optional[bytes] = ..., car: _Optional[bytes] = ..., shares: _Optional[_Iterable[bytes]] = ..., state_share: _Optional[bytes] = ...) -> None: ...

class DepositStateRequest(_message.Message):
    __slots__ = ("deposit",)
    DEPOSIT_FIELD_NUMBER: _ClassVar[int]
    deposit: bytes
    def __init__(self, deposit: _Optional[bytes] = ...) -> None: ...

class DepositStateResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HandBackRequest(_message.Message):
    __slots__ = ("hand_back",)
    HAND_BACK_FIELD_NUMBER: _ClassVar[int]
    hand_back: bytes
    def __init__(self, hand_back: _Optional[bytes] = ...) -> None: ...

class HandBackResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetTipsRequest(_message.Message):
    __slots__ = ("custodian",)
    CUSTODIAN_FIELD_NUMBER: _ClassVar[int]
    custodian: bytes
    def __init__(self, custodian: _Optional[bytes] = ...) -> None: ...

class Tip(_message.Message):
    __slots__ = ("genesis", "head", "epoch", "votes")
    GENESIS_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    VOTES_FIELD_NUMBER: _ClassVar[int]
    genesis: bytes
    head: bytes
    epoch: int
    votes: bytes
    def __init__(self, genesis: _Optional[bytes] = ..., head: _Optional[bytes] = ..., epoch: _Optional[int] = ..., votes: _Optional[bytes] = ...) -> None: ...

class GetTipsResponse(_message.Message):
    __slots__ = ("tips",)
    TIPS_FIELD_NUMBER: _ClassVar[int]
    tips: _containers.RepeatedCompositeFieldContainer[Tip]
    def __init__(self, tips: _Optional[_Iterable[_Union[Tip, _Mapping]]] = ...) -> None: ...

class GetChainRequest(_message.Message):
    __slots__ = ("genesis", "known_head", "skip", "branch")
    GENESIS_FIELD_NUMBER: _ClassVar[int]
    KNOWN_HEAD_FIELD_NUMBER: _ClassVar[int]
    SKIP_FIELD_NUMBER: _ClassVar[int]
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    genesis: bytes
    known_head: bytes
    skip: int
    branch: bytes
    def __init__(self, genesis: _Optional[bytes] = ..., known_head: _Optional[bytes] = ..., skip: _Optional[int] = ..., branch: _Optional[bytes] = ...) -> None: ...

class GetChainResponse(_message.Message):
    __slots__ = ("head", "car")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    CAR_FIELD_NUMBER: _ClassVar[int]
    head: bytes
    car: bytes
    def __init__(self, head: _Optional[bytes] = ..., car: _Optional[bytes] = ...) -> None: ...

class GetHeadVotesRequest(_message.Message):
    __slots__ = ("genesis",)
    GENESIS_FIELD_NUMBER: _ClassVar[int]
    genesis: bytes
    def __init__(self, genesis: _Optional[bytes] = ...) -> None: ...

class GetHeadVotesResponse(_message.Message):
    __slots__ = ("votes", "missing")
    VOTES_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    votes: _containers.RepeatedScalarFieldContainer[bytes]
    missing: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, votes: _Optional[_Iterable[bytes]] = ..., missing: _Optional[_Iterable[bytes]] = ...) -> None: ...

class GetCustodyStateRequest(_message.Message):
    __slots__ = ("question",)
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    question: bytes
    def __init__(self, question: _Optional[bytes] = ...) -> None: ...

class GetCustodyStateResponse(_message.Message):
    __slots__ = ("state",)
    STATE_FIELD_NUMBER: _ClassVar[int]
    state: bytes
    def __init__(self, state: _Optional[bytes] = ...) -> None: ...

class ListManifestsRequest(_message.Message):
    __slots__ = ("genesis", "after")
    GENESIS_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    genesis: bytes
    after: bytes
    def __init__(self, genesis: _Optional[bytes] = ..., after: _Optional[bytes] = ...) -> None: ...

class ListManifestsResponse(_message.Message):
    __slots__ = ("manifests", "next")
    MANIFESTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    manifests: _containers.RepeatedScalarFieldContainer[bytes]
    next: bytes
    def __init__(self, manifests: _Optional[_Iterable[bytes]] = ..., next: _Optional[bytes] = ...) -> None: ...

class SubmitProposalRequest(_message.Message):
    __slots__ = ("proposal", "car", "acknowledgments")
    PROPOSAL_FIELD_NUMBER: _ClassVar[int]
    CAR_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGMENTS_FIELD_NUMBER: _ClassVar[int]
    proposal: bytes
    car: bytes
    acknowledgments: bytes
    def __init__(self, proposal: _Optional[bytes] = ..., car: _Optional[bytes] = ..., acknowledgments: _Optional[bytes] = ...) -> None: ...

class SubmitProposalResponse(_message.Message):
    __slots__ = ("acknowledgment",)
    ACKNOWLEDGMENT_FIELD_NUMBER: _ClassVar[int]
    acknowledgment: bytes
    def __init__(self, acknowledgment: _Optional[bytes] = ...) -> None: ...

class OfferedVote(_message.Message):
    __slots__ = ("vote", "acknowledgments")
    VOTE_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGMENTS_FIELD_NUMBER: _ClassVar[int]
    vote: bytes
    acknowledgments: bytes
    def __init__(self, vote: _Optional[bytes] = ..., acknowledgments: _Optional[bytes] = ...) -> None: ...

class SubmitVotesRequest(_message.Message):
    __slots__ = ("genesis", "votes")
    GENESIS_FIELD_NUMBER: _ClassVar[int]
    VOTES_FIELD_NUMBER: _ClassVar[int]
    genesis: bytes
    votes: _containers.RepeatedCompositeFieldContainer[OfferedVote]
    def __init__(self, genesis: _Optional[bytes] = ..., votes: _Optional[_Iterable[_Union[OfferedVote, _Mapping]]] = ...) -> None: ...

class VoteAnswer(_message.Message):
    __slots__ = ("acknowledgment", "reason", "message")
    ACKNOWLEDGMENT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    acknowledgment: bytes
    reason: str
    message: str
    def __init__(self, acknowledgment: _Optional[bytes] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class SubmitVotesResponse(_message.Message):
    __slots__ = ("answers",)
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    answers: _containers.RepeatedCompositeFieldContainer[VoteAnswer]
    def __init__(self, answers: _Optional[_Iterable[_Union[VoteAnswer, _Mapping]]] = ...) -> None: ...

class ListProposalsRequest(_message.Message):
    __slots__ = ("genesis", "after")
    GENESIS_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    genesis: bytes
    after: int
    def __init__(self, genesis: _Optional[bytes] = ..., after: _Optional[int] = ...) -> None: ...

class ListedProposal(_message.Message):
    __slots__ = ("proposal", "acknowledgments", "named", "position")
    PROPOSAL_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGMENTS_FIELD_NUMBER: _ClassVar[int]
    NAMED_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    proposal: bytes
    acknowledgments: bytes
    named: bytes
    position: int
    def __init__(self, proposal: _Optional[bytes] = ..., acknowledgments: _Optional[bytes] = ..., named: _Optional[bytes] = ..., position: _Optional[int] = ...) -> None: ...

class ListProposalsResponse(_message.Message):
    __slots__ = ("proposals",)
    PROPOSALS_FIELD_NUMBER: _ClassVar[int]
    proposals: _containers.RepeatedCompositeFieldContainer[ListedProposal]
    def __init__(self, proposals: _Optional[_Iterable[_Union[ListedProposal, _Mapping]]] = ...) -> None: ...

class ListPollsRequest(_message.Message):
    __slots__ = ("genesis",)
    GENESIS_FIELD_NUMBER: _ClassVar[int]
    genesis: bytes
    def __init__(self, genesis: _Optional[bytes] = ...) -> None: ...

class Poll(_message.Message):
    __slots__ = ("proposal", "position")
    PROPOSAL_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    proposal: bytes
    position: int
    def __init__(self, proposal: _Optional[bytes] = ..., position: _Optional[int] = ...) -> None: ...

class ListPollsResponse(_message.Message):
    __slots__ = ("polls",)
    POLLS_FIELD_NUMBER: _ClassVar[int]
    polls: _containers.RepeatedCompositeFieldContainer[Poll]
    def __init__(self, polls: _Optional[_Iterable[_Union[Poll, _Mapping]]] = ...) -> None: ...

class ListVotesRequest(_message.Message):
    __slots__ = ("genesis", "proposal", "after")
    GENESIS_FIELD_NUMBER: _ClassVar[int]
    PROPOSAL_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    genesis: bytes
    proposal: bytes
    after: int
    def __init__(self, genesis: _Optional[bytes] = ..., proposal: _Optional[bytes] = ..., after: _Optional[int] = ...) -> None: ...

class ListedVote(_message.Message):
    __slots__ = ("vote", "acknowledgments", "position")
    VOTE_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGMENTS_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    vote: bytes
    acknowledgments: bytes
    position: int
    def __init__(self, vote: _Optional[bytes] = ..., acknowledgments: _Optional[bytes] = ..., position: _Optional[int] = ...) -> None: ...

class ListVotesResponse(_message.Message):
    __slots__ = ("votes",)
    VOTES_FIELD_NUMBER: _ClassVar[int]
    votes: _containers.RepeatedCompositeFieldContainer[ListedVote]
    def __init__(self, votes: _Optional[_Iterable[_Union[ListedVote, _Mapping]]] = ...) -> None: ...

class CloseVoteRequest(_message.Message):
    __slots__ = ("genesis", "proposal")
    GENESIS_FIELD_NUMBER: _ClassVar[int]
    PROPOSAL_FIELD_NUMBER: _ClassVar[int]
    genesis: bytes
    proposal: bytes
    def __init__(self, genesis: _Optional[bytes] = ..., proposal: _Optional[bytes] = ...) -> None: ...

class CloseVoteResponse(_message.Message):
    __slots__ = ("closing",)
    CLOSING_FIELD_NUMBER: _ClassVar[int]
    closing: bytes
    def __init__(self, closing: _Optional[bytes] = ...) -> None: ...

class QueueDecisionRequest(_message.Message):
    __slots__ = ("decision", "car")
    DECISION_FIELD_NUMBER: _ClassVar[int]
    CAR_FIELD_NUMBER: _ClassVar[int]
    decision: bytes
    car: bytes
    def __init__(self, decision: _Optional[bytes] = ..., car: _Optional[bytes] = ...) -> None: ...

class QueueDecisionResponse(_message.Message):
    __slots__ = ("decision", "free_at")
    DECISION_FIELD_NUMBER: _ClassVar[int]
    FREE_AT_FIELD_NUMBER: _ClassVar[int]
    decision: bytes
    free_at: int
    def __init__(self, decision: _Optional[bytes] = ..., free_at: _Optional[int] = ...) -> None: ...

class ListQueuedRequest(_message.Message):
    __slots__ = ("genesis",)
    GENESIS_FIELD_NUMBER: _ClassVar[int]
    genesis: bytes
    def __init__(self, genesis: _Optional[bytes] = ...) -> None: ...

class QueuedDecision(_message.Message):
    __slots__ = ("proposal", "decision", "free_at")
    PROPOSAL_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    FREE_AT_FIELD_NUMBER: _ClassVar[int]
    proposal: bytes
    decision: bytes
    free_at: int
    def __init__(self, proposal: _Optional[bytes] = ..., decision: _Optional[bytes] = ..., free_at: _Optional[int] = ...) -> None: ...

class ListQueuedResponse(_message.Message):
    __slots__ = ("queued",)
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    queued: _containers.RepeatedCompositeFieldContainer[QueuedDecision]
    def __init__(self, queued: _Optional[_Iterable[_Union[QueuedDecision, _Mapping]]] = ...) -> None: ...

class SubmitActRequest(_message.Message):
    __slots__ = ("act",)
    ACT_FIELD_NUMBER: _ClassVar[int]
    act: bytes
    def __init__(self, act: _Optional[bytes] = ...) -> None: ...

class SubmitActResponse(_message.Message):
    __slots__ = ("act", "epoch")
    ACT_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    act: bytes
    epoch: int
    def __init__(self, act: _Optional[bytes] = ..., epoch: _Optional[int] = ...) -> None: ...

class ListActsRequest(_message.Message):
    __slots__ = ("genesis",)
    GENESIS_FIELD_NUMBER: _ClassVar[int]
    genesis: bytes
    def __init__(self, genesis: _Optional[bytes] = ...) -> None: ...

class ListActsResponse(_message.Message):
    __slots__ = ("acts",)
    ACTS_FIELD_NUMBER: _ClassVar[int]
    acts: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, acts: _Optional[_Iterable[bytes]] = ...) -> None: ...

class SubmitDelegationsRequest(_message.Message):
    __slots__ = ("batch",)
    BATCH_FIELD_NUMBER: _ClassVar[int]
    batch: bytes
    def __init__(self, batch: _Optional[bytes] = ...) -> None: ...

class SubmitDelegationsResponse(_message.Message):
    __slots__ = ("epoch",)
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    def __init__(self, epoch: _Optional[int] = ...) -> None: ...

class GetBlocksRequest(_message.Message):
    __slots__ = ("genesis", "cids")
    GENESIS_FIELD_NUMBER: _ClassVar[int]
    CIDS_FIELD_NUMBER: _ClassVar[int]
    genesis: bytes
    cids: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, genesis: _Optional[bytes] = ..., cids: _Optional[_Iterable[bytes]] = ...) -> None: ...

class GetBlocksResponse(_message.Message):
    __slots__ = ("car",)
    CAR_FIELD_NUMBER: _ClassVar[int]
    car: bytes
    def __init__(self, car: _Optional[bytes] = ...) -> None: ...
