"""`coffer query`: ask an attested enclave, pay, and keep the receipt."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from rich.markup import escape

from cli import wiring
from cli.console import out, printable, reported, say, show_json, tee_text, warn_simulated
from cli.options import EnclaveOption, HomeOption, JsonOption, SimulatedOption
from cli.workplace import opened_home
from enclave.client import Answer
from vault.errors import MalformedObject
from vault.policy import SIMULATED
from vault.session import TEXT_CHARS_MAX

K = 5


def query(
    text: Annotated[str, typer.Argument(help="The question, or - to read it from stdin.")],
    credential: Annotated[
        str | None, typer.Option(help="A credential's file or license CID; the only one in the home by default.")
    ] = None,
    k: Annotated[
        int | None, typer.Option(min=1, help="Passages to return; by default 5, or the policy's most if fewer.")
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
    from enclave.client import EnclaveClient

    with reported():
        question = _question(text)
        settings, place = opened_home(home, enclave=enclave)
        held = read_credential(settings, credential)
        address, judge = enclave_address(settings), wiring.appraiser(settings)
        with EnclaveClient.connect(address, held, judge, allow_simulated=allow_simulated) as client:
            tee = client.appraisal.kind
            if tee == SIMULATED:
                warn_simulated()
            answer, saved = asked(client, place, held, question, k or min(K, client.policy.k_max))
        if json:
            show_json(_answer_json(answer, tee) | {"receipt": str(saved)})
            return
        _say_answer(answer)
        receipt = answer.receipt
        say(f"price {receipt.price} micro-{escape(receipt.currency)}; {receipt.budget_left} passages left to see")
        say(f"TEE {tee_text(tee)}; receipt {escape(str(saved))} (it holds the question and the passages)")


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
        out.print(f"[bold]{rank}.[/] [cyan]{escape(printable(where))}[/]  {result.score:.4f}", soft_wrap=True)
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
