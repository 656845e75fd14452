"""JSON from outside: bounded, and with one meaning only (RFC 8259, read as RFC 7493 asks)."""

from __future__ import annotations

import json
import re
from typing import Final, NoReturn, TypeAlias

from enclave.attestation.errors import EvidenceMalformed

Json: TypeAlias = "bool | int | str | list[Json] | dict[str, Json] | None"

DEPTH_MAX: Final = 32

_DIGITS_MAX: Final = 20  # a 64-bit number
# A string, unfinished ones up to the end so that no place is read twice, or a bracket.
_TOKEN: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)


def json_from(data: bytes, *, what: str, bytes_max: int) -> Json:
    """Return the one value that `data` holds, or raise `EvidenceMalformed`.

    No member of an object may stand twice, since parsers disagree on which one counts; no number is a fraction; all
    text is Unicode that UTF-8 can hold.
    """
    if len(data) > bytes_max:
        raise EvidenceMalformed(f"{what}: {len(data)} bytes are over the limit of {bytes_max}")
    try:
        text = data.decode()
        _require_shallow(text)
        value: Json = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_int=_integer,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
        )
        json.dumps(value, ensure_ascii=False).encode()
    except ValueError:  # without their cause, which would carry the text
        raise EvidenceMalformed(f"{what}: {len(data)} bytes are not strict JSON") from None
    return value


def object_from(data: bytes, *, what: str, bytes_max: int) -> dict[str, Json]:
    """Return the object that `data` holds, or raise `EvidenceMalformed`."""
    value = json_from(data, what=what, bytes_max=bytes_max)
    if not isinstance(value, dict):
        raise EvidenceMalformed(f"{what}: wanted a JSON object")
    return value


def text_of(members: dict[str, Json], name: str, *, what: str) -> str:
    """Return a member that is text, or raise `EvidenceMalformed`."""
    value = members.get(name)
    if not isinstance(value, str):
        raise EvidenceMalformed(f"{what}: wanted text as {name}")
    return value


def number_of(members: dict[str, Json], name: str, *, what: str, most: int) -> int:
    """Return a member that is a whole number of 0 to `most`, or raise `EvidenceMalformed`."""
    value = members.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise EvidenceMalformed(f"{what}: wanted a number of 0 to {most} as {name}")
    return value


def hex_of(members: dict[str, Json], name: str, *, what: str) -> bytes:
    """Return the bytes that a member gives in hex, or raise `EvidenceMalformed`."""
    value = text_of(members, name, what=what)
    try:
        decoded = bytes.fromhex(value)
    except ValueError:
        raise EvidenceMalformed(f"{what}: {name} is not hex") from None
    if 2 * len(decoded) != len(value):  # spaces, which bytes.fromhex skips
        raise EvidenceMalformed(f"{what}: {name} is not hex")
    return decoded


def _require_shallow(text: str) -> None:
    """Raise `ValueError` for nesting that the parser, which recurses, might not come back from."""
    depth = 0
    for token in _TOKEN.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if depth > DEPTH_MAX:
            raise ValueError("nested too deep")


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands twice")
    return members


def _integer(digits: str) -> int:
    if len(digits) > _DIGITS_MAX:
        raise ValueError("a number of too many digits")
    return int(digits)


def _refuse_number(_: str) -> NoReturn:
    raise ValueError("a number that is not whole")
