"""A pinned channel to one enclave: what is asked before a session, and without one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import grpc

from enclave.claiming import Claim as Claim
from enclave.claiming import asking_grounds, asking_nonce, claiming
from enclave.exchange import CALL_TIMEOUT_S, Exchange, Result, Service, Stubs
from enclave.v1 import attestation_pb2 as attestation
from enclave.verified import Grounds
from storage.cid import Cid
from vault.channel import CHANNEL_BYTES_MAX, VOUCHER_BYTES_MAX, Channel, Redeemable, Voucher
from vault.errors import VaultError
from vault.evidence import Binding, Evidence
from vault.license import Deposit
from vault.tls import CONNECT_TIMEOUT_S, PinnedCertificate
from vault.v1 import ledger_pb2 as ledger
from vault.window import Anchor
from vault.wire import error_from

VOUCHERS_TIMEOUT_S: Final = 120.0
CHECK_TIMEOUT_S: Final = 600.0  # to read a ledger of millions of entries


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Where an enclave stands, by its own word: for progress bars, not for trust."""

    state: str
    tee: str
    passages_done: int
    passages_total: int
    epoch: int
    reason: str
    passages_per_second: float = 0.0  # lately; 0 where nothing is being opened
    seconds_left: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedBooks:
    """Books that an enclave added up again from their rows, by its word, and found to be the same."""

    entries: int
    accounts: int
    answers: int
    log_root: bytes
    anchor: Anchor  # what `coffer records check --anchor` takes


class EnclaveChannel:
    """A pinned channel to one enclave. Status needs no trust; everything else goes through `verified`."""

    def __init__(self, address: str, *, timeout_s: float = CONNECT_TIMEOUT_S) -> None:
        """Read the certificate at `host:port` and pin it. Raises `ServiceUnavailable`."""
        self.address = address
        pinned = PinnedCertificate.fetch(address, timeout_s=timeout_s)
        self.tls_key = pinned.key_hash
        self.channel = pinned.channel(address)
        self._stubs = Stubs(self.channel)

    def status(self) -> Status:
        """Return where the enclave says it stands."""
        answer = self.call(self._stubs.method(Service.ATTESTATION, "GetStatus"), attestation.GetStatusRequest())
        name = attestation.GetStatusResponse.State.Name(answer.state).removeprefix("STATE_").lower()
        return Status(
            state=name,
            tee=answer.tee,
            passages_done=answer.passages_done,
            passages_total=answer.passages_total,
            epoch=answer.epoch,
            reason=answer.reason,
            passages_per_second=answer.passages_per_second,
            seconds_left=answer.seconds_left,
        )

    def evidence(self, nonce: bytes) -> tuple[Binding, Evidence, bytes]:
        """Return evidence over `nonce`, not yet verified, and a server nonce."""
        method = self._stubs.method(Service.ATTESTATION, "GetEvidence")
        answer = self.call(method, attestation.GetEvidenceRequest(nonce=nonce))
        return Binding.from_bytes(answer.binding), Evidence.from_bytes(answer.evidence), bytes(answer.server_nonce)

    def claim(self, nonce: bytes, genesis: Cid, *, at: int) -> Claim:
        """Return evidence over `nonce`, not yet appraised, with the grounds, verified against `genesis`."""
        return self.run(claiming(nonce, genesis, at=at))

    def server_nonce(self) -> bytes:
        """Return a single-use nonce for what is signed next, from an enclave that was verified before."""
        return self.run(asking_nonce())

    def grounds(self, genesis: Cid, *, at: int, evidence: bytes = b"") -> Grounds:
        """Return what the enclave serves, or served, on; verified against `genesis`."""
        return self.run(asking_grounds(genesis, at=at, evidence=evidence))

    def add_credit(self, deposit: Deposit) -> int:
        """Hand in a deposit; return the licensee's credit."""
        method = self._stubs.method(Service.LEDGER, "AddCredit")
        return int(self.call(method, ledger.AddCreditRequest(deposit=deposit.encoded())).balance)

    def open_channel(self, channel: Channel) -> None:
        """Hand in a payment channel, or its raised terms."""
        method = self._stubs.method(Service.LEDGER, "OpenChannel")
        self.call(method, ledger.OpenChannelRequest(channel=channel.encoded()))

    def vouchers(self, inquiry: bytes) -> list[Redeemable]:
        """Return the vouchers that a signed `Inquiry` may see; raise `InvalidSignature` where one does not hold."""
        method = self._stubs.method(Service.LEDGER, "ListVouchers")
        found = []
        request = ledger.ListVouchersRequest(inquiry=inquiry)
        for part in self.stream(method, request, timeout_s=VOUCHERS_TIMEOUT_S):
            channel = Channel.from_bytes(part.channel, bytes_max=CHANNEL_BYTES_MAX)
            voucher = Voucher.from_bytes(part.voucher, bytes_max=VOUCHER_BYTES_MAX)
            voucher.verify(channel)
            found.append(Redeemable(channel=channel, voucher=voucher, claimable=min(part.claimable, voucher.amount)))
        return found

    def balances(self, inquiry: bytes) -> dict[str, int]:
        """Return the balances that a signed `Inquiry` may see."""
        method = self._stubs.method(Service.LEDGER, "ListBalances")
        answer = self.call(method, ledger.ListBalancesRequest(inquiry=inquiry))
        return {balance.account: balance.amount for balance in answer.balances}

    def check_books(self, inquiry: bytes) -> CheckedBooks:
        """Have the books added up again from their rows, by the treasury's signed `Inquiry`."""
        method = self._stubs.method(Service.LEDGER, "CheckBooks")
        answer = self.call(method, ledger.CheckBooksRequest(inquiry=inquiry), timeout_s=CHECK_TIMEOUT_S)
        return CheckedBooks(
            entries=answer.entries,
            accounts=answer.accounts,
            answers=answer.answers,
            log_root=answer.log_root,
            anchor=Anchor(sequence=answer.anchor_sequence, mac=answer.anchor_mac),
        )

    def run(self, exchange: Exchange[Result], *, timeout_s: float = CALL_TIMEOUT_S) -> Result:
        """Make an exchange's calls, each within `timeout_s`, and return what it comes to."""
        try:
            wanted = next(exchange)
            while True:
                try:
                    method = self._stubs.method(wanted.service, wanted.method)
                    answer = self.call(method, wanted.request, timeout_s=timeout_s)
                except VaultError as error:
                    wanted = exchange.throw(error)
                else:
                    wanted = exchange.send(answer)
        except StopIteration as end:
            result: Result = end.value
            return result

    def call(self, method: Callable[..., Any], request: Any, *, timeout_s: float = CALL_TIMEOUT_S) -> Any:
        """Make one call; errors come back as the service raised them."""
        try:
            return method(request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise error_from(error, f"enclave at {self.address}") from error

    def stream(self, method: Callable[..., Any], asked: Any, *, timeout_s: float) -> Iterator[Any]:
        """Make one call with many answers to a request, or to an iterator of them; leaving it early ends the call."""
        call = method(asked, timeout=timeout_s)
        try:
            yield from call
        except grpc.RpcError as error:
            raise error_from(error, f"enclave at {self.address}") from error
        finally:
            call.cancel()

    def searches(self, requests: Iterator[Any], *, timeout_s: float) -> Iterator[Any]:
        """Make one `SearchStream` call."""
        return self.stream(self._stubs.method(Service.RETRIEVAL, "SearchStream"), requests, timeout_s=timeout_s)

    def close(self) -> None:
        """Close the channel."""
        self.channel.close()
