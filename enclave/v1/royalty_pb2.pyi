from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class GetStatementRequest(_message.Message):
    __slots__ = ("inquiry", "epoch")
    INQUIRY_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    inquiry: bytes
    epoch: int
    def __init__(self, inquiry: _Optional[bytes] = ..., epoch: _Optional[int] = ...) -> None: ...

class GetStatementResponse(_message.Message):
    __slots__ = ("number", "part", "passage_key")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    PASSAGE_KEY_FIELD_NUMBER: _ClassVar[int]
    number: int
    part: bytes
    passage_key: bytes
    def __init__(self, number: _Optional[int] = ..., part: _Optional[bytes] = ..., passage_key: _Optional[bytes] = ...) -> None: ...
