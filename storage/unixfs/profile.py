"""Import profiles: the choices that make the same bytes have the same CID everywhere. Source: IPIP-499."""

from dataclasses import dataclass
from typing import Final, Literal

from storage.cid import DAG_PB, Cid


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How files are cut and how their trees are written.

    Attributes:
        chunk_bytes: size of a leaf's data; the last may have less.
        links_max: children of one node of a file.
        is_v0: CIDs of version 0, and leaves wrapped in UnixFS; otherwise version 1 and raw leaves.
        directory_bytes_max: a directory estimated larger is sharded (HAMT).
        directory_estimate: of a directory's size: names and CIDs of its `links`, or the whole `block`.
    """

    name: str
    chunk_bytes: int
    links_max: int
    is_v0: bool
    directory_bytes_max: int
    directory_estimate: Literal["links", "block"]

    def text(self, cid: Cid) -> str:
        """Return the CID as this profile's tools print it."""
        return cid.v0() if self.is_v0 and cid.codec == DAG_PB else str(cid)


V0_2015: Final = Profile(
    name="unixfs-v0-2015",
    chunk_bytes=256 * 1024,
    links_max=174,
    is_v0=True,
    directory_bytes_max=256 * 1024,
    directory_estimate="links",
)
V1_2025: Final = Profile(
    name="unixfs-v1-2025",
    chunk_bytes=2**20,
    links_max=1024,
    is_v0=False,
    directory_bytes_max=256 * 1024,
    directory_estimate="block",
)
PROFILES: Final = {profile.name: profile for profile in (V0_2015, V1_2025)}
