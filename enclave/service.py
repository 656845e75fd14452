"""What a serving enclave answers: sessions, questions, credit, balances. The gRPC edge only translates to it."""

from __future__ import annotations

import asyncio

from enclave.admission import Admission, Session
from enclave.answering import RENEWALS_MAX, Answering
from enclave.asked import Metered
from enclave.durable_books import Checked
from enclave.found import Answer, IndexFacts
from enclave.grounds import Grounds
from enclave.instance import Instance
from enclave.metrics import Metrics
from enclave.promising import Promising
from enclave.public_log import PublicLog
from enclave.quoting import quoted
from enclave.royalties import Handed
from vault.channel import Redeemable
from vault.errors import AccessDenied
from vault.evidence import SERVE, Binding, Evidence, Nonce
from vault.inquiry import Inquiry
from vault.license import Delegation, Deposit, License
from vault.manifest import Manifest
from vault.policy import Policy
from vault.question import Query, Quote, account_digest, describe_digest, quote_digest
from vault.royalty import licensee_account
from vault.seen_parts import SeenPart, seen_parts
from vault.session import SessionOpening
from vault.transparency import TreeHead


class EnclaveService:
    """The calls of one instance. They run on one event loop; between two awaits nothing else happens."""

    def __init__(self, instance: Instance, metrics: Metrics | None = None) -> None:
        self.instance = instance
        self._admission = Admission(instance.keys)
        self._answering = Answering(instance, self._admission, metrics or Metrics())
        self.promising = Promising(instance, self._admission)

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
        served = self.instance.served()
        self._answering.require_not_shut_out(license, served)
        meter = self.instance.meter()
        spent = meter.books.spent(delegation.cid().digest)

        def credit(currency: str) -> int:
            return meter.books.balance(licensee_account(license.licensee, currency))

        session = self._admission.open(
            license,
            delegation,
            opening,
            served.grounds,
            self.instance.now(),
            spent=spent,
            credit=credit,
            before=meter.answers(license.licensee)[0],
        )
        _, previous = meter.books.receipt_chain(license.licensee)
        return session.id, previous, session.expires_at

    def authenticated(self, id: bytes, sequence: int, mac: bytes, *, body: bytes, last_receipt: bytes) -> Session:
        """Return the session of a call whose MAC holds and whose sequence is new, or raise `AccessDenied`."""
        return self._admission.authenticated(
            id, sequence, mac, body=body, last_receipt=last_receipt, at=self.instance.now()
        )

    @property
    def under_way(self) -> int:
        """Return how many questions wait for an engine, or are in its hands."""
        return self._answering.under_way

    async def search(self, session: Session, query: Query, last_receipt: bytes) -> tuple[Metered, Answer, bool]:
        """Return an answer, booked and durable, and whether it is one given before; see `Answering.search`."""
        return await self._answering.search(session, query, last_receipt)

    async def close(self) -> None:
        """Tell all who still wait that the enclave stops."""
        await self._answering.close()

    def quote(self, id: bytes, sequence: int, mac: bytes, *, k: int, neighbors: int) -> Quote:
        """Return what an answer would cost at most and what is left, from numbers alone: nothing is searched (O3)."""
        session = self.authenticated(id, sequence, mac, body=quote_digest(k, neighbors), last_receipt=bytes(32))
        policy, grounds = self._policy_of(session)
        return quoted(
            self.instance.meter(),
            policy,
            session.license,
            session.delegation.cid().digest,
            self._admission.coverage(policy, grounds),
            k=k * (1 + 2 * neighbors),
            spend_cap=session.spend_cap,
            at=self.instance.now(),
        )

    def describe(self, id: bytes, sequence: int, mac: bytes) -> tuple[Policy, list[tuple[Manifest, IndexFacts, bytes]]]:
        """Return a session's policy and the datasets that it serves now, with how each is searched and its filter."""
        session = self.authenticated(id, sequence, mac, body=describe_digest(), last_receipt=bytes(32))
        policy, grounds = self._policy_of(session)
        places = self._admission.coverage(policy, grounds).places
        indexes = self.instance.served().engine.indexes
        return policy, [
            (manifest, indexes.get(manifest.cid(), IndexFacts()), places[manifest.cid()].only)
            for manifest in grounds.manifests
            if manifest.cid() in places
        ]

    def _policy_of(self, session: Session) -> tuple[Policy, Grounds]:
        served = self.instance.served()
        self._answering.require_not_shut_out(session.license, served)
        return self._admission.policy(session.license, served.grounds), served.grounds

    def account(self, id: bytes, sequence: int, mac: bytes) -> tuple[int, int, int, int, int, list[SeenPart]]:
        """Return credit, spent, spend cap, passages seen and allowed of a session's licensee, and these part by part.

        Passages lost with an enclave that did not return its window are not allowed any more. Where strangers share one
        budget, the passages are those of all of them.
        """
        session = self.authenticated(id, sequence, mac, body=account_digest(), last_receipt=bytes(32))
        books, (policy, grounds) = self.instance.meter().books, self._policy_of(session)
        licensee, covered = session.license.licensee, self._admission.coverage(policy, grounds)
        holder = policy.licensees.holder(licensee)
        seen = books.seen.count(holder, covered.whole.lineages)
        return (
            books.balance(licensee_account(licensee, policy.currency)),
            books.spent(session.delegation.cid().digest),
            session.spend_cap,
            seen,
            seen + books.quota_left(holder, covered.whole),
            seen_parts(books, holder, covered, grounds.manifests),
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
        await meter.add_credit(deposit, at=self.instance.now())
        for _ in range(RENEWALS_MAX):
            if meter.has_fresh_credit(deposit.licensee, deposit.currency):
                await self.instance.renewal()
        return meter.books.balance(licensee_account(deposit.licensee, deposit.currency))

    def balances(self, inquiry: Inquiry) -> dict[str, int]:
        """Return the signer's own balances; the DAO's treasury sees all. It needs no lease: nothing is served."""
        grounds, books = self.instance.last_grounds(), self.instance.meter().books
        self._require_asked(inquiry, grounds)
        balances = books.balances()
        if inquiry.account == grounds.history.charter.treasury:
            return balances
        own = {name: held for name, held in balances.items() if f"/0x{inquiry.account.hex()}/" in name}
        if not own:
            raise AccessDenied("this wallet has no account in the books")
        return own

    def redeemable(self, inquiry: Inquiry) -> list[Redeemable]:
        """Return the vouchers that the signer of an inquiry may see. It needs no lease: nothing is served."""
        self._require_asked(inquiry, self.instance.last_grounds())
        return self.promising.redeemable(inquiry.account)

    async def checked_books(self, inquiry: Inquiry) -> Checked:
        """Have the books added up again from their rows, for the DAO's treasury. It needs no lease."""
        grounds = self.instance.last_grounds()
        self._require_asked(inquiry, grounds)
        if inquiry.account != grounds.history.charter.treasury:
            raise AccessDenied("the DAO's treasury may have the books checked; sign with its wallet")
        return await self.instance.meter().checked()

    def tree_head(self) -> TreeHead:
        """Return the signed head of the public log."""
        return self.log().head(self.instance.serving(), at=self.instance.now())

    def log(self) -> PublicLog:
        """Return the public log. Anyone may ask: a leaf says nothing to who does not hold the receipt."""
        return self.instance.meter().log

    async def statements(self, inquiry: Inquiry, epoch: int) -> list[Handed]:
        """Return the signer's own statements of a royalty epoch, 0 for the last one that closed."""
        grounds, royalties = self.instance.serving(), self.instance.meter().royalties
        self._require_asked(inquiry, grounds)
        return await royalties.handed(epoch, inquiry.account, grounds, at=self.instance.now())

    def _require_asked(self, inquiry: Inquiry, grounds: Grounds) -> None:
        """Raise unless a person signed this inquiry for this very enclave, and it was not used before."""
        inquiry.verify(grounds.history.charter.domain(self.instance.genesis))
        if inquiry.ledger != self.instance.ledger or inquiry.tls_key != self.instance.keys.tls.key_hash:
            raise AccessDenied("the inquiry is for another enclave or ledger")
        self._admission.nonces.spend(inquiry.server_nonce, self.instance.now())
