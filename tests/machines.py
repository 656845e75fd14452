"""Accepted machines for tests: complete entries of every kind, each field open to change."""

from __future__ import annotations

from tests.builders import seeded
from vault.expectation import GPU, KINDS, NUMBER_BYTES, Expectation, Field, Form, Rule
from vault.policy import AcceptedTee

UP_TO_DATE = b"UpToDate"


def expectation(name: str, field: Field) -> Expectation:
    """Return a valid expectation of a field, other than ANY."""
    values = {
        Form.TEXT: UP_TO_DATE if name == "tcb_status" else b"text",
        Form.FLOOR: (1).to_bytes(NUMBER_BYTES, "big"),
        Form.CEILING: bytes(NUMBER_BYTES),
    }
    value = values.get(field.form) or seeded(name, field.size or 32)
    return Expectation(field=name, rule=field.form.rule, values=(value,))


def accepted_tee(kind: str, *changed: Expectation, gpu: bool = False, cpu_only: bool | None = None) -> AcceptedTee:
    """Return an entry of a kind; `changed` replace expectations of the same field."""
    return AcceptedTee(
        kind=kind,
        expectations=_complete(KINDS[kind], changed),
        cpu_only=not gpu if cpu_only is None else cpu_only,
        gpu=_complete(GPU, ()) if gpu else (),
    )


def anything(name: str) -> Expectation:
    """Return ANY for a field."""
    return Expectation(field=name, rule=Rule.ANY, values=())


def _complete(fields: object, changed: tuple[Expectation, ...]) -> tuple[Expectation, ...]:
    assert isinstance(fields, dict) or hasattr(fields, "items")
    usual = {name: expectation(name, field) for name, field in fields.items()}
    usual |= {item.field: item for item in changed}
    return tuple(usual[name] for name in sorted(usual))
