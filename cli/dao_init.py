"""`coffer dao init`: found a DAO."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cli import dao_options as options
from cli import wiring
from cli.console import reported, say, show_json
from cli.dao_charter import voting_from
from cli.dao_text import guardians_text
from cli.home import Settings
from cli.options import CustodianOption, HomeOption, JsonOption
from cli.people import address_option, members_from
from cli.quantities import duration_text, seconds_from
from cli.workplace import custodians_reached, opened_home
from vault.assembly import found
from vault.charter import Charter, Custodian, Window
from vault.errors import MalformedObject, ServiceUnavailable
from vault.founding import WINDOW, charter_of, numbers_for
from vault.history import founded
from vault.plain_text import counted
from vault.roll import Roll

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vault.history import History


def init(
    name: options.NameArgument,
    treasury: options.TreasuryOption,
    member: options.MemberOption = None,
    members: options.MembersOption = None,
    custodian: CustodianOption = None,
    voting_delay: options.DelayOption = "1h",
    voting_period: options.PeriodOption = "3d",
    extension: options.ExtensionOption = None,
    round: options.RoundOption = "1m",
    timelock: options.TimelockOption = "2d",
    quorum: options.QuorumOption = "50%",
    threshold: options.ThresholdOption = "50.01%",
    proposal_weight: options.ProposalWeightOption = "1",
    proposals_per_day: options.ProposalsOption = "10",
    delegations_every: options.DelegationsOption = "1d",
    guardian: options.GuardiansOption = None,
    guardian_signatures: options.TogetherOption = None,
    lease: options.LeaseOption = "5m",
    window_entries: options.EntriesOption = WINDOW.entries,
    window_passages: options.PassagesOption = WINDOW.passages,
    window_spend: options.SpendOption = WINDOW.spend,
    chain_id: options.ChainOption = 1,
    shares: options.SharesOption = None,
    signatures: options.SignaturesOption = None,
    liars: options.LiarsOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Found a DAO with these members and custodians, and print its genesis CID: the DAO's identity.

    Every custodian must be running: its keys go into the charter. Defaults for t, q and f follow from their number. To
    try things out, make votes short: --voting-delay 0 --voting-period 1m --extension 0 --round 1s --timelock 0
    """
    voting = {
        "voting-delay": voting_delay,
        "voting-period": voting_period,
        "extension": extension,
        "round": round,
        "timelock": timelock,
        "quorum": quorum,
        "threshold": threshold,
        "proposal-weight": proposal_weight,
        "proposals-per-day": proposals_per_day,
        "delegations-every": delegations_every,
    }
    with reported():
        settings, _ = opened_home(home, custodians=tuple(custodian or ()))
        roll = Roll.of(members_from(member or [], members))
        chartered = partial(
            charter_of,
            name,
            roll,
            chain_id=chain_id,
            voting=voting_from(voting),
            lease_s=seconds_from(lease),
            treasury=address_option(treasury),
            guardians=[address_option(text) for text in guardian or ()],
            guardian_signatures=guardian_signatures,
            window=Window(entries=window_entries, passages=window_passages, spend=window_spend),
        )
        numbered = partial(numbers_for, shares=shares, signatures=signatures, liars=liars)
        history = founded_at_custodians(
            settings, roll, lambda custodians: chartered(custodians, numbered(len(custodians)))
        )
        _say(history, json=json)


def founded_at_custodians(
    settings: Settings, roll: Roll, chartered: Callable[[Sequence[Custodian]], Charter]
) -> History:
    """Found the DAO at every custodian and on the board; raise where one of them does not answer."""
    from vault.records.board import Board

    with custodians_reached(settings) as reached, wiring.open_database(settings) as records:
        for address, error in reached.failures.items():
            raise ServiceUnavailable(f"{error}; every custodian at founding must run ({address} does not)")
        if len(reached.clients) < len(settings.custodians):
            named = ", ".join(settings.custodians)
            raise MalformedObject(f"two of {named} are one and the same custodian; name each of them once")
        charter = chartered([client.custodian for client in reached.clients.values()])
        founding = founded(charter)
        blocks = {founding.genesis: charter.encoded(), founding.head.cid(): founding.head.encoded()}
        for client in reached.clients.values():
            client.submit_head(founding.head.cid(), blocks)
        return found(Board(records), charter, roll)


def _say(history: History, *, json: bool) -> None:
    charter = history.charter
    custodians = len(charter.custodians)
    if json:
        show_json({"genesis": str(history.genesis), "head": str(history.head.cid()), "custodians": custodians})
        return
    say(f"founded [bold]{history.genesis}[/]")
    parts = [counted(charter.members, "member"), counted(custodians, "custodian")]
    if charter.guardians:
        parts.append(guardians_text(len(charter.guardians), charter.guardian_signatures))
    say("; ".join(parts))
    say(f"votes stay open {duration_text(charter.voting.period_s)}")
    say("this CID is the DAO's identity: give it to every member by a way you trust")
    say("next: coffer dataset seal, coffer dao propose")
