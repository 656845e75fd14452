"""`coffer quote`, `coffer describe` and `coffer embed`: what may be asked at what price, and a text's vector."""

from __future__ import annotations

import struct
from typing import Annotated

import typer

from cli.console import foreign, reported, say, show_json, tee_text
from cli.licensed import CredentialOption, licensed
from cli.options import EnclaveOption, HomeOption, JsonOption, SimulatedOption
from enclave.receipt_folder import ReceiptFolder
from vault.question import NEIGHBORS_MAX


def quote(
    credential: CredentialOption = None,
    k: Annotated[
        int | None, typer.Option(min=1, help="Passages to ask for; by default 5, or the policy's most if fewer.")
    ] = None,
    neighbors: Annotated[
        int, typer.Option(min=0, max=NEIGHBORS_MAX, help="Passages before and after each; they are charged too.")
    ] = 0,
    enclave: EnclaveOption = None,
    allow_simulated: SimulatedOption = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Say what an answer would cost at most and what is left; nothing is searched and nothing is charged."""
    with reported(), licensed(home, enclave, credential, allow_simulated=allow_simulated) as at:
        told, unit = at.client.quote(k=k, neighbors=neighbors), at.client.policy.currency
        if json:
            show_json(
                {
                    "price_max": told.price_max,
                    "price_min": told.price_min,
                    "passages_max": told.passages_max,
                    "passages_left": told.passages_left,
                    "credit": told.credit,
                    "spend_left": told.spend_left,
                    "currency": unit,
                    "tee": at.tee,
                }
            )
            return
        say(f"{told.price_min} … {told.price_max} micro-{foreign(unit)} for at most {told.passages_max} new passages")
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
            show_json(
                {
                    "datasets": [
                        {
                            "manifest": str(one.manifest),
                            "title": one.title,
                            "passages": one.passages,
                            "owner": f"0x{one.owner.hex()}",
                            "model": one.model.hex(),
                            "index": one.index,
                            "recall_ppm": one.recall_ppm,
                        }
                        for one in told.datasets
                    ],
                    "k_max": told.k_max,
                    "queries_per_minute": told.queries_per_minute,
                    "price_per_query": told.price_per_query,
                    "price_per_passage": told.price_per_passage,
                    "currency": told.currency,
                    "owners_min": told.owners_min,
                    "tee": at.tee,
                }
            )
            return
        for one in told.datasets:
            say(f"[bold]{foreign(one.title) or 'untitled'}[/]: {one.passages} passages of 0x{one.owner.hex()}")
            say(f"  {one.manifest}")
            say(f"  searched by {foreign(one.index)}, which finds {one.recall_ppm / 10_000:g} % of the exact answers")
        unit = foreign(told.currency)
        say(f"price: {told.price_per_query} micro-{unit} a question, {told.price_per_passage} a passage")
        say(f"limits: {told.k_max} passages an answer, of {told.owners_min} owners or more")
        say(f"        {told.queries_per_minute} questions a minute")
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
