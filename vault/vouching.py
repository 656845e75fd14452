"""What vouches for an enclave instance's signature, offline: custodians' leases, a head, and the machine's evidence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from storage.cid import Cid
from vault.action import POLICIES_MAX
from vault.charter import Charter
from vault.codec import Length, Record, record
from vault.errors import InvalidReceipt, VaultError
from vault.evidence import Appraiser, Binding, Evidence
from vault.head import Head
from vault.lease import Lease, agreed_terms, ledger_id
from vault.policy import SIMULATED, Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """What an instance signed, as far as it has to be vouched for."""

    instance: bytes
    evidence: bytes
    ledger: bytes
    head: Cid
    at: int


@record
class Vouching(Record):
    """What an enclave served on when it signed."""

    charter: Charter
    head: Head
    policies: Annotated[tuple[Policy, ...], Length(1, POLICIES_MAX)]
    leases: Annotated[tuple[Lease, ...], Length(1, 16)]
    binding: Binding
    evidence: Evidence

    def verify(self, signed: Signed, *, genesis: Cid, appraiser: Appraiser, allow_simulated: bool) -> Iterator[str]:
        """Yield a sentence for each link that holds, from the signing key to the evidence and the DAO's genesis.

        Raises: `InvalidReceipt` naming the first fact that does not hold.
        """
        try:
            yield self._leased(signed, genesis)
        except InvalidReceipt:
            raise
        except VaultError as error:
            raise InvalidReceipt(f"leases: {error}") from error
        yield self._appraised(signed, genesis, appraiser, allow_simulated=allow_simulated)

    def _leased(self, signed: Signed, genesis: Cid) -> str:
        _require(self.charter.cid() == genesis, "charter: not the one that founded this DAO")
        _require(signed.ledger == ledger_id(genesis), "ledger: not this DAO's books")
        _require(signed.instance == self.binding.receipt_key, "instance: not the key that the evidence vouches for")
        terms = agreed_terms(self.leases, self.charter, genesis=genesis, at=signed.at)
        _require(terms.instance == signed.instance, "instance: the custodians' leases name another")
        _require(terms.evidence == signed.evidence, "evidence: the custodians' leases name another")
        _require(terms.ledger == signed.ledger, "ledger: the custodians' leases name another")
        _require(terms.head == signed.head, "head: the custodians' leases name another")
        _require(self.head.cid() == signed.head, "head: the file holds another head")
        return (
            f"leased by {self.charter.signatures} of {len(self.charter.custodians)} custodians at epoch {terms.epoch}"
        )

    def _appraised(self, signed: Signed, genesis: Cid, appraiser: Appraiser, *, allow_simulated: bool) -> str:
        _require(self.evidence.digest() == signed.evidence, "evidence: the file holds another")
        _require(self.binding.genesis == genesis, "evidence: it vouches for another DAO")
        refusal = "policies: the file holds none that is in force"
        for policy in self.policies:
            if policy.cid() not in self.head.policies:
                continue
            if self.binding.configuration not in policy.configurations:
                refusal = "configuration: no policy in force accepts it"
                continue
            try:
                appraisal = appraiser.appraise(self.evidence, binding=self.binding, accepted=policy.tees, at=signed.at)
            except VaultError as error:
                refusal = f"evidence: {error}"
                continue
            _require(
                allow_simulated or appraisal.kind != SIMULATED,
                "tee: SIMULATED, which protects nothing; pass --allow-simulated if that is what you expect",
            )
            return f"enclave of kind {appraisal.kind} runs measurement {appraisal.measurement.hex()[:16]}…"
        raise InvalidReceipt(refusal)


def _require(holds: bool, wrong: str) -> None:
    if not holds:
        raise InvalidReceipt(wrong)
