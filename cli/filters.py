"""Filters over passages' metadata, as a person writes them: JSON, checked before anything is sent."""

from __future__ import annotations

import json
from typing import Any

from rag.filters import filter_from, wire_of
from vault.codec import encode
from vault.errors import MalformedObject
from vault.question import FILTER_BYTES_MAX


def filter_bytes(text: str) -> bytes:
    """Return the canonical bytes of a filter in JSON, or raise `MalformedObject` or `rag.filters.MalformedFilter`."""
    if len(text) > 4 * FILTER_BYTES_MAX:
        raise MalformedObject(f"a filter has at most {FILTER_BYTES_MAX} bytes")
    try:
        wire: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedObject('the filter is not JSON; write {"key": …, "equals": …}, for example') from error
    encoded = encode(wire_of(filter_from(wire)))
    if len(encoded) > FILTER_BYTES_MAX:
        raise MalformedObject(f"a filter has at most {FILTER_BYTES_MAX} bytes, and this one {len(encoded)}")
    return encoded
