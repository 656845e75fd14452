"""`coffer dao verify|export`: check all that a DAO ever decided from its charter alone, and hand on what it takes.

Verifying is offline. It proves that what is there follows from the charter, not that nothing newer was held back: that
is what the custodians' leases are for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import wiring
from cli.console import FAILED, foreign, reported, say, say_held, say_wrong, show_json
from cli.dao_archive import Archive, archive_from, described, empty_board
from cli.dao_bundle import Bundle, bundle_from, storage_fetch
from cli.dao_opened import opened_dao
from cli.dao_standing import state_of
from cli.home import Settings
from cli.options import GenesisOption, HomeOption, JsonOption, cid_option
from cli.workplace import dao_meant, opened_home
from storage.car import write_car
from storage.cid import Cid
from storage.errors import StorageError
from vault.assembly import fetch_from, roll_by, tip_of
from vault.board import Kind
from vault.charter import Charter
from vault.codec import decode
from vault.decision import Decision
from vault.epochs import chain_blocks, count_text, decision_blocks, decision_verified, kind_of, verified_epochs
from vault.errors import MalformedObject, VaultError
from vault.head import Head
from vault.history import History
from vault.plain_text import counted
from vault.standing import standing_of

if TYPE_CHECKING:
    from vault.records.board import Board

Fetch = Callable[[Cid], bytes]
KINDS = tuple(Kind)


def verify(
    what: Annotated[
        str | None,
        typer.Argument(
            help="A bundle or a dataset's archive (CAR files), a folder of blocks, or the CID of a head or decision; "
            "this board by default."
        ),
    ] = None,
    dao: GenesisOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Verify everything from the charter, offline: every signature, weight, count and head.

    Prints each link that holds and the first thing that does not, with exit 1. A bundle proves something about the DAO
    whose genesis CID it begins with: compare that with the one you know. So does what `coffer dataset export` wrote.
    """
    with reported():
        if what is None:
            _verify_board(dao, home, json=json)
        elif (archive := archive_from(what)) is not None:
            _verify_archive(archive, dao, json=json)
        elif (bundle := bundle_from(what)) is not None:
            genesis = _genesis_of(bundle, dao)
            _run(genesis, bundle.name, _bundle_links(bundle, genesis), json=json)
        else:
            _verify_cid(what, dao, home, json=json)


def _verify_board(dao: str | None, home: Path | None, *, json: bool) -> None:
    from vault.records.board import Board

    settings, _ = opened_home(home)
    with wiring.open_database(settings) as records:
        board = Board(records)
        genesis = dao_meant(board, dao)
        _run(genesis, "this board", board_links(board, genesis), json=json)


def _verify_archive(archive: Archive, dao: str | None, *, json: bool) -> None:
    genesis = archive.carried.genesis
    if dao is not None and cid_option(dao) != genesis:
        raise MalformedObject(f"{archive.name} is of DAO {genesis}, not of {dao}")
    _run(genesis, archive.name, _archive_links(archive), json=json)


def _archive_links(archive: Archive) -> Iterator[str]:
    with empty_board() as board:
        manifest = archive.manifest_held(board)
        yield from board_links(board, archive.carried.genesis)
        yield described(manifest)


def _verify_cid(text: str, dao: str | None, home: Path | None, *, json: bool) -> None:
    from vault.records.board import Board

    settings, _ = opened_home(home)
    cid = cid_option(text)
    with wiring.open_database(settings) as records:
        board = Board(records)
        fetch = _somewhere(board, settings)
        genesis = _genesis_named(cid, fetch(cid))
        if dao is not None and cid_option(dao) != genesis:
            raise MalformedObject(f"{cid} is of DAO {genesis}, not of {dao}")
        tip = board.tip(genesis) if cid == genesis else None
        _run(genesis, "this board and storage", _cid_links(fetch, genesis, cid, tip), json=json)


def _run(genesis: Cid, place: str, links: Iterator[str], *, json: bool) -> None:
    """Print each link as it holds, and the first thing that does not."""
    held: list[str] = []
    if not json:
        say(f"DAO [bold]{genesis}[/], from {foreign(place)}")
    try:
        for link in links:
            held.append(link)
            if not json:
                say_held(link)
    except (VaultError, StorageError) as error:
        if json:
            show_json({"genesis": str(genesis), "verified": False, "links": held, "problem": str(error)})
        say_wrong(str(error))
        raise typer.Exit(FAILED) from error
    if json:
        show_json({"genesis": str(genesis), "verified": True, "links": held, "problem": None})
    else:
        say("all of it holds, if this is the DAO you mean; whether there is more, q custodians' leases say")


def _chain_links(fetch: Fetch, genesis: Cid, tip: Cid) -> Iterator[str]:
    """Verify a chain from its charter, yielding a sentence for each link; raise at the first that does not hold."""
    for epoch in verified_epochs(fetch, genesis, tip, at=wiring.clock()):
        count = epoch.count(fetch)
        told = f"{epoch.words(fetch)}; {count_text(count)}" if count is not None else epoch.words(fetch)
        yield f"epoch {epoch.after.head.epoch}: {told}"
        if epoch.after.charter is not epoch.before.charter or epoch.cause is None:
            yield from _roll_link(fetch, epoch.after.charter)
        history = epoch.after
    yield f"head {history.head.cid()} at epoch {history.head.epoch}: policies in force {len(history.policies)}"


def _roll_link(fetch: Fetch, charter: Charter) -> Iterator[str]:
    """Verify the roll where it is there; the chain holds without it, since every weight in it was proven."""
    try:
        fetch(charter.roll)
    except (VaultError, StorageError) as error:
        if "changed" in str(error):
            raise
        yield f"roll {charter.roll}: not here; every weight that counted is proven, and nobody can vote from here"
        return
    roll = roll_by(charter, fetch)
    yield f"roll {charter.roll}: {counted(len(roll.members), 'member')}, total weight {roll.total}"


def board_links(board: Board, genesis: Cid) -> Iterator[str]:
    """Verify the chain on a board, then everything else that is there."""
    fetch = fetch_from(board)
    past: dict[int, History] = {}
    yield from _chain_links(fetch, genesis, tip_of(board, genesis))
    for epoch in verified_epochs(fetch, genesis, tip_of(board, genesis), at=wiring.clock()):
        past[epoch.after.head.epoch] = history = epoch.after
    for kind in KINDS:
        for cid, body in board.list(kind, genesis):
            if not cid.matches(body):
                raise MalformedObject(f"the {kind} that the board keeps as {cid} was changed")
    for cid, _ in board.list(Kind.PROPOSAL, genesis):
        standing = standing_of(board, history, cid, at=wiring.clock(), past=past)
        for problem in standing.refused:
            raise MalformedObject(problem)
        yield f"proposal {cid}: {state_of(standing, wiring.clock())}; {counted(len(standing.votes), 'vote')}"


def _bundle_links(bundle: Bundle, genesis: Cid) -> Iterator[str]:
    tips = bundle.tips.get(genesis, ())
    for number, tip in enumerate(tips):
        if number:
            yield f"another head that leads nowhere further is here: {tip}; which one holds, custodians say"
        yield from _chain_links(bundle.fetch, genesis, tip)
    for cid in bundle.decisions.get(genesis, ()):
        yield _decision_link(bundle.fetch, genesis, cid)
    if not tips and not bundle.decisions.get(genesis):
        raise MalformedObject(f"there is neither a head nor a decision of DAO {genesis} in {bundle.name}")


def _cid_links(fetch: Fetch, genesis: Cid, cid: Cid, tip: Cid | None) -> Iterator[str]:
    kind = kind_of(fetch(cid))
    if kind == Decision.TYPE:
        yield _decision_link(fetch, genesis, cid)
    elif kind == Head.TYPE or tip is not None:
        yield from _chain_links(fetch, genesis, tip or cid)
    else:
        raise MalformedObject(f"charter {genesis} is here, and no head of it; name a head's or a decision's CID")


def _decision_link(fetch: Fetch, genesis: Cid, cid: Cid) -> str:
    history, decision, count = decision_verified(fetch, genesis, cid, at=wiring.clock())
    return (
        f"decision {cid}, on the head of epoch {history.head.epoch}: "
        f"{decision.proposal.action.words()}; {count_text(count)}"
    )


def _genesis_of(bundle: Bundle, dao: str | None) -> Cid:
    if dao is not None:
        return cid_option(dao)
    if len(bundle.geneses) != 1:
        raise MalformedObject(
            f"{bundle.name} holds {counted(len(bundle.geneses), 'DAO')}; say which with --dao GENESIS"
        )
    return bundle.geneses[0]


def _genesis_named(cid: Cid, body: bytes) -> Cid:
    """Return the DAO that a block says it is of."""
    match kind_of(body):
        case Charter.TYPE:
            return cid
        case Head.TYPE:
            return Head.from_value(decode(body)).genesis
        case Decision.TYPE:
            return Decision.from_value(decode(body)).proposal.genesis
        case kind:
            raise MalformedObject(f"{cid} is {kind or 'no object of ours'}; name a charter, a head or a decision")


def _somewhere(board: Board, settings: Settings) -> Fetch:
    """Return how to get a block from the board, or from the storage of the settings where the board has none."""
    kept, stored = fetch_from(board), storage_fetch(settings)
    return lambda cid: kept(cid) if board.get(cid) is not None else stored(cid)


def export(
    file: Annotated[Path, typer.Argument(help="The CAR file to write.")],
    proposal: Annotated[
        str | None, typer.Option(help="Its decision too, which is not carried out yet: with the chain up to its head.")
    ] = None,
    dao: GenesisOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Write all that it takes to verify the DAO's decisions into one CAR file: charter, rolls, heads, ballots."""
    with opened_dao(dao, home) as (_, board, history):
        if file.exists():
            raise FileExistsError(f"there is a file at {file} already; choose another name")
        blocks, root = _exported(board, history, None if proposal is None else cid_option(proposal))
        _write(file, (history.genesis, root), blocks)
        if json:
            show_json({"file": str(file), "genesis": str(history.genesis), "root": str(root), "blocks": len(blocks)})
        else:
            say(f"DAO [bold]{history.genesis}[/]: {counted(len(blocks), 'block')} in {foreign(str(file))}")
            say(f"anyone verifies it with: coffer dao verify {foreign(str(file))}")


def _exported(board: Board, history: History, proposal: Cid | None) -> tuple[dict[Cid, bytes], Cid]:
    fetch = fetch_from(board)
    if proposal is None:
        tip = history.head.cid()
        return chain_blocks(fetch, history.genesis, tip, at=wiring.clock()), tip
    standing = standing_of(board, history, proposal, at=wiring.clock())
    if standing.decision is None:
        raise MalformedObject(f"no decision on proposal {proposal} is on this board; make it with: coffer dao queue")
    chain = chain_blocks(fetch, history.genesis, standing.proposal.head, at=wiring.clock())
    decision = Decision.from_bytes(fetch(standing.decision))
    return chain | decision_blocks(decision, fetch), standing.decision


def _write(file: Path, roots: tuple[Cid, ...], blocks: dict[Cid, bytes]) -> None:
    """Write an archive under another name first, so that half of one never stands there."""
    half = file.with_name(file.name + ".part")
    try:
        with half.open("xb") as stream:
            write_car(stream, roots, blocks.items())
        os.replace(half, file)
    except BaseException:
        half.unlink(missing_ok=True)
        raise
