"""`coffer cid`: the CID that IPFS gives a file or folder."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.console import reported, say, show_json
from cli.options import JsonOption
from storage.unixfs import PROFILES
from storage.unixfs.folder import path_tree


class ProfileName(StrEnum):
    """The profiles of `storage.unixfs`, as IPIP-499 names them."""

    V1 = "unixfs-v1-2025"
    V0 = "unixfs-v0-2015"


def cid(
    path: Annotated[Path, typer.Argument(help="A file or a folder.")],
    profile: Annotated[ProfileName, typer.Option(help="How it is cut, as IPIP-499 names it.")] = ProfileName.V1,
    json: JsonOption = False,
) -> None:
    """Print the CID of a file, or of a folder with all in it. Nothing is stored or sent.

    unixfs-v1-2025 is what today's IPFS tools agree on; unixfs-v0-2015 gives the older Qm… names. A folder over the
    profile's 256 KiB is sharded, as those tools do.
    """
    with reported():
        chosen = PROFILES[profile.value]
        tree = path_tree(path, profile=chosen)
        text = chosen.text(tree.cid)
        if json:
            show_json({"cid": text, "bytes": tree.file_bytes, "profile": chosen.name})
        else:
            say(text)
