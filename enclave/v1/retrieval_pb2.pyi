from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
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

class Question(_message.Message):
    __slots__ = ("request_id", "policy", "text", "vector", "k", "salt", "datasets", "price_max", "options")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    SALT_FIELD_NUMBER: _ClassVar[int]
    DATASETS_FIELD_NUMBER: _ClassVar[int]
    PRICE_MAX_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    request_id: bytes
    policy: bytes
    text: str
    vector: bytes
    k: int
    salt: bytes
    datasets: _containers.RepeatedScalarFieldContainer[bytes]
    price_max: int
    options: Options
    def __init__(self, request_id: _Optional[bytes] = ..., policy: _Optional[bytes] = ..., text: _Optional[str] = ..., vector: _Optional[bytes] = ..., k: _Optional[int] = ..., salt: _Optional[bytes] = ..., datasets: _Optional[_Iterable[bytes]] = ..., price_max: _Optional[int] = ..., options: _Optional[_Union[Options, _Mapping]] = ...) -> None: ...

class Options(_message.Message):
    __slots__ = ("mode", "where", "distinct", "diversity", "neighbors", "rerank")
    class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        MODE_DENSE: _ClassVar[Options.Mode]
        MODE_KEYWORD: _ClassVar[Options.Mode]
        MODE_HYBRID: _ClassVar[Options.Mode]
    MODE_DENSE: Options.Mode
    MODE_KEYWORD: Options.Mode
    MODE_HYBRID: Options.Mode
    MODE_FIELD_NUMBER: _ClassVar[int]
    WHERE_FIELD_NUMBER: _ClassVar[int]
    DISTINCT_FIELD_NUMBER: _ClassVar[int]
    DIVERSITY_FIELD_NUMBER: _ClassVar[int]
    NEIGHBORS_FIELD_NUMBER: _ClassVar[int]
    RERANK_FIELD_NUMBER: _ClassVar[int]
    mode: Options.Mode
    where: bytes
    distinct: bool
    diversity: int
    neighbors: int
    rerank: bool
    def __init__(self, mode: _Optional[_Union[Options.Mode, str]] = ..., where: _Optional[bytes] = ..., distinct: _Optional[bool] = ..., diversity: _Optional[int] = ..., neighbors: _Optional[int] = ..., rerank: _Optional[bool] = ...) -> None: ...

class SearchRequest(_message.Message):
    __slots__ = ("session", "sequence", "mac", "question", "last_receipt")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MAC_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    LAST_RECEIPT_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    sequence: int
    mac: bytes
    question: Question
    last_receipt: bytes
    def __init__(self, session: _Optional[bytes] = ..., sequence: _Optional[int] = ..., mac: _Optional[bytes] = ..., question: _Optional[_Union[Question, _Mapping]] = ..., last_receipt: _Optional[bytes] = ...) -> None: ...

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

class SearchBatchRequest(_message.Message):
    __slots__ = ("session", "sequence", "mac", "questions", "last_receipt")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MAC_FIELD_NUMBER: _ClassVar[int]
    QUESTIONS_FIELD_NUMBER: _ClassVar[int]
    LAST_RECEIPT_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    sequence: int
    mac: bytes
    questions: _containers.RepeatedCompositeFieldContainer[Question]
    last_receipt: bytes
    def __init__(self, session: _Optional[bytes] = ..., sequence: _Optional[int] = ..., mac: _Optional[bytes] = ..., questions: _Optional[_Iterable[_Union[Question, _Mapping]]] = ..., last_receipt: _Optional[bytes] = ...) -> None: ...

class SearchBatchResponse(_message.Message):
    __slots__ = ("outcomes",)
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[Outcome]
    def __init__(self, outcomes: _Optional[_Iterable[_Union[Outcome, _Mapping]]] = ...) -> None: ...

class SearchStreamResponse(_message.Message):
    __slots__ = ("request_id", "outcome")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    request_id: bytes
    outcome: Outcome
    def __init__(self, request_id: _Optional[bytes] = ..., outcome: _Optional[_Union[Outcome, _Mapping]] = ...) -> None: ...

class Outcome(_message.Message):
    __slots__ = ("answer", "refusal")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    answer: SearchResponse
    refusal: Refusal
    def __init__(self, answer: _Optional[_Union[SearchResponse, _Mapping]] = ..., refusal: _Optional[_Union[Refusal, _Mapping]] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("reason", "message", "retry_after_ms")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    retry_after_ms: int
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ..., retry_after_ms: _Optional[int] = ...) -> None: ...

class EmbedRequest(_message.Message):
    __slots__ = ("session", "sequence", "mac", "request_id", "policy", "text", "salt", "price_max", "last_receipt")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MAC_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SALT_FIELD_NUMBER: _ClassVar[int]
    PRICE_MAX_FIELD_NUMBER: _ClassVar[int]
    LAST_RECEIPT_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    sequence: int
    mac: bytes
    request_id: bytes
    policy: bytes
    text: str
    salt: bytes
    price_max: int
    last_receipt: bytes
    def __init__(self, session: _Optional[bytes] = ..., sequence: _Optional[int] = ..., mac: _Optional[bytes] = ..., request_id: _Optional[bytes] = ..., policy: _Optional[bytes] = ..., text: _Optional[str] = ..., salt: _Optional[bytes] = ..., price_max: _Optional[int] = ..., last_receipt: _Optional[bytes] = ...) -> None: ...

class EmbedResponse(_message.Message):
    __slots__ = ("vector", "receipt", "is_repeat", "embed_s")
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    IS_REPEAT_FIELD_NUMBER: _ClassVar[int]
    EMBED_S_FIELD_NUMBER: _ClassVar[int]
    vector: bytes
    receipt: bytes
    is_repeat: bool
    embed_s: float
    def __init__(self, vector: _Optional[bytes] = ..., receipt: _Optional[bytes] = ..., is_repeat: _Optional[bool] = ..., embed_s: _Optional[float] = ...) -> None: ...

class CountRequest(_message.Message):
    __slots__ = ("session", "sequence", "mac", "request_id", "policy", "where", "datasets", "salt", "price_max", "last_receipt")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MAC_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    WHERE_FIELD_NUMBER: _ClassVar[int]
    DATASETS_FIELD_NUMBER: _ClassVar[int]
    SALT_FIELD_NUMBER: _ClassVar[int]
    PRICE_MAX_FIELD_NUMBER: _ClassVar[int]
    LAST_RECEIPT_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    sequence: int
    mac: bytes
    request_id: bytes
    policy: bytes
    where: bytes
    datasets: _containers.RepeatedScalarFieldContainer[bytes]
    salt: bytes
    price_max: int
    last_receipt: bytes
    def __init__(self, session: _Optional[bytes] = ..., sequence: _Optional[int] = ..., mac: _Optional[bytes] = ..., request_id: _Optional[bytes] = ..., policy: _Optional[bytes] = ..., where: _Optional[bytes] = ..., datasets: _Optional[_Iterable[bytes]] = ..., salt: _Optional[bytes] = ..., price_max: _Optional[int] = ..., last_receipt: _Optional[bytes] = ...) -> None: ...

class CountResponse(_message.Message):
    __slots__ = ("count", "receipt", "is_repeat")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    IS_REPEAT_FIELD_NUMBER: _ClassVar[int]
    count: int
    receipt: bytes
    is_repeat: bool
    def __init__(self, count: _Optional[int] = ..., receipt: _Optional[bytes] = ..., is_repeat: _Optional[bool] = ...) -> None: ...

class QuoteRequest(_message.Message):
    __slots__ = ("session", "sequence", "mac", "k", "neighbors")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MAC_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    NEIGHBORS_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    sequence: int
    mac: bytes
    k: int
    neighbors: int
    def __init__(self, session: _Optional[bytes] = ..., sequence: _Optional[int] = ..., mac: _Optional[bytes] = ..., k: _Optional[int] = ..., neighbors: _Optional[int] = ...) -> None: ...

class QuoteResponse(_message.Message):
    __slots__ = ("price_max", "price_min", "passages_max", "passages_left", "credit", "spend_left")
    PRICE_MAX_FIELD_NUMBER: _ClassVar[int]
    PRICE_MIN_FIELD_NUMBER: _ClassVar[int]
    PASSAGES_MAX_FIELD_NUMBER: _ClassVar[int]
    PASSAGES_LEFT_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    SPEND_LEFT_FIELD_NUMBER: _ClassVar[int]
    price_max: int
    price_min: int
    passages_max: int
    passages_left: int
    credit: int
    spend_left: int
    def __init__(self, price_max: _Optional[int] = ..., price_min: _Optional[int] = ..., passages_max: _Optional[int] = ..., passages_left: _Optional[int] = ..., credit: _Optional[int] = ..., spend_left: _Optional[int] = ...) -> None: ...

class DescribeRequest(_message.Message):
    __slots__ = ("session", "sequence", "mac")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MAC_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    sequence: int
    mac: bytes
    def __init__(self, session: _Optional[bytes] = ..., sequence: _Optional[int] = ..., mac: _Optional[bytes] = ...) -> None: ...

class DescribeResponse(_message.Message):
    __slots__ = ("datasets", "k_max", "queries_per_minute", "price_per_query", "price_per_passage", "currency", "owners_min", "counts_in")
    DATASETS_FIELD_NUMBER: _ClassVar[int]
    K_MAX_FIELD_NUMBER: _ClassVar[int]
    QUERIES_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    PRICE_PER_QUERY_FIELD_NUMBER: _ClassVar[int]
    PRICE_PER_PASSAGE_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    OWNERS_MIN_FIELD_NUMBER: _ClassVar[int]
    COUNTS_IN_FIELD_NUMBER: _ClassVar[int]
    datasets: _containers.RepeatedCompositeFieldContainer[DatasetDescription]
    k_max: int
    queries_per_minute: int
    price_per_query: int
    price_per_passage: int
    currency: str
    owners_min: int
    counts_in: int
    def __init__(self, datasets: _Optional[_Iterable[_Union[DatasetDescription, _Mapping]]] = ..., k_max: _Optional[int] = ..., queries_per_minute: _Optional[int] = ..., price_per_query: _Optional[int] = ..., price_per_passage: _Optional[int] = ..., currency: _Optional[str] = ..., owners_min: _Optional[int] = ..., counts_in: _Optional[int] = ...) -> None: ...

class DatasetDescription(_message.Message):
    __slots__ = ("manifest", "title", "passages", "owner", "model", "index", "recall_ppm", "recall_k", "recall_queries", "recall_source", "only")
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    PASSAGES_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    RECALL_PPM_FIELD_NUMBER: _ClassVar[int]
    RECALL_K_FIELD_NUMBER: _ClassVar[int]
    RECALL_QUERIES_FIELD_NUMBER: _ClassVar[int]
    RECALL_SOURCE_FIELD_NUMBER: _ClassVar[int]
    ONLY_FIELD_NUMBER: _ClassVar[int]
    manifest: bytes
    title: str
    passages: int
    owner: bytes
    model: bytes
    index: str
    recall_ppm: int
    recall_k: int
    recall_queries: int
    recall_source: str
    only: bytes
    def __init__(self, manifest: _Optional[bytes] = ..., title: _Optional[str] = ..., passages: _Optional[int] = ..., owner: _Optional[bytes] = ..., model: _Optional[bytes] = ..., index: _Optional[str] = ..., recall_ppm: _Optional[int] = ..., recall_k: _Optional[int] = ..., recall_queries: _Optional[int] = ..., recall_source: _Optional[str] = ..., only: _Optional[bytes] = ...) -> None: ...

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
    __slots__ = ("credit", "spent", "spend_cap", "passages_seen", "passages_max", "parts")
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    SPENT_FIELD_NUMBER: _ClassVar[int]
    SPEND_CAP_FIELD_NUMBER: _ClassVar[int]
    PASSAGES_SEEN_FIELD_NUMBER: _ClassVar[int]
    PASSAGES_MAX_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    credit: int
    spent: int
    spend_cap: int
    passages_seen: int
    passages_max: int
    parts: _containers.RepeatedCompositeFieldContainer[SeenPart]
    def __init__(self, credit: _Optional[int] = ..., spent: _Optional[int] = ..., spend_cap: _Optional[int] = ..., passages_seen: _Optional[int] = ..., passages_max: _Optional[int] = ..., parts: _Optional[_Iterable[_Union[SeenPart, _Mapping]]] = ...) -> None: ...

class SeenPart(_message.Message):
    __slots__ = ("owner", "manifest", "seen", "passages_max", "passages")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    SEEN_FIELD_NUMBER: _ClassVar[int]
    PASSAGES_MAX_FIELD_NUMBER: _ClassVar[int]
    PASSAGES_FIELD_NUMBER: _ClassVar[int]
    owner: bytes
    manifest: bytes
    seen: int
    passages_max: int
    passages: int
    def __init__(self, owner: _Optional[bytes] = ..., manifest: _Optional[bytes] = ..., seen: _Optional[int] = ..., passages_max: _Optional[int] = ..., passages: _Optional[int] = ...) -> None: ...

class GetChannelRequest(_message.Message):
    __slots__ = ("session", "sequence", "mac")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MAC_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    sequence: int
    mac: bytes
    def __init__(self, session: _Optional[bytes] = ..., sequence: _Optional[int] = ..., mac: _Optional[bytes] = ...) -> None: ...

class PayVoucherRequest(_message.Message):
    __slots__ = ("session", "sequence", "mac", "voucher")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MAC_FIELD_NUMBER: _ClassVar[int]
    VOUCHER_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    sequence: int
    mac: bytes
    voucher: bytes
    def __init__(self, session: _Optional[bytes] = ..., sequence: _Optional[int] = ..., mac: _Optional[bytes] = ..., voucher: _Optional[bytes] = ...) -> None: ...

class ChannelState(_message.Message):
    __slots__ = ("channel", "voucher", "unpaid", "unpaid_queries", "due")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    VOUCHER_FIELD_NUMBER: _ClassVar[int]
    UNPAID_FIELD_NUMBER: _ClassVar[int]
    UNPAID_QUERIES_FIELD_NUMBER: _ClassVar[int]
    DUE_FIELD_NUMBER: _ClassVar[int]
    channel: bytes
    voucher: bytes
    unpaid: int
    unpaid_queries: int
    due: int
    def __init__(self, channel: _Optional[bytes] = ..., voucher: _Optional[bytes] = ..., unpaid: _Optional[int] = ..., unpaid_queries: _Optional[int] = ..., due: _Optional[int] = ...) -> None: ...
