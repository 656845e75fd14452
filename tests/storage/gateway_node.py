"""A trustless gateway over a place for blocks, on loopback, written from the specification."""

import io
from collections.abc import Iterable

from storage.car import write_car
from storage.cid import Cid
from storage.errors import BlockNotFound
from storage.model import Blobs
from storage.unixfs import file_blocks
from tests.storage.web_node import Asked, WebNode, answered

RAW_TYPE = {"Content-Type": "application/vnd.ipld.raw"}
CAR_TYPE = {"Content-Type": "application/vnd.ipld.car; version=1; order=dfs; dups=n"}
FILE_BYTES_MAX = 2**30


def gateway_over(blobs: Blobs) -> WebNode:
    """Return a server that reads from `blobs`; it starts when it is entered."""

    def handler(asked: Asked) -> Iterable[bytes]:
        cid = Cid.parse(asked.path.removeprefix("/ipfs/"))
        assert asked.method in ("GET", "HEAD")
        assert asked.headers["accept"].startswith("application/vnd.ipld.")
        try:
            body, kind = (
                (blobs.get(cid), RAW_TYPE) if asked.query["format"] == "raw" else (car_of(blobs, cid), CAR_TYPE)
            )
        except BlockNotFound:
            yield answered(b"no such block", status="404 Not Found")
            return
        whole = answered(body, headers=kind)
        yield whole if asked.method == "GET" else whole[: len(whole) - len(body)]

    return WebNode(handler)


def car_of(blobs: Blobs, root: Cid) -> bytes:
    """Return the archive of a file."""
    archive = io.BytesIO()
    write_car(archive, (root,), file_blocks(blobs, root, bytes_max=FILE_BYTES_MAX))
    return archive.getvalue()
