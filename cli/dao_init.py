"""`coffer dao init`: found a DAO."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli import wiring
from cli.console import reported, say, show_json
from cli.dao_charter import count_from, wait_from, weight_from
from cli.options import CustodianOption, HomeOption, JsonOption
from cli.people import address_option, members_from
from cli.quantities import basis_points_from, counted, duration_text, seconds_from
from cli.workplace import custodians_reached, opened_home
from vault.assembly import found
from vault.charter import WINDOW_ENTRIES_MAX, WINDOW_PASSAGES_MAX, WINDOW_SPEND_MAX, Voting, Window
from vault.errors import ServiceUnavailable
from vault.founding import WINDOW, charter_of, numbers_for
from vault.history import founded
from vault.roll import Roll

EXTENSION_S = 6 * 3600
EntriesOption = Annotated[
    int, typer.Option(min=1, max=WINDOW_ENTRIES_MAX, help="Ledger entries an enclave may write per lease.")
]
PassagesOption = Annotated[
    int,
    typer.Option(
        min=1, max=WINDOW_PASSAGES_MAX, help="New passages per licensee and lease; a crash costs each budget as many."
    ),
]
SpendOption = Annotated[
    int,
    typer.Option(
        min=1, max=WINDOW_SPEND_MAX, help="Micro-units per licensee and lease; a crash withholds as many for a day."
    ),
]


def init(
    name: Annotated[str, typer.Argument(help="What people call this DAO.")],
    treasury: Annotated[str, typer.Option(help="Address that earns the treasury's share and attests deposits.")],
    member: Annotated[list[str] | None, typer.Option(help="ADDRESS=WEIGHT, once per member.")] = None,
    members: Annotated[Path | None, typer.Option(help="A CSV file of address,weight lines.")] = None,
    custodian: CustodianOption = None,
    voting_delay: Annotated[str, typer.Option(help="From a proposal to its opening: 1h; 0 for none.")] = "1h",
    voting_period: Annotated[str, typer.Option(help="How long votes stay open at least: 30s, 3d.")] = "3d",
    extension: Annotated[
        str | None, typer.Option(help="A quorum reached so late prolongs voting by as much; 6h at most by default.")
    ] = None,
    round: Annotated[
        str, typer.Option(help="How long custodians have to hand a ballot on; above their clocks' differences.")
    ] = "1m",
    timelock: Annotated[str, typer.Option(help="From the close until it may be carried out: 2d; 0 for none.")] = "2d",
    quorum: Annotated[str, typer.Option(help="Weight that must vote, of the total.")] = "50%",
    threshold: Annotated[str, typer.Option(help="Weight that must be for, of the total: over half.")] = "50.01%",
    proposal_weight: Annotated[str, typer.Option(help="The least weight that may propose.")] = "1",
    proposals_per_day: Annotated[str, typer.Option(help="Of one member.")] = "10",
    delegations_every: Annotated[str, typer.Option(help="Delegated votes take effect at most so often.")] = "1d",
    guardian: Annotated[
        list[str] | None, typer.Option(help="Address that may stop a grant or revoke at once, once per guardian.")
    ] = None,
    guardian_signatures: Annotated[
        int | None, typer.Option(min=1, help="Guardians that act together; more than half of them by default.")
    ] = None,
    lease: Annotated[str, typer.Option(help="How long an enclave serves on one lease, up to 1h.")] = "5m",
    window_entries: EntriesOption = WINDOW.entries,
    window_passages: PassagesOption = WINDOW.passages,
    window_spend: SpendOption = WINDOW.spend,
    chain_id: Annotated[int, typer.Option(min=1, help="EIP-155 chain that signatures are for.")] = 1,
    shares: Annotated[int | None, typer.Option(help="t: custodians that rebuild a key.")] = None,
    signatures: Annotated[int | None, typer.Option(help="q: custodians whose leases make an enclave serve.")] = None,
    liars: Annotated[int | None, typer.Option(help="f: custodians that may lie.")] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Found a DAO with these members and custodians, and print its genesis CID: the DAO's identity.

    Every custodian must be running: its keys go into the charter. Defaults for t, q and f follow from their number. To
    try things out, make votes short: --voting-delay 0 --voting-period 1m --extension 0 --round 1s --timelock 0
    """
    from vault.records.board import Board

    with reported():
        settings, _ = opened_home(home, custodians=tuple(custodian or ()))
        roll = Roll.of(members_from(member or [], members))
        period_s = seconds_from(voting_period)
        voting = Voting(
            quorum_bps=basis_points_from(quorum),
            threshold_bps=basis_points_from(threshold),
            delay_s=wait_from(voting_delay),
            period_s=period_s,
            extension_s=min(EXTENSION_S, period_s) if extension is None else wait_from(extension),
            round_s=seconds_from(round),
            timelock_s=wait_from(timelock),
            proposal_weight=weight_from(proposal_weight),
            proposals_per_day=count_from(proposals_per_day),
            delegations_every_s=wait_from(delegations_every),
        )
        with custodians_reached(settings) as reached, wiring.open_database(settings) as records:
            for address, error in reached.failures.items():
                raise ServiceUnavailable(f"{error}; every custodian at founding must run ({address} does not)")
            custodians = [client.custodian for client in reached.clients.values()]
            charter = charter_of(
                name,
                roll,
                custodians,
                numbers_for(len(custodians), shares=shares, signatures=signatures, liars=liars),
                chain_id=chain_id,
                voting=voting,
                lease_s=seconds_from(lease),
                treasury=address_option(treasury),
                guardians=[address_option(text) for text in guardian or ()],
                guardian_signatures=guardian_signatures,
                window=Window(entries=window_entries, passages=window_passages, spend=window_spend),
            )
            founding = founded(charter)
            blocks = {founding.genesis: charter.encoded(), founding.head.cid(): founding.head.encoded()}
            for client in reached.clients.values():
                client.submit_head(founding.head.cid(), blocks)
            history = found(Board(records), charter, roll)
        if json:
            show_json({"genesis": str(history.genesis), "head": str(history.head.cid()), "custodians": len(custodians)})
            return
        say(f"founded [bold]{history.genesis}[/]")
        parts = [counted(len(roll.members), "member"), counted(len(custodians), "custodian")]
        if charter.guardians:
            parts.append(f"{counted(len(charter.guardians), 'guardian')}, {charter.guardian_signatures} act together")
        say("; ".join(parts))
        say(f"votes stay open {duration_text(voting.period_s)}")
        say("this CID is the DAO's identity: give it to every member by a way you trust")
        say("next: coffer dataset seal, coffer dao propose")
