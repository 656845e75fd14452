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
    __slots__ = ("head", "car")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    CAR_FIELD_NUMBER: _ClassVar[int]
    head: bytes
    car: bytes
    def __init__(self, head: _Optional[bytes] = ..., car: _Optional[bytes] = ...) -> None: ...

class SubmitHeadResponse(_message.Message):
    __slots__ = ("epoch",)
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    def __init__(self, epoch: _Optional[int] = ...) -> None: ...

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
    __slots__ = ("genesis", "head", "epoch")
    GENESIS_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    genesis: bytes
    head: bytes
    epoch: int
    def __init__(self, genesis: _Optional[bytes] = ..., head: _Optional[bytes] = ..., epoch: _Optional[int] = ...) -> None: ...

class GetTipsResponse(_message.Message):
    __slots__ = ("tips",)
    TIPS_FIELD_NUMBER: _ClassVar[int]
    tips: _containers.RepeatedCompositeFieldContainer[Tip]
    def __init__(self, tips: _Optional[_Iterable[_Union[Tip, _Mapping]]] = ...) -> None: ...

class GetChainRequest(_message.Message):
    __slots__ = ("genesis", "known_head")
    GENESIS_FIELD_NUMBER: _ClassVar[int]
    KNOWN_HEAD_FIELD_NUMBER: _ClassVar[int]
    genesis: bytes
    known_head: bytes
    def __init__(self, genesis: _Optional[bytes] = ..., known_head: _Optional[bytes] = ...) -> None: ...

class GetChainResponse(_message.Message):
    __slots__ = ("head", "car")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    CAR_FIELD_NUMBER: _ClassVar[int]
    head: bytes
    car: bytes
    def __init__(self, head: _Optional[bytes] = ..., car: _Optional[bytes] = ...) -> None: ...

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
