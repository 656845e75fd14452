"""The payer of one client: it signs vouchers for what was delivered, within what it may spend (rule L5).

It looks at its channel once it begins, pays what is outstanding, and pays again each time half of what may be unpaid
has been used, before the next question. An enclave that asks for more than it delivered is refused and named.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from enclave.client_session import ClientSession
from enclave.credential import Credential
from enclave.exchange import Call, Exchange, Service
from enclave.tallies import Tallies, TalliesInMemory
from enclave.v1 import retrieval_pb2 as pb
from vault.channel import CHANNEL_BYTES_MAX, VOUCHER_BYTES_MAX, Channel, Voucher
from vault.errors import AccessDenied, CreditExhausted, ExcessiveDemand, VaultError
from vault.paying import Tally
from vault.question import channel_digest, voucher_digest
from vault.receipt import FIRST_PREVIOUS
from vault.signing import SigningKey
from vault.voucher_rules import VoucherRules

Made = TypeVar("Made")
FRUITLESS_MAX: Final = 3  # demands in a row after which nothing was paid and nothing received


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """Where a channel stands, by what was verified of it."""

    channel: Channel
    voucher: Voucher | None  # the highest
    due: int  # the enclave's word, held against receipts
    unpaid: int
    unpaid_queries: int

    @property
    def amount(self) -> int:
        """Return what the highest voucher is for."""
        return self.voucher.amount if self.voucher is not None else 0


class Payer:
    """What one client owes by its channel; safe to share among threads. One `settling` at a time."""

    def __init__(
        self,
        credential: Credential,
        *,
        tallies: Tallies | None = None,
        max_spend: int | None = None,
    ) -> None:
        """Begin for a credential.

        Args:
            tallies: remembers what was received and promised; without it a restart forgets, and risks once more what
                may be unpaid.
            max_spend: micro-units that this client may sign for.
        """
        self._credential = credential
        self._tallies = tallies or TalliesInMemory()
        self._left = max_spend
        self._lock = threading.Lock()
        self._channel = b""  # its id, once it is known
        self._received = 0  # and not in the tally yet
        self._answers = 0  # since the last look
        self._fruitless = 0
        self._is_demanded = False
        self._has_looked = False

    def received(self, price: int) -> None:
        """Count the price of an answer whose receipt was verified."""
        with self._lock:
            self._received += price
            self._answers += bool(price)
            self._fruitless = 0

    def demand(self) -> bool:
        """Note that the enclave wants to be paid before it answers; say whether paying may help."""
        with self._lock:
            may_help = self._fruitless < FRUITLESS_MAX
            self._is_demanded = self._is_demanded or may_help
            return may_help

    def is_due(self, rules: VoucherRules | None) -> bool:
        """Say whether to look at the channel before the next question."""
        if rules is None:
            return False
        used = 2 * self._received >= rules.unpaid_max or 2 * self._answers >= rules.unpaid_queries_max
        return self._is_demanded or not self._has_looked or (used and bool(self._channel))

    def settling(self, session: ClientSession, *, is_accepting: bool = False) -> Exchange[Paid | None]:
        """Look at the channel and pay what is to be paid now; None where there is no channel.

        Args:
            is_accepting: take the enclave's word for what is due, whatever was received: a person decides that.
        Raises: `ExcessiveDemand`, naming the enclave; `CreditExhausted` where `max_spend` forbids; what the enclave
            says against the voucher.
        """
        rules = session.policy.vouchers
        if rules is None:
            return None
        is_demanded, answers = self._is_demanded, self._answers
        found = yield from self.looking(session)
        if found is None:
            self._has_looked, self._channel, self._is_demanded = True, b"", False
            self._fruitless += is_demanded
            return None
        paid = found
        self._has_looked, self._channel = True, paid.channel.id
        tally = _wallet_needed(
            lambda: self._signed(session, paid, rules, is_demanded=is_demanded, is_accepting=is_accepting)
        )
        if tally.voucher is not None and tally.amount > paid.amount:
            paid = yield from self._handing(session, tally.voucher)
            self._fruitless = 0
        elif is_demanded:
            self._fruitless += 1
        with self._lock:
            self._answers -= answers
            self._is_demanded = False
        return paid

    def looking(self, session: ClientSession) -> Exchange[Paid | None]:
        """Look at the channel and pay nothing; None where there is none."""
        if session.policy.vouchers is None:
            return None
        place = session.place(channel_digest(), confirms=FIRST_PREVIOUS)
        try:
            state = yield Call(Service.RETRIEVAL, "GetChannel", pb.GetChannelRequest(**place))
        except AccessDenied:
            return None
        return _wallet_needed(lambda: _checked(session, state, self._credential))

    def note(self) -> None:
        """Write down what was received since the last voucher. Raises `OSError` where that fails."""
        if self._channel and self._received:
            self._tallied(self._channel, lambda tally: tally)

    def _handing(self, session: ClientSession, voucher: Voucher) -> Exchange[Paid]:
        body = voucher.encoded()
        place = session.place(voucher_digest(body), confirms=FIRST_PREVIOUS)
        state = yield Call(Service.RETRIEVAL, "PayVoucher", pb.PayVoucherRequest(**place, voucher=body))
        return _wallet_needed(lambda: _checked(session, state, self._credential))

    def _signed(
        self, session: ClientSession, paid: Paid, rules: VoucherRules, *, is_demanded: bool, is_accepting: bool
    ) -> Tally:
        """Return the tally with the voucher to hand in; it is kept before the voucher can leave."""
        taken = 0

        def change(tally: Tally) -> Tally:
            nonlocal taken
            tally = tally.with_shown(paid.voucher).without_excess(paid.due, unpaid_max=rules.unpaid_max)
            if is_accepting:
                tally = tally.accepting(paid.due)
            try:
                amount = tally.payable(paid.due, unpaid_max=rules.unpaid_max, is_demanded=is_demanded)
            except ExcessiveDemand as error:
                raise ExcessiveDemand(f"{_name_of(session)}: {error}") from error
            taken = self._allowed(amount - tally.amount, is_demanded=is_demanded)
            if not taken:
                return tally
            return tally.with_signed(Voucher.signed(paid.channel, tally.amount + taken, self._signer(paid.channel)))

        tally = self._tallied(paid.channel.id, change)
        if self._left is not None:
            self._left -= taken
        return tally

    def _tallied(self, channel: bytes, change: Callable[[Tally], Tally]) -> Tally:
        with self._lock:
            received, self._received = self._received, 0
        try:
            return self._tallies.changed(channel, lambda tally: change(tally.with_received(received)))
        except BaseException:
            with self._lock:
                self._received += received
            raise

    def _allowed(self, wanted: int, *, is_demanded: bool) -> int:
        if self._left is None or wanted <= self._left:
            return wanted
        if is_demanded:
            raise CreditExhausted(
                f"{wanted} micro-units are due for answers and this client may sign for {self._left} more; "
                "raise max_spend"
            )
        return self._left

    def _signer(self, channel: Channel) -> SigningKey:
        key = self._credential.voucher_key()
        if key.address != channel.config.signer:
            raise AccessDenied(
                f"the channel's vouchers are signed by 0x{channel.config.signer.hex()}, and this client holds the key "
                f"of 0x{key.address.hex()}; give it that wallet, or have a channel opened for this key"
            )
        return key


def _checked(session: ClientSession, state: pb.ChannelState, credential: Credential) -> Paid:
    """Return a channel's state as far as signatures vouch for it, or raise what does not hold."""
    attested, policy, rules = session.footing.attested, session.policy, session.policy.vouchers
    channel = Channel.from_bytes(state.channel, bytes_max=CHANNEL_BYTES_MAX)
    channel.verify(attested.charter.domain(credential.genesis))
    if rules is None or channel.licensee != credential.license.licensee:
        raise AccessDenied("the enclave showed another licensee's channel")
    channel.require_for(
        rules,
        genesis=credential.genesis,
        ledger=attested.terms.ledger,
        treasury=policy.treasury,
        currency=policy.currency,
    )
    voucher = Voucher.from_bytes(state.voucher, bytes_max=VOUCHER_BYTES_MAX) if state.voucher else None
    if voucher is not None:
        voucher.verify(channel)
    if state.due > channel.limit:
        raise ExcessiveDemand(f"{_name_of(session)}: {state.due} is asked for and the channel holds {channel.limit}")
    return Paid(
        channel=channel,
        voucher=voucher,
        due=state.due,
        unpaid=state.unpaid,
        unpaid_queries=state.unpaid_queries,
    )


def _name_of(session: ClientSession) -> str:
    return f"the enclave of instance {session.footing.attested.terms.instance.hex()}"


def _wallet_needed(work: Callable[[], Made]) -> Made:
    try:
        return work()
    except ImportError as error:
        raise VaultError("paying by vouchers needs the wallet's libraries; install coffer[vouchers]") from error
