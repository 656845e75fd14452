"""Places in the settings: where copies are kept, each under a name of the owner's; tokens never stand here."""

from __future__ import annotations

import re
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from vault.copies.model import Kind

MAIN: Final = "storage"  # the place that the setting of this name gives
NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
PLACES_MAX: Final = 15

_NEEDS: Final = {
    Kind.PINNING: ("read",),
    Kind.FILECOIN: ("wallet", "payee", "contract", "chain", "month_max"),
}
_ONLY: Final = {
    "read": Kind.PINNING,
    "origins": Kind.PINNING,
    "wallet": Kind.FILECOIN,
    "payee": Kind.FILECOIN,
    "contract": Kind.FILECOIN,
    "chain": Kind.FILECOIN,
    "month_max": Kind.FILECOIN,
}


class PlaceSettings(BaseModel):
    """One `[places.NAME]` of the settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    at: str = Field(min_length=1, max_length=2048)  # a folder, a node's multiaddr, or a URL
    private: bool = False  # it is on the owner's own machine or network
    read: str = ""  # pinning: the service's own gateway
    origins: tuple[str, ...] = ()  # pinning: multiaddrs of nodes that have the blocks
    wallet: str = ""  # filecoin: who pays
    payee: str = ""  # filecoin: the provider's address
    contract: str = ""  # filecoin: the Warm Storage contract's address
    chain: str = ""  # filecoin: the URL of a node's JSON-RPC
    chain_id: int = Field(default=314, ge=1)  # filecoin: 314 is mainnet
    month_max: str = Field(default="", pattern=r"^([0-9]{1,9}(\.[0-9]{1,6})?)?$")  # filecoin: dollars a copy may cost

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        missing = [name for name in _NEEDS.get(self.kind, ()) if not getattr(self, name)]
        if missing:
            raise ValueError(f"a {self.kind} place also needs {', '.join(missing)}")
        foreign = [name for name, kind in _ONLY.items() if getattr(self, name) and kind is not self.kind]
        if foreign:
            raise ValueError(f"a {self.kind} place has no {foreign[0]}")
        return self


def checked_names(places: dict[str, PlaceSettings]) -> dict[str, PlaceSettings]:
    """Return the places if their names can be used, or raise `ValueError`."""
    for name in places:
        if not NAME.fullmatch(name) or name == MAIN:
            raise ValueError(f"a place's name is 1 to 32 of a-z, 0-9 and -, and not {MAIN!r}; {name[:40]!r} is none")
    if len(places) > PLACES_MAX:
        raise ValueError(f"at most {PLACES_MAX} places are kept")
    return places
