"""Which of the known machines this one is."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from enclave.attestation.attesters import configfs_tsm, dstack_socket, nitro_nsm

PROBE: Final = "coffer-probe"
KIND_OF: Final = {configfs_tsm.TDX_GUEST: "tdx", configfs_tsm.SEV_GUEST: "snp"}


def machines_here(
    *,
    tsm: Path = configfs_tsm.ROOT,
    nsm: Path = nitro_nsm.DEVICE,
    dstack: Path = Path(dstack_socket.SOCKET),
) -> dict[str, str]:
    """Return the kinds of evidence this machine can be asked for, and where, the most telling first.

    A dstack container sees its agent's socket; only a guest of its own sees configfs-tsm.
    """
    found: dict[str, str] = {}
    if dstack.is_socket():
        found["dstack"] = str(dstack)
    provider = configfs_tsm.available(tsm, name=PROBE)
    if provider in KIND_OF:
        found[KIND_OF[provider]] = f"{tsm} ({provider})"
    if nitro_nsm.available(nsm):
        found["nitro"] = str(nsm)
    return found
