"""An enclave without a network reaches its parent, and nothing but its parent."""

from __future__ import annotations

import socket
import threading

import pytest

from tests.deploy.scripts import DAO, script

bridge = script("nitro/bridge")
start = script("nitro/start")


def test_the_bridge_carries_both_ways_and_passes_the_end_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as far, socket.create_server(("127.0.0.1", 0)) as near:
        end = bridge.end_from(f"tcp:127.0.0.1:{far.getsockname()[1]}")
        threading.Thread(target=bridge.serve, args=(near, end), daemon=True).start()
        with socket.create_connection(near.getsockname(), timeout=10) as caller:
            accepted, _ = far.accept()
            with accepted:
                accepted.settimeout(10)
                caller.sendall(b"question")
                caller.shutdown(socket.SHUT_WR)
                assert accepted.recv(100) == b"question"
                assert accepted.recv(100) == b""
                accepted.sendall(b"answer" * 100_000)
                accepted.shutdown(socket.SHUT_WR)
                got = b""
                while piece := caller.recv(1 << 16):
                    got += piece
                assert got == b"answer" * 100_000


def test_a_caller_whose_end_is_not_there_is_let_go() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = taken.getsockname()[1]
    with socket.create_server(("127.0.0.1", 0)) as near:
        threading.Thread(
            target=bridge.serve, args=(near, bridge.end_from(f"tcp:127.0.0.1:{nobody}")), daemon=True
        ).start()
        with socket.create_connection(near.getsockname(), timeout=10) as caller:
            caller.settimeout(10)
            assert caller.recv(1) == b""


@pytest.mark.parametrize(
    "way", ["tcp:1:2", "vsock:any:1=vsock:any:2", "udp:a:1=tcp:b:2", "tcp:a:70000=tcp:b:1", "=", ""]
)
def test_a_way_that_leads_nowhere_is_refused(way: str) -> None:
    with pytest.raises(ValueError, match=r"expected|any|no such port"):
        bridge.way_from(way)


def test_the_enclave_inside_nitro_reaches_the_parent_alone() -> None:
    ways = [bridge.way_from(way) for way in start.ways(2)]
    assert [(begin.family, begin.port, end.family, end.host) for begin, end in ways] == [
        ("tcp", 5001, "vsock", "3"),
        ("tcp", 5432, "vsock", "3"),
        ("tcp", 7100, "vsock", "3"),
        ("tcp", 7101, "vsock", "3"),
        ("vsock", 7443, "tcp", "127.0.0.1"),
    ]
    command = start.command(DAO, 2)
    assert command[-6:] == [
        "--listen",
        "127.0.0.1:7443",
        "--custodian",
        "127.0.0.1:7100",
        "--custodian",
        "127.0.0.1:7101",
    ]


@pytest.mark.parametrize("environment", [{}, {"ENCLAVE_DAO": DAO}, {"ENCLAVE_DAO": "x", "ENCLAVE_CUSTODIANS": "1"},
                                         {"ENCLAVE_DAO": DAO, "ENCLAVE_CUSTODIANS": "0"}])  # fmt: skip
def test_an_image_built_without_its_dao_does_not_start(environment: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="ENCLAVE_"):
        start.told(environment)
    assert start.told({"ENCLAVE_DAO": DAO, "ENCLAVE_CUSTODIANS": "3"}) == (DAO, 3)
