"""Captured evidence of the shared index, as a verifier is given it: files by role, changed as the case says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.shared_data import shared


@dataclass(frozen=True, kw_only=True)
class Case:
    files: Mapping[str, bytes]
    at: int
    verdict: str  # of cryptography alone
    reason: str | None
    claims: Mapping[str, Any]


def case(case_id: str) -> Case:
    """Return a case of the index, or skip the test where the index is absent."""
    index = shared("evidence/index.json")
    found = next(entry for entry in json.loads(index.read_text())["cases"] if entry["id"] == case_id)
    mutations = found.get("mutations", [])
    return Case(
        files={
            file["role"]: _changed(
                (index.parent / file["path"]).read_bytes(),
                [change for change in mutations if change["file"] == Path(file["path"]).name],
            )
            for file in found["files"]
        },
        at=int(datetime.fromisoformat(found["verification_time"]).timestamp()),
        verdict=found["expected"]["crypto_verdict"],
        reason=found["expected"].get("reason_class"),
        claims=found["expected_claims"],
    )


def cases(tee: str) -> list[Any]:
    """Return the ids of a kind's cases as parameters; one that skips with the reason where the index is absent."""
    try:
        index = shared("evidence/index.json")
    except pytest.skip.Exception as absent:
        return [pytest.param("absent", marks=pytest.mark.skip(reason=str(absent)))]
    return [entry["id"] for entry in json.loads(index.read_text())["cases"] if entry["tee"] == tee]


def _changed(content: bytes, mutations: list[dict[str, Any]]) -> bytes:
    changed = bytearray(content)
    for mutation in mutations:
        if "xor" in mutation:
            changed[mutation["offset"]] ^= int(mutation["xor"], 16)
        if "truncate_to" in mutation:
            del changed[mutation["truncate_to"] :]
        changed += bytes.fromhex(mutation.get("append", ""))
    return bytes(changed)
