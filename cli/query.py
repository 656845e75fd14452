"""`coffer query`: ask an attested enclave, pay, and keep the receipt."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from cli import wiring
from cli.console import foreign, out, printable, reported, say, show_json, tee_text, warn_simulated
from cli.log_heads import follow_log
from cli.options import EnclaveOption, HomeOption, JsonOption, SimulatedOption, cid_option
from cli.workplace import opened_home
from enclave.client import Answer
from vault.errors import MalformedObject
from vault.policy import SIMULATED
from vault.question import NEIGHBORS_MAX, TEXT_CHARS_MAX, THOUSAND, Mode, Options

K = 5


def query(
    text: Annotated[str, typer.Argument(help="The question, or - to read it from stdin.")],
    credential: Annotated[
        str | None, typer.Option(help="A credential's file or license CID; the only one in the home by default.")
    ] = None,
    k: Annotated[
        int | None, typer.Option(min=1, help="Passages to return; by default 5, or the policy's most if fewer.")
    ] = None,
    mode: Annotated[Mode, typer.Option(help="What ranks passages: vectors, words, or both.")] = Mode.DENSE,
    where: Annotated[
        str | None,
        typer.Option(help='A filter in JSON, e.g. {"key": "document", "equals": "tides.txt"}; see docs/retrieval.md.'),
    ] = None,
    dataset: Annotated[
        list[str] | None, typer.Option(help="Manifest CID to ask; all that the policy names by default.")
    ] = None,
    distinct: Annotated[bool, typer.Option(help="Let near-identical passages count as one.")] = False,
    diversity: Annotated[
        float, typer.Option(min=0, max=1, help="0 ranks by relevance alone, 1 by being unlike what came before.")
    ] = 0.0,
    neighbors: Annotated[
        int, typer.Option(min=0, max=NEIGHBORS_MAX, help="Passages before and after each; they are charged too.")
    ] = 0,
    rerank: Annotated[bool, typer.Option(help="Have the enclave's cross-encoder order the best anew.")] = False,
    max_price: Annotated[
        int | None, typer.Option(min=0, help="Micro-units; what may cost more is refused, and nothing is charged.")
    ] = None,
    enclave: EnclaveOption = None,
    allow_simulated: SimulatedOption = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Ask a question and print the passages, their sources, the price and what budget is left.

    Nothing is sent before the enclave has proved what it is. The receipt is kept in the home folder: it proves offline
    what was asked, answered and charged, and so it contains your question and the passages. Where the connection
    breaks, run the same command again: what was charged already is not charged twice.
    """
    from cli.asking import asked
    from cli.attested import enclave_address
    from cli.credentials import read_credential
    from cli.filters import filter_bytes
    from enclave.client import Asking, EnclaveClient

    with reported():
        question = _question(text)
        options = Options(
            mode=mode,
            where=filter_bytes(where) if where is not None else b"",
            distinct=distinct,
            diversity=round(diversity * THOUSAND),
            neighbors=neighbors,
            rerank=rerank,
        )
        asking = Asking(options=options, datasets=[cid_option(one) for one in dataset or ()])
        if max_price is not None:
            asking["price_max"] = max_price
        settings, place = opened_home(home, enclave=enclave)
        held = read_credential(settings, credential)
        address, judge = enclave_address(settings), wiring.appraiser(settings)
        with EnclaveClient.connect(address, held, judge, allow_simulated=allow_simulated) as client:
            tee = client.appraisal.kind
            if tee == SIMULATED:
                warn_simulated()
            follow_log(client.log, place)
            most = client.policy.k_max // (1 + 2 * neighbors)
            answer, saved = asked(client, place, held, question, k or max(1, min(K, most)), **asking)
        if json:
            show_json(_answer_json(answer, tee) | {"receipt": str(saved)})
            return
        _say_answer(answer)
        receipt = answer.receipt
        say(f"price {receipt.price} micro-{foreign(receipt.currency)}; {receipt.budget_left} passages left to see")
        say(f"TEE {tee_text(tee)}; receipt {foreign(str(saved))} (it holds the question and the passages)")


def _question(text: str) -> str:
    if text == "-":
        try:
            text = sys.stdin.buffer.read(4 * TEXT_CHARS_MAX + 4).decode().strip()
        except UnicodeDecodeError as error:
            raise MalformedObject("the question on stdin is not UTF-8; write it as UTF-8 text") from error
    if not 1 <= len(text) <= TEXT_CHARS_MAX:
        raise MalformedObject(f"a question has 1 … {TEXT_CHARS_MAX} characters")
    return text


def _say_answer(answer: Answer) -> None:
    for rank, result in enumerate(answer.results, 1):
        passage = result.passage
        where = f"{passage.document} {passage.start}-{passage.end}"
        out.print(f"[bold]{rank}.[/] [cyan]{foreign(where)}[/]  {result.score:.4f}", soft_wrap=True)
        out.print(printable(passage.text), markup=False, soft_wrap=True)
    if not answer.results:
        say("no passage was found")
    if answer.is_partial:
        say("[yellow]partial:[/] the extraction budget held some back")
    if answer.is_repeat:
        say("this answer was given, and charged, before; it was not charged again")


def _answer_json(answer: Answer, tee: str) -> dict[str, Any]:
    receipt = answer.receipt
    return {
        "passages": [
            {
                "document": result.passage.document,
                "start": result.passage.start,
                "end": result.passage.end,
                "text": result.passage.text,
                "score": result.score,
                "manifest": str(result.manifest),
                "index": result.index,
            }
            for result in answer.results
        ],
        "price": receipt.price,
        "currency": receipt.currency,
        "budget_left": receipt.budget_left,
        "sequence": receipt.sequence,
        "is_partial": answer.is_partial,
        "is_repeat": answer.is_repeat,
        "tee": tee,
    }
