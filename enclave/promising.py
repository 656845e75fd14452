"""What a serving enclave answers about payment channels; the gRPC edge only translates to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from enclave.admission import Admission, Session
from enclave.allowance import WindowUsedUp
from enclave.answering import RENEWALS_MAX
from enclave.instance import Instance
from vault.channel import Channel, Redeemable, Voucher
from vault.errors import AccessDenied
from vault.policy import Policy
from vault.royalty import licensee_account
from vault.unpaid import Debt
from vault.voucher_rules import rules_of


class Promising:
    """The channels of one instance's licensees."""

    def __init__(self, instance: Instance, admission: Admission) -> None:
        self._instance = instance
        self._admission = admission

    async def open(self, channel: Channel) -> None:
        """Book a channel that a policy's treasury signed, on that policy's terms.

        It returns once custodians have anchored it, or have not answered; then it counts from the next renewal on.
        """
        instance, grounds, meter = self._instance, self._instance.serving(), self._instance.meter()
        channel.verify(grounds.history.charter.domain(instance.genesis))
        treasury = channel.config.receiver
        rules = rules_of(grounds.history.policies.values(), treasury, channel.currency)
        if rules is None:
            raise AccessDenied("no policy in force takes vouchers in this currency, to this treasury")
        channel.require_for(
            rules,
            genesis=instance.genesis,
            ledger=instance.ledger,
            treasury=treasury,
            currency=channel.currency,
        )
        await self._in_window(lambda: meter.channels.open(channel, rules, at=instance.now()))
        for _ in range(RENEWALS_MAX):
            if meter.has_fresh_credit(channel.licensee, channel.currency):
                await instance.renewal()

    async def pay(self, session: Session, voucher: Voucher) -> Debt:
        """Book a voucher of a session's licensee; return what is left to pay."""
        policy, account = self._account_of(session)
        meter = self._instance.meter()
        self._admission.count_voucher(session, policy, self._instance.now())
        await self._in_window(lambda: meter.channels.pay(account, voucher, policy.vouchers, at=self._instance.now()))
        self._instance.want_renewal()
        return self.debt(session)

    def debt(self, session: Session) -> Debt:
        """Return what a session's licensee owes by its channel. Raises `AccessDenied` where it has none."""
        debt = self._instance.meter().channels.debt(self._account_of(session)[1])
        if debt is None:
            raise AccessDenied("there is no channel for this license; credit is prepaid, or have the treasury open one")
        return debt

    def redeemable(self, person: bytes) -> list[Redeemable]:
        """Return the last vouchers that a person may see: their own; the charter's treasury and operators see all."""
        history = self._instance.last_grounds().history
        operators = {policy.operator for policy in history.policies.values()}
        sees_all = person == history.charter.treasury or person in operators
        return [
            one
            for one in self._instance.meter().channels.redeemable()
            if sees_all or person in (one.channel.config.receiver, one.channel.config.payer, one.channel.licensee)
        ]

    def _account_of(self, session: Session) -> tuple[Policy, str]:
        """Return a session's policy and account; who was shut out may still pay what it owes."""
        policy = self._instance.served().grounds.history.policies.get(session.license.policy)
        if policy is None:
            raise AccessDenied("the license's policy is not in force any more; have the treasury settle the channel")
        return policy, licensee_account(session.license.licensee, policy.currency)

    async def _in_window(self, book: Callable[[], Awaitable[None]]) -> None:
        """Book, and where the window has no room for an entry, once more after the next renewals."""
        for _ in range(RENEWALS_MAX):
            try:
                return await book()
            except WindowUsedUp:
                await self._instance.renewal()
        await book()
