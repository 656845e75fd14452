"""What a revocation takes away, as a person names it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from cli.dao_datasets import dataset_named
from cli.home import Settings
from cli.options import cid_option
from cli.people import address_option
from vault.action import Scope

if TYPE_CHECKING:
    from vault.history import History

LINEAGE_DIGITS = (64, 128)  # of a deleted dataset, its tombstone's digest follows
MEASUREMENT_DIGITS = (64, 128)


def subject_from(settings: Settings, history: History, scope: Scope, text: str | None) -> bytes:
    """Return a revocation's subject: a policy's CID, an address, a measurement in hex, or a dataset.

    A dataset is named by the CID of any of its manifests, or by its lineage in hex, which the digest of its tombstone
    may follow; all its versions are meant.
    """
    if scope is Scope.DAO:
        if text is not None:
            raise typer.BadParameter("revoking the whole DAO takes no subject")
        return b""
    if text is None:
        raise typer.BadParameter(f"say which {scope} to revoke")
    match scope:
        case Scope.LICENSEE:
            return address_option(text)
        case Scope.MEASUREMENT:
            return _measurement(text)
        case Scope.DATASET:
            return _lineage(settings, history, text)
        case _:
            return cid_option(text).binary


def _measurement(text: str) -> bytes:
    measurement = _hex(text)
    if measurement is None or not MEASUREMENT_DIGITS[0] <= len(text) <= MEASUREMENT_DIGITS[1]:
        raise typer.BadParameter("a measurement is written in hex, 64 to 128 digits; coffer attest show prints it")
    return measurement


def _hex(text: str) -> bytes | None:
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        return None
    return raw if len(raw) * 2 == len(text) else None


def _lineage(settings: Settings, history: History, text: str) -> bytes:
    raw = _hex(text)
    if raw is not None and len(text) in LINEAGE_DIGITS:
        return raw
    cid = cid_option(text)
    return dataset_named(settings, history, cid).lineage(history.genesis)
