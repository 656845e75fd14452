"""COSE libraries as witnesses: they verify what we sign, and nothing that we take is refused by them (RFC 9052).

They accept more than we do, which is why the check is ours: see `vault.cose`. They need an older cbor2 than ours, so
they live in an environment of their own, which `scripts/cose_witnesses.sh` makes.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import cbor2
import pytest

from tests.people import seeded
from tests.vault.forged_receipts import cose
from vault.cose import CONTENT_TYPE, EDDSA, key_id, sign1, verified_payload
from vault.errors import InvalidSignature
from vault.machine import MachineKey
from vault.receipt_message import AAD

ROOT = Path(__file__).resolve().parents[2]
PYTHON = Path(os.environ.get("COFFER_COSE_PYTHON", ROOT / ".venv-cose" / "bin" / "python"))
KEY, PAYLOAD = MachineKey(seeded("receipt key")), seeded("payload", 1500)
USUAL = {1: EDDSA, 3: CONTENT_TYPE, 4: key_id(KEY.public)}
LAX = {
    "trailing byte": sign1(KEY, PAYLOAD, external_aad=AAD) + b"\x00",
    "unknown critical header": cose(KEY, PAYLOAD, header=USUAL | {2: [99], 99: True}),
    "headers in another order": cose(KEY, PAYLOAD, protected=cbor2.dumps(dict(reversed(USUAL.items())))),
    "one more unprotected header": cose(KEY, PAYLOAD, unprotected={99: True}),
}
"""Signed truly, and refused by us: at least one library takes each."""
BAD = {
    "another signer": cose(MachineKey(seeded("mallory")), PAYLOAD),
    "another external aad": sign1(KEY, PAYLOAD, external_aad=b"coffer/other/v1"),
    "a changed payload": sign1(KEY, PAYLOAD, external_aad=AAD).replace(PAYLOAD[:8], bytes(8)),
    "cut short": sign1(KEY, PAYLOAD, external_aad=AAD)[:-1],
}


@pytest.fixture(scope="module")
def witnesses() -> dict[str, dict[str, str | None]]:
    if not PYTHON.exists():
        pytest.skip("needs the COSE libraries: scripts/cose_witnesses.sh installs them beside the project")
    ours = {f"{size} bytes": sign1(KEY, seeded("p", size), external_aad=AAD) for size in (1, 23, 24, 255, 256, 65_536)}
    messages = {name: data.hex() for name, data in (ours | LAX | BAD).items()}
    asked = json.dumps({"public": KEY.public.hex(), "aad": AAD.hex(), "messages": messages})
    script = Path(__file__).with_name("cose_witness.py")
    command = [str(PYTHON), "-I", str(script)]
    said = subprocess.run(command, input=asked, capture_output=True, text=True, check=True, timeout=60)  # noqa: S603
    answer: dict[str, dict[str, str | None]] = json.loads(said.stdout)
    return answer


@pytest.mark.parametrize("library", ["pycose", "cwt"])
@pytest.mark.parametrize("size", [1, 23, 24, 255, 256, 65_536])
def test_they_verify_what_we_sign(witnesses: dict[str, dict[str, str | None]], library: str, size: int) -> None:
    assert witnesses[library][f"{size} bytes"] == seeded("p", size).hex()


@pytest.mark.parametrize("library", ["pycose", "cwt"])
@pytest.mark.parametrize("name", BAD)
def test_they_refuse_what_is_false(witnesses: dict[str, dict[str, str | None]], library: str, name: str) -> None:
    assert witnesses[library][name] is None
    with pytest.raises(InvalidSignature):
        verified_payload(BAD[name], KEY.public, external_aad=AAD)


@pytest.mark.parametrize("name", LAX)
def test_what_one_of_them_lets_pass_we_refuse(witnesses: dict[str, dict[str, str | None]], name: str) -> None:
    assert any(witnesses[library][name] is not None for library in witnesses)
    with pytest.raises(InvalidSignature):
        verified_payload(LAX[name], KEY.public, external_aad=AAD)
