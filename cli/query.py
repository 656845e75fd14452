"""`coffer query`: ask an attested enclave, pay, and keep the receipt."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cli.console import FAILED, fail, foreign, inputs_reported, out, printable, reported, say, show_json, tee_text
from cli.licensed import CredentialOption, Licensed, licensed
from cli.log_heads import follow_log
from cli.options import EnclaveOption, HomeOption, JsonOption, SimulatedOption, cid_option
from cli.question_options import (
    BatchOption,
    DatasetsOption,
    DistinctOption,
    DiversityOption,
    KOption,
    MaxPriceOption,
    MaxSpendOption,
    ModeOption,
    NeighborsOption,
    RerankOption,
    TextArgument,
    VectorOption,
    WhereOption,
    options_of,
)
from cli.sealed_files import read_bounded
from cli.vectors import vector_from
from vault.errors import MalformedObject, VaultError
from vault.question import TEXT_CHARS_MAX, Mode

if TYPE_CHECKING:
    from cli.asking import Kept
    from enclave.client import Answer, Asking, Result

QUESTIONS_MAX = 10_000
QUESTIONS_BYTES_MAX = 4 << 20


def query(
    text: TextArgument = None,
    credential: CredentialOption = None,
    batch: BatchOption = None,
    vector: VectorOption = None,
    k: KOption = None,
    mode: ModeOption = Mode.DENSE,
    where: WhereOption = None,
    dataset: DatasetsOption = None,
    distinct: DistinctOption = False,
    diversity: DiversityOption = 0.0,
    neighbors: NeighborsOption = 0,
    rerank: RerankOption = False,
    max_price: MaxPriceOption = None,
    max_spend: MaxSpendOption = None,
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
    if batch is not None and (text is not None or vector is not None):
        raise typer.BadParameter("a file of questions is asked by itself; leave out the question, or --batch")
    if text is None and batch is None and vector is None:
        raise typer.BadParameter("give a question, a file of questions with --batch, or a vector with --vector")
    with inputs_reported():
        lines = _questions(batch) if batch is not None else []
    with reported():
        question = None if batch is not None else "" if text is None else _question(text)
        asking: Asking = {
            "options": options_of(mode, where, distinct, diversity, neighbors, rerank),
            "datasets": [cid_option(one) for one in dataset or ()],
        }
        if vector is not None:
            with inputs_reported():
                asking["vector"] = vector_from(vector)
        if max_price is not None:
            asking["price_max"] = max_price
        with licensed(home, enclave, credential, allow_simulated=allow_simulated, max_spend=max_spend) as at:
            _ask(at, question, lines, k, asking, json=json)


def _ask(at: Licensed, question: str | None, lines: list[str], k: int | None, asking: Asking, *, json: bool) -> None:
    """Ask a question, or each of a file's lines where there is none, and show what came of it."""
    from cli.asking import asked, asked_each

    with at.client.log() as log:
        follow_log(log, at.place)
    if question is None:
        _show_each(lines, asked_each(at.client, at.place, at.credential, lines, k, **asking), at, json=json)
        return
    answer, saved = asked(at.client, at.place, at.credential, question, k, **asking)
    if json:
        show_json(_answer_json(answer, at.tee) | {"receipt": str(saved)})
        return
    _say_answer(answer)
    _say_price(answer, saved, at.tee)


def _show_each(lines: list[str], outcomes: list[Kept | VaultError], at: Licensed, *, json: bool) -> None:
    refused = sum(isinstance(outcome, VaultError) for outcome in outcomes)
    if json:
        shown = [
            {"error": str(outcome), "refused": type(outcome).__name__}
            if isinstance(outcome, VaultError)
            else _answer_json(outcome.answer, at.tee) | {"receipt": str(outcome.receipt)}
            for outcome in outcomes
        ]
        show_json({"answers": shown, "spent": at.client.spent, "refused": refused, "tee": at.tee})
    else:
        for line, outcome in zip(lines, outcomes, strict=True):
            out.print(f"[bold]{foreign(line)}[/]", soft_wrap=True)
            if isinstance(outcome, VaultError):
                say(f"[red]refused:[/] {foreign(str(outcome))}")
            else:
                _say_answer(outcome.answer)
        unit = foreign(at.client.policy.currency)
        say(f"{len(outcomes) - refused} answers, {at.client.spent} micro-{unit}; TEE {tee_text(at.tee)}")
    if refused == len(outcomes):
        fail("none of the questions was answered", FAILED)
    if refused:
        fail(f"{refused} of {len(outcomes)} questions were refused; nothing was charged for those", FAILED)


def _question(text: str) -> str:
    if text == "-":
        try:
            text = sys.stdin.buffer.read(4 * TEXT_CHARS_MAX + 4).decode().strip()
        except UnicodeDecodeError as error:
            raise MalformedObject("the question on stdin is not UTF-8; write it as UTF-8 text") from error
    if not text.strip() or len(text) > TEXT_CHARS_MAX:
        raise MalformedObject(f"a question has 1 … {TEXT_CHARS_MAX} characters, and not blanks alone")
    return text


def _questions(path: Path) -> list[str]:
    """Return a file's lines that are not empty, each once."""
    try:
        content = read_bounded(path, QUESTIONS_BYTES_MAX).decode()
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{path} is not UTF-8; write one question a line as UTF-8 text") from None
    lines = list(dict.fromkeys(line.strip() for line in content.splitlines() if line.strip()))
    if not 1 <= len(lines) <= QUESTIONS_MAX:
        raise typer.BadParameter(f"{path} has {len(lines)} questions; write 1 … {QUESTIONS_MAX}, one a line")
    for number, line in enumerate(lines, 1):
        if len(line) > TEXT_CHARS_MAX:
            raise typer.BadParameter(f"question {number} of {path} has more than {TEXT_CHARS_MAX} characters")
    return lines


def _say_answer(answer: Answer) -> None:
    for rank, result in enumerate(answer.results, 1):
        passage = result.passage
        where = f"{passage.document} {passage.start}-{passage.end}"
        redacted = "  [yellow]redacted[/]" if result.is_redacted else ""
        out.print(f"[bold]{rank}.[/] [cyan]{foreign(where)}[/]  {result.score:.4f}{redacted}", soft_wrap=True)
        if result.metadata:
            say(f"   [dim]{foreign(_facts(result))}[/]")
        out.print(printable(passage.text), markup=False, soft_wrap=True)
    if not answer.results:
        say("no passage was found")
    if answer.is_partial:
        say("[yellow]partial:[/] the extraction budget held some back")
    if answer.is_repeat:
        say("this answer was given, and charged, before; it was not charged again")


def _facts(result: Result) -> str:
    return "; ".join(
        f"{key}: {fact if isinstance(fact, (str, int)) else ', '.join(fact)}"
        for key, fact in sorted(result.metadata.items())
    )


def _say_price(answer: Answer, saved: Path, tee: str) -> None:
    receipt = answer.receipt
    say(f"price {receipt.price} micro-{foreign(receipt.currency)}; {receipt.budget_left} passages left to see")
    say(f"TEE {tee_text(tee)}; receipt {foreign(str(saved))} (it holds the question and the passages)")


def _answer_json(answer: Answer, tee: str) -> dict[str, Any]:
    receipt = answer.receipt
    return {
        "passages": [
            {
                "document": result.document,
                "start": result.passage.start,
                "end": result.passage.end,
                "text": result.text,
                "score": result.score,
                "manifest": str(result.manifest),
                "index": result.index,
                "metadata": {
                    key: list(fact) if isinstance(fact, tuple) else fact for key, fact in result.metadata.items()
                },
                "is_redacted": result.is_redacted,
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
