"""What a serving enclave answers: sessions, questions, credit, balances. The gRPC edge only translates to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

from enclave.admission import Admission, Session
from enclave.allowance import WindowUsedUp
from enclave.asked import Asked, Metered
from enclave.found import Answer
from enclave.instance import Instance
from enclave.metering import Meter
from enclave.output import outgoing
from enclave.selection import Room
from vault.entry import Entry
from vault.errors import AccessDenied, RequestConflict, VaultError
from vault.evidence import SERVE, Binding, Evidence, Nonce
from vault.inquiry import Inquiry
from vault.license import Delegation, Deposit, License
from vault.receipt import receipt_digest
from vault.royalty import licensee_account
from vault.session import Query, SessionOpening

RENEWALS_MAX = 2  # that one call waits for: the one under way may have begun too early for it


class EnclaveService:
    """The calls of one instance. They run on one event loop; between two awaits nothing else happens."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self._admission = Admission(instance.keys)

    async def evidence(self, nonce: bytes) -> tuple[Binding, Evidence, bytes]:
        """Return a binding, evidence over a client's nonce, and a server nonce for what it signs next."""
        asked = [Nonce(challenger=b"", nonce=nonce)]
        binding, evidence = await asyncio.to_thread(self.instance.opening.attested, SERVE, asked)
        return binding, evidence, self.server_nonce()

    def server_nonce(self) -> bytes:
        """Return a single-use nonce for what a client signs next."""
        return self._admission.nonces.issue(self.instance.now())

    def open_session(
        self, license: License, delegation: Delegation, opening: SessionOpening
    ) -> tuple[bytes, bytes, int]:
        """Return a session's id, the licensee's last receipt digest, and when the session ends."""
        grounds = self.instance.serving()
        meter = self.instance.meter()
        meter.catch_up()
        spent = meter.books.spent(delegation.cid().digest)

        def credit(currency: str) -> int:
            return meter.books.balance(licensee_account(license.licensee, currency))

        session = self._admission.open(
            license, delegation, opening, grounds, self.instance.now(), spent=spent, credit=credit
        )
        _, previous = meter.books.receipt_chain(license.licensee)
        return session.id, previous, session.expires_at

    async def search(
        self, id: bytes, sequence: int, mac: bytes, query: Query, last_receipt: bytes
    ) -> tuple[Metered, Answer, bool]:
        """Return an answer, booked and durable, and whether it is one given before."""
        meter = self.instance.meter()
        session = self._admission.authenticated(
            id, sequence, mac, body=query.body_digest(), last_receipt=last_receipt, at=self.instance.now()
        )
        meter.catch_up()
        before = meter.books.answered(session.license.licensee, query.request, query.body_digest())
        try:
            asked = self._admission.asked(session, query, self.instance.serving(), self.instance.now())
        except AccessDenied as error:
            self._refund_undelivered(session, before, last_receipt, error)
            raise
        if before is None:
            self._admission.count(asked, self.instance.now())
            async with self._room(meter, asked) as room:
                answer = await self.instance.engine().search(asked.query.text, room.datasets, asked.permit.k)
                meter.catch_up()
                before = meter.books.answered(session.license.licensee, query.request, query.body_digest())
                if before is None:
                    return self._booked(meter, session, query, answer, room), answer, False
        if before.query is not None and before.query.instance != self.instance.keys.instance:
            refusal = RequestConflict("an earlier run of the enclave signed this answer; ask with a fresh request id")
            self._refund_undelivered(session, before, last_receipt, refusal)
            raise refusal
        metered, answer = await self._repeated(before, asked)
        return metered, answer, True

    def account(self, id: bytes, sequence: int, mac: bytes) -> tuple[int, int, int, int, int]:
        """Return credit, spent, spend cap, passages seen and passages allowed of a session's licensee.

        Passages lost with an enclave that did not return its window are not allowed any more. Where strangers share one
        budget, the passages are those of all of them.
        """
        session = self._admission.authenticated(
            id, sequence, mac, body=bytes(32), last_receipt=bytes(32), at=self.instance.now()
        )
        grounds, books = self.instance.serving(), self.instance.meter().books
        grounds.history.head.require_policy(session.license.policy)
        policy = grounds.history.policies[session.license.policy]
        licensee, whole = session.license.licensee, self._admission.coverage(policy, grounds).whole
        holder = policy.licensees.holder(licensee)
        seen = books.seen.count(holder, whole.lineages)
        return (
            books.balance(licensee_account(licensee, policy.currency)),
            books.spent(session.delegation.cid().digest),
            session.spend_cap,
            seen,
            seen + books.quota_left(holder, whole),
        )

    async def add_credit(self, deposit: Deposit) -> int:
        """Book a deposit that a policy's treasury signed; return the licensee's credit (rule L2).

        It returns once custodians have anchored the deposit: then it counts, and no host can take it back. Where they
        do not answer, it returns all the same, and the credit counts from the next renewal on.
        """
        grounds, meter = self.instance.serving(), self.instance.meter()
        deposit.verify(grounds.history.charter.domain(self.instance.genesis))
        trusted = {(policy.treasury, policy.currency) for policy in grounds.history.policies.values()}
        if deposit.genesis != self.instance.genesis or deposit.ledger != self.instance.ledger:
            raise AccessDenied("the deposit is for another DAO's books")
        if (deposit.treasury, deposit.currency) not in trusted:
            raise AccessDenied("the deposit is not signed by the treasury of a policy in force, or in its currency")
        meter.catch_up()
        meter.add_credit(deposit, at=self.instance.now())
        for _ in range(RENEWALS_MAX):
            if meter.has_fresh_credit(deposit.licensee, deposit.currency):
                await self.instance.renewal()
        return meter.books.balance(licensee_account(deposit.licensee, deposit.currency))

    def balances(self, inquiry: Inquiry) -> dict[str, int]:
        """Return the signer's own balances; the DAO's treasury sees all. It needs no lease: nothing is served."""
        grounds, books = self.instance.last_grounds(), self.instance.meter().books
        inquiry.verify(grounds.history.charter.domain(self.instance.genesis))
        if inquiry.ledger != self.instance.ledger or inquiry.tls_key != self.instance.keys.tls.key_hash:
            raise AccessDenied("the inquiry is for another enclave or ledger")
        self._admission.nonces.spend(inquiry.server_nonce, self.instance.now())
        balances = books.balances()
        if inquiry.account == grounds.history.charter.treasury:
            return balances
        own = {name: held for name, held in balances.items() if f"/0x{inquiry.account.hex()}/" in name}
        if not own:
            raise AccessDenied("this wallet has no account in the books")
        return own

    @asynccontextmanager
    async def _room(self, meter: Meter, asked: Asked) -> AsyncIterator[Room]:
        """Keep room for an answer in the window; where it is used up, wait for the next one first."""
        with ExitStack() as reserved:
            for _ in range(RENEWALS_MAX):
                try:
                    room = reserved.enter_context(meter.reserved(asked))
                    break
                except WindowUsedUp:
                    await self.instance.renewal()
            else:
                room = reserved.enter_context(meter.reserved(asked))
            yield room

    def _booked(self, meter: Meter, session: Session, query: Query, answer: Answer, room: Room) -> Metered:
        grounds, at = self.instance.serving(), self.instance.now()
        asked = self._admission.asked(session, query, grounds, at)  # the head may have moved
        booked = meter.book_answer(asked, answer.found, answer.vector, grounds, at=at, room=room)
        if meter.is_window_half_used:
            self.instance.want_renewal()
        return booked

    async def _repeated(self, entry: Entry, asked: Asked) -> tuple[Metered, Answer]:
        if entry.query is None:
            raise RequestConflict("this request id cannot be used again; choose a fresh one")
        places = [(place.manifest, place.index) for place in entry.query.passages]
        found = await self.instance.engine().passages(places, entry.query.vector)
        passages = tuple(outgoing(passage, asked.policy.output) for passage in found)
        metered = Metered(passages=passages, receipt=entry.query.receipt, is_partial=entry.query.is_partial)
        return metered, Answer(found=found, vector=entry.query.vector, embed_s=0.0, search_s=0.0)

    def _refund_undelivered(
        self, session: Session, before: Entry | None, last_receipt: bytes, refusal: VaultError
    ) -> None:
        """Void a charge whose answer may no longer be given again, if the licensee has not confirmed it (rule L3).

        Only for the delegation that paid: another license of the same licensee, one that was never good for this
        question, would otherwise turn every answer into a refund.
        """
        if before is None or before.query is None or before.query.delegation != session.delegation.cid().digest:
            return
        meter = self.instance.meter()
        digest = receipt_digest(before.query.receipt)
        is_last = meter.books.receipt_chain(before.licensee)[1] == digest
        if is_last and last_receipt != digest:
            meter.void(before, at=self.instance.now())
            raise type(refusal)(f"{refusal}; what this request was charged has been refunded") from refusal
