"""Where a name on the network may lead: to the public internet, unless its owner says that a place is on their own.

Sources: IANA's special-purpose address registries, as `ipaddress` has them; RFC 6052 for the prefix of NAT64.
"""

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

from storage.errors import StorageUnavailable

ADDRESSES_MAX: Final = 8  # of one name; more are not tried

_NAT64 = IPv6Network("64:ff9b::/96")

Address = IPv4Address | IPv6Address


def addresses_of(host: str, port: int, *, allow_private: bool) -> list[str]:
    """Return the addresses to try, each looked at here so that none is looked up again behind our back.

    Raises: StorageUnavailable: the name has no address, or only private ones and those are not allowed.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise StorageUnavailable(f"{host} has no address; check the name and the network") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    allowed = [address for address in addresses if allow_private or is_public(address)]
    if not allowed:
        raise StorageUnavailable(f"{host} leads to a private address, which this place may not")
    return allowed[:ADDRESSES_MAX]


def is_public(address: str) -> bool:
    """Say whether an address is one of the public internet, also when it wraps another."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return all(one.is_global and not one.is_multicast and not one.is_reserved for one in _all_in(parsed))


def _all_in(address: Address) -> list[Address]:
    """Return an address, or instead of it the one that it carries inside."""
    if isinstance(address, IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address in _NAT64:
        return [IPv4Address(int(address) & 2**32 - 1)]
    if address.sixtofour is not None:
        return [address.sixtofour]
    if address.teredo is not None:
        return list(address.teredo)
    return [address]
