"""Real services as people run them: a custodian and an enclave in processes of their own, by this machine's clock."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from cli.main import app
from tests.cli.party import PASSWORD, Party

START_S_MAX = 90
TRIES_MAX = 5
EPOCH_S = 2  # so that royalty epochs close while tests wait
GAUGES = 7  # passages beside the two that tests ask for
TEXT = "The harbor closes at noon on Sundays."
QUESTION = "when does the harbor close?"


@contextmanager
def service(home: Path, *args: str) -> Iterator[str]:
    """Run a service and yield the address it listens on."""
    env = os.environ | {"COFFER_HOME": str(home), "COFFER_PASSWORD": PASSWORD}
    command = [sys.executable, "-m", "cli.entry", *args, "--listen", "127.0.0.1:0", "--json"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:  # noqa: S603
        try:
            assert process.stdout is not None
            assert select.select([process.stdout], [], [], START_S_MAX)[0], "the service did not start in time"
            yield json.loads(process.stdout.readline())["listening"]
        finally:
            process.terminate()
            process.wait(START_S_MAX)


def until(party: Party, *args: object) -> dict[str, Any]:
    """Run a command until it succeeds: what it waits for has its own clock."""
    env = {"COFFER_HOME": str(party.home), "COFFER_PASSWORD": PASSWORD}
    ends = time.monotonic() + START_S_MAX
    while True:
        result = party.runner.invoke(app, [*(str(arg) for arg in args), "--json"], env=env)
        if result.exit_code == 0:
            shown = dict(json.loads(result.stdout.splitlines()[-1]))
            if shown.get("state", "serving") == "serving":
                return shown
        assert time.monotonic() < ends, result.output
        select.select([], [], [], 0.2)


POLICY = """
datasets: [{manifest}]
licensees: {{issuer: "{member}"}}
price: {{per_query: 1000}}
limits: {{k: 4, passages: 1000}}
enclaves: [enclave.json]
split: {{operator: "{member}"}}
output: {{counts_in: 5}}
expires: 30d
"""


@contextmanager
def one_party(root: Path, first_home: Path, *, policy_too: str = "") -> Iterator[Party]:
    """Run one party that plays everybody, with an enclave that serves one small dataset.

    Args:
        policy_too: further lines of its policy.
    """
    shutil.copytree(first_home, root / "home")
    with (root / "home" / "coffer.toml").open("a") as settings:
        settings.write(f"\nepoch_s = {EPOCH_S}\n")
    (root / "docs").mkdir()
    (root / "docs" / "a.txt").write_text(TEXT)
    noted = {"text": "Tide tables are printed in May.", "title": "b", "metadata": {"tags": ["tides"], "year": 2024}}
    (root / "docs" / "b.jsonl").write_text(json.dumps(noted))
    gauges = [{"text": f"Gauge {number} is read hourly.", "metadata": {"year": 1990}} for number in range(GAUGES)]
    (root / "docs" / "gauges.jsonl").write_text("\n".join(map(json.dumps, gauges)))
    party = Party(root / "home")
    with ExitStack() as stack:
        custodian = stack.enter_context(service(root / "custodian", "custodian", "serve"))
        (root / "address").write_text(custodian)
        policy = _adopted(party, root, custodian, POLICY + policy_too)
        enclave = stack.enter_context(
            service(party.home, "enclave", "serve", policy["genesis"], "--custodian", custodian)
        )
        party.env |= {"COFFER_ENCLAVE": enclave, "COFFER_CUSTODIANS": json.dumps([custodian])}
        licensee = party.wallet("licensee")
        grant = ("--policy", policy["policy"], "--wallet", "member", "--out", root / "license")
        party.run("license", "grant", licensee, *grant)
        party.run("license", "accept", root / "license", "--wallet", "licensee", "--spend-cap", "100000")
        until(party, "enclave", "status", "--enclave", enclave)
        yield party


def receipts(party: Party) -> list[Path]:
    """Return the files of the receipts that a party has."""
    return sorted((party.home / "receipts").glob("*.receipt"))


def _adopted(party: Party, root: Path, custodian: str, policy: str) -> dict[str, str]:
    member = party.wallet("member")
    waits = ("--voting-delay", "0", "--voting-period", "3s", "--extension", "0", "--round", "1s", "--timelock", "0")
    found = ("--member", member, "--treasury", member, "--custodian", custodian)
    genesis = party.json("dao", "init", "Harbor", *found, *waits)["genesis"]
    manifest = party.json("dataset", "seal", root / "docs", "--owner", "member", "--allow-simulated")["manifest"]
    party.run("dataset", "publish", manifest, "--owner", "member", "--custodian", custodian)
    (root / "enclave.json").write_text(json.dumps(party.json("enclave", "describe", genesis)))
    (root / "policy.yaml").write_text(policy.format(manifest=manifest, member=member))
    at = ("--custodian", custodian)
    for _ in range(TRIES_MAX):
        made = party.json("dao", "propose", "--wallet", "member", "--policy", root / "policy.yaml", *at)
        if party.succeeds("dao", "vote", made["proposal"], "for", "--wallet", "member", *at):
            break  # otherwise the machine was so busy that the vote closed first
    until(party, "dao", "queue", made["proposal"], *at)
    until(party, "dao", "execute", made["proposal"], *at)
    return {"genesis": genesis, "policy": made["policy"]}


def pay_in(party: Party, amount: int) -> int:
    """Have the treasury add credit; return what there is."""
    licensee = party.json("wallet", "show", "licensee")["wallets"]["licensee"]
    return int(party.json("credit", "add", licensee, amount, "--wallet", "member")["balance"])
