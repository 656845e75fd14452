"""What a process can say of its own hardening, and an engine that says it."""

from __future__ import annotations

import json
import resource
from typing import Any

from enclave.found import Answer
from enclave.hardening import is_dumpable, memory_lock


def facts() -> dict[str, Any]:
    """Return what the kernel says of this process."""
    lock = memory_lock()
    return {
        "is_dumpable": is_dumpable(),
        "core_bytes": list(resource.getrlimit(resource.RLIMIT_CORE)),
        "locked_bytes": lock.locked_bytes,
        "memory_lock": str(lock),
    }


class Confessing:
    """An engine that holds nothing and, asked anything, tells what the kernel says of its process."""

    def search(self, _: object) -> list[Answer]:
        return [Answer(found=(), vector=json.dumps(facts()).encode(), embed_s=0.0, search_s=0.0)]
