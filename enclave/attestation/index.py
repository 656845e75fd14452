"""An index of evidence cases: files, a time, and what a verifier has to find. Read here; `cases` runs them.

The form is that of `evidence-index/1`. What is needed must be there and mean one thing only; other members are ignored.
One case that cannot be read keeps no other from being run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, NoReturn

from vault.errors import MalformedObject

SCHEMA: Final = "evidence-index/1"  # also where an index names none
INDEX_BYTES_MAX: Final = 16 << 20
FILE_BYTES_MAX: Final = 1 << 20
CASES_MAX: Final = 10_000
FILES_MAX: Final = 32
MUTATIONS_MAX: Final = 64
TEXT_MAX: Final = 4096
SECONDS_END: Final = 253_402_300_800  # the year 10000, where calendars of four digits end

ACCEPT: Final = "accept"
REJECT: Final = "reject"
_CHANGES: Final = frozenset({"offset", "xor", "truncate_to", "append"})


class MalformedIndex(MalformedObject):
    """Bytes that are no index of cases."""


class UnusableCase(MalformedObject):
    """A case that cannot be run as it stands, which says nothing about its evidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file of a case; `path` is relative to the index."""

    path: str
    role: str
    digest: bytes | None  # SHA-256

    def require_intact(self, data: bytes) -> None:
        """Raise `UnusableCase` unless these are the bytes that the index was written for."""
        if self.digest is not None and sha256(data).digest() != self.digest:
            raise UnusableCase(f"{self.path}: not the file that the index names, by its SHA-256")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """A change to one file before it is verified: bits flipped, then cut short, then bytes added."""

    file: str | None  # a path, or its last part; None: the first file
    offset: int
    xor: bytes
    truncate_to: int | None
    append: bytes

    def applied(self, data: bytes) -> bytes:
        """Return the changed bytes, or raise `UnusableCase` where there is nothing to change."""
        end = self.offset + len(self.xor)
        if end > len(data) or (self.truncate_to or 0) > len(data):
            raise UnusableCase(f"mutations: a change beyond the end of a file of {len(data)} bytes")
        flipped = bytes(a ^ b for a, b in zip(data[self.offset : end], self.xor, strict=True))
        return (data[: self.offset] + flipped + data[end:])[: self.truncate_to] + self.append


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a strict verifier has to find. None, or no reasons: the index does not say."""

    verdict: str
    reasons: tuple[str, ...]
    tcb_status: str | None
    advisory_ids: tuple[str, ...] | None
    claims: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case. `at` is in Unix seconds."""

    id: str
    tee: str
    files: tuple[File, ...]
    at: int
    mutations: tuple[Mutation, ...]
    params: Mapping[str, Any]
    expected: Expected


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A case that the index does not describe well enough to run it."""

    id: str
    tee: str
    problem: str


def index_from(data: bytes) -> Sequence[Case | Unreadable]:
    """Return the cases of an index, or raise `MalformedIndex`."""
    if len(data) > INDEX_BYTES_MAX:
        raise MalformedIndex(f"the index is over {INDEX_BYTES_MAX >> 20} MiB")
    try:
        index = json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_refuse)
    except MalformedIndex:
        raise
    except (ValueError, RecursionError):
        raise MalformedIndex("the index is not JSON") from None
    cases = index.get("cases") if isinstance(index, dict) else None
    if isinstance(index, dict) and index.get("schema", SCHEMA) != SCHEMA:
        raise MalformedIndex(f"the index is of schema {ascii(index['schema'])[:80]}; this build reads {SCHEMA!r} only")
    if not isinstance(cases, list):
        raise MalformedIndex('the index is not a JSON object with a list of "cases"')
    if not 1 <= len(cases) <= CASES_MAX:
        raise MalformedIndex(f"the index holds {len(cases)} cases, wanted 1 to {CASES_MAX}")
    read = [_case_or_problem(said, number) for number, said in enumerate(cases, start=1)]
    known: set[str] = set()
    for place, case in enumerate(read):
        if case.id in known:
            read[place] = Unreadable(id=case.id, tee=case.tee, problem="id: a case before it has the same one")
        known.add(case.id)
    return read


def _case_or_problem(said: object, number: int) -> Case | Unreadable:
    members = said if isinstance(said, dict) else {}
    id, tee = members.get("id"), members.get("tee")
    try:
        return _case(_object(said, "case"))
    except UnusableCase as error:
        return Unreadable(
            id=id if isinstance(id, str) and 1 <= len(id) <= TEXT_MAX else f"case {number}",
            tee=tee if isinstance(tee, str) else "",
            problem=str(error),
        )


def _case(said: dict[str, Any]) -> Case:
    files = _list(said.get("files"), "files", FILES_MAX)
    return Case(
        id=_text(said, "id"),
        tee=_text(said, "tee"),
        files=tuple(_file(_object(file, "files")) for file in files),
        at=_time(said.get("verification_time")),
        mutations=tuple(
            _mutation(_object(mutation, "mutations"))
            for mutation in _list(_given(said, "mutations", []), "mutations", MUTATIONS_MAX)
        ),
        params=_object(_given(said, "params", {}), "params"),
        expected=_expected(
            _object(said.get("expected"), "expected"), _object(_given(said, "expected_claims", {}), "expected_claims")
        ),
    )


def _file(said: dict[str, Any]) -> File:
    digest = None if said.get("sha256") is None else _hex(said, "sha256")
    if digest is not None and len(digest) != sha256().digest_size:
        raise UnusableCase("files: sha256 is not 32 bytes in hex")
    return File(path=_text(said, "path"), role=_text(said, "role"), digest=digest)


def _mutation(said: dict[str, Any]) -> Mutation:
    changes = said.keys() & _CHANGES
    if unknown := sorted(said.keys() - _CHANGES - {"file"}):
        raise UnusableCase(f"mutations: there is no change named {unknown[0][:40]!r}")
    if not changes or ("offset" in changes) != ("xor" in changes):
        raise UnusableCase("mutations: a change is offset and xor, truncate_to or append")
    return Mutation(
        file=_text(said, "file") if said.get("file") is not None else None,
        offset=_number(said, "offset") if "offset" in changes else 0,
        xor=_bits(said) if "xor" in changes else b"",
        truncate_to=_number(said, "truncate_to") if "truncate_to" in changes else None,
        append=_hex(said, "append") if "append" in changes else b"",
    )


def _expected(said: dict[str, Any], claims: dict[str, Any]) -> Expected:
    verdict = said.get("strict_verdict")
    if verdict is None and said.get("crypto_verdict") == REJECT:
        verdict = REJECT
    if verdict not in (ACCEPT, REJECT):
        raise UnusableCase(f"expected: strict_verdict is neither {ACCEPT} nor {REJECT}")
    reasons = said.get("reason_class")
    if reasons is None:
        reasons = said.get("strict_reason")
    advisories = said.get("advisory_ids")
    return Expected(
        verdict=verdict,
        reasons=() if reasons is None else _texts(reasons if isinstance(reasons, list) else [reasons], "reason_class"),
        tcb_status=_text(said, "tcb_status") if said.get("tcb_status") is not None else None,
        advisory_ids=None if advisories is None else tuple(sorted(_texts(advisories, "advisory_ids"))),
        claims=claims,
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedIndex("the index is not JSON in which every member stands once: one stands twice")
    return members


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _given(said: dict[str, Any], name: str, usual: Any) -> Any:
    """Return a member that may be left out, or be null."""
    return usual if said.get(name) is None else said[name]


def _object(said: object, name: str) -> dict[str, Any]:
    if not isinstance(said, dict):
        raise UnusableCase(f"{name}: wanted a JSON object")
    return said


def _list(said: object, name: str, most: int) -> list[Any]:
    if not isinstance(said, list) or len(said) > most:
        raise UnusableCase(f"{name}: wanted a list of at most {most}")
    return said


def _text(said: dict[str, Any], name: str) -> str:
    value = said.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= TEXT_MAX:
        raise UnusableCase(f"{name}: wanted text")
    return value


def _texts(said: object, name: str) -> tuple[str, ...]:
    values = _list(said, name, TEXT_MAX)
    if not all(isinstance(value, str) for value in values):
        raise UnusableCase(f"{name}: wanted text")
    return tuple(values)


def _number(said: dict[str, Any], name: str) -> int:
    value = said.get(name)
    if type(value) is not int or not 0 <= value <= FILE_BYTES_MAX:
        raise UnusableCase(f"{name}: wanted a number of 0 to {FILE_BYTES_MAX}")
    return value


def _bits(said: dict[str, Any]) -> bytes:
    """Return the bits to flip: bytes in hex, or one byte as a number."""
    bits = said["xor"]
    if type(bits) is int and 0 <= bits < 256:
        return bytes([bits])
    return _hex(said, "xor")


def _hex(said: dict[str, Any], name: str) -> bytes:
    try:
        return bytes.fromhex(_text(said, name).removeprefix("0x"))
    except ValueError:
        raise UnusableCase(f"{name}: wanted bytes in hex") from None


def time_from(said: object) -> int | None:
    """Return Unix seconds for a time of RFC 3339 with its offset, or for a number of seconds; else None."""
    if type(said) is int and 0 <= said < SECONDS_END:
        return said
    try:
        moment = datetime.fromisoformat(said if isinstance(said, str) else "")
        if moment.tzinfo is not None:
            return int(moment.timestamp())
    except (ValueError, OverflowError):
        pass
    return None


def _time(said: object) -> int:
    seconds = time_from(said)
    if seconds is None:
        raise UnusableCase("verification_time: wanted a time like 2025-07-04T10:16:31Z")
    return seconds
