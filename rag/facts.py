"""What may stand in a passage's metadata, and what of it a filter can ask for."""

from __future__ import annotations

from collections.abc import Iterator

from rag.errors import RagError
from rag.filters import KEY_BYTES_MAX, NUMBER_MAX, NUMBER_MIN, TEXT_BYTES_MAX, Scalar
from rag.model import Metadata, is_encodable

# The keys that have one meaning everywhere; other keys hold what their owner likes.
DOCUMENT, OWNER, TAGS, TIME = "document", "owner", "tags", "time"
FIXED_TYPES = {DOCUMENT: str, OWNER: str, TAGS: list, TIME: int}  # time: seconds since 1970

KEYS_MAX = 64  # of one passage
ITEMS_MAX = 256  # of one list


class MalformedMetadata(RagError):
    """A passage's metadata holds what no filter can ask for; the message says where and quotes nothing."""


def entries(metadata: Metadata, row: int) -> Iterator[tuple[str, Scalar]]:
    """Yield each key with its value, or with each item of its list once."""
    if len(metadata) > KEYS_MAX:
        raise MalformedMetadata(f"passage {row} has more than {KEYS_MAX} keys")
    for key, value in metadata.items():
        if type(key) is not str or not is_encodable(key) or not 1 <= len(key.encode()) <= KEY_BYTES_MAX:
            raise MalformedMetadata(f"passage {row} has a key that is no text of 1 to {KEY_BYTES_MAX} bytes")
        kind = list if isinstance(value, (list, tuple)) else type(value)
        if kind is not FIXED_TYPES.get(key, kind):
            raise MalformedMetadata(f"passage {row}: document and owner are texts, tags a list of texts, time a number")
        for item in dict.fromkeys(value) if isinstance(value, (list, tuple)) else (value,):
            _require_scalar(item, row, in_list=kind is list)
            yield key, item  # type: ignore[misc]  # a scalar, as was just required
        if kind is list and len(value) > ITEMS_MAX:  # type: ignore[arg-type]
            raise MalformedMetadata(f"passage {row} has a list of more than {ITEMS_MAX} items")


def _require_scalar(value: object, row: int, *, in_list: bool) -> None:
    if type(value) is str and is_encodable(value) and len(value.encode()) <= TEXT_BYTES_MAX:
        return
    if not in_list and (type(value) is bool or (type(value) is int and NUMBER_MIN <= value <= NUMBER_MAX)):
        return
    raise MalformedMetadata(
        f"passage {row}: a value is a text of at most {TEXT_BYTES_MAX} bytes, a number of 64 bits, a boolean, "
        "or a list of such texts"
    )
