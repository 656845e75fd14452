"""The example in Node, which shares no code with us: it asks the real services and verifies what they answer."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.party import PASSWORD, Party
from tests.cli.services import QUESTION, TEXT, pay_in

EXAMPLE = Path(__file__).parents[2] / "examples" / "node"
NODE = shutil.which("node")
WAIT_S = 60

pytestmark = [
    pytest.mark.skipif(NODE is None, reason="node is not installed"),
    pytest.mark.skipif(
        not (EXAMPLE / "node_modules").is_dir(), reason="the example's packages are not installed: make node"
    ),
]


def node(*args: object, password: str = PASSWORD) -> subprocess.CompletedProcess[str]:
    command = [NODE or "node", *map(str, args)]
    env = {"PATH": os.environ["PATH"], "COFFER_PASSWORD": password}
    return subprocess.run(command, env=env, cwd=EXAMPLE, capture_output=True, text=True, timeout=WAIT_S, check=False)  # noqa: S603


def credential(party: Party) -> Path:
    (path,) = (party.home / "credentials").glob("*.credential")
    return path


def asked(party: Party, *more: object, password: str = PASSWORD) -> subprocess.CompletedProcess[str]:
    return node(
        "ask.mjs", party.env["COFFER_ENCLAVE"], credential(party), QUESTION, "--k", "1", *more, password=password
    )


def answered(party: Party, *more: object) -> dict[str, Any]:
    done = asked(party, "--allow-simulated", *more)
    assert done.returncode == 0, done.stderr
    shown: dict[str, Any] = json.loads(done.stdout)
    return shown


def test_it_asks_pays_and_verifies_the_receipt(served: Party, tmp_path: Path) -> None:
    before = pay_in(served, 10_000)
    answer = answered(served, "--receipt", tmp_path / "receipt")
    assert [passage["text"] for passage in answer["passages"]] == [TEXT]
    assert (answer["receipt"]["price"], answer["tee"]) == (1000, "simulated")
    assert served.json("credit", "show")["credit"] == before - 1000
    assert answered(served)["receipt"]["sequence"] == answer["receipt"]["sequence"] + 1


@pytest.mark.parametrize("wrong", ["alg", "kid", "unprotected", "trailing", "payload", "signature", "untagged"])
def test_a_message_in_any_other_form_is_refused(served: Party, tmp_path: Path, wrong: str) -> None:
    """The library alone takes several of these."""
    pay_in(served, 1_000)
    receipt = tmp_path / "receipt"
    answered(served, "--receipt", receipt)
    message = bytearray(receipt.read_bytes())
    unprotected = 4 + message[3]
    match wrong:
        case "alg":
            message[6] ^= 1
        case "kid":
            message[unprotected - 1] ^= 1
        case "unprotected":
            message[unprotected : unprotected + 1] = b"\xa1\x01\x27"
        case "trailing":
            message += b"\x00"
        case "payload":
            message[unprotected + 40] ^= 1
        case "signature":
            message[-1] ^= 1
        case _:
            del message[0]
    (tmp_path / "changed").write_bytes(message)
    program = (
        "import { readFileSync } from 'node:fs'; import { verifiedReceipt } from './receipt.mjs';"
        "import { decode } from './canonical.mjs';"
        "const [good, changed] = process.argv.slice(1).map((path) => readFileSync(path));"
        "const instance = decode(good.subarray(good.indexOf(0xa0, 50) + 4, -66)).instance;"
        "await verifiedReceipt(good, instance); console.log('held');"
        "await verifiedReceipt(changed, instance); console.log('taken');"
    )
    done = node("--input-type=module", "-e", program, receipt, tmp_path / "changed")
    assert (done.returncode, done.stdout) == (1, "held\n"), done.stderr


def test_a_simulated_enclave_is_refused_unless_allowed(served: Party) -> None:
    done = asked(served)
    assert (done.returncode, "SIMULATED" in done.stderr) == (1, True)


def test_what_the_enclave_refuses_keeps_its_reason(served: Party) -> None:
    done = asked(served, "--allow-simulated", "--k", "99")
    assert (done.returncode, done.stderr.startswith("error: ACCESS_DENIED: ")) == (1, True)


def test_a_wrong_password_and_a_missing_enclave_are_one_sentence(served: Party) -> None:
    assert "the password does not open" in asked(served, password="wrong").stderr  # noqa: S106
    nobody = node("ask.mjs", "127.0.0.1:1", credential(served), QUESTION)
    assert (nobody.returncode, nobody.stderr.count("\n")) == (1, 1)


def test_its_packages_are_pinned_and_no_address_is_recorded() -> None:
    package = json.loads((EXAMPLE / "package.json").read_text())
    assert all(version[0].isdigit() for version in package["dependencies"].values())
    assert not (EXAMPLE / "package-lock.json").exists()
