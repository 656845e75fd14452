"""`coffer custodian serve --peer` as processes: a head handed to one of them is soon with the other."""

from __future__ import annotations

import select
import time
from pathlib import Path

from cli.sealed_files import write_sealed
from tests.cli.conftest import PASSWORD
from tests.cli.services import START_S_MAX, service
from tests.people import dao, seeded
from vault.client import CustodyClient


def test_a_head_goes_on_to_a_peer(tmp_path: Path) -> None:
    harbor = dao(custodians=2)
    for n in range(2):
        seed = seeded(f"custodian {n}") + seeded(f"hpke {n}", 128)
        write_sealed(tmp_path / str(n) / "custodian.key", seed, password=PASSWORD, purpose="custodian keys")
    with (
        service(tmp_path / "0", "custodian", "serve") as first,
        service(tmp_path / "1", "custodian", "serve", "--peer", first, "--peer", "127.0.0.1:1") as second,
        CustodyClient.connect(second) as told,
        CustodyClient.connect(first) as hears,
    ):
        founding = harbor.history
        blocks = {founding.genesis: founding.charter.encoded(), founding.head.cid(): founding.head.encoded()}
        told.submit_head(founding.head.cid(), blocks)
        ends = time.monotonic() + START_S_MAX
        while not hears.tips(hears.custodian.key):
            assert time.monotonic() < ends
            select.select([], [], [], 0.1)
        assert hears.tips(hears.custodian.key) == [(founding.genesis, founding.head.cid(), 0)]
