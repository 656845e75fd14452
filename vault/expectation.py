"""What a policy expects of verified evidence, field by field. Each field is judged or named as ANY; none is forgotten.

Values are bytes: measurements as they are, numbers as 8 bytes big-endian, text as UTF-8. A vector of security version
numbers (SVN) is at least another where each of its bytes is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Annotated, Final

from vault.codec import Length, Record, record
from vault.errors import MalformedObject

VALUES_MAX = 16
FIELDS_MAX = 40
NUMBER_BYTES = 8


class Rule(StrEnum):
    """How found and expected values compare."""

    ANY = "any"
    ONE_OF = "one-of"
    AT_LEAST = "at-least"  # a number
    AT_MOST = "at-most"  # a number
    EACH_AT_LEAST = "each-at-least"  # a vector of SVNs, byte by byte


class Form(Enum):
    """What a field holds."""

    MEASUREMENT = "a measurement"  # revocations can name it
    BYTES = "bytes"
    TEXT = "text"
    SVNS = "a vector of SVNs"
    FLOOR = "a number with a least value"
    CEILING = "a number with a greatest value"

    @property
    def rule(self) -> Rule:
        """Return the one rule that judges it, besides ANY."""
        return _RULES[self]


_RULES: Final = {
    Form.MEASUREMENT: Rule.ONE_OF,
    Form.BYTES: Rule.ONE_OF,
    Form.TEXT: Rule.ONE_OF,
    Form.SVNS: Rule.EACH_AT_LEAST,
    Form.FLOOR: Rule.AT_LEAST,
    Form.CEILING: Rule.AT_MOST,
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of one kind of evidence. `size` is in bytes, 0 where it varies."""

    form: Form
    size: int = 0
    is_needed: bool = False  # ANY is refused: without it, every genuine machine would be accepted


def _measured(size: int, *, needed: bool = False) -> Field:
    return Field(Form.MEASUREMENT, size, needed)


_TCB: Final = {
    "tcb_status": Field(Form.TEXT, is_needed=True),
    "out_of_date_s": Field(Form.CEILING, is_needed=True),  # grace: age of an OutOfDate platform's TCB level; 0: none
    "tcb_evaluation_data_number": Field(Form.FLOOR),
}
_TDX: Final = {
    "mr_td": _measured(48, needed=True),
    "mr_seam": _measured(48),
    "mr_config_id": Field(Form.BYTES, 48),
    "mr_owner": Field(Form.BYTES, 48),
    "mr_owner_config": Field(Form.BYTES, 48),
    "rt_mr0": _measured(48),
    "rt_mr1": _measured(48, needed=True),
    "rt_mr2": _measured(48, needed=True),
    "rt_mr3": _measured(48),
    "td_attributes": Field(Form.BYTES, 8),
    "xfam": Field(Form.BYTES, 8),
    "tee_tcb_svn": Field(Form.SVNS, 16),
    **_TCB,
}
KINDS: Final[Mapping[str, Mapping[str, Field]]] = MappingProxyType(
    {
        "simulated": {"measurement": _measured(0, needed=True), "simulator": Field(Form.BYTES, 32, is_needed=True)},
        "tdx": _TDX,
        "dstack": {
            **_TDX,
            "compose_hash": _measured(32, needed=True),
            "app_id": Field(Form.BYTES),
            "key_provider": Field(Form.BYTES),
        },
        "sgx": {
            "mr_enclave": _measured(32, needed=True),
            "mr_signer": _measured(32),
            "isv_prod_id": Field(Form.FLOOR),
            "isv_svn": Field(Form.FLOOR),
            "cpu_svn": Field(Form.SVNS, 16),
            **_TCB,
        },
        "snp": {
            "measurement": _measured(48, needed=True),
            "host_data": Field(Form.BYTES, 32),
            "id_key_digest": Field(Form.BYTES, 48),
            "author_key_digest": Field(Form.BYTES, 48),
            "family_id": Field(Form.BYTES, 16),
            "image_id": Field(Form.BYTES, 16),
            "guest_svn": Field(Form.FLOOR),
            "vmpl": Field(Form.CEILING, is_needed=True),
            "product": Field(Form.TEXT, is_needed=True),  # the layout of a TCB vector is the product's
            "signed_by": Field(Form.TEXT),
            "reported_tcb": Field(Form.SVNS, 8),
            "committed_tcb": Field(Form.SVNS, 8),
            "launch_tcb": Field(Form.SVNS, 8),
        },
        "nitro": {
            "pcr0": _measured(48, needed=True),
            "pcr1": _measured(48),
            "pcr2": _measured(48),
            "pcr3": _measured(48),
            "pcr4": _measured(48),
            "pcr8": _measured(48),
        },
    }
)
GPU: Final[Mapping[str, Field]] = MappingProxyType(
    {
        "driver_version": Field(Form.TEXT, is_needed=True),
        "vbios_version": Field(Form.TEXT, is_needed=True),
        "fwid": _measured(48),
    }
)


@record
class Expectation(Record):
    """What one field has to be."""

    field: Annotated[str, Length(1, 40)]
    rule: Rule
    values: Annotated[tuple[Annotated[bytes, Length(0, 128)], ...], Length(0, VALUES_MAX)]

    def check(self) -> None:
        """Refuse a rule without what it needs."""
        count = len(self.values)
        fits = {Rule.ANY: count == 0, Rule.ONE_OF: count >= 1}.get(self.rule, count == 1)
        if not fits or list(self.values) != sorted(set(self.values)):
            raise MalformedObject(
                f"{self.field}: ANY takes no value, one-of some in ascending order, a bound exactly one"
            )

    def accepts(self, found: bytes) -> bool:
        """Say whether a found value, encoded as this module says, is an expected one."""
        match self.rule:
            case Rule.ANY:
                return True
            case Rule.ONE_OF:
                return found in self.values
            case Rule.AT_LEAST:
                return number(found) >= number(self.values[0])
            case Rule.AT_MOST:
                return number(found) <= number(self.values[0])
            case Rule.EACH_AT_LEAST:
                least = self.values[0]
                return len(found) == len(least) and all(a >= b for a, b in zip(found, least, strict=True))


def number(value: bytes) -> int:
    """Return the number that a value encodes."""
    return int.from_bytes(value, "big")


def require_complete(expectations: tuple[Expectation, ...], fields: Mapping[str, Field], of: str) -> None:
    """Raise `MalformedObject` unless every field is expected once, in order, by a rule and values that fit it."""
    names = [expectation.field for expectation in expectations]
    if names != sorted(set(names)):
        raise MalformedObject(f"{of}: fields stand once each, in alphabetical order")
    if missing := sorted(set(fields) - set(names)):
        raise MalformedObject(f"{of}: nothing is said of {', '.join(missing)}; give a value, or ANY on purpose")
    if unknown := sorted(set(names) - set(fields)):
        raise MalformedObject(f"{of}: there is no field {', '.join(unknown)}")
    for expectation in expectations:
        _require_fits(expectation, fields[expectation.field], of)


def _require_fits(expectation: Expectation, field: Field, of: str) -> None:
    name = f"{of}, {expectation.field}"
    if expectation.rule is Rule.ANY:
        if field.is_needed:
            raise MalformedObject(f"{name}: ANY would accept every genuine machine; give a value")
        return
    if expectation.rule is not field.form.rule:
        raise MalformedObject(f"{name}: this field is {field.form.value}, judged by {field.form.rule}")
    size = NUMBER_BYTES if field.form in (Form.FLOOR, Form.CEILING) else field.size
    if size and any(len(value) != size for value in expectation.values):
        raise MalformedObject(f"{name}: values have {size} bytes")
