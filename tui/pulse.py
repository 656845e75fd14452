"""What all screens know of the services: taken again and again by one worker, shown by every screen's second line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tui.desk.overview import CustodianFacts, DaoFacts, Party

if TYPE_CHECKING:
    from enclave.inspection import Inspection


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """The latest of each part; a lost service keeps what was known, and says so."""

    at: int = 0
    party: Party | None = None
    dao: DaoFacts | None = None
    dao_problem: str = ""
    enclave: Inspection | None = None
    enclave_problem: str = ""  # a sentence while it is lost
    custodians: tuple[CustodianFacts, ...] = ()

    @property
    def is_lost(self) -> bool:
        """Say whether a service that was named does not answer."""
        return bool(self.enclave_problem) or any(one.problem for one in self.custodians)
