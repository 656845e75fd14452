from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AddCreditRequest(_message.Message):
    __slots__ = ("deposit",)
    DEPOSIT_FIELD_NUMBER: _ClassVar[int]
    deposit: bytes
    def __init__(self, deposit: _Optional[bytes] = ...) -> None: ...

class AddCreditResponse(_message.Message):
    __slots__ = ("balance",)
    BALANCE_FIELD_NUMBER: _ClassVar[int]
    balance: int
    def __init__(self, balance: _Optional[int] = ...) -> None: ...

class ListBalancesRequest(_message.Message):
    __slots__ = ("inquiry",)
    INQUIRY_FIELD_NUMBER: _ClassVar[int]
    inquiry: bytes
    def __init__(self, inquiry: _Optional[bytes] = ...) -> None: ...

class ListBalancesResponse(_message.Message):
    __slots__ = ("balances",)
    BALANCES_FIELD_NUMBER: _ClassVar[int]
    balances: _containers.RepeatedCompositeFieldContainer[Balance]
    def __init__(self, balances: _Optional[_Iterable[_Union[Balance, _Mapping]]] = ...) -> None: ...

class Balance(_message.Message):
    __slots__ = ("account", "amount")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    account: str
    amount: int
    def __init__(self, account: _Optional[str] = ..., amount: _Optional[int] = ...) -> None: ...

class OpenChannelRequest(_message.Message):
    __slots__ = ("channel",)
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    channel: bytes
    def __init__(self, channel: _Optional[bytes] = ...) -> None: ...

class OpenChannelResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListVouchersRequest(_message.Message):
    __slots__ = ("inquiry",)
    INQUIRY_FIELD_NUMBER: _ClassVar[int]
    inquiry: bytes
    def __init__(self, inquiry: _Optional[bytes] = ...) -> None: ...

class ListVouchersResponse(_message.Message):
    __slots__ = ("channel", "voucher", "claimable")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    VOUCHER_FIELD_NUMBER: _ClassVar[int]
    CLAIMABLE_FIELD_NUMBER: _ClassVar[int]
    channel: bytes
    voucher: bytes
    claimable: int
    def __init__(self, channel: _Optional[bytes] = ..., voucher: _Optional[bytes] = ..., claimable: _Optional[int] = ...) -> None: ...

class CheckBooksRequest(_message.Message):
    __slots__ = ("inquiry",)
    INQUIRY_FIELD_NUMBER: _ClassVar[int]
    inquiry: bytes
    def __init__(self, inquiry: _Optional[bytes] = ...) -> None: ...

class CheckBooksResponse(_message.Message):
    __slots__ = ("entries", "accounts", "answers", "log_root", "anchor_sequence", "anchor_mac")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    LOG_ROOT_FIELD_NUMBER: _ClassVar[int]
    ANCHOR_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ANCHOR_MAC_FIELD_NUMBER: _ClassVar[int]
    entries: int
    accounts: int
    answers: int
    log_root: bytes
    anchor_sequence: int
    anchor_mac: bytes
    def __init__(self, entries: _Optional[int] = ..., accounts: _Optional[int] = ..., answers: _Optional[int] = ..., log_root: _Optional[bytes] = ..., anchor_sequence: _Optional[int] = ..., anchor_mac: _Optional[bytes] = ...) -> None: ...
