"""Paying in so that a broken connection pays in once: the same command again hands in the same deposit again.

A signed deposit lies in the home folder until the enclave says that it counts. Where nobody answered, the next run with
the same licensee, amount and currency finds it there, and the books know by its id whether they have it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cli.home import Home
from cli.sealed_files import read_bounded, write_private
from vault.codec import encode
from vault.errors import AccessDenied, InvalidSignature, MalformedObject, RequestConflict, ServiceUnavailable
from vault.license import Deposit

if TYPE_CHECKING:
    from enclave.channel import EnclaveChannel

_FILE_BYTES_MAX: Final = 4096
_REFUSALS: Final = (AccessDenied, InvalidSignature, MalformedObject)


def paid_in(channel: EnclaveChannel, place: Home, deposit: Deposit) -> int | None:
    """Hand in a deposit, or one alike that nobody answered for; return the licensee's credit, None if it counted.

    Raises: `ServiceUnavailable` where nobody knows whether it counts.
    """
    path = _open_path(place, deposit)
    known = _known(path, deposit) or deposit
    write_private(path, known.encoded())
    try:
        balance = channel.add_credit(known)
    except RequestConflict:
        path.unlink(missing_ok=True)
        return None
    except ServiceUnavailable as error:
        raise ServiceUnavailable(
            f"{error}. Run the same command again: a deposit that was booked already is not booked twice"
        ) from error
    except _REFUSALS:
        path.unlink(missing_ok=True)
        raise
    path.unlink(missing_ok=True)
    return balance


def _open_path(place: Home, deposit: Deposit) -> Path:
    what = encode([deposit.genesis, deposit.treasury, deposit.licensee, deposit.amount, deposit.currency])
    return place.deposits / f"{sha256(what).hexdigest()[:32]}.open"


def _known(path: Path, deposit: Deposit) -> Deposit | None:
    """Return the deposit that waits there, if it is alike: of another id, and signed."""
    with suppress(FileNotFoundError, MalformedObject):
        known = Deposit.from_bytes(read_bounded(path, _FILE_BYTES_MAX))
        if replace(known, id=deposit.id, signature=deposit.signature) == deposit:
            return known
    return None
