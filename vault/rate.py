"""A token bucket for each peer: nonces, evidence and sessions cost the service more than their callers (rule R6)."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final
from urllib.parse import unquote

from vault.errors import RateExceeded

CALLS_PER_S: Final = 50.0
BURST: Final = 200.0
BYTES_PER_CALL: Final = 8 << 10  # of a message: full ones of ballots then take a sixth of a custodian's time
PEERS_MAX: Final = 4096  # the one not heard of for longest makes room
UNNAMED: Final = "unnamed"


class PeerLimit:
    """How many calls each peer may still make now. Use it from one thread."""

    def __init__(
        self,
        *,
        per_s: float = CALLS_PER_S,
        burst: float = BURST,
        peers_max: int = PEERS_MAX,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_s = per_s
        self._burst = burst
        self._peers_max = peers_max
        self._monotonic = monotonic
        self._left: dict[str, tuple[float, float]] = {}  # peer → tokens, and when that was; least recent first

    def take(self, peer: str) -> None:
        """Count one call of a peer, or raise `RateExceeded`."""
        self._pay(peer, 1, at_least=1)

    def charge(self, peer: str, message_bytes: int) -> None:
        """Count a call's message as `BYTES_PER_CALL` each one call more, or raise `RateExceeded`.

        A message may cost more than is left, so that one of any size gets through; calls after it wait the longer.
        """
        if message_bytes >= BYTES_PER_CALL:
            self._pay(peer, message_bytes // BYTES_PER_CALL, at_least=0)

    def _pay(self, peer: str, price: int, *, at_least: int) -> None:
        now = self._monotonic()
        tokens, since = self._left.pop(peer, (self._burst, now))
        tokens = min(self._burst, tokens + max(0.0, now - since) * self._per_s)
        is_allowed = tokens >= at_least
        while len(self._left) >= self._peers_max:
            del self._left[next(iter(self._left))]
        self._left[peer] = (tokens - price if is_allowed else tokens, now)
        if not is_allowed:
            raise RateExceeded(f"more than {self._per_s:g} such calls a second from one address; wait and ask again")


def names_of(addresses: Iterable[str]) -> frozenset[str]:
    """Return what `peer_name` calls the machines at some host:port, as their names resolve now."""
    names: set[str] = set()
    for address in addresses:
        host = address.rpartition(":")[0].strip("[]")
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError:
            continue  # it has no exemption; calls are limited as a stranger's are
        for family, _, _, _, place in found:
            is_v6 = family == socket.AF_INET6
            names.add(peer_name(f"ipv6:[{place[0]}]:0" if is_v6 else f"ipv4:{place[0]}:0"))
    return frozenset(names - {UNNAMED})


@lru_cache(maxsize=PEERS_MAX)
def peer_name(peer: str) -> str:
    """Return what names the machine in gRPC's name of a peer: its IPv4 address, or its IPv6 network.

    A host has a /64 of its own to choose addresses from (RFC 4291, section 2.5.4). What is neither is one peer.
    """
    host = unquote(peer).partition(":")[2].rpartition(":")[0].strip("[]").partition("%")[0]
    try:
        address = ip_address(host)
    except ValueError:
        return UNNAMED
    if isinstance(address, IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped) if mapped is not None else address.packed[:8].hex()
    return str(address)
