"""Who may ask: sessions opened by licensees' machines, and each request's place and MAC (rules E6, R4)."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from enclave.asked import Asked
from enclave.grounds import Grounds
from enclave.keys import InstanceKeys
from storage.cid import Cid
from vault.action import Scope
from vault.errors import AccessDenied, CreditExhausted, NotYet, RateExceeded, Revoked, SessionOver
from vault.keys import SecretKey
from vault.license import Delegation, License
from vault.limits import Coverage, coverage
from vault.policy import Permit, Policy
from vault.question import Mode, Query
from vault.session import SessionOpening, request_mac, secret_context, session_mac_key, verify_mac

SESSION_S_MAX = 24 * 3600
SESSIONS_MAX = 10_000
LICENSEE_SESSIONS_MAX = 256
NONCES_MAX = 10_000
NONCE_LIFETIME_S = 60
MINUTE_S = 60
_CALLS = {"query": "queries", "repeat": "queries", "voucher": "vouchers"}


@dataclass(slots=True)
class Session:
    """One opened session; it dies with the instance."""

    id: bytes
    license: License
    delegation: Delegation
    mac_key: bytes = field(repr=False)
    spend_cap: int  # of what the delegation has spent in all
    expires_at: int
    last_sequence: int = 0


class Nonces:
    """Single-use nonces of a short life, bounded in number; the oldest make room."""

    def __init__(self) -> None:
        self._issued: dict[bytes, int] = {}

    def issue(self, at: int) -> bytes:
        """Return a fresh nonce."""
        self._issued = {nonce: until for nonce, until in self._issued.items() if until > at}
        while len(self._issued) >= NONCES_MAX:
            del self._issued[next(iter(self._issued))]
        nonce = secrets.token_bytes(32)
        self._issued[nonce] = at + NONCE_LIFETIME_S
        return nonce

    def spend(self, nonce: bytes, at: int) -> None:
        """Use up a nonce, or raise `AccessDenied`."""
        if self._issued.pop(nonce, 0) <= at:
            raise AccessDenied("the server nonce is unknown, used or too old; call GetEvidence for a fresh one")


class Admission:
    """The sessions of one instance."""

    def __init__(self, keys: InstanceKeys) -> None:
        self._keys = keys
        self._sessions: dict[bytes, Session] = {}
        self._asked: dict[tuple[bytes, str], deque[int]] = {}  # licensee, kind of call → times in the last minute
        self._covers: tuple[Cid, ...] = ()  # the manifests that these are of
        self._coverages: dict[Cid, Coverage] = {}  # by policy
        self.nonces = Nonces()

    def open(
        self,
        license: License,
        delegation: Delegation,
        opening: SessionOpening,
        grounds: Grounds,
        at: int,
        *,
        spent: int,
        credit: Callable[[str], int],
        before: int,
    ) -> Session:
        """Return a new session, or raise what does not hold.

        Strangers have to have paid in before they take up a session: fresh keys cost nothing, and sessions are bounded.

        Args:
            spent: what the delegation has spent before; the session's own cap counts from there.
            credit: gives the licensee's credit in a currency.
            before: answers that it has had.
        """
        license.verify(grounds.history.charter.domain(grounds.terms.genesis))
        policy = self.policy(license, grounds)
        policy.admit(license, k=policy.k_max, at=at)
        self.coverage(policy, grounds)
        least = policy.price_of(policy.output.owners_min, before=before)
        if policy.licensees.shares_budget and credit(policy.currency) < least:
            raise CreditExhausted("anyone who pays may ask: have the treasury add credit, then open a session")
        self._check_delegation(license, delegation, grounds, at)
        self._check_opening(license, delegation, opening, grounds, at)
        info = secret_context(
            genesis=grounds.terms.genesis,
            instance=self._keys.instance,
            ledger=grounds.terms.ledger,
            server_nonce=opening.server_nonce,
            suite=opening.suite,
        )
        secret = self._keys.hpke.open(opening.suite, opening.sealed_secret, info=info)
        if len(secret) != 32:
            raise AccessDenied("the session's secret must have 32 bytes")
        session = Session(
            id=secrets.token_bytes(16),
            license=license,
            delegation=delegation,
            mac_key=session_mac_key(SecretKey(secret), opening),
            spend_cap=min(spent + opening.spend_cap, delegation.spend_cap),
            expires_at=min(opening.expires_at, delegation.expires_at, license.expires_at),
        )
        self._forget_expired(at)
        self._forget_oldest_of(license.licensee)
        self._sessions[session.id] = session
        return session

    def authenticated(
        self, id: bytes, sequence: int, mac: bytes, *, body: bytes, last_receipt: bytes, at: int
    ) -> Session:
        """Return the session of a request whose MAC holds and whose sequence is new.

        Raises: `SessionOver` for one that is unknown, `AccessDenied`.
        """
        session = self._sessions.get(id)
        if session is None or at >= session.expires_at:
            raise SessionOver("the session is unknown or over; open a new one")
        expected = request_mac(session.mac_key, session=id, sequence=sequence, body=body, previous_receipt=last_receipt)
        verify_mac(expected, mac)
        if sequence <= session.last_sequence:
            raise AccessDenied("the request was sent before; a retry takes a new sequence and the same request id")
        session.last_sequence = sequence
        return session

    def asked(
        self, session: Session, query: Query, grounds: Grounds, at: int, *, before: int = 0, racing: int = 0
    ) -> Asked:
        """Return a query with the permit it needs, judged by the policy in force now.

        Args:
            before: answers that the licensee has had.
            racing: others of its questions that may be answered first.
        """
        license = session.license
        if query.policy != license.policy:
            raise AccessDenied("the license is for another policy; ask the policy's issuer for one")
        policy = self.policy(license, grounds)
        permit: Permit = policy.admit(license, k=query.passages_max, at=at, before=before, racing=racing)
        owners_min = policy.output.owners_min
        if query.k and query.k < owners_min:
            raise AccessDenied(
                f"k must be {owners_min} … {policy.k_max} under this policy; neighbors are their passage's owner's, "
                "so they add no owner to an answer"
            )
        if permit.price_max > query.price_max:
            raise CreditExhausted(
                f"the answer may cost {permit.price_max} micro-units and the request allows {query.price_max}"
            )
        if policy.output.redacts and (query.options.where or query.options.mode is not Mode.DENSE):
            raise AccessDenied(
                "this policy redacts, so passages are found by their vectors alone: a filter, or a word that counts, "
                "would tell what is blacked out"
            )
        if query.is_count and not policy.output.counts_from:
            raise AccessDenied("this policy tells nobody how many passages meet a filter")
        covered = self.coverage(policy, grounds)
        if not covered.places.keys() >= set(query.datasets):
            raise AccessDenied("a dataset of the question is not one that the policy serves now")
        return Asked(
            license=license,
            delegation=session.delegation.cid().digest,
            policy=policy,
            permit=permit,
            coverage=covered,
            query=query,
            spend_cap=session.spend_cap,
        )

    def count(self, asked: Asked, at: int, *, is_repeat: bool = False) -> None:
        """Count a query against the licensee's rate, or raise `RateExceeded`.

        What is asked again has the same rate, counted apart: a retry is not in the way of what is new, nor behind it.
        """
        self._count((asked.license.licensee, "repeat" if is_repeat else "query"), asked.policy.queries_per_minute, at)

    def count_voucher(self, session: Session, policy: Policy, at: int) -> None:
        """Count a voucher: each may take a ledger entry, and nobody needs more of them than questions."""
        self._count((session.license.licensee, "voucher"), policy.queries_per_minute, at)

    def _count(self, whose: tuple[bytes, str], most: int, at: int) -> None:
        if whose not in self._asked:
            self._make_room(at)
        times = self._asked.setdefault(whose, deque())
        while times and times[0] <= at - MINUTE_S:
            times.popleft()
        if len(times) >= most:
            raise RateExceeded(f"more than {most} {_CALLS[whose[1]]} in a minute; wait and ask again")
        times.append(at)

    def coverage(self, policy: Policy, grounds: Grounds) -> Coverage:
        """Return what a policy covers on these leases, worked out once for each. Raises `AccessDenied` if it lacks."""
        if self._covers != grounds.terms.manifests:
            self._covers, self._coverages = grounds.terms.manifests, {}
        if policy.cid() not in self._coverages:
            self._coverages[policy.cid()] = coverage(policy, grounds.manifests)
        return self._coverages[policy.cid()]

    def policy(self, license: License, grounds: Grounds) -> Policy:
        """Return the policy in force that a license is for, or raise why it does not hold any more."""
        history = grounds.history
        if license.genesis != grounds.terms.genesis:
            raise AccessDenied("the license is from another DAO")
        if license.epoch > history.head.epoch:
            raise NotYet(
                f"the license was granted at epoch {license.epoch}; this enclave has only seen epoch "
                f"{history.head.epoch} so far"
            )
        history.head.require_policy(license.policy)
        policy = history.policies[license.policy]
        since = policy.licensees.revocable_since(license, adopted=history.adopted[license.policy])
        if history.head.revoked_since(Scope.LICENSEE, license.licensee, since):
            raise Revoked("the license was revoked by the DAO; ask the policy's issuer for a new one")
        return policy

    def _make_room(self, at: int) -> None:
        """Forget the queries of more than a minute ago; where that is not enough, those of who asked first."""
        if len(self._asked) < SESSIONS_MAX:
            return
        self._asked = {who: times for who, times in self._asked.items() if times and times[-1] > at - MINUTE_S}
        while len(self._asked) >= SESSIONS_MAX:
            del self._asked[next(iter(self._asked))]

    def _check_delegation(self, license: License, delegation: Delegation, grounds: Grounds, at: int) -> None:
        delegation.verify(grounds.history.charter.domain(grounds.terms.genesis))
        if (delegation.genesis, delegation.license, delegation.licensee) != (
            grounds.terms.genesis,
            license.cid(),
            license.licensee,
        ):
            raise AccessDenied("the delegation is not the licensee's, or not of this license")
        if at >= delegation.expires_at:
            raise AccessDenied("the delegation has expired; the licensee has to sign a new one")

    def _check_opening(
        self, license: License, delegation: Delegation, opening: SessionOpening, grounds: Grounds, at: int
    ) -> None:
        opening.verify()
        wanted = (
            grounds.terms.genesis,
            license.cid(),
            delegation.cid(),
            delegation.session_key,
            self._keys.tls.key_hash,
            self._keys.instance,
            grounds.terms.ledger,
        )
        if wanted != (
            opening.genesis,
            opening.license,
            opening.delegation,
            opening.session_key,
            opening.tls_key,
            opening.instance,
            opening.ledger,
        ):
            raise AccessDenied("the session's opening is for another enclave, license or key")
        if not at < opening.expires_at <= at + SESSION_S_MAX:
            raise AccessDenied(f"a session ends in the future, within {SESSION_S_MAX} s")
        self.nonces.spend(opening.server_nonce, at)

    def _forget_oldest_of(self, licensee: bytes) -> None:
        """Make room among a licensee's own sessions, so that nobody throws out anybody else's."""
        own = [id for id, session in self._sessions.items() if session.license.licensee == licensee]
        for id in own[: max(0, len(own) - LICENSEE_SESSIONS_MAX + 1)]:
            del self._sessions[id]

    def _forget_expired(self, at: int) -> None:
        self._sessions = {id: session for id, session in self._sessions.items() if session.expires_at > at}
        while len(self._sessions) >= SESSIONS_MAX:
            del self._sessions[next(iter(self._sessions))]
