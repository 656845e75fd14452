"""Attacks by people nobody knows: they name others, found DAOs, hold calls open, and hand back what is not theirs."""

from __future__ import annotations

import secrets
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from enclave.status import State
from storage.errors import BlockNotFound
from storage.memory import MemoryBlobs
from tests import builders
from tests.attacks.release.asking import Asking
from tests.builders import published
from tests.deployment import deployed
from tests.enclaves import Clock, Custodians, LocalCustodian, World, opening, world
from tests.http2 import HEADERS_FRAME, frame
from tests.people import dao
from vault import custody_server, served
from vault.client import CustodyClient
from vault.errors import AccessDenied, RateExceeded, VaultError
from vault.guard import MESSAGE_TIMEOUT_S
from vault.lease import EMPTY_ANCHOR, ledger_id
from vault.rate import PeerLimit
from vault.releasing import Released
from vault.share import ShareId
from vault.tls import SERVER_NAME, TlsIdentity
from vault.v1 import custody_pb2

LEASE_S = 600


def setting(**fields: Any) -> World:
    return replace(world(**fields), clock=Clock())


def assert_released(released: Released, asking: Asking) -> None:
    """Check that an instance was leased the dataset, and given the share of its key, which it can open."""
    manifest, custodian = asking.world.dataset.manifest, asking.custody.public.key
    terms = released.lease.terms
    assert (terms.instance, terms.manifests) == (asking.keys.instance, (manifest.cid(),))
    (share,) = released.shares
    assert (share.subject, share.custodian, share.index) == (manifest.dataset, custodian, 0)
    id = ShareId(
        genesis=manifest.genesis, subject=share.subject, key_version=share.key_version, custodian=custodian, index=0
    )
    opened = id.opened_release(
        asking.keys.hpke,
        share.suite,
        share.sealed,
        report_data=share.report_data,
        commitment=manifest.share_commitments[0],
    )
    assert opened


class TestChallenges:
    def test_asking_in_an_instances_name_takes_nothing_from_it(self, tmp_path: Path) -> None:
        with Custodians(setting(), tmp_path) as custodians:
            asking = Asking(custodians.world, custodians)
            mine = asking.binding()
            for _ in range(20_000):
                asking.custody.challenge(asking.keys.instance, bytes(32))
            assert_released(asking.release(mine), asking)
            renewed = asking.renew()
            assert (renewed.lease.terms.instance, renewed.lease.terms.window) == (
                asking.keys.instance,
                asking.world.dao.charter.window,
            )

    def test_asking_in_everybodys_names_takes_nothing_from_anybody(self, tmp_path: Path) -> None:
        with Custodians(setting(), tmp_path) as custodians:
            for _ in range(20_000):
                custodians.all[0].challenge(secrets.token_bytes(32), bytes(32))
            asking = Asking(custodians.world, custodians)
            assert_released(asking.release(), asking)

    def test_guessing_at_an_instances_nonce_does_not_use_it_up(self, tmp_path: Path) -> None:
        with Custodians(setting(), tmp_path) as custodians:
            asking, stranger = (Asking(custodians.world, custodians) for _ in range(2))
            mine = asking.binding()
            with pytest.raises(AccessDenied, match="unknown, used or too old"):
                stranger.release(stranger.binding(nonces=mine.nonces))
            assert_released(asking.release(mine), asking)


class TestFounding:
    @staticmethod
    def found(custodians: Custodians, name: str) -> None:
        young = dao(1, name=name, custodians=1)
        blocks = {young.genesis: young.charter.encoded(), young.history.head.cid(): young.history.head.encoded()}
        custodians.all[0].submit_head(young.history.head.cid(), blocks.items())

    def test_daos_of_strangers_make_room_for_others(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(served, "GENESES_MAX", 20)
        with Custodians(setting(), tmp_path) as custodians:
            for number in range(50):
                self.found(custodians, f"junk {number}")
            honest = replace(setting(name="Honest"), clock=custodians.world.clock)
            custodians.all[0].submit_head(honest.history.head.cid(), honest.blocks().items())
            assert len(custodians.all[0].station.histories) == 20
            custodians.all[0].deposit_share(honest.dataset.manifest, honest.dataset.deposits[0])
            for number in range(50):
                self.found(custodians, f"more junk {number}")
            for kept in (honest, custodians.world):
                opening(kept, [LocalCustodian(custodians.all[0])]).open(EMPTY_ANCHOR)

    def test_they_leave_nothing_on_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(served, "GENESES_MAX", 5)
        with Custodians(setting(), tmp_path) as custodians:
            before = set(custodians.blobs[0].cids())
            for number in range(30):
                self.found(custodians, f"junk {number}")
            assert custodians.all[0].station.store.geneses() == [custodians.world.genesis]
            assert len(set(custodians.blobs[0].cids()) - before) <= 4 * 2  # charter and head of those in memory
            restarted = custodians.restart(0)
            assert list(restarted.station.histories) == [custodians.world.genesis]

    def test_where_all_were_entrusted_something_the_next_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(served, "GENESES_MAX", 1)
        with Custodians(setting(), tmp_path) as custodians:
            with pytest.raises(AccessDenied, match="serves 1 DAOs already"):
                self.found(custodians, "one more")
            assert list(custodians.all[0].station.histories) == [custodians.world.genesis]

    def test_a_dao_that_made_room_is_unknown_until_it_is_submitted_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(served, "GENESES_MAX", 2)
        with Custodians(setting(), tmp_path) as custodians:
            young = replace(setting(name="Young"), clock=custodians.world.clock)
            custody, hand_in = custodians.all[0], (young.dataset.manifest, young.dataset.deposits[0])
            custody.submit_head(young.history.head.cid(), young.blocks().items())
            self.found(custodians, "junk")
            with pytest.raises(AccessDenied, match="submit its head first"):
                custody.deposit_share(*hand_in)
            with pytest.raises(BlockNotFound):
                custodians.blobs[0].get(young.genesis)
            custody.submit_head(young.history.head.cid(), young.blocks().items())
            custody.deposit_share(*hand_in)

    def test_heads_that_follow_before_the_first_deposit_are_all_on_disk_with_it(self, tmp_path: Path) -> None:
        made = setting()
        with Custodians(made, tmp_path, has_deposits=False) as custodians:
            moved = made.decided(builders.carried(made.history, builders.revoking(builders.Scope.LICENSEE, bytes(20))))
            custodians.submit(moved)
            custodians.deposit(made.dataset)
            assert custodians.restart(0).station.histories[made.genesis] == moved


class TestHandBack:
    @pytest.mark.parametrize("anchor", [None, EMPTY_ANCHOR])
    def test_one_signed_with_a_key_of_ones_own_writes_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, anchor: Any
    ) -> None:
        with Custodians(setting(), tmp_path) as custodians:
            asking = Asking(custodians.world, custodians)
            asking.release()
            store = asking.custody.station.store
            before = store.standing(ledger_id(custodians.world.genesis))
            writes: list[object] = []
            genuine = store._records.writing
            monkeypatch.setattr(store._records, "writing", lambda *a: writes.append(a) or genuine(*a))
            Asking(custodians.world, custodians).hand_back(anchor)
            assert writes == []
            assert store.standing(ledger_id(custodians.world.genesis)) == before
            asking.hand_back(anchor)
            assert len(writes) == 1

    @pytest.mark.parametrize("is_leased", [False, True])
    def test_after_it_nothing_asked_before_is_answered(self, tmp_path: Path, is_leased: bool) -> None:
        """An opening that this custodian did not lease to yet may end, too, while its request is on the way."""
        with Custodians(setting(), tmp_path) as custodians:
            asking = Asking(custodians.world, custodians)
            if is_leased:
                asking.release()
            late = asking.binding()
            asking.hand_back(None)
            with pytest.raises(AccessDenied, match="unknown, used or too old"):
                asking.release(late)


@contextmanager
def half_open(address: str, path: str, calls: int, *, source: str = "127.0.0.1") -> Iterator[None]:
    """Begin calls on one connection and never send their message; leave them open until the block ends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    headers = [(":method", "POST"), (":scheme", "https"), (":path", path), (":authority", SERVER_NAME)]
    headers += [("te", "trailers"), ("content-type", "application/grpc")]
    block = b"".join(
        b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode() for name, value in headers
    )
    host, port = address.split(":")
    with context.wrap_socket(socket.create_connection((host, int(port)), 10, (source, 0))) as link:
        link.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b""))
        for number in range(calls):
            link.sendall(frame(HEADERS_FRAME, 4, 2 * number + 1, block))
        yield


class TestHalfOpenCalls:
    PATH = "/vault.v1.CustodyService/Identify"

    @pytest.mark.parametrize(("source", "connections"), [("127.0.0.1", 1), ("127.0.0.2", 12)])
    def test_they_end_nobodys_serving(self, tmp_path: Path, source: str, connections: int) -> None:
        """Neither on one connection from the enclave's own address, nor on many from another one."""
        with deployed(tmp_path, setting()) as deployment, ExitStack() as held:
            for _ in range(connections):
                held.enter_context(half_open(deployment.custodians[0].address, self.PATH, 110, source=source))
            time.sleep(0.5)
            for _ in range(3):
                deployment.world.clock.advance(LEASE_S / 3)
                assert deployment.enclave.step() is State.SERVING

    def test_a_call_whose_message_never_comes_is_ended_and_its_place_is_free_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("vault.guard.MESSAGE_TIMEOUT_S", 0.5)
        monkeypatch.setattr(custody_server, "PEER_CALLS_MAX", 8)
        with deployed(tmp_path, setting(), is_started=False) as deployment, ExitStack() as held:
            address = deployment.custodians[0].address
            for _ in range(4):
                held.enter_context(half_open(address, self.PATH, 4))
            time.sleep(0.2)
            with pytest.raises(VaultError, match="too many calls from one address"):
                CustodyClient.connect(address)
            time.sleep(1)
            CustodyClient.connect(address).close()

    def test_messages_have_seconds_to_come(self) -> None:
        assert 1 <= MESSAGE_TIMEOUT_S <= 15


class TestRate:
    def test_every_method_of_a_custodian_is_limited(self) -> None:
        (service,) = custody_pb2.DESCRIPTOR.services_by_name.values()
        by_itself = "/vault.v1.CustodyService/StageBlocks"  # see `test_staging`
        assert {f"/{service.full_name}/{method.name}" for method in service.methods} == {
            *custody_server.LIMITED_METHODS,
            by_itself,
        }

    def test_large_messages_count_by_their_size(self, tmp_path: Path) -> None:
        clock, made = Clock(), setting()
        limit = PeerLimit(per_s=1, burst=20, monotonic=clock.monotonic)
        with deployed(tmp_path, made, is_started=False) as deployment:
            server, port = deployment.loop.call(
                custody_server.custody_server(
                    deployment.custodies.all[0], TlsIdentity.fresh(), "127.0.0.1:0", limit=limit
                )
            )
            with CustodyClient.connect(f"127.0.0.1:{port}") as client:
                large = MemoryBlobs()
                big = dao(2000, name="Big", custodians=1)
                adopted = builders.policy(big.genesis)
                history = published(
                    large, big.history, builders.carried(big.history, builders.adopting(adopted), adopted)
                )
                client.submit_head(history.head.cid(), {cid: large.get(cid) for cid in large.cids()})
                with pytest.raises(RateExceeded):
                    client.tips(bytes(32))
                clock.advance(60)
                client.tips(bytes(32))
            deployment.loop.call(server.stop(0))
