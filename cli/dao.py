"""`coffer dao`: found a DAO, see how it stands, and verify all it ever decided."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli import dao_votes, wiring
from cli.console import out, reported, say, show_json
from cli.dao_text import dao_json, say_dao, say_standing, standing_json
from cli.options import CustodianOption, GenesisOption, HomeOption, JsonOption, cid_option
from cli.people import address_option, members_from
from cli.quantities import basis_points_from, counted, seconds_from
from cli.workplace import custodians_reached, dao_meant, history_meant, opened_home
from vault.assembly import found, standing_of, submit_chain, verified_links
from vault.charter import WINDOW_ENTRIES_MAX, WINDOW_PASSAGES_MAX, WINDOW_SPEND_MAX, Window
from vault.errors import ServiceUnavailable
from vault.founding import WINDOW, charter_of, numbers_for

app = typer.Typer(help="Decide together who may ask, at what price, on which machines.")
app.command("propose")(dao_votes.propose)
app.command("vote")(dao_votes.vote)
app.command("execute")(dao_votes.execute)


@app.command("init")
def init(
    name: Annotated[str, typer.Argument(help="What people call this DAO.")],
    treasury: Annotated[str, typer.Option(help="Address that earns the treasury's share and attests deposits.")],
    member: Annotated[list[str] | None, typer.Option(help="ADDRESS=WEIGHT, once per member.")] = None,
    members: Annotated[Path | None, typer.Option(help="A CSV file of address,weight lines.")] = None,
    custodian: CustodianOption = None,
    voting_period: Annotated[str, typer.Option(help="How long votes stay open at least: 30s, 3d.")] = "3d",
    lease: Annotated[str, typer.Option(help="How long an enclave serves on one lease, up to 1h.")] = "5m",
    quorum: Annotated[str, typer.Option(help="Weight that must vote, of the total.")] = "50%",
    threshold: Annotated[str, typer.Option(help="Weight that must be for, of the total: over half.")] = "50.01%",
    window_entries: Annotated[
        int, typer.Option(min=1, max=WINDOW_ENTRIES_MAX, help="Ledger entries an enclave may write per lease.")
    ] = WINDOW.entries,
    window_passages: Annotated[
        int,
        typer.Option(
            min=1,
            max=WINDOW_PASSAGES_MAX,
            help="New passages per licensee and lease; a crash costs each budget as many.",
        ),
    ] = WINDOW.passages,
    window_spend: Annotated[
        int,
        typer.Option(
            min=1, max=WINDOW_SPEND_MAX, help="Micro-units per licensee and lease; a crash withholds as many for a day."
        ),
    ] = WINDOW.spend,
    chain_id: Annotated[int, typer.Option(help="EIP-155 chain that signatures are for.")] = 1,
    shares: Annotated[int | None, typer.Option(help="t: custodians that rebuild a key.")] = None,
    signatures: Annotated[int | None, typer.Option(help="q: custodians whose leases make an enclave serve.")] = None,
    liars: Annotated[int | None, typer.Option(help="f: custodians that may lie.")] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Found a DAO with these members and custodians, and print its genesis CID: the DAO's identity.

    Every custodian must be running: its keys go into the charter. Defaults for t, q and f follow from their number.
    """
    from vault.records.board import Board

    with reported():
        settings, _ = opened_home(home, custodians=tuple(custodian or ()))
        weights = members_from(member or [], members)
        with custodians_reached(settings) as reached, wiring.open_database(settings) as records:
            for address, error in reached.failures.items():
                raise ServiceUnavailable(f"{error}; every custodian at founding must run ({address} does not)")
            records_of = [client.custodian for client in reached.clients.values()]
            charter = charter_of(
                name,
                weights,
                records_of,
                numbers_for(len(records_of), shares=shares, signatures=signatures, liars=liars),
                chain_id=chain_id,
                quorum_bps=basis_points_from(quorum),
                threshold_bps=basis_points_from(threshold),
                voting_period_s=seconds_from(voting_period),
                lease_s=seconds_from(lease),
                treasury=address_option(treasury),
                window=Window(entries=window_entries, passages=window_passages, spend=window_spend),
            )
            board = Board(records)
            history = found(board, charter)
            for client in reached.clients.values():
                submit_chain(board, history, client)
        if json:
            show_json({"genesis": str(history.genesis), "head": str(history.head.cid()), "custodians": len(records_of)})
        else:
            say(f"founded [bold]{history.genesis}[/]")
            say(f"{counted(len(weights), 'member')}, {counted(len(records_of), 'custodian')}")
            say("next: coffer dataset seal, coffer dao propose")


@app.command("show")
def show(
    proposal: Annotated[str | None, typer.Argument(help="A proposal's CID; the whole DAO by default.")] = None,
    dao: GenesisOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Print the DAO's head, the policies in force, and how every proposal stands."""
    with reported():
        settings, _ = opened_home(home)
        with wiring.open_database(settings) as records:
            board, history = history_meant(records, dao)
            if proposal is not None:
                cid = cid_option(proposal)
                shown = standing_json(board, standing_of(board, history, cid))
                show_json(shown) if json else say_standing(shown)
                return
            whole = dao_json(board, history)
        show_json(whole) if json else say_dao(whole)


@app.command("verify")
def verify(dao: GenesisOption = None, home: HomeOption = None, json: JsonOption = False) -> None:
    """Verify the whole chain from the charter: every signature, count and head. Exit 1 at the first that is wrong."""
    from vault.records.board import Board

    with reported():
        settings, _ = opened_home(home)
        links: list[str] = []
        with wiring.open_database(settings) as records:
            board = Board(records)
            genesis = dao_meant(board, dao)
            for link in verified_links(board, genesis, at=wiring.clock()):
                links.append(link)
                if not json:
                    out.print(f"[green]✓[/] {link}", soft_wrap=True)
        if json:
            show_json({"genesis": str(genesis), "verified": True, "links": links})
