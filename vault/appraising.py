"""Which datasets an enclave may have the keys of: those of every policy in force that accepts it.

Each policy stands for itself: one whose owner has not deposited yet does not stop what another one allows.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

from storage.cid import Cid
from storage.errors import BlockNotFound
from vault.ballot import Scope
from vault.errors import AccessDenied, NotYet, Revoked
from vault.evidence import Appraisal, Appraiser, Binding, Evidence
from vault.head import History
from vault.known import Known
from vault.manifest import Manifest
from vault.policy import SIMULATED, Policy


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one policy says of an enclave: the appraisal under it, or why it refuses."""

    policy: Policy
    outcome: Appraisal | AccessDenied | NotYet

    def datasets(self) -> tuple[Cid, ...]:
        """Return the manifests whose keys the policy would let it have."""
        return self.policy.datasets if isinstance(self.outcome, Appraisal) else ()


@dataclass(frozen=True, slots=True)
class Appraising:
    """Judges enclaves for one custodian."""

    appraiser: Appraiser
    known: Known
    production: bool

    def verdicts(self, history: History, binding: Binding, evidence: Evidence, *, at: int) -> list[Verdict]:
        """Return what every policy in force says, or raise `Revoked` where there is none."""
        if not history.policies:
            raise Revoked(f"no policy is in force at epoch {history.head.epoch}: revoked, or none adopted yet")
        verdicts = []
        for cid, policy in history.policies.items():
            try:
                verdicts.append(Verdict(policy, self._appraised(history, cid, policy, binding, evidence, at)))
            except (AccessDenied, NotYet) as error:
                verdicts.append(Verdict(policy, error))
        return verdicts

    def accepted(self, verdicts: Sequence[Verdict], genesis: Cid, deposited: Container[Cid]) -> list[Manifest]:
        """Return the datasets of the policies that accept the enclave, or raise the last refusal.

        Args:
            deposited: the manifests of which this custodian keeps a share.
        """
        accepted: dict[Cid, Manifest] = {}
        refusal: AccessDenied | NotYet = AccessDenied("no policy accepts this enclave")
        for verdict in verdicts:
            if not isinstance(verdict.outcome, Appraisal):
                refusal = verdict.outcome
                continue
            try:
                accepted |= self._manifests(verdict.policy, verdict.outcome, genesis, deposited)
            except (AccessDenied, NotYet) as error:
                refusal = error
        if not accepted:
            raise refusal
        return [accepted[cid] for cid in sorted(accepted)]

    def _appraised(
        self, history: History, cid: Cid, policy: Policy, binding: Binding, evidence: Evidence, at: int
    ) -> Appraisal:
        if at >= policy.expires_at:
            raise AccessDenied("the policy has expired; the DAO has to adopt a new one")
        if binding.configuration not in policy.configurations:
            raise AccessDenied(f"the policy does not accept enclave configuration {binding.configuration}")
        appraisal = self.appraiser.appraise(evidence, binding=binding, accepted=policy.tees, at=at)
        adopted = history.adopted[cid]
        if any(history.head.revoked_since(Scope.MEASUREMENT, found, adopted) for found in appraisal.measurements):
            raise Revoked("this measurement was revoked after the policy was adopted")
        if appraisal.kind == SIMULATED and self.production:
            raise AccessDenied("this custodian runs in production and releases nothing to a simulated TEE")
        return appraisal

    def _manifests(
        self, policy: Policy, appraisal: Appraisal, genesis: Cid, deposited: Container[Cid]
    ) -> dict[Cid, Manifest]:
        try:
            manifests = {cid: self.known.record(Manifest, cid) for cid in policy.datasets}
        except BlockNotFound as error:
            raise NotYet("a dataset's owner has not deposited its share here yet") from error
        for cid, manifest in manifests.items():
            if cid not in deposited:
                raise NotYet("a dataset's owner has not deposited its share here yet")
            if manifest.genesis != genesis:
                raise AccessDenied(f"the owner of dataset {manifest.dataset.hex()} sealed it for another DAO")
            if appraisal.kind == SIMULATED and not manifest.allow_simulated:
                raise AccessDenied(f"the owner of dataset {manifest.dataset.hex()} does not allow a simulated TEE")
        return manifests
