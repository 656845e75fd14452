"""What a stage's policy says: a price and limits, for whomever its issuer licenses, by its own simulated enclave."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cli import wiring
from cli.machine import own_tee
from cli.parties import Parties
from storage.cid import Cid
from vault.charter import BASIS_POINTS
from vault.dataset import DatasetRef
from vault.licensees import Licensees
from vault.manifest import Manifest
from vault.output_rules import EVERYTHING
from vault.policy import Policy

YEAR_S = 365 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a stage's policy says."""

    price: int
    k_max: int
    passages_max: int
    queries_per_minute: int
    treasury_bps: int = 1000
    operator_bps: int = 1500
    currency: str = "USDC"


def policy_over(
    manifests: Iterable[Manifest], title: str, terms: Terms, parties: Parties, genesis: Cid, *, at: int
) -> Policy:
    """Return a policy over datasets, for the parties' own simulated enclave."""
    enclave = parties.settings("enclave")
    return Policy(
        genesis=genesis,
        title=title,
        datasets=tuple(DatasetRef.pinned(manifest) for manifest in manifests),
        licensees=Licensees.credential(parties.wallet("issuer").address),
        currency=terms.currency,
        price_per_query=terms.price,
        price_per_passage=0,
        k_max=terms.k_max,
        queries_per_minute=terms.queries_per_minute,
        passages_max=terms.passages_max,
        corpus_bps=BASIS_POINTS,
        owner_bps=BASIS_POINTS,
        tees=(own_tee(enclave),),
        configurations=(wiring.enclave_configuration(enclave, genesis).cid(),),
        output=EVERYTHING,
        treasury=parties.wallet("treasury").address,
        operator=parties.wallet("operator").address,
        treasury_bps=terms.treasury_bps,
        operator_bps=terms.operator_bps,
        expires_at=at + YEAR_S,
    )
