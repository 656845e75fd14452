"""Accepted machines as JSON: what `coffer enclave describe` writes, a member edits, and `coffer dao propose` reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from vault.errors import MalformedObject
from vault.expectation import GPU, KINDS, NUMBER_BYTES, VALUES_MAX, Expectation, Field, Form, Rule, number
from vault.policy import AcceptedTee

ANY: Final = "ANY"
CPU_ONLY: Final = "CPU_ONLY"


WORD_CHARS_MAX: Final = 128
VALUE_BYTES_MAX: Final = 128
SHOWN_CHARS_MAX: Final = 100
_HEX: Final = re.compile(f"(?:[0-9a-fA-F]{{2}}){{0,{VALUE_BYTES_MAX}}}")


class _Unmeant(MalformedObject):
    """What a field is said to be, and cannot be meant."""


def tee_json(tee: AcceptedTee) -> dict[str, Any]:
    """Return an accepted machine for programs and editors: every field with its values, its bound, or ANY."""
    gpu = CPU_ONLY if tee.cpu_only else _expectations_json(tee.gpu, GPU)
    return {"kind": tee.kind, "expectations": _expectations_json(tee.expectations, KINDS[tee.kind]), "gpu": gpu}


def tee_from_json(said: Mapping[str, Any]) -> AcceptedTee:
    """Return the accepted machine that `tee_json` described, or raise `MalformedObject` naming the field."""
    require_filled(dict(said))
    kind, gpu = said.get("kind"), said.get("gpu")
    if unknown := sorted(set(said) - {"kind", "expectations", "gpu", "configuration"}):
        raise MalformedObject(
            f"there is no member {shortened(unknown[0])}; there are kind, expectations, gpu and configuration"
        )
    if not isinstance(kind, str) or kind not in KINDS:
        raise MalformedObject(f"there is no TEE of kind {shortened(kind)}; there are {', '.join(sorted(KINDS))}")
    if gpu is None:
        raise MalformedObject(f"nothing is said of a GPU; give its expectations, or {CPU_ONLY}")
    return AcceptedTee(
        kind=kind,
        expectations=_expectations_from(said.get("expectations"), KINDS[kind], kind),
        cpu_only=gpu == CPU_ONLY,
        gpu=() if gpu == CPU_ONLY else _expectations_from(gpu, GPU, "gpu"),
    )


def expected(fields: Mapping[str, Field], found: Mapping[str, object]) -> tuple[Expectation, ...]:
    """Return expectations for a machine like the one found: its measurements, at least its SVNs, ANY for the rest."""
    return tuple(_like(name, field, found.get(name)) for name, field in sorted(fields.items()))


def _like(name: str, field: Field, found: object) -> Expectation:
    if name == "tcb_status":
        return Expectation(field=name, rule=Rule.ONE_OF, values=(b"UpToDate",))
    if name == "out_of_date_s":
        return Expectation(field=name, rule=Rule.AT_MOST, values=(bytes(NUMBER_BYTES),))
    is_judged = field.is_needed or field.form in (Form.MEASUREMENT, Form.SVNS, Form.FLOOR)
    if found is None or not is_judged:
        return Expectation(field=name, rule=Rule.ANY, values=())
    value = found.encode() if isinstance(found, str) else found
    if isinstance(value, int):
        value = value.to_bytes(NUMBER_BYTES, "big")
    if not isinstance(value, bytes):
        raise MalformedObject(f"{name}: a claim of this form cannot be expected")
    return Expectation(field=name, rule=field.form.rule, values=(value,))


def _expectations_json(expectations: tuple[Expectation, ...], fields: Mapping[str, Field]) -> dict[str, Any]:
    return {item.field: _expectation_json(item, fields[item.field].form) for item in expectations}


def _expectation_json(expectation: Expectation, form: Form) -> Any:
    match expectation.rule:
        case Rule.ANY:
            return ANY
        case Rule.ONE_OF:
            return [value.decode() if form is Form.TEXT else value.hex() for value in expectation.values]
        case Rule.EACH_AT_LEAST:
            return {expectation.rule.value: expectation.values[0].hex()}
        case _:
            return {expectation.rule.value: number(expectation.values[0])}


def _expectations_from(said: object, fields: Mapping[str, Field], of: str) -> tuple[Expectation, ...]:
    if not isinstance(said, dict):
        raise MalformedObject(f"{of}: a map from fields to expectations was expected")
    if unknown := sorted(set(said) - set(fields)):
        raise MalformedObject(f"{of}: there is no field {shortened(unknown[0])}; there are {', '.join(sorted(fields))}")
    return tuple(_expectation_from(name, said[name], fields[name], of) for name in sorted(said))


def _expectation_from(name: str, said: object, field: Field, of: str) -> Expectation:
    try:
        if said == ANY and not field.is_needed:
            return Expectation(field=name, rule=Rule.ANY, values=())
        return Expectation(field=name, rule=field.form.rule, values=_values(said, field))
    except _Unmeant as error:
        raise MalformedObject(f"{of}, {name}: {error}; {_wanted(field)}") from error


def _values(said: object, field: Field) -> tuple[bytes, ...]:
    """Return the values that a list or a bound gives, or raise `_Unmeant` saying which of them means nothing."""
    if said == ANY:
        raise _Unmeant(f'"{ANY}" would accept every genuine machine')
    if field.form.rule is Rule.ONE_OF:
        if not isinstance(said, list):
            raise _Unmeant("this is no list")
        if not 1 <= len(said) <= VALUES_MAX:
            raise _Unmeant(f"the list has {len(said)} values")
        return tuple(sorted({_word(value) if field.form is Form.TEXT else _bytes(value, field) for value in said}))
    rule = field.form.rule.value
    if not isinstance(said, dict) or set(said) != {rule}:
        raise _Unmeant(f"this is no {{{json.dumps(rule)}: …}}")
    return (_bytes(said[rule], field) if field.form is Form.SVNS else _number(said[rule]),)


def _word(said: object) -> bytes:
    if not isinstance(said, str) or not 1 <= len(said) <= WORD_CHARS_MAX or not said.isprintable():
        raise _Unmeant(f"{shortened(said)} is no word")
    return said.encode()


def _bytes(said: object, field: Field) -> bytes:
    if not isinstance(said, str) or not _HEX.fullmatch(said):
        raise _Unmeant(f"{shortened(said)} is not hex")
    value = bytes.fromhex(said)
    if field.size not in (0, len(value)):
        raise _Unmeant(f"{shortened(said)} has {len(value)} bytes")
    return value


def _number(said: object) -> bytes:
    if type(said) is not int or not 0 <= said < 1 << 8 * NUMBER_BYTES:
        raise _Unmeant(f"{shortened(said)} is no whole number of 0 or more")
    return said.to_bytes(NUMBER_BYTES, "big")


def _wanted(field: Field) -> str:
    """Return what the field takes, in words for whoever edits the file."""
    size = f"of {field.size} bytes ({2 * field.size} digits) " if field.size else ""
    hexadecimal = f"{size}in hex, in the order in which coffer attest show prints it"
    written = {
        Form.MEASUREMENT: f"a list of 1 to {VALUES_MAX} values, each {hexadecimal}",
        Form.BYTES: f"a list of 1 to {VALUES_MAX} values, each {hexadecimal}",
        Form.TEXT: f"a list of 1 to {VALUES_MAX} words, as coffer attest show prints them",
        Form.SVNS: f'{{"each-at-least": "…"}} with a value {hexadecimal}',
        Form.FLOOR: '{"at-least": N} with a whole number N',
        Form.CEILING: '{"at-most": N} with a whole number N',
    }[field.form]
    return f"write {written}" if field.is_needed else f'write {written}, or "{ANY}" where it may be anything'


def require_filled(said: object) -> None:
    """Raise `MalformedObject` where a place of a template, such as @mr_td@, was left open."""
    left = next((text for text in _texts(said) if text[:1] == text[-1:] == "@"), None)
    if left is not None:
        raise MalformedObject(f"the template's placeholder {shortened(left)} was not filled in")


def _texts(said: object) -> Iterator[str]:
    match said:
        case str():
            yield said
        case list():
            for item in said:
                yield from _texts(item)
        case dict():
            for item in said.values():
                yield from _texts(item)


def shortened(said: object) -> str:
    """Return what was written, on one line of bounded length."""
    text = json.dumps(said)
    return text if len(text) <= SHOWN_CHARS_MAX else f"{text[:SHOWN_CHARS_MAX]}…"
