"""What people do with their wallets, each as one call that returns the signed object."""

from __future__ import annotations

import secrets

from storage.cid import Cid
from vault.action import Action, Scope
from vault.ballot import Ballot, Proposal, Support, Vote
from vault.channel import Channel, ChannelConfig, channel_salt
from vault.charter import Charter
from vault.guardian import Act
from vault.history import History
from vault.inquiry import Inquiry
from vault.lease import ledger_id
from vault.license import Delegation, Deposit, License
from vault.policy import Policy
from vault.roll import Roll
from vault.signing import BLANK_SIGNATURE, SigningKey
from vault.voucher_rules import VoucherRules


def propose(history: History, roll: Roll, action: Action, proposer: SigningKey, *, at: int) -> Proposal:
    """Put an action to the vote: after the charter's delay, for its voting period."""
    voting = history.charter.voting
    proposal = Proposal(
        genesis=history.genesis,
        epoch=history.head.epoch,
        head=history.head.cid(),
        proposer=proposer.address,
        weight=weight_bytes(roll, proposer.address),
        proof=roll.tree().proof(proposer.address),
        action=action,
        opens_at=at + voting.delay_s,
        closes_at=at + voting.delay_s + voting.period_s,
        nonce=secrets.token_bytes(32),
        signature=BLANK_SIGNATURE,
    )
    return proposal.signed_by(proposer, history.charter.domain(history.genesis))


def blank_ballot(proposal: Proposal, voter: bytes, support: Support, *, sequence: int, reason: str = "") -> Ballot:
    """Return an answer as its voter's wallet is to sign it; a later answer takes a higher sequence number (rule G1)."""
    return Ballot(
        proposal=proposal.cid().digest,
        voter=voter,
        support=support,
        sequence=sequence,
        reason=reason,
        signature=BLANK_SIGNATURE,
    )


def vote_of(roll: Roll, ballot: Ballot) -> Vote:
    """Return a signed ballot with its voter's weight, as it is handed in."""
    return Vote(ballot=ballot, weight=weight_bytes(roll, ballot.voter), proof=roll.tree().proof(ballot.voter))


def cancellation(history: History, proposal: Cid) -> Act:
    """Return the act by which guardians cancel a proposal."""
    return _act(history, cancels=proposal.digest, revokes=None, subject=b"")


def emergency_revocation(history: History, scope: Scope, subject: bytes) -> Act:
    """Return the act by which guardians revoke at once."""
    return _act(history, cancels=None, revokes=scope, subject=subject)


def _act(history: History, *, cancels: bytes | None, revokes: Scope | None, subject: bytes) -> Act:
    return Act(
        genesis=history.genesis,
        epoch=history.head.epoch,
        head=history.head.cid(),
        cancels=cancels,
        revokes=revokes,
        subject=subject,
        nonce=secrets.token_bytes(32),
    )


def weight_bytes(roll: Roll, address: bytes) -> bytes:
    """Return a member's weight as objects hold it; raise `AccessDenied` for a stranger."""
    return roll.weight_of(address).to_bytes(32, "big")


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


def open_channel(
    genesis: Cid,
    charter: Charter,
    treasury: SigningKey,
    rules: VoucherRules,
    *,
    licensee: bytes,
    payer: bytes,
    signer: bytes,
    currency: str,
    limit: int,
    expires_at: int,
    number: int = 0,
) -> Channel:
    """Attest that so much lies in escrow for a licensee's questions; again, with more or longer, to raise it.

    Args:
        payer: whose tokens these are.
        signer: who signs vouchers.
        number: of the licensee's channels; an account's next channel takes a higher one.
    """
    ledger = ledger_id(genesis)
    config = ChannelConfig(
        payer=payer,
        payer_authorizer=signer,
        receiver=treasury.address,
        receiver_authorizer=treasury.address,
        token=rules.token,
        withdraw_delay=rules.withdraw_delay_least,
        salt=channel_salt(genesis, ledger, licensee, currency, number),
    )
    channel = Channel(
        genesis=genesis,
        ledger=ledger,
        licensee=licensee,
        currency=currency,
        number=number,
        chain_id=rules.chain_id,
        contract=rules.contract,
        config=config,
        limit=limit,
        expires_at=expires_at,
        signature=BLANK_SIGNATURE,
    )
    return channel.signed_by(treasury, charter.domain(genesis))


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
