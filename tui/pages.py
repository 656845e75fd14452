"""The numbered screens, in their order; a module is imported when its screen is first shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Entry:
    """One screen."""

    name: str
    title: str
    module: str
    kind: str


FIRST: Final = "first"  # the page of the first start; it has no number
PAGES: Final = (
    Entry("overview", "Overview", "tui.screens.overview", "OverviewPage"),
    Entry("datasets", "Datasets", "tui.screens.datasets", "DatasetsPage"),
    Entry("governance", "Governance", "tui.screens.governance", "GovernancePage"),
    Entry("earnings", "Earnings", "tui.screens.earnings", "EarningsPage"),
    Entry("live", "Live", "tui.screens.live", "LivePage"),
    Entry("ask", "Ask", "tui.screens.ask", "AskPage"),
    Entry("attestation", "Attestation", "tui.screens.attestation", "AttestationPage"),
)
