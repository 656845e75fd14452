"""Sealed segments: passages encrypted on the owner's machine, in blocks that reveal nothing but a rounded size.

    sealed segment = u16 header length ‖ header ‖ AES-256-GCM(key, nonce 0, plaintext, aad = all before it)
    plaintext      = u64 length ‖ canonical CBOR list of passages ‖ zeros up to the Padmé size
    passage        = [document, start, end, text], and a map of metadata where there is any
    key            = HKDF-SHA256(data key, salt = 32 random bytes in the header,
                                 info = purpose ‖ genesis ‖ dataset ‖ version ‖ index ‖ suite)

**A key encrypts once, by construction** (rule S1): sealing draws a fresh 256-bit salt inside the one function that
encrypts, derives the key from it, uses it with the all-zero nonce and forgets it. There is no way to ask for a second
encryption under the same key, so nonces cannot repeat (NIST SP 800-38D, section 8). Without the salt, version 2 of
segment 3 would reuse version 1's key.

Padmé (Nikitin et al., PETS 2019) rounds sizes so that at most O(log log n) bits of the length show, for at most 12 %.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from itertools import count
from typing import Any, ClassVar, Final, TypeAlias

import cbor2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from storage.cid import Cid
from vault.codec import INTEGER_MAX, Digest, Label, Record, Value, encode, parse, record
from vault.errors import MalformedObject, TamperedSegment
from vault.keys import SecretKey
from vault.merkle import leaf_hash

Metadata: TypeAlias = Mapping[str, "str | int | bool | Sequence[str]"]  # as in `rag.model`
SUITE: Final = "AES-256-GCM/HKDF-SHA256/Padme"
SEGMENT_BYTES: Final = 4 << 20  # plaintext at which a segment is closed
SEGMENT_BYTES_MAX: Final = 16 << 20
PASSAGE_BYTES_MAX: Final = 1 << 15  # metadata included; an answer of 100 such passages still fits into one message
PASSAGES_PER_SEGMENT_MAX: Final = 1 << 16
PASSAGE_BYTES_COUNTED: Final = SEGMENT_BYTES // PASSAGES_PER_SEGMENT_MAX
SIZE_FLOOR: Final = 4096
SEALED_BYTES_MAX: Final = SEGMENT_BYTES_MAX + SIZE_FLOOR  # of a segment, its header and tag among them
FACTS_MAX: Final = 64  # of a passage's metadata, and below what each may be: as much as filters can ask for
FACT_KEY_BYTES_MAX: Final = 64
FACT_ITEMS_MAX: Final = 256
FACT_BYTES_MAX: Final = 1024
TAG_BYTES: Final = 16
_NONCE: Final = bytes(12)  # RFC 5116, section 5.2; the key is used once
_LENGTH_BYTES: Final = 8
_PLAIN_ROW: Final = [str, int, int, str]


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of one document, and where it stands: offsets in characters."""

    document: str = field(repr=False)
    start: int
    end: int
    text: str = field(repr=False)
    metadata: Metadata = field(default_factory=dict, repr=False)  # its document's, which filters can ask for

    def encoded(self) -> bytes:
        """Return the canonical bytes that are sealed and committed to."""
        row: list[Value] = [self.document, self.start, self.end, self.text]
        if self.metadata:
            row.append({key: _fact(fact) for key, fact in self.metadata.items()})
        return encode(row)

    @property
    def lasting(self) -> str:
        """Return the text, with its facts in their canonical form; see `lasting_words`."""
        if not self.metadata:
            return self.text
        return _lasting(self.text, {key: _fact(fact) for key, fact in self.metadata.items()})


@record
class SegmentHeader(Record):
    """What a segment says of itself, in the clear and authenticated."""

    TYPE: ClassVar[str] = "coffer/segment/v1"

    suite: Label
    genesis: Cid
    dataset: Digest
    version: int
    index: int
    salt: Digest

    def key(self, data_key: SecretKey) -> AESGCM:
        """Return the cipher for this header's segment alone."""
        info = encode([self.genesis, self.dataset, self.version, self.index, self.suite])
        return AESGCM(data_key.derive("segment", salt=self.salt, info=info))


def padded_size(size: int) -> int:
    """Return the Padmé size for `size` bytes, at least `SIZE_FLOOR`."""
    if size <= SIZE_FLOOR:
        return SIZE_FLOOR
    exponent = size.bit_length() - 1
    zero_bits = exponent - exponent.bit_length()
    mask = (1 << zero_bits) - 1
    return (size + mask) & ~mask


def segmented(encoded: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Group encoded passages into segments of about `SEGMENT_BYTES`, in order."""
    group: list[bytes] = []
    size = 0
    for passage in encoded:
        length = len(passage)
        if length > PASSAGE_BYTES_MAX:
            raise MalformedObject(f"a passage of {length} bytes is over the limit of {PASSAGE_BYTES_MAX}")
        if length < PASSAGE_BYTES_COUNTED:  # bounds their number by the same comparison as their size
            length = PASSAGE_BYTES_COUNTED
        size += length
        if size > SEGMENT_BYTES:
            yield group
            group, size = [], length
        group.append(passage)
    if group:
        yield group


class SegmentSealer:
    """Seals the segments of one dataset version, one after another.

    It keeps its two buffers: with fresh ones the page faults of every segment would cost twice what encrypting does.
    """

    def __init__(self, data_key: SecretKey, *, genesis: Cid, dataset: bytes, version: int) -> None:
        self._data_key = data_key
        self._genesis = genesis
        self._dataset = dataset
        self._version = version
        self._plain = BytesIO()
        self._sealed = bytearray()

    def seal(self, encoded: Sequence[bytes], index: int) -> memoryview:
        """Encrypt encoded passages, one of the groups of `segmented`, as segment `index`.

        Returns: a view of the sealer's own buffer, good until the next call; copy what must last longer.
        """
        header = SegmentHeader(
            suite=SUITE,
            genesis=self._genesis,
            dataset=self._dataset,
            version=self._version,
            index=index,
            salt=secrets.token_bytes(32),
        )
        head = header.encoded()
        prefix = len(head).to_bytes(2, "big") + head
        size = self._write_plain(encoded)
        total = len(prefix) + size + TAG_BYTES
        if len(self._sealed) < total:
            self._sealed = bytearray(total)
        self._sealed[: len(prefix)] = prefix
        sealed = memoryview(self._sealed)[:total]
        with self._plain.getbuffer() as plain:
            header.key(self._data_key).encrypt_into(_NONCE, plain[:size], prefix, sealed[len(prefix) :])
        return sealed.toreadonly()

    def _write_plain(self, encoded: Sequence[bytes]) -> int:
        """Fill the plaintext buffer and return the padded size."""
        if len(encoded) > PASSAGES_PER_SEGMENT_MAX:
            raise ValueError("no reader would open a segment this large; group passages by `segmented`")
        self._plain.seek(_LENGTH_BYTES)
        self._plain.write(_list_head(len(encoded)))
        self._plain.writelines(encoded)
        end = self._plain.tell()
        size = padded_size(end)
        if size > SEGMENT_BYTES_MAX:
            raise ValueError("no reader would open a segment this large; group passages by `segmented`")
        self._plain.write(bytes(size - end))
        self._plain.seek(0)
        self._plain.write((end - _LENGTH_BYTES).to_bytes(_LENGTH_BYTES, "big"))
        return size


def seal_segment(
    data_key: SecretKey, encoded: Sequence[bytes], *, genesis: Cid, dataset: bytes, version: int, index: int
) -> bytes:
    """Encrypt one segment alone; see `SegmentSealer.seal`."""
    return bytes(SegmentSealer(data_key, genesis=genesis, dataset=dataset, version=version).seal(encoded, index))


def open_segment(
    data_key: SecretKey, sealed: bytes, *, genesis: Cid, dataset: bytes, version: int, index: int
) -> list[bytes]:
    """Return the encoded passages of exactly this segment, or raise `TamperedSegment`."""
    where = f"segment {index}"
    if len(sealed) > SEALED_BYTES_MAX:
        raise TamperedSegment(f"{where} has {len(sealed)} bytes, over the limit")
    prefix_bytes = 2 + int.from_bytes(sealed[:2], "big")
    try:
        header = SegmentHeader.from_bytes(sealed[2:prefix_bytes])
    except MalformedObject as error:
        raise TamperedSegment(f"{where} has no readable header") from error
    if (header.suite, header.genesis, header.dataset) != (SUITE, genesis, dataset):
        raise TamperedSegment(f"{where} belongs to another dataset or suite")
    if (header.version, header.index) != (version, index):
        raise TamperedSegment(f"{where} is in fact segment {header.index} of version {header.version}")
    try:
        plain = header.key(data_key).decrypt(_NONCE, memoryview(sealed)[prefix_bytes:], sealed[:prefix_bytes])
    except (InvalidTag, ValueError) as error:
        raise TamperedSegment(f"{where} does not authenticate") from error
    return _passages(plain, where)


def _passages(plain: bytes, where: str) -> list[bytes]:
    length = int.from_bytes(plain[:_LENGTH_BYTES], "big")
    body, padding = plain[_LENGTH_BYTES : _LENGTH_BYTES + length], plain[_LENGTH_BYTES + length :]
    if len(body) != length or padding.strip(b"\x00"):
        raise TamperedSegment(f"{where} is not padded as its owner pads")
    try:
        return _rows(body)
    except MalformedObject as error:
        raise TamperedSegment(f"{where} does not hold canonical passages") from error


def _rows(body: bytes) -> list[bytes]:
    """Return each passage's bytes, found by encoding what was parsed again: together they have to be the body."""
    rows = parse(body, bytes_max=SEGMENT_BYTES_MAX)
    if not isinstance(rows, list) or len(rows) > PASSAGES_PER_SEGMENT_MAX:
        raise MalformedObject(f"not a list of at most {PASSAGES_PER_SEGMENT_MAX} passages")
    encoded = [_row_bytes(row) for row in rows]
    if b"".join((_list_head(len(encoded)), *encoded)) != body:
        raise MalformedObject("not the canonical encoding of its passages")
    if max(map(len, encoded), default=0) > PASSAGE_BYTES_MAX:
        raise MalformedObject(f"a passage is over the limit of {PASSAGE_BYTES_MAX} bytes")
    return encoded


def _row_bytes(row: Any) -> bytes:
    """Return the canonical bytes of a parsed row; the plain one, which most are, without a detour over a passage."""
    return cbor2.dumps(row, canonical=True) if _is_plain(row) else passage_from(row).encoded()


def _is_plain(row: Any) -> bool:
    """Say whether a parsed row is a passage without metadata."""
    return type(row) is list and [*map(type, row)] == _PLAIN_ROW and 0 <= row[1] <= row[2] <= INTEGER_MAX


def passage_from(row: Any) -> Passage:
    """Return the passage of a parsed row, or raise `MalformedObject`."""
    match row:
        case [str(document), int(start), int(end), str(text)] if 0 <= start <= end <= INTEGER_MAX:
            if type(start) is int and type(end) is int:  # not False and True, which match and compare like 0 and 1
                return Passage(document, start, end, text)
        case [str(document), int(start), int(end), str(text), dict(metadata)] if 0 <= start <= end <= INTEGER_MAX:
            if type(start) is int and type(end) is int and metadata:
                return Passage(document, start, end, text, _metadata_from(metadata))
    raise MalformedObject("not a passage")


def _fact(fact: str | int | bool | Sequence[str]) -> Value:
    return fact if isinstance(fact, (str, int)) else list(fact)


def _metadata_from(metadata: dict[str, Value]) -> Metadata:
    """Return metadata as an owner sealed it: an owner may be hostile too, so nothing in it is taken for granted."""
    if len(metadata) > FACTS_MAX:
        raise MalformedObject(f"a passage has at most {FACTS_MAX} facts")
    for key, fact in metadata.items():
        if type(key) is not str or not 1 <= len(key.encode()) <= FACT_KEY_BYTES_MAX:
            raise MalformedObject(f"a fact's key is a text of 1 … {FACT_KEY_BYTES_MAX} bytes")
        items = fact if isinstance(fact, list) else [fact]
        if len(items) > FACT_ITEMS_MAX:
            raise MalformedObject(f"a fact has at most {FACT_ITEMS_MAX} texts")
        for item in items:
            if isinstance(item, str) and len(item.encode()) <= FACT_BYTES_MAX:
                continue
            if fact is items or type(item) not in (bool, int):
                raise MalformedObject("a fact is a text, a whole number, a boolean or a list of texts")
    return metadata  # type: ignore[return-value]  # checked just now


def decoded_passage(encoded: bytes) -> Passage:
    """Return the passage of its canonical bytes, or raise `MalformedObject`."""
    row = parse(encoded, bytes_max=PASSAGE_BYTES_MAX)
    is_plain = _is_plain(row)
    passage = Passage(*row) if is_plain else passage_from(row)
    if (cbor2.dumps(row, canonical=True) if is_plain else passage.encoded()) != encoded:
        raise MalformedObject("not the canonical encoding of a passage")
    return passage


def checked_passage(checked: bytes) -> Passage:
    """Return the passage of bytes that `decoded_passage` took before: two microseconds, not twenty-five."""
    return passage_from(cbor2.loads(checked))


def passage_text(checked: bytes) -> str:
    """Return the text of a passage whose bytes `decoded_passage` took before."""
    text: str = cbor2.loads(checked)[3]
    return text


def lasting_words(checked: bytes) -> str:
    """Return the text of a passage whose bytes `decoded_passage` took before, with its facts in their canonical form.

    Neither its document's name nor its place is among it: a passage does not become another one by being moved.
    """
    _, _, _, text, *facts = cbor2.loads(checked)
    return _lasting(text, facts[0]) if facts else str(text)


def _lasting(text: str, facts: dict[str, Value]) -> str:
    return f"{text}\0{encode(facts).hex()}"


def normalized(words: str) -> str:
    """Return words without what does not make another passage of them: case and spacing."""
    return " ".join(words.casefold().split())


def passage_salts(data_key: SecretKey) -> Iterator[bytes]:
    """Yield the salts of passages 0, 1, 2 …, which blind their commitments (rule R1)."""
    base = data_key.derive("passage-salt")
    return (hmac.digest(base, index.to_bytes(8, "big"), "sha256") for index in count())


def passage_commitment(salt: bytes, encoded: bytes) -> bytes:
    """Return the Merkle leaf hash that hides and binds one passage."""
    return leaf_hash(salt + encoded)


def _list_head(count: int) -> bytes:
    """Return CBOR's head of an array of `count` items (RFC 8949, section 3)."""
    if count < 24:
        return bytes([0x80 | count])
    for marker, width in ((0x98, 1), (0x99, 2), (0x9A, 4)):
        if count < 1 << 8 * width:
            return bytes([marker]) + count.to_bytes(width, "big")
    raise MalformedObject("too many passages for one segment")
