"""An enclave or host that shows a licensee another log than before, or a payee another's statement (rules R1, R2)."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from enclave.channel import EnclaveChannel
from enclave.client import EnclaveClient
from enclave.public_client import LogClient, statements
from enclave.public_log import PublicLog
from enclave.status import State
from enclave.v1 import transparency_pb2, transparency_pb2_grpc
from tests.attacks.ledger.failing import FailingJournal
from tests.builders import resigned, seeded, wallet
from tests.deployment import Deployment, deployed
from tests.enclaves import world
from tests.loops import WAIT_S
from tests.migrated import opened_records
from tests.settled import EPOCH_S, ask, close_epoch, royalty_deployment, take_back
from vault.acts import inquire
from vault.errors import AccessDenied, ForkedHistory, InvalidSignature, MalformedObject, NotYet
from vault.lease import ledger_id
from vault.machine import MachineKey
from vault.merkle_log import MerkleLog
from vault.receipt import receipt_digest
from vault.records.journal import Journal
from vault.signing import SigningKey
from vault.transparency import TreeHead, receipt_leaf, refund_leaf, require_extends


def log_of(client: EnclaveClient) -> LogClient:
    """Return the log on the client's line, for one thread at a time."""
    with client.log() as log:
        return log


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with royalty_deployment(tmp_path_factory.mktemp("deployment")) as deployment:
        yield deployment


@pytest.fixture
def deployment(running: Deployment) -> Iterator[Deployment]:
    """Return the deployment; its enclave tells the truth again afterwards."""
    meter = running.enclave.instance.meter()
    log = meter.log
    yield running
    meter.log = log


class AnotherLog(PublicLog):
    """The log of an enclave that keeps two: as long as the true one, and of other leaves from `start` on."""

    def __init__(self, kept: Any, key: MachineKey, start: int, size: int) -> None:
        super().__init__(kept, key)
        self._other = MerkleLog()
        for index in range(size):
            self._other.append(kept.log.leaf(index) if index < start else seeded(f"another leaf {index}"))

    def head(self, grounds: Any, *, at: int) -> TreeHead:
        true = super().head(grounds, at=at)
        size = self._other.size
        return replace(true, size=size, root=self._other.root(size)).signed_by(self._key)

    def consistency(self, old: int, size: int) -> tuple[bytes, ...]:
        return self._other.consistency(old, size)


def lie(deployment: Deployment, *, start: int, more: int = 0) -> None:
    """Let the enclave show another log from now on."""
    meter = deployment.enclave.instance.meter()
    log = meter.log
    meter.log = AnotherLog(log._kept, log._key, start, meter.anchor.sequence + more)


class TestOneWhoKeepsTheLastHead:
    def test_sees_the_log_grow_from_session_to_session(self, deployment: Deployment) -> None:
        with deployment.client() as client:
            head = log_of(client).followed(None)
            files = ask(client, "rain", "wind")
        with deployment.client() as client:
            later = log_of(client).followed(head)
            assert later.size == head.size + 2
            for file in files:
                entry = deployment.enclave.instance.meter().books.charge(file.license.licensee, file.query.request)
                assert entry is not None
                leaf = receipt_leaf(file.query.body_digest(), receipt_digest(file.message))
                later.require_leaf(leaf, entry.sequence - 1, log_of(client).path(entry.sequence - 1, later.size))
                with pytest.raises(InvalidSignature):
                    later.require_leaf(leaf, 0, log_of(client).path(0, later.size))

    def test_sees_it_go_on_where_an_enclave_starts_anew(self, tmp_path: Path) -> None:
        with royalty_deployment(tmp_path) as deployment:
            with deployment.client() as client:
                ask(client, "rain")
                head = log_of(client).followed(None)
            deployment.enclave.close()
            deployment.enclave = deployment.start_enclave()
            deployment.until_serving()
            with deployment.client() as client:
                later = log_of(client).followed(head)
        assert later.instance != head.instance and later.size > head.size

    @pytest.mark.parametrize("more", [0, 3])
    def test_refuses_a_split_view(self, deployment: Deployment, more: int) -> None:
        with deployment.client() as client:
            ask(client, "rain")
            head = log_of(client).followed(None)
        lie(deployment, start=head.size - 1, more=more)
        with deployment.client() as client, pytest.raises(ForkedHistory, match="split view"):
            log_of(client).followed(head)

    def test_refuses_a_log_that_shrank(self, deployment: Deployment) -> None:
        with deployment.client() as client:
            ask(client, "rain")
            head = log_of(client).followed(None)
        lie(deployment, start=head.size, more=-1)
        with deployment.client() as client, pytest.raises(ForkedHistory, match="shrunken log"):
            log_of(client).followed(head)

    def test_is_not_fooled_by_what_it_never_saw_change(self, deployment: Deployment) -> None:
        with deployment.client() as client:
            head = log_of(client).followed(None)
            ask(client, "rain")
        lie(deployment, start=head.size)  # another leaf for what came since: the receipt shows it
        with deployment.client() as client:
            later = log_of(client).followed(head)
            with pytest.raises(InvalidSignature):
                later.require_leaf(seeded("the receipt's leaf"), head.size, log_of(client).path(head.size, later.size))


@contextmanager
def renewed_log(deployment: Deployment) -> Iterator[LogClient]:
    """Have the custodians sign how far the log has come; lend it to somebody who verified that alone."""
    assert deployment.enclave.step() is State.SERVING
    channel = EnclaveChannel(deployment.enclave.address)
    try:
        yield LogClient(channel, deployment.enclave.instance.serving().terms)
    finally:
        channel.close()


class TestWhatCustodiansSigned:
    """Their leases name the log's root: nobody who steals an enclave's keys later can sign another past (rule R3)."""

    def test_grows_with_each_renewal(self, deployment: Deployment) -> None:
        with deployment.client() as client:
            ask(client, "rain")
            with renewed_log(deployment) as log:
                size = log.head().size
                assert log.witnessed == size
                ask(client, "wind")
                assert (log.witnessed, log.head().size) == (size, size + 1)

    @pytest.mark.parametrize(("start", "more", "why"), [(-1, 0, "split view"), (0, -1, "shrunken log")])
    def test_is_not_shown_otherwise_to_who_sees_the_log_for_the_first_time(
        self, deployment: Deployment, start: int, more: int, why: str
    ) -> None:
        with deployment.client() as client:
            ask(client, "rain")
        with renewed_log(deployment) as log:
            lie(deployment, start=log.witnessed + start, more=more)
            with pytest.raises(ForkedHistory, match=rf"{why}.* custodians signed"):
                log.head()


class TestAHead:
    def test_of_another_instance_or_ledger_is_refused(self, deployment: Deployment) -> None:
        log = deployment.enclave.instance.meter().log
        head = log._head
        terms = deployment.enclave.instance.serving().terms
        channel = EnclaveChannel(deployment.enclave.address)
        try:
            for wrong in (
                replace(terms, instance=seeded("another")),
                replace(terms, ledger=seeded("another")),
                replace(terms, genesis=deployment.world.dataset.manifest.cid()),
            ):
                with pytest.raises(InvalidSignature, match="another instance or ledger"):
                    LogClient(channel, wrong).head()
            log._head = replace(LogClient(channel, terms).head(), root=seeded("another"))
            with pytest.raises(InvalidSignature, match="not signed by"):
                LogClient(channel, terms).head()
        finally:
            log._head = head
            channel.close()

    def test_of_another_ledger_is_never_an_extension(self, deployment: Deployment) -> None:
        with deployment.client() as client:
            head = log_of(client).head()
        with pytest.raises(ForkedHistory, match="other log"):
            require_extends(replace(head, ledger=seeded("another")), head, ())

    def test_shows_nothing_that_is_not_durable(self, tmp_path: Path) -> None:
        setting = world()
        with opened_records(tmp_path / "journal.db") as records, ThreadPoolExecutor() as pool:
            journal = FailingJournal(Journal(records, ledger_id(setting.genesis)))
            with deployed(tmp_path, setting, journal=journal) as deployment, deployment.client() as client:
                deployment.add_credit(1_000)
                before = log_of(client).head()
                journal.hold()
                asked = pool.submit(client.search, "rain", k=1)
                assert journal.held.wait(WAIT_S)
                with deployment.client() as other:
                    assert log_of(other).head() == before
                    with pytest.raises(MalformedObject, match="entries, not"):
                        log_of(other).path(before.size, before.size + 1)
                journal.let_go()
                asked.result(WAIT_S)
                assert log_of(client).followed(before).size == before.size + 1


@pytest.mark.parametrize(
    "request_",
    [
        transparency_pb2.GetInclusionProofRequest(size=1),
        transparency_pb2.GetInclusionProofRequest(indices=[2**63], size=1),
        transparency_pb2.GetInclusionProofRequest(indices=[0], size=2**64 - 1),
        transparency_pb2.GetInclusionProofRequest(refunds=[bytes(32)], size=2**64 - 1),
        transparency_pb2.GetInclusionProofRequest(indices=[0] * 1025, size=1),
    ],
)
def test_a_proof_of_what_the_log_never_held_is_refused(deployment: Deployment, request_: Any) -> None:
    channel = EnclaveChannel(deployment.enclave.address)
    try:
        stub = transparency_pb2_grpc.TransparencyServiceStub(channel.channel)
        with pytest.raises(grpc.RpcError) as failed:
            stub.GetInclusionProof(request_, timeout=WAIT_S)
        assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    finally:
        channel.close()


def test_a_refund_is_in_the_log_for_who_knows_the_receipt(deployment: Deployment) -> None:
    with deployment.client() as client:
        (file,) = ask(client, "rain")
        take_back(deployment, file)
        head = log_of(client).head()
        digest = receipt_digest(file.message)
        (found,) = log_of(client).refunds([seeded("another"), digest], head.size)
        assert found.receipt == digest
        head.require_leaf(refund_leaf(digest), found.index, found.path)
        assert log_of(client).refunds([digest], head.size - 1) == []


@pytest.fixture(scope="module")
def closed(running: Deployment) -> Deployment:
    with running.client() as client:
        ask(client, "rain", "wind")
    close_epoch(running)
    return running


class TestAStatement:
    """Whose it is decides a signature over the server's own nonce."""

    def asked(self, deployment: Deployment, person: SigningKey, *, epoch: int = 0, **changed: Any) -> list[Any]:
        channel = EnclaveChannel(deployment.enclave.address)
        try:
            genesis, charter = deployment.world.genesis, deployment.world.dao.charter
            nonce = changed.pop("nonce", None) or channel.server_nonce()
            inquiry = inquire(genesis, charter, person, server_nonce=nonce, tls_key=channel.tls_key)
            if changed:
                signer = changed.pop("signer", person)
                inquiry = resigned(deployment.world.history, signer, inquiry, **changed) if signer else inquiry
            terms = deployment.enclave.instance.serving().terms
            return statements(channel, inquiry.encoded(), epoch, terms)
        finally:
            channel.close()

    def test_is_its_owners_alone(self, closed: Deployment) -> None:
        (handed,) = self.asked(closed, wallet("owner"))
        assert handed[0].statement.account.startswith(f"owner/0x{wallet('owner').address.hex()}/")
        (handed,) = self.asked(closed, wallet("treasury"))
        assert handed[0].statement.account.startswith("treasury/")
        with pytest.raises(AccessDenied, match="no account"):
            self.asked(closed, wallet("licensee"))

    def test_is_not_had_by_a_signature_of_somebody_else(self, closed: Deployment) -> None:
        channel = EnclaveChannel(closed.enclave.address)
        try:
            genesis, charter = closed.world.genesis, closed.world.dao.charter
            mallory, owner = wallet("mallory"), wallet("owner")
            inquiry = inquire(genesis, charter, mallory, server_nonce=channel.server_nonce(), tls_key=channel.tls_key)
            forged = replace(inquiry, account=owner.address)
            with pytest.raises(InvalidSignature):
                statements(channel, forged.encoded(), 0, closed.enclave.instance.serving().terms)
        finally:
            channel.close()

    def test_is_not_had_by_replaying_an_inquiry(self, closed: Deployment) -> None:
        channel = EnclaveChannel(closed.enclave.address)
        try:
            genesis, charter = closed.world.genesis, closed.world.dao.charter
            nonce = channel.server_nonce()
            inquiry = inquire(genesis, charter, wallet("owner"), server_nonce=nonce, tls_key=channel.tls_key).encoded()
            terms = closed.enclave.instance.serving().terms
            assert statements(channel, inquiry, 0, terms)
            with pytest.raises(AccessDenied):
                statements(channel, inquiry, 0, terms)
        finally:
            channel.close()

    @pytest.mark.parametrize("changed", [{"tls_key": bytes(32)}, {"ledger": bytes(32)}])
    def test_is_not_had_by_an_inquiry_for_another_enclave_or_ledger(
        self, closed: Deployment, changed: dict[str, Any]
    ) -> None:
        with pytest.raises(AccessDenied, match="another enclave or ledger"):
            self.asked(closed, wallet("owner"), **changed)

    def test_is_not_told_before_its_epoch_has_closed(self, closed: Deployment) -> None:
        with pytest.raises(NotYet, match="epoch 2 has not closed yet"):
            self.asked(closed, wallet("owner"), epoch=2)
        with closed.client() as client:
            ask(client, "fog")
        closed.world.clock.advance(EPOCH_S)
        assert self.asked(closed, wallet("owner"), epoch=2)[0][0].statement.epoch == 2  # asking closes what is due
