"""How receipts are made wrong in one thing: what hangs on it is made anew, and signed by whoever would sign it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cbor2

from tests.people import seeded
from tests.vault.forged_receipts import Case, cose
from vault.codec import encode
from vault.cose import CONTENT_TYPE, EDDSA, key_id, sign1
from vault.evidence import Evidence
from vault.machine import MachineKey
from vault.receipt import OpenedPassage, ReceiptFile
from vault.receipt_message import AAD, BURST_AAD, Burst, ReceiptInBurst, signed_receipts

OTHER = seeded("other")
MALLORY = MachineKey(seeded("mallory"))
ORDER = 2**252 + 27742317777372353535851937790883648493  # of Ed25519's group, RFC 8032, section 5.1
Made = ReceiptFile | bytes
Wrong = tuple[str, Callable[[Case], Made]]


def receipt(fact: str, **changed: Any) -> Wrong:
    """Return the case of one field of the receipt, signed by the instance; callables are given the case."""
    return fact, lambda case: case.resigned(
        **{name: value(case) if callable(value) else value for name, value in changed.items()}
    )


def proof(**changed: Any) -> Wrong:
    """Return the case of one field of the first passage's proof."""

    def made(case: Case) -> ReceiptFile:
        first, *rest = case.receipt.passages
        values = {name: value(first) if callable(value) else value for name, value in changed.items()}
        return case.resigned(passages=(replace(first, **values), *rest))

    return "passages", made


def part(fact: str, **changes: Any) -> Wrong:
    """Return the case of fields of one part of the file, with all that hangs on them made anew."""
    return fact, lambda case: case.forged(**{name: _given(case, fields) for name, fields in changes.items()})


def _given(case: Case, fields: Any) -> Any:
    return {name: value(case) if callable(value) else value for name, value in fields.items()}


def message(**form: Any) -> Wrong:
    """Return the case of a COSE message of another form over the true receipt, truly signed over that form."""
    return "signature", lambda case: case.with_message(
        cose(form.get("key", case.key), form.get("payload", case.receipt.encoded()), **_form(case, form))
    )


def _form(case: Case, form: dict[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in form.items() if name not in ("key", "payload")}
    return {name: value(case) if callable(value) else value for name, value in given.items()}


def header(**changed: Any) -> Callable[[Case], dict[Any, Any]]:
    """Return the protected header with parameters changed, added, or left out where they are None."""
    labels: dict[str, Any] = {"crit": 2, "alg": 1, "type": 3, "kid": 4, "iv": 5, "x5chain": 33, "unknown": 99}

    def made(case: Case) -> dict[Any, Any]:
        whole: dict[Any, Any] = {1: EDDSA, 3: CONTENT_TYPE, 4: key_id(case.key.public)}
        whole |= {labels[name]: value for name, value in changed.items()}
        return {label: value for label, value in whole.items() if value is not None}

    return made


def payload(change: Callable[[bytes], bytes]) -> Wrong:
    """Return the case of a receipt's bytes that are not canonical, or not a receipt's, truly signed in COSE."""
    return "receipt", lambda case: case.with_message(sign1(case.key, change(case.receipt.encoded()), external_aad=AAD))


def value(change: Callable[[dict[str, Any]], Any]) -> Wrong:
    """Return the case of a receipt whose map holds something else, canonically encoded and truly signed."""

    def made(data: bytes) -> bytes:
        found = cbor2.loads(data)
        encoded: bytes = cbor2.dumps(change(found) or found, canonical=True)
        return encoded

    return payload(made)


def bytes_of(change: Callable[[bytes], bytes]) -> Wrong:
    """Return the case of a message's bytes changed after it was signed."""
    return "signature", lambda case: case.with_message(change(case.file.message))


def whole(change: Callable[[bytes], bytes]) -> Wrong:
    """Return the case of a file's bytes."""
    return "file", lambda case: change(case.file.encoded())


def burst(change: Callable[[Case, ReceiptInBurst], Any]) -> Wrong:
    """Return the case of a receipt in a burst of five of its instance; one fact of its message is another."""

    def made(case: Case) -> ReceiptFile:
        receipts = [case.receipt.encoded(), *(seeded(f"receipt {n}", 64) for n in range(4))]
        signed = ReceiptInBurst.from_bytes(signed_receipts(receipts, case.key)[0])
        changed = change(case, signed)
        return case.with_message(changed if isinstance(changed, bytes) else changed.encoded())

    return "signature", made


def leases(fact: str, made: Callable[[Case], Any]) -> Wrong:
    """Return the case of other leases."""
    return fact, lambda case: replace(case.file, leases=tuple(made(case)))


def file(fact: str, **changed: Callable[[Case], Any]) -> Wrong:
    """Return the case of another part in the file."""
    return fact, lambda case: replace(case.file, **{name: value(case) for name, value in changed.items()})


def reordered(data: bytes) -> bytes:
    found = cbor2.loads(data)
    encoded: bytes = cbor2.dumps(dict(reversed(list(found.items()))))
    return encoded


def head_of(case: Case, size: int, root: bytes, *, key: MachineKey | None = None, aad: bytes = BURST_AAD) -> bytes:
    body = encode({"type": Burst.TYPE, "size": size, "root": root})
    return sign1(key or case.key, body, external_aad=aad)


def malleable(data: bytes) -> bytes:
    s = int.from_bytes(data[-32:], "little") + ORDER
    return data[:-32] + s.to_bytes(32, "little")


def scores(*scores: float) -> bytes:
    return struct.pack(f">{len(scores)}d", *scores)


def with_license(case: Case, license: Any) -> ReceiptFile:
    return replace(case.resigned(license=license.cid()), license=license)


def first_passage(case: Case, **changed: Any) -> tuple[OpenedPassage, ...]:
    first, *rest = case.file.passages
    return (replace(first, **changed), *rest)


def broken(evidence: Evidence) -> Evidence:
    return replace(evidence, document=evidence.document[:-1] + bytes([evidence.document[-1] ^ 1]))
