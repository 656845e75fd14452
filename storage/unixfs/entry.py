"""The `Data` message that makes a DAG-PB node a file or a directory. Source: UnixFS specification, `unixfs.proto`."""

from dataclasses import dataclass
from typing import Final

from storage.dagpb import field, fields
from storage.errors import MalformedDag, UnsupportedDag

RAW_LEAF: Final = 0
DIRECTORY: Final = 1
FILE: Final = 2
SHARD: Final = 5
_UNSUPPORTED = {3: "metadata", 4: "a symbolic link"}
CHILD_BYTES_FIELD: Final = 4  # the only one that may stand more than once
_FIELD_TYPES = {1: int, 2: bytes, 3: int, CHILD_BYTES_FIELD: int, 7: int, 8: bytes}  # 7 permissions, 8 time

DIRECTORY_DATA: Final = field(1, DIRECTORY)


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A part of a file: bytes of its own, or the sizes of its children in order.

    Attributes:
        file_bytes: claimed length of this part with all below it; None where the maker left it out.
    """

    data: bytes | None
    file_bytes: int | None
    child_bytes: tuple[int, ...] = ()
    kind: int = FILE

    def encoded(self) -> bytes:
        """Return the message's bytes, fields in ascending order."""
        parts = [field(1, self.kind)]
        if self.data is not None:
            parts.append(field(2, self.data))
        if self.file_bytes is not None:
            parts.append(field(3, self.file_bytes))
        parts.extend(field(CHILD_BYTES_FIELD, size) for size in self.child_bytes)
        return b"".join(parts)


def kind_of(message: bytes | None) -> int:
    """Return `RAW_LEAF`, `DIRECTORY`, `FILE` or `SHARD`. Raises: MalformedDag; UnsupportedDag: other kinds, by name."""
    try:
        number, kind = next(fields(message or b""), (0, 0))
    except ValueError as error:
        raise MalformedDag(f"a node's data is not UnixFS: {error}") from error
    if number != 1 or not isinstance(kind, int):
        raise MalformedDag("a node's data is not UnixFS: it does not begin with its kind")
    if kind in _UNSUPPORTED:
        raise UnsupportedDag(f"{_UNSUPPORTED[kind]} is not built here; store a plain file or directory")
    if kind not in (RAW_LEAF, DIRECTORY, FILE, SHARD):
        raise MalformedDag(f"UnixFS has no kind {kind}")
    return kind


def file_from(message: bytes | None) -> FileEntry:
    """Return the part of a file in a node's data; permissions and times are passed over.

    Raises: MalformedDag: a directory, a field twice, out of order or not in its shortest form; UnsupportedDag.
    """
    kind = kind_of(message)
    if kind in (DIRECTORY, SHARD):
        raise MalformedDag("a directory stands where a file was expected; read it as a directory")
    values: dict[int, int | bytes] = {}
    sizes: list[int] = []
    last = 0
    try:
        for number, value in fields(message or b""):
            is_again = number == last and number != CHILD_BYTES_FIELD
            if number < last or is_again or not isinstance(value, _FIELD_TYPES.get(number, ())):
                raise MalformedDag(f"field {number} of a node's data is out of place")
            last = number
            if number == CHILD_BYTES_FIELD and isinstance(value, int):
                sizes.append(value)
            else:
                values[number] = value
    except ValueError as error:
        raise MalformedDag(f"a node's data is not UnixFS: {error}") from error
    data, file_bytes = values.get(2), values.get(3)
    return FileEntry(
        data=data if isinstance(data, bytes) else None,
        file_bytes=file_bytes if isinstance(file_bytes, int) else None,
        child_bytes=tuple(sizes),
        kind=kind,
    )
