"""What people do with their wallets, each as one call that returns the signed object."""

from __future__ import annotations

import secrets

from storage.cid import Cid
from vault.ballot import Action, Ballot, Proposal, Scope, Support
from vault.charter import Charter
from vault.head import History
from vault.inquiry import Inquiry
from vault.lease import ledger_id
from vault.license import Delegation, Deposit, License
from vault.policy import Policy
from vault.signing import BLANK_SIGNATURE, SigningKey


def adoption(policy: Cid, drops: tuple[Cid, ...] = ()) -> Action:
    """Return the action of adopting a policy in place of others."""
    return Action(adopts=policy, drops=drops, revokes=None, subject=b"")


def revocation(scope: Scope, subject: bytes) -> Action:
    """Return the action of taking something away."""
    return Action(adopts=None, drops=(), revokes=scope, subject=subject)


def propose(history: History, action: Action, proposer: SigningKey, *, at: int) -> Proposal:
    """Put an action to the vote from now on, for the charter's voting period."""
    proposal = Proposal(
        genesis=history.genesis,
        epoch=history.head.epoch,
        head=history.head.cid(),
        proposer=proposer.address,
        action=action,
        opens_at=at,
        closes_at=at + history.charter.voting_period_s,
        nonce=secrets.token_bytes(32),
        signature=BLANK_SIGNATURE,
    )
    return proposal.signed_by(proposer, history.charter.domain(history.genesis))


def vote(
    history: History, proposal: Proposal, voter: SigningKey, support: Support, *, sequence: int, reason: str = ""
) -> Ballot:
    """Answer a proposal; a later answer takes a higher sequence number (rule G1)."""
    ballot = Ballot(
        proposal=proposal.cid().digest,
        voter=voter.address,
        support=support,
        sequence=sequence,
        reason=reason,
        signature=BLANK_SIGNATURE,
    )
    return ballot.signed_by(voter, history.charter.domain(history.genesis))


def grant_license(
    history: History, policy: Policy, issuer: SigningKey, licensee: bytes, *, at: int, expires_at: int
) -> License:
    """Let a licensee ask under a policy."""
    license = License(
        genesis=history.genesis,
        policy=policy.cid(),
        issuer=issuer.address,
        licensee=licensee,
        epoch=history.head.epoch,
        issued_at=at,
        expires_at=expires_at,
        signature=BLANK_SIGNATURE,
    )
    return license.signed_by(issuer, history.charter.domain(history.genesis))


def delegate(
    license: License, licensee: SigningKey, charter: Charter, session_key: bytes, *, spend_cap: int, expires_at: int
) -> Delegation:
    """Let a machine's key open sessions for a license and spend up to a cap."""
    delegation = Delegation(
        genesis=license.genesis,
        license=license.cid(),
        licensee=licensee.address,
        session_key=session_key,
        spend_cap=spend_cap,
        expires_at=expires_at,
        signature=BLANK_SIGNATURE,
    )
    return delegation.signed_by(licensee, charter.domain(license.genesis))


def deposit_credit(
    genesis: Cid, charter: Charter, treasury: SigningKey, licensee: bytes, *, amount: int, currency: str
) -> Deposit:
    """Attest that a licensee has paid in; the id is fresh, and the books count it once (rule L2)."""
    deposit = Deposit(
        genesis=genesis,
        ledger=ledger_id(genesis),
        id=secrets.token_bytes(32),
        treasury=treasury.address,
        licensee=licensee,
        amount=amount,
        currency=currency,
        signature=BLANK_SIGNATURE,
    )
    return deposit.signed_by(treasury, charter.domain(genesis))


def inquire(genesis: Cid, charter: Charter, person: SigningKey, *, server_nonce: bytes, tls_key: bytes) -> Inquiry:
    """Ask for one's own balances, once, of the enclave behind one TLS key."""
    inquiry = Inquiry(
        ledger=ledger_id(genesis),
        account=person.address,
        server_nonce=server_nonce,
        tls_key=tls_key,
        signature=BLANK_SIGNATURE,
    )
    return inquiry.signed_by(person, charter.domain(genesis))
