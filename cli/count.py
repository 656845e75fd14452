"""`coffer count`: how many passages meet a filter, where the policy tells that."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.console import foreign, reported, say, show_json, tee_text
from cli.licensed import CredentialOption, licensed
from cli.log_heads import follow_log
from cli.options import EnclaveOption, HomeOption, JsonOption, SimulatedOption, cid_option
from vault.codec import INTEGER_MAX


def count(
    where: Annotated[
        str, typer.Argument(help='A filter in JSON, e.g. {"key": "year", "equals": 2024}; see docs/retrieval.md.')
    ],
    credential: CredentialOption = None,
    dataset: Annotated[
        list[str] | None, typer.Option(help="Manifest CID to count in; all that the policy names by default.")
    ] = None,
    max_price: Annotated[
        int | None, typer.Option(min=0, help="Micro-units; where it may cost more, nothing is counted or charged.")
    ] = None,
    enclave: EnclaveOption = None,
    allow_simulated: SimulatedOption = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Print how many passages meet a filter, rounded down as the policy says; charged like an answer of none.

    A policy tells counts only where it sets counts_in; `coffer describe` says whether it does. The receipt is kept in
    the home folder. Where the connection breaks, run the same command again: nothing is charged twice.
    """
    from cli.asking import counted
    from cli.filters import filter_bytes

    with reported():
        asked, datasets = filter_bytes(where), [cid_option(one) for one in dataset or ()]
        price_max = INTEGER_MAX if max_price is None else max_price
        with licensed(home, enclave, credential, allow_simulated=allow_simulated) as at:
            with at.client.log() as log:
                follow_log(log, at.place)
            found, saved = counted(at.client, at.place, at.credential, asked, datasets=datasets, price_max=price_max)
            step = at.client.policy.output.counts_from
        receipt = found.receipt
        if json:
            shown = {"count": found.count, "counts_in": step, "price": receipt.price, "currency": receipt.currency}
            show_json(shown | {"is_repeat": found.is_repeat, "receipt": str(saved), "tee": at.tee})
            return
        say(_sentence(found.count, step))
        if found.is_repeat:
            say("this was counted, and charged, before; it was not charged again")
        say(f"price {receipt.price} micro-{foreign(receipt.currency)}; TEE {tee_text(at.tee)}")
        say(f"receipt {foreign(str(saved))} (it holds the filter)")


def _sentence(count: int, step: int) -> str:
    if count == 0:
        return f"fewer than {step} passages meet it, or they are of fewer owners than an answer needs"
    return f"{count} … {count + step - 1} passages meet it: the policy tells counts in steps of {step}"
