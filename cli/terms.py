"""`coffer quote`, `coffer describe` and `coffer embed`: what may be asked at what price, and a text's vector."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from cli.console import foreign, reported, say, show_json, tee_text
from cli.licensed import CredentialOption, licensed
from cli.options import EnclaveOption, HomeOption, JsonOption, SimulatedOption
from cli.question_options import KOption, NeighborsOption
from enclave.receipt_folder import ReceiptFolder
from vault.permitted import only_text
from vault.policy import Policy
from vault.policy_diff import volume_words

_QUOTED = ("price_max", "price_min", "passages_max", "passages_left", "credit", "spend_left")
_DATASET = ("title", "passages", "index", "recall_ppm")
_DESCRIBED = (
    *("k_max", "queries_per_minute", "price_per_query", "price_per_passage", "currency", "owners_min"),
    "counts_in",
)


def quote(
    credential: CredentialOption = None,
    k: KOption = None,
    neighbors: NeighborsOption = 0,
    enclave: EnclaveOption = None,
    allow_simulated: SimulatedOption = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Say what an answer would cost at most and what is left; nothing is searched and nothing is charged."""
    with reported(), licensed(home, enclave, credential, allow_simulated=allow_simulated) as at:
        told, unit = at.client.quote(k=k, neighbors=neighbors), at.client.policy.currency
        if json:
            show_json(_named(told, _QUOTED) | _volume_facts(at.client.policy) | {"currency": unit, "tee": at.tee})
            return
        say(f"{told.price_min} … {told.price_max} micro-{foreign(unit)} for at most {told.passages_max} new passages")
        for line in _volume(at.client.policy):
            say(line)
        say(f"left: credit {told.credit}, spend cap {told.spend_left}, {told.passages_left} passages to see")
        say(f"TEE {tee_text(at.tee)}")


def describe(
    credential: CredentialOption = None,
    enclave: EnclaveOption = None,
    allow_simulated: SimulatedOption = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """List the datasets that may be asked under a license, the limits and the prices; nothing is charged."""
    with reported(), licensed(home, enclave, credential, allow_simulated=allow_simulated) as at:
        told = at.client.describe()
        if json:
            datasets = [
                {"manifest": str(one.manifest), "owner": f"0x{one.owner.hex()}", "model": one.model.hex()}
                | _named(one, _DATASET)
                | {"only": only_text(one.only) if one.only else None}
                for one in told.datasets
            ]
            terms = _named(told, _DESCRIBED) | _volume_facts(at.client.policy)
            show_json({"datasets": datasets} | terms | {"tee": at.tee})
            return
        for one in told.datasets:
            say(f"[bold]{foreign(one.title) or 'untitled'}[/]: {one.passages} passages of 0x{one.owner.hex()}")
            say(f"  {one.manifest}")
            if one.only:
                say(f"  only passages that meet {foreign(only_text(one.only))} may be found")
            say(f"  searched by {foreign(one.index)}, which finds {one.recall_ppm / 10_000:g} % of the exact answers")
        unit = foreign(told.currency)
        say(f"price: {told.price_per_query} micro-{unit} a question, {told.price_per_passage} a passage")
        for line in _volume(at.client.policy):
            say(f"       {line}")
        say(f"limits: {told.k_max} passages an answer, of {told.owners_min} owners or more")
        say(f"        {told.queries_per_minute} questions a minute")
        counts = f"in steps of {told.counts_in}" if told.counts_in else "not told"
        say(f"counts: {counts}")
        say(f"TEE {tee_text(at.tee)}")


def embed(
    text: Annotated[str, typer.Argument(help="The text.")],
    credential: CredentialOption = None,
    enclave: EnclaveOption = None,
    allow_simulated: SimulatedOption = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Print a text's vector, by the enclave's model; it is charged like an answer of no passages."""
    with reported(), licensed(home, enclave, credential, allow_simulated=allow_simulated) as at:
        made = at.client.embed(text)
        saved = ReceiptFolder(at.place.receipts).keep(made.receipt, made.file)
        vector = struct.unpack(f"<{len(made.vector) // 4}f", made.vector)
        if json:
            shown = {"vector": vector, "price": made.receipt.price, "currency": made.receipt.currency}
            show_json(shown | {"receipt": str(saved), "tee": at.tee})
            return
        say(" ".join(f"{number:.9g}" for number in vector))
        say(f"price {made.receipt.price} micro-{foreign(made.receipt.currency)}; receipt {foreign(str(saved))}")


def _named(told: object, names: tuple[str, ...]) -> dict[str, Any]:
    """Return some of what an enclave told, by name."""
    return {name: getattr(told, name) for name in names}


def _volume_facts(policy: Policy) -> dict[str, Any]:
    return {"free_queries": policy.free_queries, "price_tiers": [tier.value() for tier in policy.tiers]}


def _volume(policy: Policy) -> Iterator[str]:
    """Yield what the policy says of prices by volume; the client has verified it up to the vote."""
    return volume_words(policy.free_queries, policy.tiers, foreign(policy.currency))
