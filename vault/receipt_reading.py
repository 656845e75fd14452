"""Reading many receipt files: what they share is parsed once, and recognized by its bytes after that.

Files of one licensee and one lease hold the same charter, head, policy, license, manifests, leases, binding and
evidence: nine tenths of their bytes. CBOR items end where they say, so where a known item's canonical bytes stand in
its place, that place holds this very item; the rest is parsed by itself. Where anything does not fit, the file is read
as a whole: the outcome is the same, only slower.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from vault.codec import encode, parse
from vault.errors import MalformedObject
from vault.question import Query
from vault.receipt import FILE_BYTES_MAX, OpenedPassage, ReceiptFile
from vault.receipt_links import Basis
from vault.record_decoding import decoded
from vault.record_encoding import written_list

SHARED: Final = frozenset(Basis.__dataclass_fields__)
BASES_KEPT: Final = 16
BEGINNING_BYTES: Final = 48
_OWN: Final = frozenset({"message", "query", "query_vector", "passages"})
_KEYS: Final = sorted([*SHARED, *_OWN, "type"], key=lambda key: (len(key), key))  # RFC 8949, section 4.2.3
_HEADS: Final = {key: encode(key) for key in _KEYS}
_OPENED: Final = frozenset({"salt", "body"})
_START: Final = bytes([0xA0 | len(_KEYS)])


@dataclass(frozen=True, slots=True)
class _Known:
    """What files share, and in their order the byte strings that stand between what is each file's own."""

    objects: dict[str, Any]
    between: tuple[bytes, ...]


class ReceiptReader:
    """Reads receipt files one after another."""

    def __init__(self) -> None:
        self._known: list[_Known] = []

    def read(self, data: bytes) -> ReceiptFile:
        """Return the file that `data` is, or raise `MalformedObject`."""
        if len(data) > FILE_BYTES_MAX:
            raise MalformedObject(f"a receipt file has at most {FILE_BYTES_MAX} bytes")
        for place, known in enumerate(self._known):
            parts = _parts(data, known.between)
            if parts is None:
                continue
            try:
                file = _file(known.objects, parts)
            except MalformedObject:
                break  # read as a whole, it says what is wrong with it
            self._known.insert(0, self._known.pop(place))
            return file
        file = ReceiptFile.from_bytes(data, bytes_max=FILE_BYTES_MAX)
        self._known = [_known(file), *self._known[: BASES_KEPT - 1]]
        return file


def _known(file: ReceiptFile) -> _Known:
    value = file.value()
    between, here = [], _START
    for key in _KEYS:
        here += _HEADS[key]
        if key in _OWN:
            between.append(here)
            here = b""
        else:
            here += encode(value[key])
    return _Known({name: getattr(file, name) for name in SHARED}, (*between, here))


def _parts(data: bytes, between: tuple[bytes, ...]) -> list[bytes] | None:
    """Return what stands between the known bytes, or None where these do not stand there.

    A file may hold the known bytes elsewhere too, in a question's text; then what is cut out here is no whole item.
    """
    if not data.startswith(between[0]):
        return None
    parts, start = [], len(between[0])
    for known in between[1:]:
        end = _place_of(known, data, start) if known else len(data)
        if end < 0:
            return None
        parts.append(data[start:end])
        start = end + len(known)
    return parts if start == len(data) else None


def _place_of(known: bytes, data: bytes, start: int) -> int:
    """Return where known bytes stand next, or -1; looking for their beginning first, since some have megabytes."""
    beginning = known[:BEGINNING_BYTES]
    place = data.find(beginning, start)
    while place >= 0 and not data.startswith(known, place):
        place = data.find(beginning, place + 1)
    return place


def _file(shared: dict[str, Any], parts: list[bytes]) -> ReceiptFile:
    own = dict(zip([key for key in _KEYS if key in _OWN], parts, strict=True))
    return ReceiptFile(
        **shared,
        message=_bytes(own["message"]),
        query=decoded(Query, own["query"]),
        query_vector=_bytes(own["query_vector"]),
        passages=_passages(own["passages"]),
    )


def _bytes(item: bytes) -> bytes:
    value = parse(item, bytes_max=FILE_BYTES_MAX)
    if type(value) is not bytes or encode(value) != item:
        raise MalformedObject("bytes in their canonical encoding were expected")
    return value


def _passages(item: bytes) -> tuple[OpenedPassage, ...]:
    rows = parse(item, bytes_max=FILE_BYTES_MAX)
    if type(rows) is not list or not all(type(row) is dict and row.keys() == _OPENED for row in rows):
        raise MalformedObject("passages with their salts were expected")
    passages = tuple([OpenedPassage(salt=row["salt"], body=row["body"]) for row in rows])
    if written_list(passages).encoded != item:
        raise MalformedObject("not the canonical encoding of its passages")
    return passages
