"""Accepted machines as JSON: what `coffer enclave describe` writes, a member edits, and `coffer dao propose` reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from vault.errors import MalformedObject
from vault.expectation import GPU, KINDS, NUMBER_BYTES, Expectation, Field, Form, Rule, number
from vault.policy import AcceptedTee

ANY: Final = "ANY"
CPU_ONLY: Final = "CPU_ONLY"


_HEX: Final = "in hex, as coffer attest show prints it"
_WRITTEN: Final = {
    Form.MEASUREMENT: f"a list of values {_HEX}",
    Form.BYTES: f"a list of values {_HEX}",
    Form.TEXT: "a list of words",
    Form.SVNS: f'{{"each-at-least": bytes}} {_HEX}',
    Form.FLOOR: '{"at-least": number}',
    Form.CEILING: '{"at-most": number}',
}


def tee_json(tee: AcceptedTee) -> dict[str, Any]:
    """Return an accepted machine for programs and editors: every field with its values, its bound, or ANY."""
    gpu = CPU_ONLY if tee.cpu_only else _expectations_json(tee.gpu, GPU)
    return {"kind": tee.kind, "expectations": _expectations_json(tee.expectations, KINDS[tee.kind]), "gpu": gpu}


def tee_from_json(said: Mapping[str, Any]) -> AcceptedTee:
    """Return the accepted machine that `tee_json` described, or raise `MalformedObject` naming the field."""
    kind, gpu = str(said.get("kind")), said.get("gpu")
    if unknown := sorted(set(said) - {"kind", "expectations", "gpu", "configuration"}):
        raise MalformedObject(f"there is no member {unknown[0]!r}; there are kind, expectations, gpu and configuration")
    if kind not in KINDS:
        raise MalformedObject(f"there is no TEE of kind {kind!r}; there are {', '.join(sorted(KINDS))}")
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
        raise MalformedObject(f"{of}: there is no field {', '.join(unknown)}")
    return tuple(_expectation_from(name, said[name], fields[name].form, of) for name in sorted(said))


def _expectation_from(name: str, said: object, form: Form, of: str) -> Expectation:
    if any(isinstance(value, str) and value[:1] == value[-1:] == "@" for value in _leaves(said)):
        raise MalformedObject(f"{of}, {name}: a placeholder of the template was not filled in")
    if said == ANY:
        return Expectation(field=name, rule=Rule.ANY, values=())
    try:
        match said:
            case list():
                values = {value.encode() if form is Form.TEXT else bytes.fromhex(value) for value in said}
                return Expectation(field=name, rule=Rule.ONE_OF, values=tuple(sorted(values)))
            case dict() if len(said) == 1:
                ((rule, bound),) = said.items()
                value = bytes.fromhex(bound) if form is Form.SVNS else bound.to_bytes(NUMBER_BYTES, "big")
                return Expectation(field=name, rule=Rule(rule), values=(value,))
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise _misformed(name, of, form) from error
    raise _misformed(name, of, form)


def _leaves(said: object) -> list[object]:
    match said:
        case list():
            return said
        case dict():
            return list(said.values())
        case _:
            return [said]


def _misformed(name: str, of: str, form: Form) -> MalformedObject:
    return MalformedObject(
        f'{of}, {name}: write {_WRITTEN[form]} or, where it may be anything, "{ANY}"; the field is {form.value}'
    )
