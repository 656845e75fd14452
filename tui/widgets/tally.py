"""How a vote stands, drawn: the weights cast of the total, and where quorum and threshold are."""

from __future__ import annotations

from typing import Final

from tui.desk.governing import ProposalFacts
from tui.words import moment, time_left_text

CELLS: Final = 50
WHOLE_BPS: Final = 10_000
PARTS: Final = (("for", "$success", "█"), ("against", "$error", "▓"), ("abstain", "$warning", "▒"))
NEXT: Final = {
    "pending": "voting opens {opens}",
    "open": "{left} left to vote",
    "closing": "voting is over; custodians close the ballots in {final}",
    "closed": "voting is over: press [bold]c[/] to have it closed",
    "queued": "carried, and in its timelock for {free} more",
    "ready": "carried: press [bold]x[/] to carry it out",
    "defeated": "quorum or threshold is not met",
    "canceled": "guardians canceled it",
    "outdated": "the charter has changed since; propose it anew",
    "executed": "carried out",
    "lapsed": "nobody carried it out in time; propose it anew",
}
SIGNS: Final = {
    "open": "●",
    "pending": "○",
    "closing": "◐",
    "closed": "◐",
    "queued": "◷",
    "ready": "▶",
    "executed": "✓",
    "defeated": "✗",
    "canceled": "✗",
    "outdated": "✗",
    "lapsed": "✗",
}


def bars(one: ProposalFacts) -> str:
    """Return three lines: the bar, the marks under it, and the same in words."""
    weights = {"for": one.weight_for, "against": one.weight_against, "abstain": one.weight_abstain}
    line, end, weight = "", 0, 0
    for name, color, glyph in PARTS:
        weight += weights[name]
        upto = weight * CELLS // max(1, one.total)
        line += f"[{color}]{glyph * (upto - end)}[/]" if upto > end else ""
        end = upto
    line += f"[dim]{'░' * (CELLS - end)}[/]"
    legend = "  ".join(f"[{color}]{glyph}[/] {name} {weights[name]:,}" for name, color, glyph in PARTS)
    return f"{line}\n{marks(one)}\n{legend}  of {one.total:,}\n{conditions(one)}"


def marks(one: ProposalFacts) -> str:
    """Return the line of marks; where both stand on one another, they share one."""
    quorum, threshold = (min(CELLS - 1, bps * CELLS // WHOLE_BPS) for bps in (one.quorum_bps, one.threshold_bps))
    if abs(quorum - threshold) < 2:
        return f"{' ' * min(quorum, threshold)}▲ quorum, threshold"
    first, second = sorted(((quorum, "▲ quorum"), (threshold, "▲ threshold")))
    gap = second[0] - first[0] - len(first[1])
    if gap >= 1:
        return f"{' ' * first[0]}{first[1]}{' ' * gap}{second[1]}"
    names = f"{first[1][2:]}, {second[1][2:]}"
    return f"{' ' * first[0]}▲{' ' * (second[0] - first[0] - 1)}▲ {names}"


def conditions(one: ProposalFacts) -> str:
    """Return what the charter asks, and whether it is met."""
    quorum = "[$success]✓ met[/]" if one.has_quorum else "[$warning]✗ not met[/]"
    is_over = one.weight_for * WHOLE_BPS >= one.threshold_bps * one.total
    threshold = "[$success]✓ met[/]" if is_over else "[$warning]✗ not met[/]"
    return f"quorum {_percent(one.quorum_bps)} {quorum}, threshold {_percent(one.threshold_bps)} for {threshold}"


def next_words(one: ProposalFacts, at: int) -> str:
    """Return what comes next, with the time that is left counted down."""
    return NEXT[one.state].format(
        left=time_left_text(one.closes_at - at),
        opens=f"{moment(one.opens_at)} UTC",
        final=time_left_text(one.final_at - at),
        free=time_left_text((one.free_at or at) - at),
    )


def _percent(bps: int) -> str:
    return f"{bps / 100:g}%"
