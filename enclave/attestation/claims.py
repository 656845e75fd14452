"""What verified evidence says, in one shape for appraisal and for display."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeAlias

Fact: TypeAlias = "bytes | int | str | bool | None"
Shown: TypeAlias = "int | str | bool | list[Shown] | dict[str, Shown] | None"


class Claims(Protocol):
    """The typed claims of one kind of evidence; every verifier has its own frozen dataclass of this shape."""

    @property
    def kind(self) -> str:
        """Return the kind of evidence."""
        ...

    def facts(self) -> Mapping[str, Fact]:
        """Return what a policy may judge, by name: measurements as bytes, levels as integers, statuses as text."""
        ...

    def shown(self) -> dict[str, Shown]:
        """Return every claim as JSON, bytes in hex, under the names of the evidence index."""
        ...
