from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetEvidenceRequest(_message.Message):
    __slots__ = ("nonce",)
    NONCE_FIELD_NUMBER: _ClassVar[int]
    nonce: bytes
    def __init__(self, nonce: _Optional[bytes] = ...) -> None: ...

class GetEvidenceResponse(_message.Message):
    __slots__ = ("binding", "evidence", "server_nonce", "grounds")
    BINDING_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    SERVER_NONCE_FIELD_NUMBER: _ClassVar[int]
    GROUNDS_FIELD_NUMBER: _ClassVar[int]
    binding: bytes
    evidence: bytes
    server_nonce: bytes
    grounds: Grounds
    def __init__(self, binding: _Optional[bytes] = ..., evidence: _Optional[bytes] = ..., server_nonce: _Optional[bytes] = ..., grounds: _Optional[_Union[Grounds, _Mapping]] = ...) -> None: ...

class GetServerNonceRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetServerNonceResponse(_message.Message):
    __slots__ = ("server_nonce",)
    SERVER_NONCE_FIELD_NUMBER: _ClassVar[int]
    server_nonce: bytes
    def __init__(self, server_nonce: _Optional[bytes] = ...) -> None: ...

class GetGroundsRequest(_message.Message):
    __slots__ = ("evidence",)
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    evidence: bytes
    def __init__(self, evidence: _Optional[bytes] = ...) -> None: ...

class GetGroundsResponse(_message.Message):
    __slots__ = ("grounds",)
    GROUNDS_FIELD_NUMBER: _ClassVar[int]
    grounds: Grounds
    def __init__(self, grounds: _Optional[_Union[Grounds, _Mapping]] = ...) -> None: ...

class Grounds(_message.Message):
    __slots__ = ("binding", "evidence", "leases", "charter", "head", "policies", "manifests")
    BINDING_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    CHARTER_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    MANIFESTS_FIELD_NUMBER: _ClassVar[int]
    binding: bytes
    evidence: bytes
    leases: _containers.RepeatedScalarFieldContainer[bytes]
    charter: bytes
    head: bytes
    policies: _containers.RepeatedScalarFieldContainer[bytes]
    manifests: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, binding: _Optional[bytes] = ..., evidence: _Optional[bytes] = ..., leases: _Optional[_Iterable[bytes]] = ..., charter: _Optional[bytes] = ..., head: _Optional[bytes] = ..., policies: _Optional[_Iterable[bytes]] = ..., manifests: _Optional[_Iterable[bytes]] = ...) -> None: ...

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("state", "tee", "passages_done", "passages_total", "epoch", "reason", "passages_per_second", "seconds_left")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[GetStatusResponse.State]
        STATE_WAITING: _ClassVar[GetStatusResponse.State]
        STATE_OPENING: _ClassVar[GetStatusResponse.State]
        STATE_SERVING: _ClassVar[GetStatusResponse.State]
        STATE_STOPPED: _ClassVar[GetStatusResponse.State]
    STATE_UNSPECIFIED: GetStatusResponse.State
    STATE_WAITING: GetStatusResponse.State
    STATE_OPENING: GetStatusResponse.State
    STATE_SERVING: GetStatusResponse.State
    STATE_STOPPED: GetStatusResponse.State
    STATE_FIELD_NUMBER: _ClassVar[int]
    TEE_FIELD_NUMBER: _ClassVar[int]
    PASSAGES_DONE_FIELD_NUMBER: _ClassVar[int]
    PASSAGES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PASSAGES_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    SECONDS_LEFT_FIELD_NUMBER: _ClassVar[int]
    state: GetStatusResponse.State
    tee: str
    passages_done: int
    passages_total: int
    epoch: int
    reason: str
    passages_per_second: float
    seconds_left: float
    def __init__(self, state: _Optional[_Union[GetStatusResponse.State, str]] = ..., tee: _Optional[str] = ..., passages_done: _Optional[int] = ..., passages_total: _Optional[int] = ..., epoch: _Optional[int] = ..., reason: _Optional[str] = ..., passages_per_second: _Optional[float] = ..., seconds_left: _Optional[float] = ...) -> None: ...
