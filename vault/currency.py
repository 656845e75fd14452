"""What currencies are called: in capitals and digits, so that the name of an account can be read in one way only."""

from __future__ import annotations

import re
from typing import Final

from vault.errors import MalformedObject

CURRENCY: Final = "[A-Z0-9]{1,12}"
_CURRENCY = re.compile(CURRENCY)


def check_currency(name: str) -> None:
    """Refuse what is no currency's name: with a slash in it, an account would be read as another's."""
    if not _CURRENCY.fullmatch(name):
        raise MalformedObject("a currency is called by 1 to 12 capitals or digits: USDC")
