"""How a policy reads: as values for programs, as lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cli.console import foreign, say, tee_text
from cli.quantities import percent_text
from vault.charter import BASIS_POINTS
from vault.dataset import DatasetRef
from vault.licensees import Admits
from vault.permitted import only_text
from vault.plain_text import counted
from vault.policy import Policy
from vault.policy_diff import volume_words
from vault.pricing import Tier
from vault.signing import address_text
from vault.utc import time_text

LISTED_SHOWN = 8  # licensees


def does(number: int, verb: str) -> str:
    """Return a regular verb as it goes with so many: `1 holds`, `2 hold`, without the number."""
    return f"{verb}s" if number == 1 else verb


def guardians_text(guardians: int, together: int) -> str:
    """Return how many guardians there are, and how many it takes."""
    return f"{counted(guardians, 'guardian')}, " + ("each acts alone" if together == 1 else f"{together} act together")


def policy_json(policy: Policy) -> dict[str, Any]:
    """Return what a policy says, for programs."""
    return {
        "policy": str(policy.cid()),
        "title": policy.title,
        "datasets": [_dataset_json(dataset) for dataset in policy.datasets],
        "licensees": str(policy.licensees.admits),
        "issuer": address_text(policy.licensees.issuer) if policy.licensees.issuer is not None else None,
        "addresses": [address_text(address) for address in policy.licensees.addresses],
        "price": policy.price_per_query,
        "price_per_passage": policy.price_per_passage,
        "free_queries": policy.free_queries,
        "price_tiers": [tier.value() for tier in policy.tiers],
        "vouchers": _vouchers_json(policy),
        "currency": policy.currency,
        "k": policy.k_max,
        "per_minute": policy.queries_per_minute,
        "budget": policy.passages_max,
        "corpus_bps": policy.corpus_bps,
        "owner_bps": policy.owner_bps,
        "owners_min": policy.output.owners_min,
        "score_decimals": policy.output.score_decimals,
        "probes_per_hour": policy.output.probes_per_hour,
        "counts_in": policy.output.counts_from,
        "redacts": [str(kind) for kind in policy.output.redacts],
        "tees": sorted({tee.kind for tee in policy.tees}),
        "treasury": address_text(policy.treasury),
        "operator": address_text(policy.operator),
        "treasury_bps": policy.treasury_bps,
        "operator_bps": policy.operator_bps,
        "attribution": str(policy.attribution),
        "expires_at": policy.expires_at,
    }


def _vouchers_json(policy: Policy) -> dict[str, Any] | None:
    rules = policy.vouchers
    if rules is None:
        return None
    return {
        "unpaid": rules.unpaid_max,
        "unpaid_queries": rules.unpaid_queries_max,
        "chain": rules.chain_id,
        "token": address_text(rules.token),
        "contract": address_text(rules.contract),
        "withdraw_delay_s": rules.withdraw_delay_least,
    }


def _dataset_json(dataset: DatasetRef) -> dict[str, Any]:
    return {
        "owner": address_text(dataset.owner),
        "dataset": dataset.dataset.hex(),
        "manifest": str(dataset.manifest) if dataset.manifest is not None else None,
        "only": only_text(dataset.only) if dataset.only else None,
    }


def _price_lines(policy: dict[str, Any]) -> Iterator[str]:
    tiers = [Tier(**tier) for tier in policy["price_tiers"]]
    yield from volume_words(policy["free_queries"], tiers, foreign(policy["currency"]))
    if (rules := policy["vouchers"]) is not None:
        unpaid = f"{rules['unpaid']} micro-{foreign(policy['currency'])} and {rules['unpaid_queries']} answers"
        yield f"vouchers on chain {rules['chain']}; at most {unpaid} of one licensee unpaid"


def say_policy(policy: dict[str, Any]) -> None:
    """Print a policy in words; a simulated TEE in red."""
    say(f"  {foreign(policy['title'])}")
    say(f"  policy {policy['policy']}, until {time_text(policy['expires_at'])}")
    limits = f"k up to {policy['k']}, {policy['per_minute']} a minute"
    also = f" and {policy['price_per_passage']} a passage" if policy["price_per_passage"] else ""
    say(f"  {policy['price']} micro-{foreign(policy['currency'])} a query{also}, {limits}")
    for line in (*_price_lines(policy), *_licensees_lines(policy), *_limits_lines(policy)):
        say(f"  {line}")
    shares = f"treasury {percent_text(policy['treasury_bps'])}, operator {percent_text(policy['operator_bps'])}"
    tees = " or ".join(tee_text(kind) for kind in policy["tees"])
    say(f"  {shares}, the rest to the owners by {policy['attribution']}; TEE {tees}")
    for dataset in policy["datasets"]:
        version = dataset["manifest"] or "the latest its owner registered"
        say(f"  dataset {dataset['dataset'][:16]}… of {dataset['owner']}: {version}")
        if dataset["only"] is not None:
            say(f"    only passages that meet {foreign(dataset['only'])}")


def _licensees_lines(policy: dict[str, Any]) -> list[str]:
    match policy["licensees"]:
        case Admits.CREDENTIAL:
            return [f"at most {policy['budget']} distinct passages per licensee; licenses from {policy['issuer']}"]
        case Admits.ANYONE:
            return [f"anyone who pays may ask; at most {policy['budget']} distinct passages for all of them together"]
    listed = ", ".join(policy["addresses"][:LISTED_SHOWN])
    more = len(policy["addresses"]) - LISTED_SHOWN
    return [
        f"at most {policy['budget']} distinct passages per licensee",
        f"licensees: {listed}" + (f" and {more} more" if more > 0 else ""),
    ]


def _limits_lines(policy: dict[str, Any]) -> list[str]:
    shares = [
        f"{percent_text(policy[key])} of {whose}"
        for key, whose in (("corpus_bps", "each dataset"), ("owner_bps", "each owner's passages"))
        if policy[key] < BASIS_POINTS
    ]
    lines = [f"of them at most {' and '.join(shares)}"] if shares else []
    if policy["owners_min"] > 1:
        lines.append(f"at least {policy['owners_min']} owners behind every answer")
    if policy["redacts"]:
        lines.append(f"blacked out: {', '.join(policy['redacts'])}")
    return lines
