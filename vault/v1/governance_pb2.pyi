from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListDaosRequest(_message.Message):
    __slots__ = ("genesis",)
    GENESIS_FIELD_NUMBER: _ClassVar[int]
    genesis: bytes
    def __init__(self, genesis: _Optional[bytes] = ...) -> None: ...

class Dao(_message.Message):
    __slots__ = ("genesis", "head")
    GENESIS_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    genesis: bytes
    head: bytes
    def __init__(self, genesis: _Optional[bytes] = ..., head: _Optional[bytes] = ...) -> None: ...

class ListDaosResponse(_message.Message):
    __slots__ = ("daos",)
    DAOS_FIELD_NUMBER: _ClassVar[int]
    daos: _containers.RepeatedCompositeFieldContainer[Dao]
    def __init__(self, daos: _Optional[_Iterable[_Union[Dao, _Mapping]]] = ...) -> None: ...

class PostCharterRequest(_message.Message):
    __slots__ = ("charter", "blocks")
    CHARTER_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    charter: bytes
    blocks: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, charter: _Optional[bytes] = ..., blocks: _Optional[_Iterable[bytes]] = ...) -> None: ...

class PostCharterResponse(_message.Message):
    __slots__ = ("genesis",)
    GENESIS_FIELD_NUMBER: _ClassVar[int]
    genesis: bytes
    def __init__(self, genesis: _Optional[bytes] = ...) -> None: ...

class PostProposalRequest(_message.Message):
    __slots__ = ("genesis", "proposal", "blocks")
    GENESIS_FIELD_NUMBER: _ClassVar[int]
    PROPOSAL_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    genesis: bytes
    proposal: bytes
    blocks: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, genesis: _Optional[bytes] = ..., proposal: _Optional[bytes] = ..., blocks: _Optional[_Iterable[bytes]] = ...) -> None: ...

class PostProposalResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PostBallotRequest(_message.Message):
    __slots__ = ("genesis", "vote")
    GENESIS_FIELD_NUMBER: _ClassVar[int]
    VOTE_FIELD_NUMBER: _ClassVar[int]
    genesis: bytes
    vote: bytes
    def __init__(self, genesis: _Optional[bytes] = ..., vote: _Optional[bytes] = ...) -> None: ...

class PostBallotResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PostDelegationRequest(_message.Message):
    __slots__ = ("genesis", "delegation")
    GENESIS_FIELD_NUMBER: _ClassVar[int]
    DELEGATION_FIELD_NUMBER: _ClassVar[int]
    genesis: bytes
    delegation: bytes
    def __init__(self, genesis: _Optional[bytes] = ..., delegation: _Optional[bytes] = ...) -> None: ...

class PostDelegationResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PostActRequest(_message.Message):
    __slots__ = ("genesis", "act")
    GENESIS_FIELD_NUMBER: _ClassVar[int]
    ACT_FIELD_NUMBER: _ClassVar[int]
    genesis: bytes
    act: bytes
    def __init__(self, genesis: _Optional[bytes] = ..., act: _Optional[bytes] = ...) -> None: ...

class PostActResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PostDecisionRequest(_message.Message):
    __slots__ = ("genesis", "decision", "blocks")
    GENESIS_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    genesis: bytes
    decision: bytes
    blocks: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, genesis: _Optional[bytes] = ..., decision: _Optional[bytes] = ..., blocks: _Optional[_Iterable[bytes]] = ...) -> None: ...

class PostDecisionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PostBlocksRequest(_message.Message):
    __slots__ = ("genesis", "named_by", "blocks")
    GENESIS_FIELD_NUMBER: _ClassVar[int]
    NAMED_BY_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    genesis: bytes
    named_by: bytes
    blocks: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, genesis: _Optional[bytes] = ..., named_by: _Optional[bytes] = ..., blocks: _Optional[_Iterable[bytes]] = ...) -> None: ...

class PostBlocksResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PostHeadRequest(_message.Message):
    __slots__ = ("genesis", "head", "blocks")
    GENESIS_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    genesis: bytes
    head: bytes
    blocks: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, genesis: _Optional[bytes] = ..., head: _Optional[bytes] = ..., blocks: _Optional[_Iterable[bytes]] = ...) -> None: ...

class PostHeadResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PostHeadVotesRequest(_message.Message):
    __slots__ = ("genesis", "votes")
    GENESIS_FIELD_NUMBER: _ClassVar[int]
    VOTES_FIELD_NUMBER: _ClassVar[int]
    genesis: bytes
    votes: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, genesis: _Optional[bytes] = ..., votes: _Optional[_Iterable[bytes]] = ...) -> None: ...

class PostHeadVotesResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListPostingsRequest(_message.Message):
    __slots__ = ("genesis", "after", "kind", "parent")
    GENESIS_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    genesis: bytes
    after: int
    kind: str
    parent: bytes
    def __init__(self, genesis: _Optional[bytes] = ..., after: _Optional[int] = ..., kind: _Optional[str] = ..., parent: _Optional[bytes] = ...) -> None: ...

class Posting(_message.Message):
    __slots__ = ("position", "kind", "cid", "parent")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    CID_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    position: int
    kind: str
    cid: bytes
    parent: bytes
    def __init__(self, position: _Optional[int] = ..., kind: _Optional[str] = ..., cid: _Optional[bytes] = ..., parent: _Optional[bytes] = ...) -> None: ...

class ListPostingsResponse(_message.Message):
    __slots__ = ("postings",)
    POSTINGS_FIELD_NUMBER: _ClassVar[int]
    postings: _containers.RepeatedCompositeFieldContainer[Posting]
    def __init__(self, postings: _Optional[_Iterable[_Union[Posting, _Mapping]]] = ...) -> None: ...

class GetObjectsRequest(_message.Message):
    __slots__ = ("cids",)
    CIDS_FIELD_NUMBER: _ClassVar[int]
    cids: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, cids: _Optional[_Iterable[bytes]] = ...) -> None: ...

class GetObjectsResponse(_message.Message):
    __slots__ = ("objects",)
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    objects: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, objects: _Optional[_Iterable[bytes]] = ...) -> None: ...

class WatchPostingsRequest(_message.Message):
    __slots__ = ("genesis", "after")
    GENESIS_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    genesis: bytes
    after: int
    def __init__(self, genesis: _Optional[bytes] = ..., after: _Optional[int] = ...) -> None: ...

class WatchPostingsResponse(_message.Message):
    __slots__ = ("posting",)
    POSTING_FIELD_NUMBER: _ClassVar[int]
    posting: Posting
    def __init__(self, posting: _Optional[_Union[Posting, _Mapping]] = ...) -> None: ...
