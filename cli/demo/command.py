"""The demo's scenes, in order."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from cli import wiring
from cli.console import foreign, out, reported, say, show_json, warn_simulated
from cli.demo.documents import Material, folder_material, halves, passages_of, stdlib_material
from cli.demo.narration import Narrator
from cli.demo.payees import EPOCH_S, statements_of, verified_totals
from cli.demo.refusals import Refusals
from cli.options import JsonOption
from cli.stage import VOTING, Stage
from cli.stage_policy import Terms
from enclave.client import Answer
from rag.model import Document
from vault.ballot import Support
from vault.envelope import Passage
from vault.errors import VaultError
from vault.policy import Policy
from vault.receipt_check import verify_receipt_file
from vault.royalty import PAID_IN
from vault.signing import address_text
from vault.statement_file import StatementFile

MEMBERS = 5
VOTING_PERIOD_S = 2
LEASE_S = 15
K = 5
CREDIT = 1_000_000  # micro-units
TERMS = Terms(price=250, k_max=10, passages_max=500, queries_per_minute=120)
OWNERS = ("owner-1", "owner-2")
SHOWN_CHARS = 90


def demo(
    documents: Annotated[
        Path | None, typer.Option(help="A folder of txt, md, jsonl, csv or pdf to seal instead.")
    ] = None,
    ipfs: Annotated[
        str, typer.Option(help="Store blocks on an IPFS node, e.g. /ip4/127.0.0.1/tcp/5001; a directory by default.")
    ] = "",
    json: JsonOption = False,
) -> None:
    """Run the main job on this machine: seal, store, vote, attest, ask, refuse, pay.

    Two owners, five DAO members, a custodian and an enclave as separate processes, an AI app. The TEE is SIMULATED.
    """
    if ipfs and not wiring.names_a_node(ipfs):
        raise typer.BadParameter(f"{ipfs!r} is no node's multiaddr; write one such as /ip4/127.0.0.1/tcp/5001")
    with reported(), tempfile.TemporaryDirectory(prefix="coffer-demo-") as folder:
        started = time.perf_counter()
        narrator = Narrator()
        with Stage(Path(folder), storage=ipfs) as stage:
            summary = _play(stage, narrator, documents, ipfs)
        narrator.seconds["total"] = round(time.perf_counter() - started, 2)
        say(f"\n[bold green]done[/] in {narrator.seconds['total']:.0f} s")
        if json:
            show_json({**summary, "seconds": narrator.seconds})


def _play(stage: Stage, narrator: Narrator, documents: Path | None, ipfs: str) -> dict[str, Any]:
    warn_simulated()
    material = _seal(stage, narrator, documents)
    _store(stage, narrator)
    policy = _decide(stage, narrator)
    _open(stage, narrator)
    answers, verified = _ask(stage, narrator, policy, material.questions)
    refusals = Refusals(stage, policy, narrator)
    statements = _refuse(stage, narrator, refusals, policy, material.questions[0], len(answers))
    charged, royalties = _pay(stage, narrator, statements, policy.currency)
    return {
        "documents": len(material.documents),
        "passages": sum(manifest.passages for manifest in stage.manifests()),
        "queries": len(answers) + 1,  # the one that spent the second app's credit
        "receipts_verified": verified,
        "refusals": refusals.counts,
        "charged": charged,
        "royalties": royalties,
        "statements_verified": len(statements),
        "tee": "simulated",
        "storage": ipfs or "directory",
    }


def _seal(stage: Stage, narrator: Narrator, folder: Path | None) -> Material:
    with narrator.scene("seal", "Two owners seal their documents on their own machines"):
        stage.configure("enclave", epoch_s=EPOCH_S)
        stage.found(MEMBERS, voting=replace(VOTING, period_s=VOTING_PERIOD_S), lease_s=LEASE_S)
        with narrator.bar("reading documents"):
            material = folder_material(folder) if folder else stdlib_material()
        for skipped in material.skipped:
            narrator.note(f"[yellow]skipped[/] {foreign(skipped.name)}: {foreign(skipped.reason)}")
        chunker = wiring.make_chunker(stage.settings(OWNERS[0]))

        def chunk(document: Document) -> list[Passage]:
            return [Passage(p.document, p.start, p.end, p.text) for p in chunker.chunk(document)]

        for owner, part in zip(OWNERS, halves(material.documents), strict=True):
            passages: list[Passage] = []
            with narrator.bar(f"{owner} chunks {len(part)} documents") as advance:
                for done, document in enumerate(part, 1):
                    passages += passages_of([document], chunk)
                    advance(done, len(part))
            with narrator.bar(f"{owner} seals {len(passages)} passages") as advance:
                sealed = stage.seal(owner, f"{owner}'s documents", passages, advance)
            size = sealed.manifest.sealed_bytes
            narrator.note(
                f"{owner} {address_text(sealed.manifest.owner)}: {len(part)} documents, "
                f"{sealed.manifest.passages} passages, {size / 1e6:.1f} MB sealed"
            )
    return material


def _store(stage: Stage, narrator: Narrator) -> None:
    with narrator.scene("store", "Blocks go to storage, and are fetched back and verified"):
        for owner, sealed in zip(OWNERS, stage.sealed, strict=True):
            with narrator.bar(f"{owner} publishes") as advance:
                stored = stage.publish(owner, sealed, advance)
            narrator.note(f"{owner}: {stored / 1e6:.1f} MB in {foreign(stage.blobs().name)}, fetched back and opened")
            narrator.note(f"  manifest {sealed.manifest.cid()}")


def _decide(stage: Stage, narrator: Narrator) -> Policy:
    with narrator.scene("decide", f"A DAO of {MEMBERS} votes on who may ask, at what price"):
        policy = stage.policy("Ask both owners' documents", TERMS)
        votes = {f"member-{n}": Support.AGAINST if n == MEMBERS else Support.FOR for n in range(1, MEMBERS + 1)}
        with narrator.bar("voting"):
            stage.adopt(policy, votes)
        narrator.note(f"DAO {stage.genesis}")
        narrator.note(
            f"price {policy.price_per_query} micro-{policy.currency} a query, k ≤ {policy.k_max}, "
            f"at most {policy.passages_max} distinct passages a licensee, TEE [bold red]SIMULATED[/]"
        )
        narrator.note(f"4 for, 1 against: carried; the head is at epoch {stage.history.head.epoch}")
    return policy


def _open(stage: Stage, narrator: Narrator) -> None:
    with narrator.scene("open", "A custodian and an enclave start; the enclave proves itself and gets the keys"):
        stage.deposit()
        with narrator.bar("the enclave opens and embeds") as advance:
            stage.start_enclave(advance)
        custodian, enclave = stage.custodians[0], stage.enclave
        narrator.note(f"custodian: process {custodian.pid}, keys released by HPKE to the enclave")
        pid = enclave.pid if enclave else "?"
        narrator.note(f"enclave: process {pid}, TEE [bold red]SIMULATED[/], serving over TLS 1.3")


def _ask(stage: Stage, narrator: Narrator, policy: Policy, questions: tuple[str, ...]) -> tuple[list[Answer], int]:
    with narrator.scene("ask", "An AI app checks the evidence, opens a session and asks"):
        credential = stage.license("app", policy)
        stage.credit("app", CREDIT, policy.currency)
        answers: list[Answer] = []
        with stage.connect(credential) as client:
            narrator.note(f"evidence holds, TLS key pinned; TEE [bold red]SIMULATED[/]; credit {CREDIT}")
            with narrator.bar("asking") as advance:
                for done, question in enumerate(questions, 1):
                    answers.append(client.search(question, k=K))
                    advance(done, len(questions))
        for question, answer in zip(questions, answers, strict=True):
            best = answer.results[0]
            text = " ".join(best.passage.text.split())[:SHOWN_CHARS]
            narrator.note(f"[bold]{foreign(question)}[/]")
            narrator.note(f"  {best.score:.3f} [cyan]{foreign(best.passage.document)}[/] {foreign(text)}…")
        verified = sum(_verifies(stage, answer) for answer in answers)
        most = max(len(answer.results) for answer in answers)
        narrator.note(
            f"{len(answers)} answers of up to {most} passages, {policy.price_per_query} micro-{policy.currency} each; "
            f"{verified} receipts verified offline"
        )
    return answers, verified


def _verifies(stage: Stage, answer: Answer) -> bool:
    appraiser = wiring.appraiser(stage.settings("auditor"))
    links = list(verify_receipt_file(answer.file, genesis=stage.genesis, appraiser=appraiser, allow_simulated=True))
    return bool(links)


def _refuse(
    stage: Stage, narrator: Narrator, refusals: Refusals, policy: Policy, question: str, queries: int
) -> list[StatementFile]:
    """Have everything refused that must be; return what payees were told before the enclave stopped."""
    with narrator.scene("refuse", "What is not allowed is refused, and costs nothing"):
        refusals.no_license(question)
        refusals.no_credit(question)
        refusals.tampered_block(stage.root / "tampered")
        statements = statements_of(stage)
        refusals.revoked_policy(question)
        balances = stage.balances("treasury")
        paid = (queries + 1) * policy.price_per_query  # the answers, and the one that spent the second app's credit
        if _charged(balances) != paid:
            raise VaultError(f"{_charged(balances)} was charged for answers worth {paid}")
        narrator.note(f"{sum(refusals.counts.values())} refusals, charged for: 0")
    return statements


def _pay(
    stage: Stage, narrator: Narrator, statements: list[StatementFile], currency: str
) -> tuple[int, dict[str, int]]:
    with narrator.scene("pay", "Royalties: every micro-unit charged is owed to somebody"):
        balances = stage.balances("treasury")
        charged = _charged(balances)
        royalties = {
            account: amount
            for account, amount in balances.items()
            if account.partition("/")[0] in ("owner", "treasury", "operator")
        }
        _show(royalties, charged, currency)
        if sum(royalties.values()) != charged:
            raise VaultError(f"royalties add up to {sum(royalties.values())}, but {charged} was charged")
        if verified_totals(stage, statements) != royalties:
            raise VaultError("the payees' statements say something else than the books")
        narrator.note(
            f"{len(statements)} statements verified offline: leaves of one signed sum tree, and each says the same"
        )
    return charged, royalties


def _charged(balances: dict[str, int]) -> int:
    """Return what was paid in and is not the licensees' any more, neither to spend nor in suspense."""
    credit = sum(amount for account, amount in balances.items() if account.startswith(("licensee/", "suspense/")))
    return -sum(amount for account, amount in balances.items() if account.startswith(f"{PAID_IN}/")) - credit


def _show(royalties: dict[str, int], charged: int, currency: str) -> None:
    table = Table("account", f"micro-{currency}", "share", box=None, pad_edge=True)
    table.columns[1].justify = table.columns[2].justify = "right"
    for account, amount in sorted(royalties.items()):
        table.add_row(account, f"{amount:,}", f"{amount / charged:.1%}")
    table.add_row("[bold]sum = charged[/]", f"[bold]{sum(royalties.values()):,}[/]", "")
    out.print(table)
