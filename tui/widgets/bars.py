"""The two lines over every screen: which screens there are, and how the services stand."""

from __future__ import annotations

from typing import Final

from textual.widgets import Static

from tui.pages import PAGES
from tui.pulse import Pulse
from tui.words import plain, time_left_text
from vault.tee_kind import SIMULATED

SIMULATED_BADGE: Final = "[bold white on #b3261e] TEE SIMULATED [/]"


def tee_badge(kind: str) -> str:
    """Return a TEE's kind as shown everywhere: the simulated one in red and in capitals."""
    return SIMULATED_BADGE if kind == SIMULATED else f"[bold]TEE {plain(kind)}[/]"


class PageTabs(Static):
    """The screens by number; the one that is shown is marked."""

    def __init__(self, current: str) -> None:
        parts = [
            f"[bold reverse]▸{number} {entry.title} [/]"
            if entry.name == current
            else f"[@click=app.go('{entry.name}')] {number} {entry.title} [/]"
            for number, entry in enumerate(PAGES, 1)
        ]
        super().__init__("".join(parts), id="tabs")


class StateLine(Static):
    """The DAO, and how its enclave stands."""

    def __init__(self) -> None:
        super().__init__("[dim]opening …[/]", id="state")

    def show(self, pulse: Pulse) -> None:
        """Render the latest pulse."""
        self.update("  ".join(part for part in (self._dao(pulse), *self._enclave(pulse)) if part))
        self.set_class(pulse.is_lost, "-lost")

    @staticmethod
    def _dao(pulse: Pulse) -> str:
        if pulse.dao is None:
            return f"{plain(pulse.party.home, 30)}" if pulse.party is not None else "opening …"
        return f"[bold]{plain(pulse.dao.name, 24)}[/] epoch {pulse.dao.epoch}"

    @staticmethod
    def _enclave(pulse: Pulse) -> list[str]:
        if pulse.enclave_problem:
            badge = [tee_badge(pulse.enclave.status.tee)] if pulse.enclave is not None else []
            return ["[bold $error]✗ enclave lost[/], asking again", *badge]
        if pulse.enclave is None:
            if pulse.party is None:
                return []
            return ["asking the enclave …" if pulse.party.enclave else "[dim]no enclave is configured[/]"]
        look = pulse.enclave
        mark = "[$success]✓ proved[/]" if look.is_proved else "[bold $error]✗ not proved[/]"
        parts = [f"{plain(look.status.state)}", mark, tee_badge(look.status.tee)]
        if look.leased_until is not None:
            parts.append(f"lease {time_left_text(look.leased_until - pulse.at)}")
        return parts
