"""How a proposal stands and how its vote counts: as values for programs, as lines and a bar for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cli import wiring
from cli.console import foreign, out, say
from cli.dao_text import policy_json, say_policy
from cli.quantities import percent_text
from vault.assembly import charter_of_proposal, policy_of
from vault.charter import BASIS_POINTS
from vault.closing import final_at
from vault.lapse import lapses_at
from vault.plain_text import time_left_text
from vault.signing import address_text
from vault.standing import Standing
from vault.utc import time_text

if TYPE_CHECKING:
    from vault.records.board import Board

BAR_CELLS: Final = 60
NEXT: Final = {
    "pending": "voting opens at {opens}",
    "open": "{left} left; next: coffer dao vote {proposal} for|against|abstain --wallet W",
    "closing": "voting is over, or prolonged by a late quorum; custodians close the set of ballots at {final}",
    "closed": "voting is over; next: coffer dao queue {proposal}",
    "queued": "carried; in its timelock until {free}; then: coffer dao execute {proposal}",
    "ready": "carried; next: coffer dao execute {proposal}",
    "defeated": "quorum or threshold is not met",
    "canceled": "guardians canceled it",
    "outdated": "the charter has changed since it was made; propose it anew",
    "executed": "carried out",
    "lapsed": "nobody carried it out in time; propose it anew",
}
LAPSING: Final = ("closed", "ready")


def state_of(standing: Standing, at: int) -> str:
    """Return a proposal's state in the field's words; what nobody carried out in time has lapsed."""
    state = standing.words(at)
    return "lapsed" if state in LAPSING and at >= lapses_at(standing.proposal, standing.charter) else state


def tally_json(standing: Standing) -> dict[str, Any]:
    """Return how a vote counts, for programs."""
    proposal, count, at = standing.proposal, standing.tally, wiring.clock()
    return {
        "proposal": str(proposal.cid()),
        "state": state_of(standing, at),
        "for": count.weight_for,
        "against": count.weight_against,
        "abstain": count.weight_abstain,
        "total": count.total,
        "quorum_bps": count.quorum_bps,
        "threshold_bps": count.threshold_bps,
        "has_quorum": count.has_quorum(),
        "is_carried": count.is_carried(),
        "is_extended": count.is_extended,
        "is_settled": standing.decision is not None,
        "opens_at": proposal.opens_at,
        "closes_at": proposal.closes_at,
        "final_at": final_at(proposal, standing.charter),
        "free_at": standing.free_at,
        "seconds_left": max(0, proposal.closes_at - at),
        "left_out": [
            {
                "voter": address_text(vote.ballot.voter),
                "support": vote.ballot.support.value,
                "weight": int.from_bytes(vote.weight, "big"),
            }
            for vote in standing.left_out
        ],
        "refused": list(standing.refused),
    }


def standing_json(board: Board, standing: Standing) -> dict[str, Any]:
    """Return how a proposal stands, for programs."""
    proposal = standing.proposal
    policy, charter = policy_of(board, proposal), charter_of_proposal(board, proposal)
    return tally_json(standing) | {
        "action": proposal.action.words(),
        "policy": policy_json(policy) if policy is not None else None,
        "charter": str(charter.cid()) if charter is not None else None,
        "proposer": address_text(proposal.proposer),
        "epoch": proposal.epoch,
        "decision": str(standing.decision) if standing.decision is not None else None,
    }


def say_standing(shown: dict[str, Any]) -> None:
    """Print how a proposal stands."""
    say(f"[bold]{shown['proposal']}[/] by {shown['proposer']}\n{foreign(shown['action'])}")
    if shown["policy"] is not None:
        say_policy(shown["policy"])
    if shown["charter"] is not None:
        say(f"next: coffer dao diff {shown['proposal']} says what the charter would change")
    say_tally(shown)


def say_tally(said: dict[str, Any]) -> None:
    """Print how a vote counts: a bar where a person looks, and the same in words."""
    if out.is_terminal:
        for line in bar(said):
            out.print(line, soft_wrap=True)
    count = f"for {said['for']}, against {said['against']}, abstain {said['abstain']}, of {said['total']}"
    say(count)
    say(bars_text(said))
    if not said["is_settled"]:
        say("this is what this board knows; which votes came in time, custodians say at the close")
    if said["is_extended"]:
        say("a late quorum prolonged the voting")
    say(f"{said['state']}: {next_text(said)}")
    for vote in said["left_out"]:
        say(f"[yellow]{vote['voter']}: its vote {vote['support']} on this board is not in the closed set of ballots[/]")
    for sentence in said["refused"]:
        say(f"[yellow]{foreign(sentence)}[/]")


def bars_text(said: dict[str, Any]) -> str:
    """Return what the charter asks of a vote, and whether it is there."""
    quorum = "met" if said["has_quorum"] else "not met"
    is_over = said["for"] * BASIS_POINTS >= said["threshold_bps"] * said["total"]
    threshold = "met" if is_over else "not met"
    asked = percent_text(said["quorum_bps"]), percent_text(said["threshold_bps"])
    return f"quorum {asked[0]} {quorum}; threshold {asked[1]} for {threshold}"


def next_text(said: dict[str, Any]) -> str:
    """Return what comes next for a proposal."""
    return NEXT[said["state"]].format(
        proposal=said["proposal"],
        left=time_left_text(said["seconds_left"]),
        opens=time_text(said["opens_at"]),
        final=time_text(said["final_at"]),
        free=time_text(said["free_at"] or 0),
    )


def bar(said: dict[str, Any]) -> list[str]:
    """Return two lines of markup: the weights cast, of the total, and marks where quorum and threshold are."""
    parts = ((said["for"], "green", "█"), (said["abstain"], "yellow", "▒"), (said["against"], "red", "█"))
    line, end, weight = "", 0, 0
    for part, color, cell in parts:
        weight += part
        upto = weight * BAR_CELLS // max(1, said["total"])
        line += f"[{color}]{cell * (upto - end)}[/]" if upto > end else ""
        end = upto
    line += f"[dim]{'░' * (BAR_CELLS - end)}[/]" if end < BAR_CELLS else ""
    return [line, _marks(said["quorum_bps"], said["threshold_bps"])]


def _marks(quorum_bps: int, threshold_bps: int) -> str:
    """Return the line under the bar; where both marks would stand on one another, they share it."""
    quorum, threshold = (min(BAR_CELLS - 1, bps * BAR_CELLS // BASIS_POINTS) for bps in (quorum_bps, threshold_bps))
    texts = {quorum: f"▲ quorum {percent_text(quorum_bps)}", threshold: f"▲ for {percent_text(threshold_bps)}"}
    if quorum == threshold:
        return " " * quorum + f"▲ quorum {percent_text(quorum_bps)}, for {percent_text(threshold_bps)}"
    first, second = sorted(texts)
    line = " " * first + texts[first]
    if len(line) < second:
        return line + " " * (second - len(line)) + texts[second]
    return f"{line}\n{' ' * second}{texts[second]}"
