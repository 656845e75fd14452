from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OpenSessionRequest(_message.Message):
    __slots__ = ("license", "delegation", "opening")
    LICENSE_FIELD_NUMBER: _ClassVar[int]
    DELEGATION_FIELD_NUMBER: _ClassVar[int]
    OPENING_FIELD_NUMBER: _ClassVar[int]
    license: bytes
    delegation: bytes
    opening: bytes
    def __init__(self, license: _Optional[bytes] = ..., delegation: _Optional[bytes] = ..., opening: _Optional[bytes] = ...) -> None: ...

class OpenSessionResponse(_message.Message):
    __slots__ = ("session", "last_receipt", "expires_at")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    LAST_RECEIPT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    last_receipt: bytes
    expires_at: int
    def __init__(self, session: _Optional[bytes] = ..., last_receipt: _Optional[bytes] = ..., expires_at: _Optional[int] = ...) -> None: ...

class SearchRequest(_message.Message):
    __slots__ = ("session", "sequence", "mac", "request_id", "policy", "text", "k", "salt", "last_receipt")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MAC_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    SALT_FIELD_NUMBER: _ClassVar[int]
    LAST_RECEIPT_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    sequence: int
    mac: bytes
    request_id: bytes
    policy: bytes
    text: str
    k: int
    salt: bytes
    last_receipt: bytes
    def __init__(self, session: _Optional[bytes] = ..., sequence: _Optional[int] = ..., mac: _Optional[bytes] = ..., request_id: _Optional[bytes] = ..., policy: _Optional[bytes] = ..., text: _Optional[str] = ..., k: _Optional[int] = ..., salt: _Optional[bytes] = ..., last_receipt: _Optional[bytes] = ...) -> None: ...

class SearchResponse(_message.Message):
    __slots__ = ("passages", "receipt", "query_vector", "is_partial", "is_repeat", "embed_s", "search_s")
    PASSAGES_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    QUERY_VECTOR_FIELD_NUMBER: _ClassVar[int]
    IS_PARTIAL_FIELD_NUMBER: _ClassVar[int]
    IS_REPEAT_FIELD_NUMBER: _ClassVar[int]
    EMBED_S_FIELD_NUMBER: _ClassVar[int]
    SEARCH_S_FIELD_NUMBER: _ClassVar[int]
    passages: _containers.RepeatedCompositeFieldContainer[Passage]
    receipt: bytes
    query_vector: bytes
    is_partial: bool
    is_repeat: bool
    embed_s: float
    search_s: float
    def __init__(self, passages: _Optional[_Iterable[_Union[Passage, _Mapping]]] = ..., receipt: _Optional[bytes] = ..., query_vector: _Optional[bytes] = ..., is_partial: _Optional[bool] = ..., is_repeat: _Optional[bool] = ..., embed_s: _Optional[float] = ..., search_s: _Optional[float] = ...) -> None: ...

class Passage(_message.Message):
    __slots__ = ("manifest", "index", "score", "body", "salt")
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    SALT_FIELD_NUMBER: _ClassVar[int]
    manifest: bytes
    index: int
    score: float
    body: bytes
    salt: bytes
    def __init__(self, manifest: _Optional[bytes] = ..., index: _Optional[int] = ..., score: _Optional[float] = ..., body: _Optional[bytes] = ..., salt: _Optional[bytes] = ...) -> None: ...

class GetAccountRequest(_message.Message):
    __slots__ = ("session", "sequence", "mac")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MAC_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    sequence: int
    mac: bytes
    def __init__(self, session: _Optional[bytes] = ..., sequence: _Optional[int] = ..., mac: _Optional[bytes] = ...) -> None: ...

class GetAccountResponse(_message.Message):
    __slots__ = ("credit", "spent", "spend_cap", "passages_seen", "passages_max")
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    SPENT_FIELD_NUMBER: _ClassVar[int]
    SPEND_CAP_FIELD_NUMBER: _ClassVar[int]
    PASSAGES_SEEN_FIELD_NUMBER: _ClassVar[int]
    PASSAGES_MAX_FIELD_NUMBER: _ClassVar[int]
    credit: int
    spent: int
    spend_cap: int
    passages_seen: int
    passages_max: int
    def __init__(self, credit: _Optional[int] = ..., spent: _Optional[int] = ..., spend_cap: _Optional[int] = ..., passages_seen: _Optional[int] = ..., passages_max: _Optional[int] = ...) -> None: ...
