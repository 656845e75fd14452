"""`coffer dao`: found a DAO, see how it stands, and verify all it ever decided."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from cli import dao_votes, wiring
from cli.console import out, reported, say, show_json, tee_text
from cli.options import CustodianOption, GenesisOption, HomeOption, JsonOption, cid_option
from cli.people import address_option, members_from
from cli.quantities import basis_points_from, duration_text, percent_text, seconds_from, time_left_text
from cli.workplace import custodians_reached, dao_meant, history_meant, opened_home
from vault.assembly import Board, Standing, found, policy_of, standing_of, submit_chain, time_text, verified_links
from vault.errors import ServiceUnavailable, VaultError
from vault.founding import charter_of, numbers_for
from vault.head import History
from vault.policy import Policy
from vault.signing import address_text

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
    threshold: Annotated[str, typer.Option(help="Weight that must be for, of the total.")] = "50%",
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
            )
            board = Board(records)
            history = found(board, charter)
            for client in reached.clients.values():
                submit_chain(board, history, client)
        if json:
            show_json({"genesis": str(history.genesis), "head": str(history.head.cid()), "custodians": len(records_of)})
        else:
            say(f"founded [bold]{history.genesis}[/]")
            say(f"{len(weights)} members, {len(records_of)} custodians; next: coffer dataset seal, coffer dao propose")


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
                show_json(shown) if json else _say_standing(shown)
                return
            whole = _dao_json(board, history)
        show_json(whole) if json else _say_dao(whole)


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


def standing_json(board: Board, standing: Standing) -> dict[str, Any]:
    """Return how a proposal stands, for programs."""
    proposal, tally, at = standing.proposal, standing.tally, wiring.clock()
    policy = policy_of(board, proposal)
    return {
        "proposal": str(proposal.cid()),
        "action": proposal.action.words(),
        "policy": policy_json(policy) if policy is not None else None,
        "proposer": address_text(proposal.proposer),
        "state": standing.words(at),
        "for": tally.weight_for,
        "against": tally.weight_against,
        "abstain": tally.weight_abstain,
        "total": tally.total,
        "quorum_bps": tally.quorum_bps,
        "threshold_bps": tally.threshold_bps,
        "has_quorum": tally.has_quorum(),
        "is_carried": tally.is_carried(),
        "closes_at": proposal.closes_at,
        "seconds_left": max(0, proposal.closes_at - at),
        "refused": list(standing.refused),
    }


def policy_json(policy: Policy) -> dict[str, Any]:
    """Return what a policy says, for programs."""
    return {
        "policy": str(policy.cid()),
        "title": policy.title,
        "datasets": [str(dataset) for dataset in policy.datasets],
        "issuer": address_text(policy.issuer),
        "price": policy.price_per_query,
        "currency": policy.currency,
        "k": policy.k_max,
        "per_minute": policy.queries_per_minute,
        "budget": policy.passages_max,
        "tees": sorted({tee.kind for tee in policy.tees}),
        "treasury": address_text(policy.treasury),
        "operator": address_text(policy.operator),
        "treasury_bps": policy.treasury_bps,
        "operator_bps": policy.operator_bps,
        "expires_at": policy.expires_at,
    }


def _dao_json(board: Board, history: History) -> dict[str, Any]:
    charter, standings, unreadable = history.charter, [], []
    for cid, _ in board.list("proposal", history.genesis):
        try:
            standings.append(standing_json(board, standing_of(board, history, cid)))
        except VaultError as error:
            unreadable.append(f"proposal {cid} does not count: {error}")
    return {
        "name": charter.name,
        "genesis": str(history.genesis),
        "head": str(history.head.cid()),
        "epoch": history.head.epoch,
        "members": {address_text(member.address): member.weight_value() for member in charter.members},
        "custodians": [custodian.key.hex() for custodian in charter.custodians],
        "shares": charter.shares,
        "signatures": charter.signatures,
        "liars": charter.liars,
        "voting_period_s": charter.voting_period_s,
        "treasury": address_text(charter.treasury),
        "policies": [policy_json(policy) for policy in history.policies.values()],
        "revocations": [f"{revoked.scope} {revoked.subject.hex()}".rstrip() for revoked in history.head.revocations],
        "proposals": standings,
        "refused": unreadable,
    }


def _say_dao(whole: dict[str, Any]) -> None:
    say(f"[bold]{whole['genesis']}[/], epoch {whole['epoch']}, head {whole['head']}")
    out.print(whole["name"], markup=False)
    say(
        f"{len(whole['members'])} members; {len(whole['custodians'])} custodians (t={whole['shares']} "
        f"q={whole['signatures']} f={whole['liars']}); votes stay open {duration_text(whole['voting_period_s'])}"
    )
    for policy in whole["policies"]:
        say("[bold]in force[/]")
        say_policy(policy)
    table = Table("proposal", "action", "for", "against", "abstain", "state", box=None)
    for shown in whole["proposals"]:
        votes = (str(shown[name]) for name in ("for", "against", "abstain"))
        table.add_row(shown["proposal"], shown["action"].partition(" b")[0], *votes, _state(shown))
    if whole["proposals"]:
        out.print(table, soft_wrap=True)
    for sentence in whole["refused"]:
        say(f"[yellow]{sentence}[/]")


def _say_standing(shown: dict[str, Any]) -> None:
    say(f"[bold]{shown['proposal']}[/] by {shown['proposer']}\n{shown['action']}")
    if shown["policy"] is not None:
        say_policy(shown["policy"])
    quorum = "met" if shown["has_quorum"] else "not met"
    say(f"for {shown['for']}, against {shown['against']}, abstain {shown['abstain']}, of {shown['total']}")
    say(f"quorum {percent_text(shown['quorum_bps'])} {quorum}; threshold {percent_text(shown['threshold_bps'])} for")
    say(_state(shown))
    for sentence in shown["refused"]:
        say(f"[yellow]{sentence}[/]")


def _state(shown: dict[str, Any]) -> str:
    if shown["state"] == "open":
        return f"open, {time_left_text(shown['seconds_left'])} left"
    return "carried; next: coffer dao execute" if shown["state"] == "carried" else str(shown["state"])


def say_policy(policy: dict[str, Any]) -> None:
    """Print a policy in words; a simulated TEE in red."""
    out.print(f"  {policy['title']}", markup=False)
    say(f"  policy {policy['policy']}, until {time_text(policy['expires_at'])}")
    say(f"  {policy['price']} micro-{policy['currency']} a query, k up to {policy['k']}, {policy['per_minute']} a minute")
    say(f"  at most {policy['budget']} distinct passages per licensee; licenses from {policy['issuer']}")
    shares = f"treasury {percent_text(policy['treasury_bps'])}, operator {percent_text(policy['operator_bps'])}"
    say(f"  {shares}, the rest to the owners; TEE {' or '.join(tee_text(kind) for kind in policy['tees'])}")
    for dataset in policy["datasets"]:
        say(f"  dataset {dataset}")
