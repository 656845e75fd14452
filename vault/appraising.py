"""Which datasets an enclave may have the keys of: those of every policy in force that accepts it.

Each policy stands for itself: one whose owner has not deposited yet does not stop what another one allows.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass

from storage.cid import Cid
from storage.errors import BlockNotFound
from vault.action import Scope
from vault.contest import takes_away_licenses
from vault.errors import AccessDenied, NotYet, Revoked
from vault.evidence import Appraisal, Appraiser, Binding, Evidence
from vault.history import History
from vault.known import Known
from vault.manifest import Manifest
from vault.policy import SIMULATED, Policy

Latest = Callable[[bytes], tuple[int, Cid] | None]
"""Gives the version and manifest registered last for a lineage; None where there is none."""
_NO_SHARE = "a dataset's owner has not deposited its share here yet"


def _none(_: bytes) -> None:
    """Know of no registered version, so that nothing unpinned is released."""


def _never(_: Cid) -> bool:
    """Know of no key that was destroyed."""
    return False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one policy says of an enclave: the appraisal under it, or why it refuses."""

    policy: Policy
    outcome: Appraisal | AccessDenied | NotYet
    manifests: tuple[Cid, ...]  # the versions that the policy means here and now, in the order of its datasets

    def datasets(self) -> tuple[Cid, ...]:
        """Return the manifests whose keys the policy would let it have."""
        return self.manifests if isinstance(self.outcome, Appraisal) else ()


@dataclass(frozen=True, slots=True)
class Appraising:
    """Judges enclaves for one custodian."""

    appraiser: Appraiser
    known: Known
    production: bool
    latest: Latest = _none  # what owners registered last with this custodian (rule B4)
    is_destroyed: Callable[[Cid], bool] = _never  # whether an owner had a manifest's key destroyed (rule S3)

    def verdicts(
        self,
        history: History,
        binding: Binding,
        evidence: Evidence,
        *,
        at: int,
        restricted_by: Sequence[History] = (),
    ) -> list[Verdict]:
        """Return what every policy in force says, or raise `Revoked` where there is none.

        Args:
            restricted_by: histories that may come to hold, each of which has to allow it too (rule F4).
        Raises: `NotYet` where one of these revokes a licensee, which only an enclave at that head can heed.
        """
        if not history.policies:
            raise Revoked(f"no policy is in force at epoch {history.head.epoch}: revoked, or none adopted yet")
        if any(takes_away_licenses(history, other) for other in restricted_by):
            raise NotYet("a licensee was revoked, and the custodians have yet to agree on the next head; ask again")
        verdicts = []
        for cid, policy in history.policies.items():
            try:
                for other in restricted_by:
                    other.head.require_policy(cid)
                appraisal = self._appraised((history, *restricted_by), cid, policy, binding, evidence, at)
                verdicts.append(Verdict(policy, appraisal, self._meant(policy)))
            except (AccessDenied, NotYet) as error:
                verdicts.append(Verdict(policy, error, ()))
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
                accepted |= self._manifests(verdict, verdict.outcome, genesis, deposited)
            except (AccessDenied, NotYet) as error:
                refusal = error
        if not accepted:
            raise refusal
        return [accepted[cid] for cid in sorted(accepted)]

    def _appraised(
        self, histories: Sequence[History], cid: Cid, policy: Policy, binding: Binding, evidence: Evidence, at: int
    ) -> Appraisal:
        if at >= policy.expires_at:
            raise AccessDenied("the policy has expired; the DAO has to adopt a new one")
        if binding.configuration not in policy.configurations:
            raise AccessDenied(f"the policy does not accept enclave configuration {binding.configuration}")
        appraisal = self.appraiser.appraise(evidence, binding=binding, accepted=policy.tees, at=at)
        adopted = histories[0].adopted[cid]
        if any(
            history.head.revoked_since(Scope.MEASUREMENT, found, adopted)
            for found in appraisal.measurements
            for history in histories
        ):
            raise Revoked("this measurement was revoked after the policy was adopted")
        if appraisal.kind == SIMULATED and self.production:
            raise AccessDenied("this custodian runs in production and releases nothing to a simulated TEE")
        return appraisal

    def _meant(self, policy: Policy) -> tuple[Cid, ...]:
        """Return the version of each dataset that the policy means: the pinned one, or the latest registered here."""
        manifests = []
        for reference in policy.datasets:
            if reference.manifest is not None:
                manifests.append(reference.manifest)
                continue
            registered = self.latest(reference.lineage(policy.genesis))
            if registered is None:
                raise NotYet(_NO_SHARE)
            manifests.append(registered[1])
        return tuple(manifests)

    def _manifests(
        self, verdict: Verdict, appraisal: Appraisal, genesis: Cid, deposited: Container[Cid]
    ) -> dict[Cid, Manifest]:
        try:
            manifests = [self.known.record(Manifest, cid) for cid in verdict.manifests]
        except BlockNotFound as error:
            raise NotYet(_NO_SHARE) from error
        for reference, manifest in zip(verdict.policy.datasets, manifests, strict=True):
            if manifest.cid() not in deposited:
                if self.is_destroyed(manifest.cid()):
                    raise Revoked(f"the owner of dataset {manifest.dataset.hex()} had its key destroyed")
                raise NotYet(_NO_SHARE)
            if manifest.genesis != genesis:
                raise AccessDenied(f"the owner of dataset {manifest.dataset.hex()} sealed it for another DAO")
            reference.require(manifest)
            if appraisal.kind == SIMULATED and not manifest.allow_simulated:
                raise AccessDenied(f"the owner of dataset {manifest.dataset.hex()} does not allow a simulated TEE")
        return {manifest.cid(): manifest for manifest in manifests}
