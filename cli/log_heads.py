"""The last head of the public log that this party saw: what comes next has to hold all that it held (rule R1)."""

from __future__ import annotations

from typing import Final

from cli.home import Home
from cli.sealed_files import read_bounded, write_private
from enclave.public_client import LogClient
from vault.errors import ForkedHistory, MalformedObject
from vault.transparency import TreeHead

_HEAD_BYTES_MAX: Final = 4096


def follow_log(log: LogClient, place: Home) -> TreeHead:
    """Return the log's head, proven to grow from the one kept here, and keep it in its place.

    Raises: `ForkedHistory` where the log shrank or split; the head that proves it stays where it is.
    """
    path = place.log_head(log.ledger)
    try:
        last = TreeHead.from_bytes(read_bounded(path, _HEAD_BYTES_MAX))
    except FileNotFoundError:
        last = None
    except MalformedObject as error:
        raise MalformedObject(f"{path} is no head of a log; move it away to begin with the log as it is now") from error
    try:
        head = log.followed(last)
    except ForkedHistory as error:
        raise ForkedHistory(
            f"{error}. The earlier one is {path}: show it to the DAO; to go on without it, move it away"
        ) from error
    if last is None or head.size > last.size:
        write_private(path, head.encoded())
    return head
